"""Atoms as arrays: extent, centre, rotation, chains, weight."""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, List, Tuple

import numpy as np

from ..base.errors import InputError


@dataclasses.dataclass
class Atoms:
    """Atoms of one structure; every array has one row per atom.

    Attributes:
        xyz: (n, 3) float64, x, y, z in angstroms.
        z_number: (n,) int, atomic numbers.
        b_factor: (n,) float64, in square angstroms as in the file.
        occupancy: (n,) float64.
        chain: (n,) int, index into ``chain_names``.
        chain_names: names of the chains, in the order of the file.
        residue: (n,) int, running index of the residue, from 0; unique over chains.
        residue_number: (n,) int, the author's residue number.
        insertion: (n,) str, the letter that tells residues of one number apart (82, 82A), empty for most atoms.
        residue_name: (n,) str.
        name: (n,) str, atom names.
        altloc: (n,) str, letter of the conformer, empty for most atoms.
        is_nucleic: (n,) bool, atom of a DNA or RNA residue.
        is_polymer: (n,) bool, atom of an amino acid or nucleotide, not a ligand, ion or water.
        path: the file.
        warnings: one sentence each.
    """

    xyz: np.ndarray
    z_number: np.ndarray
    b_factor: np.ndarray
    occupancy: np.ndarray
    chain: np.ndarray
    chain_names: Tuple[str, ...]
    residue: np.ndarray
    residue_number: np.ndarray
    insertion: np.ndarray
    residue_name: np.ndarray
    name: np.ndarray
    altloc: np.ndarray
    is_nucleic: np.ndarray
    is_polymer: np.ndarray
    path: str = ""
    warnings: List[str] = dataclasses.field(default_factory=list)

    def __len__(self) -> int:
        return len(self.xyz)

    def select(self, keep: np.ndarray) -> Atoms:
        """The atoms where ``keep`` (boolean or indices) says so, in a new object."""
        rows = {name: getattr(self, name)[keep] for name in _PER_ATOM}
        return dataclasses.replace(self, warnings=list(self.warnings), **rows)

    def with_xyz(self, xyz: np.ndarray) -> Atoms:
        """The same atoms at other places; ``xyz`` is (n, 3) in angstroms."""
        return dataclasses.replace(self, xyz=np.asarray(xyz, dtype=np.float64))


_PER_ATOM = (
    "xyz",
    "z_number",
    "b_factor",
    "occupancy",
    "chain",
    "residue",
    "residue_number",
    "insertion",
    "residue_name",
    "name",
    "altloc",
    "is_nucleic",
    "is_polymer",
)


def extent(xyz: np.ndarray) -> np.ndarray:
    """Size (3,) in angstroms of the box along x, y, z that holds all atom centres."""
    return np.ptp(np.asarray(xyz), axis=0)


def center_of(xyz: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Centre (3,) in angstroms, weighted by ``weights`` (atomic numbers for EMAN2's ``--center``)."""
    return np.average(np.asarray(xyz, dtype=np.float64), axis=0, weights=weights)


def center(atoms: Atoms) -> Atoms:
    """The atoms with their Z-weighted centre at 0."""
    return atoms.with_xyz(atoms.xyz - center_of(atoms.xyz, atoms.z_number))


def random_rotation(seed: Any) -> np.ndarray:
    """A uniformly random proper rotation matrix (3, 3); ``seed`` is an int or a numpy Generator."""
    quaternion = np.random.default_rng(seed).standard_normal(4)
    w, x, y, z = quaternion / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def rotate(atoms: Atoms, seed: Any) -> Atoms:
    """The atoms turned at random about their Z-weighted centre; ``seed`` is an int or a numpy Generator."""
    middle = center_of(atoms.xyz, atoms.z_number)
    return atoms.with_xyz((atoms.xyz - middle) @ random_rotation(seed).T + middle)


def protein_chains(atoms: Atoms) -> Dict[str, int]:
    """Names of the protein chains with their numbers of residues, in the order of the file."""
    protein = atoms.is_polymer & ~atoms.is_nucleic
    counts = {}
    for index, name in enumerate(atoms.chain_names):
        residues = np.unique(atoms.residue[protein & (atoms.chain == index)])
        if len(residues):
            counts[name] = len(residues)
    return counts


def longest_chain(atoms: Atoms) -> Atoms:
    """The polymer atoms of the protein chain with the most residues (the first of equals).

    Raises:
        InputError: there is no protein chain.
    """
    counts = protein_chains(atoms)
    if not counts:
        raise InputError(f"{atoms.path} has no protein chain.")
    best = max(counts, key=lambda name: counts[name])
    index = atoms.chain_names.index(best)
    return atoms.select((atoms.chain == index) & atoms.is_polymer & ~atoms.is_nucleic)


def molecular_weight_kda(atoms: Atoms) -> float:
    """Mass in kDa of the residues that are there, hydrogens included whether modelled or not.

    Residues of the Chemical Component Dictionary count with their full weight less one water, other residues
    with the weights of their atoms.
    """
    import gemmi

    total = 0.0
    _, first = np.unique(atoms.residue, return_index=True)
    unknown = []
    for row in first:
        info = gemmi.find_tabulated_residue(str(atoms.residue_name[row]))
        if info.found() and info.weight > 0 and atoms.is_polymer[row]:
            total += info.weight - 18.015
        else:
            unknown.append(atoms.residue[row])
    for number in atoms.z_number[np.isin(atoms.residue, unknown)]:
        total += gemmi.Element(int(number)).weight
    return total / 1000.0
