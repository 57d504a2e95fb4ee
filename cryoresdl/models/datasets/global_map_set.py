"""Training sets of the global classifiers and of the local-resolution U-Net.

Global: structures -> maps at several resolutions (`build_global`). Local: (map, label, mask) triples ->
patches (`build_local`). Both have a ``paper`` mode, to the letter of Avramov et al. 2019 (section 4.1), and
a default that
does not leak: splits by sequence cluster or by map. How they lie on the disk: ``map_set_file``.
"""

from __future__ import annotations

import dataclasses
import zlib
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from ..base import progress
from ..base.errors import InputError
from ..base.resolution_terms import GLOBAL_CLASSES, global_class
from ..base.runs.atomic_files import PathLike, sha256
from ..base.worker_processes import results_of
from ..networks.paper_predictors import scale01
from ..simulation import atom_density
from ..structures import atoms, structure_reader
from ..structures.atoms import center_of, longest_chain, molecular_weight_kda, protein_chains, random_rotation
from .input_lists import Entry
from .map_set_file import Parts, _header
from .splits import SPLITS, paper_split, split_groups

PAPER_RESOLUTIONS = (2.5, 7.5, 12.5)
PAPER_KDA = (10.0, 200.0)
PAPER_BOX = 64
_ROTATION_TRIALS = 30


@dataclasses.dataclass(frozen=True)
class GlobalSetRecipe:
    """Everything that decides the bytes of a global data set, besides the structures.

    Attributes:
        resolutions: A, each structure is simulated at every one.
        box: voxels.
        voxel_size: A.
        split: "paper" (random over maps; leaks) or "cluster" (by the manifest's split or by cluster).
        chain: "single" (single-chain proteins only) or "longest" (the longest protein chain of any
            structure).
        orientations: of training structures (of all with the paper split); the first is the deposited one.
        fragments: further training examples per training structure (any protein chain of it): random stretches of
            95 to 600 residues. Few structures have few shapes; the dense network needs many.
        turn_to_fit: turn structures that do not fit as deposited.
        kda: smallest and largest mass.
        half: store maps as float16 instead of float32.
        seed: of orientations and splits.
    """

    resolutions: Tuple[float, ...] = PAPER_RESOLUTIONS
    box: int = PAPER_BOX
    voxel_size: float = 1.0
    split: str = "cluster"
    chain: str = "longest"
    orientations: int = 1
    fragments: int = 0
    turn_to_fit: bool = True
    kda: Tuple[float, float] = PAPER_KDA
    half: bool = False
    seed: int = 0


def build_global_set(
    entries: Sequence[Entry],
    out: PathLike,
    recipe: GlobalSetRecipe,
    workers: int = 1,
    resume: bool = False,
    overwrite: bool = False,
) -> Dict[str, Any]:
    """Simulate every structure at every resolution and store the maps with their classes.

    Args:
        entries: from `find_structures`.
        out: the HDF5 file.
        recipe: see `GlobalRecipe`.
        workers: processes; the bytes do not depend on it.
        resume: go on where a stopped run ended.
        overwrite: replace what is there.

    Returns:
        ``{"items", "sources", "skipped": {name: reason}}``.

    Raises:
        InputError: nothing left to store, or see `Parts`.
    """
    splits = _source_splits(entries, recipe)
    pieces = _fragments(entries, splits, recipe)
    entries = [*entries, *pieces]
    splits.update({piece.name: "train" for piece in pieces})
    # What the bytes depend on besides the recipe: which structures, and their splits.
    listing = {entry.name: splits.get(entry.name, "") for entry in entries}
    parts = Parts(
        out, {"kind": "global", "structures": listing, **dataclasses.asdict(recipe)}, resume, overwrite
    )
    done = parts.done()
    jobs = []
    for entry in sorted(entries, key=lambda entry: entry.name):
        if entry.name not in done:
            count = recipe.orientations if splits.get(entry.name, "train") == "train" else 1
            jobs.append((str(parts.folder), entry, recipe, count))
    with progress.Progress("structures", len(entries), done=len(done)) as bar:
        for _ in results_of(_simulate_entry, jobs, workers):
            bar.step()
    done = parts.finished([entry.name for entry in entries])
    skipped = {name: reason for name, reason in sorted(done.items()) if reason}
    names = sorted(name for name, reason in done.items() if not reason)
    counts = [parts.source(name)[1] for name in names]
    if recipe.split == "paper":
        split = paper_split(sum(counts), recipe.seed)
    else:
        split = np.repeat(np.array([SPLITS.index(splits[name]) for name in names], np.int8), counts)
    parts.assemble(names, split, _header("global", recipe))
    return {"items": int(sum(counts)), "sources": len(names), "skipped": skipped}


def _simulate_entry(job: Tuple[str, Entry, GlobalSetRecipe, int]) -> str:
    folder, entry, recipe, orientations = job
    parts = Parts.in_worker(folder)
    try:
        arrays, source = simulate_entry(entry, recipe, orientations)
    except InputError as error:
        # By name: the bytes of the data set must not depend on where the structures lie.
        parts.skip(entry.name, str(error).replace(entry.path, entry.name))
    else:
        parts.write(entry.name, arrays, source)
    return entry.name


def simulate_entry(
    entry: Entry, recipe: GlobalSetRecipe, orientations: int = 1
) -> Tuple[Dict[str, np.ndarray], Dict[str, Any]]:
    """Maps of one structure: every orientation at every resolution, each scaled to [0, 1].

    The Z-weighted centre lies on voxel ``box // 2`` (EMAN2's ``--center``); a structure that fits only with
    its bounding box centred is placed so. It must fit (`simulation.fit`) at the coarsest resolution, so
    that all classes hold the same structures. The first orientation is the deposited one; the others, and
    that of a structure that does not fit as deposited, are random from (seed, name).

    Returns:
        Arrays of k items (maps, labels, resolution, orientation, rotation, voxel_size) and what is known of
        the source.

    Raises:
        InputError: the structure is unreadable, has not one protein chain (``chain="single"``), is too
        light or
            heavy, or does not fit the box.
    """
    rng = np.random.default_rng([recipe.seed, zlib.crc32(entry.name.encode())])
    atoms = structure_reader.read_structure(entry.path)
    atoms = cut_fragment(atoms, rng) if entry.fragment else _chosen_chain(atoms, recipe.chain)
    kda = molecular_weight_kda(atoms)
    if not recipe.kda[0] <= kda <= recipe.kda[1]:
        raise InputError(f"{entry.name} has {kda:.1f} kDa, not {recipe.kda[0]:g}-{recipe.kda[1]:g} kDa.")
    placed = []
    for number in range(orientations):
        place = _place(atoms, recipe, rng, deposited=number == 0)
        if place is not None:
            placed.append((number,) + place)
    if not placed:
        raise InputError(
            f"{entry.name} does not fit a box of {recipe.box} voxels of {recipe.voxel_size:g} A."
        )
    rows: List[Tuple[np.ndarray, int, float, int, np.ndarray]] = []
    for number, xyz, rotation in placed:
        for resolution in recipe.resolutions:
            density = atom_density.pdb2mrc((xyz, atoms.z_number), resolution, recipe.box, recipe.voxel_size)
            label = GLOBAL_CLASSES.index(global_class(resolution))
            rows.append((scale01(density), label, resolution, number, rotation))
    maps, labels, resolutions, numbers, rotations = zip(*rows)
    arrays = {
        "maps": np.stack(maps).astype(np.float16 if recipe.half else np.float32),
        "labels": np.array(labels, np.int8),
        "resolution": np.array(resolutions, np.float32),
        "orientation": np.array(numbers, np.int16),
        "rotation": np.array(rotations, np.float32),
        "voxel_size": np.full(len(rows), recipe.voxel_size, np.float32),
    }
    source = {
        "id": entry.name,
        "file": Path(entry.path).name,
        "sha256": sha256(entry.path),
        "cluster": entry.cluster,
        "chain": atoms.chain_names[int(atoms.chain[0])],
        "atoms": len(atoms),
        "residues": len(np.unique(atoms.residue)),
        "kda": round(kda, 2),
    }
    return arrays, source


def _chosen_chain(atoms: atoms.Atoms, chain: str) -> atoms.Atoms:
    if chain == "longest":
        return longest_chain(atoms)
    polymers = np.unique(atoms.chain[atoms.is_polymer])
    if len(polymers) != 1 or np.any(atoms.is_nucleic):
        raise InputError(f"{atoms.path} is not a single-chain protein.")
    return longest_chain(atoms)


FRAGMENT_RESIDUES = (95, 600)
"""Shortest (about 10 kDa) and longest fragment."""


def _fragments(entries: Sequence[Entry], splits: Dict[str, str], recipe: GlobalSetRecipe) -> List[Entry]:
    if recipe.fragments and recipe.split == "paper":
        raise InputError("The paper's split draws over maps; give --split cluster with --fragments.")
    return [
        dataclasses.replace(entry, name=f"{entry.name}-part{number}", fragment=number)
        for entry in entries
        if splits.get(entry.name) == "train"
        for number in range(1, recipe.fragments + 1)
    ]


def cut_fragment(atoms: atoms.Atoms, rng: np.random.Generator) -> atoms.Atoms:
    """A random stretch of a random protein chain; long chains are drawn more often.

    Raises:
        InputError: no protein chain is long enough.
    """
    shortest, longest = FRAGMENT_RESIDUES
    counts = {name: n for name, n in protein_chains(atoms).items() if n >= shortest}
    if not counts:
        raise InputError(f"{atoms.path} has no protein chain of {shortest} residues to cut a fragment from.")
    names = sorted(counts)
    share = np.array([counts[name] for name in names], float)
    name = names[int(rng.choice(len(names), p=share / share.sum()))]
    index = atoms.chain_names.index(name)
    chain = atoms.select((atoms.chain == index) & atoms.is_polymer & ~atoms.is_nucleic)
    residues = np.unique(chain.residue)
    length = int(rng.integers(shortest, min(len(residues), longest) + 1))
    first = int(rng.integers(0, len(residues) - length + 1))
    return chain.select(np.isin(chain.residue, residues[first : first + length]))


def _place(
    atoms: atoms.Atoms, recipe: GlobalSetRecipe, rng: np.random.Generator, deposited: bool
) -> Tuple[np.ndarray, np.ndarray] | None:
    """Centred coordinates that fit the box and their rotation, or None."""
    trials = [np.eye(3)] if deposited else []
    if not deposited or recipe.turn_to_fit:
        trials += [random_rotation(rng) for _ in range(_ROTATION_TRIALS)]
    mass = center_of(atoms.xyz, atoms.z_number)
    for rotation in trials:
        xyz = (atoms.xyz - mass) @ rotation.T
        for centred in (xyz, xyz - (xyz.min(axis=0) + xyz.max(axis=0)) / 2):
            coarsest = max(recipe.resolutions)
            if atom_density.fit(centred, atoms.z_number, coarsest, recipe.box, recipe.voxel_size).fits:
                return centred, rotation
    return None


def _source_splits(entries: Sequence[Entry], recipe: GlobalSetRecipe) -> Dict[str, str]:
    """Split of every structure; empty for the paper's split over maps."""
    if recipe.split == "paper":
        return {}
    if all(entry.split for entry in entries):
        return {entry.name: entry.split for entry in entries}
    drawn = split_groups([entry.cluster for entry in entries], recipe.seed)
    return {entry.name: SPLITS[drawn[entry.cluster]] for entry in entries}
