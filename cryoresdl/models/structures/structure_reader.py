"""Atoms from PDB and mmCIF files: which atoms count, and the few geometric helpers that simulation needs.

Atom selection of :func:`read_structure`, which follows the physics of the specimen:

* the first model, or the one asked for by number;
* polymer, ligand, ion and hydrogen atoms (``hydrogens=False`` leaves those out), no waters;
* one conformer per residue, the one with the highest summed occupancy;
* occupancies are kept, 0 included: pdb2mrc maps ignore them as EMAN2 does, realistic maps weigh atoms with
  them;
* the element column decides the element; atoms of unknown elements are left out and counted in ``warnings``.

:func:`eman2_atoms` instead repeats the accidents of EMAN2's own PDB parser, to reproduce its maps exactly.
"""

from __future__ import annotations

import bz2
import gzip
import io
import os
import zlib
from pathlib import Path
from typing import Any, Dict, List, Tuple

import numpy as np

from ..base.errors import InputError
from ..base.runs.atomic_files import PathLike
from .atoms import _PER_ATOM, Atoms

WATER_NAMES = frozenset(("HOH", "DOD", "WAT", "H2O", "SOL", "TIP", "TIP3", "OH2"))
NUCLEIC_NAMES = frozenset(
    ("A", "C", "G", "U", "I", "T", "DA", "DC", "DG", "DT", "DI", "DU", "ADE", "CYT", "GUA", "URA", "THY")
)
_MAX_COORDINATE_A = 1e5
_MAX_RATIO = 100
"""Coordinates shrink by five to fifteen when packed; what grows by more than this is a bomb."""
_ASCII = bytes(range(128)) + b"?" * 128
_EMAN2_Z = {"H": 1, "C": 6, "A": 7, "N": 7, "O": 8, "P": 15, "S": 16, "W": 18, "K": 19}
"""EMAN2's table: W is its fictitious water (18), an A that is not AU is an ambiguous N or O."""


def read_structure(
    path: PathLike,
    hydrogens: bool = True,
    model: int | None = None,
) -> Atoms:
    """Read the atoms of a PDB or mmCIF file, plain or compressed with gzip or bzip2.

    Args:
        path: the file; the content decides between PDB and mmCIF.
        hydrogens: keep hydrogen and deuterium.
        model: number of the model in the file; the first when None.

    Returns:
        The atoms in the order of the file, at least one.

    Raises:
        InputError: missing, unreadable or empty file, only waters, coordinates that are not numbers, no known
            element, no such model.
    """
    path = os.fspath(path)
    structure = _parse(path)
    chosen = _choose_model(structure, model, path)
    atoms = _to_atoms(_collect(chosen, hydrogens), path)
    _check_finite(atoms.xyz, path)
    if not np.all(np.isfinite(atoms.b_factor)) or not np.all(np.isfinite(atoms.occupancy)):
        raise InputError(f"{path} has occupancies or B-factors that are not numbers; correct those columns.")
    return _best_conformers(_drop_unknown(atoms, path))


def _read_text(path: str) -> str:
    try:
        raw = Path(path).read_bytes()
        if raw[:2] == b"\x1f\x8b":
            raw = _unpacked(gzip.GzipFile(fileobj=io.BytesIO(raw)), len(raw), path)
        elif raw[:3] == b"BZh":
            raw = _unpacked(bz2.BZ2File(io.BytesIO(raw)), len(raw), path)
    except (EOFError, ValueError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path} is a damaged compressed file ({error}); fetch it again.") from error
    except OSError as error:
        raise InputError(f"Cannot read the structure {path}: {error.strerror or error}.") from error
    if not raw.strip():
        raise InputError(f"{path} is empty; give a PDB or mmCIF file with atoms.")
    if b"\0" in raw[:4096]:
        raise InputError(f"{path} is a binary file, not a PDB or mmCIF file.")
    # Nothing of an atom is beyond ASCII, and fixed columns would cut a longer character in two.
    return raw.translate(_ASCII).decode("ascii")


def _unpacked(stream: Any, packed: int, path: str) -> bytes:
    """All of a compressed stream, unless it grows as no coordinates do."""
    limit = _MAX_RATIO * packed + (1 << 20)
    with stream:
        raw = stream.read(limit + 1)
    if len(raw) > limit:
        raise InputError(f"{path} unpacks to more than {_MAX_RATIO} times its size; it is refused.")
    return raw


def _parse(path: str) -> Any:
    import gemmi  # 20 ms; only commands that read structures pay for it

    text = _read_text(path)
    first = next(
        (line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")), ""
    )
    try:
        if first.lower().startswith("data_"):
            document = gemmi.cif.read_string(text)
            return gemmi.make_structure_from_block(document[0])
        _check_pdb_columns(text, path)
        structure = gemmi.read_pdb_string(text)
    except (ValueError, RuntimeError, IndexError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path} is not a readable PDB or mmCIF file ({reason}).") from error
    return structure


def _check_pdb_columns(text: str, path: str) -> None:
    """Refuse coordinates that are not numbers (``********``), which gemmi reads as 0."""
    for line in text.splitlines():
        if line.startswith(("ATOM  ", "HETATM")):
            try:
                float(line[30:38]), float(line[38:46]), float(line[46:54])
            except ValueError as error:
                raise InputError(
                    f"{path} has an atom whose coordinates are not numbers: {line[:54].strip()!r}."
                ) from error


def _choose_model(structure: Any, model: int | None, path: str) -> Any:
    if len(structure) == 0 or all(candidate.count_atom_sites() == 0 for candidate in structure):
        raise InputError(f"{path} has no atoms; give a PDB or mmCIF file with ATOM records.")
    structure.setup_entities()
    if model is None:
        return next(candidate for candidate in structure if candidate.count_atom_sites())
    for candidate in structure:
        if candidate.num == model:
            return candidate
    raise InputError(f"{path} has no model {model}; it has {len(structure)} models.")


def _collect(model: Any, hydrogens: bool) -> Dict[str, Any]:
    """Walk the model once; plain lists are faster here than any per-atom object."""
    import gemmi

    columns: Dict[str, Any] = {name: [] for name in _PER_ATOM}
    chain_names: List[str] = []
    seen: Dict[str, int] = {}
    residue_index = -1
    no_hydrogens = False
    for chain in model:
        chain_index = seen.setdefault(chain.name, len(seen))
        if chain_index == len(chain_names):
            chain_names.append(chain.name)
        previous = None
        for residue in chain:
            if residue.is_water() or residue.name.upper() in WATER_NAMES:
                continue
            polymer, nucleic = _kind_of(residue, gemmi)
            # Conformers of a point mutation are several gemmi residues with one number: one residue to us.
            label = (residue.seqid.num, residue.seqid.icode, residue.segment)
            if label != previous:
                residue_index += 1
                previous = label
            number = residue.seqid.num
            for atom in residue:
                if not hydrogens and atom.is_hydrogen():
                    no_hydrogens = True
                    continue
                columns["xyz"].append(atom.pos.tolist())
                columns["z_number"].append(atom.element.atomic_number)
                columns["b_factor"].append(atom.b_iso)
                columns["occupancy"].append(atom.occ)
                columns["name"].append(atom.name)
                columns["altloc"].append(atom.altloc.strip("\0 "))
                columns["chain"].append(chain_index)
                columns["residue"].append(residue_index)
                columns["residue_number"].append(number if number is not None else 0)
                columns["insertion"].append(residue.seqid.icode.strip("\0 "))
                columns["residue_name"].append(residue.name)
                columns["is_nucleic"].append(nucleic)
                columns["is_polymer"].append(polymer)
    return {"columns": columns, "chain_names": chain_names, "no_hydrogens": no_hydrogens}


def _kind_of(residue: Any, gemmi: Any) -> Tuple[bool, bool]:
    """(is polymer, is nucleic) of a residue: from the file's records, or from the residue's name."""
    info = gemmi.find_tabulated_residue(residue.name)
    nucleic = residue.name.strip().upper() in NUCLEIC_NAMES or info.is_nucleic_acid()
    known = nucleic or info.is_amino_acid()
    in_polymer = residue.entity_type == gemmi.EntityType.Polymer
    if in_polymer and not known:
        nucleic = any(atom.name in ("P", "C1'") for atom in residue) and "CA" not in [a.name for a in residue]
    return in_polymer or (known and residue.het_flag != "H"), nucleic and (in_polymer or known)


def _to_atoms(table: Dict[str, Any], path: str) -> Atoms:
    columns = table["columns"]
    if not columns["xyz"]:
        only = "hydrogens" if table["no_hydrogens"] else "water molecules"
        raise InputError(f"{path} holds only {only}; give a structure with a macromolecule.")
    kinds: Dict[str, Any] = {
        "xyz": np.float64,
        "z_number": np.int64,
        "b_factor": np.float64,
        "occupancy": np.float64,
        "chain": np.int64,
        "residue": np.int64,
        "residue_number": np.int64,
        "insertion": "U4",
        "residue_name": "U8",
        "name": "U8",
        "altloc": "U1",
        "is_nucleic": bool,
        "is_polymer": bool,
    }
    arrays = {name: np.array(columns[name], dtype=kind) for name, kind in kinds.items()}
    return Atoms(chain_names=tuple(table["chain_names"]), path=path, warnings=[], **arrays)


def _check_finite(xyz: np.ndarray, path: str) -> None:
    bad = ~np.all(np.isfinite(xyz), axis=1)
    if np.any(bad):
        raise InputError(
            f"{path} has {int(bad.sum())} atoms whose coordinates are not numbers; correct or delete them."
        )
    if np.abs(xyz).max() > _MAX_COORDINATE_A:
        raise InputError(
            f"{path} has coordinates beyond {_MAX_COORDINATE_A:.0f} A; it is damaged or not in angstroms."
        )


def _drop_unknown(atoms: Atoms, path: str) -> Atoms:
    known = atoms.z_number > 0
    if not np.any(known):
        raise InputError(f"{path} has no atom of a known element; fill in the element column (77-78).")
    if np.any(~known):
        atoms.warnings.append(f"{int(np.sum(~known))} atoms of unknown elements were left out.")
    return atoms.select(known)


def _best_conformers(atoms: Atoms) -> Atoms:
    if not np.any(atoms.altloc != ""):
        return atoms
    keep = atoms.altloc == ""
    rows = np.flatnonzero(~keep)
    for residue in np.unique(atoms.residue[rows]):
        mine = rows[atoms.residue[rows] == residue]
        letters, where = np.unique(atoms.altloc[mine], return_inverse=True)
        # The first letter wins a tie, as in every viewer.
        keep[mine[where == np.argmax(np.bincount(where, weights=atoms.occupancy[mine]))]] = True
    return atoms.select(keep)


def eman2_atoms(path: PathLike, model: int | None = None) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read a PDB file with the accidents of EMAN2's ``e2pdb2mrc``.

    ATOM records only; every altLoc, hydrogens, every occupancy; all models are summed unless one is chosen;
    the element comes from the first letter of the atom name in columns 13-16 (so CL and calcium read as
    carbon, NA as nitrogen, SE as sulphur) and atoms of other letters (ZN, FE, MG, names like ``1HB``) are
    dropped.

    Args:
        path: a PDB file, plain or compressed.
        model: running number of the MODEL record, from 1; every model when None.

    Returns:
        xyz (n, 3) float64 in angstroms, weights (n,) float64 (EMAN2's Z), B-factors (n,) float64.

    Raises:
        InputError: unreadable file, mmCIF, or no atom that EMAN2 would count.
    """
    path = os.fspath(path)
    xyz: List[List[float]] = []
    weights: List[int] = []
    b_factors: List[float] = []
    current = 0
    for line in _read_text(path).splitlines():
        if line.startswith("MODEL "):
            current += 1
        if not line.startswith("ATOM") or (model is not None and max(current, 1) != model):
            continue
        weight = _eman2_z(line.ljust(80))
        if not weight:
            continue
        try:
            xyz.append([float(line[start : start + 8]) for start in (30, 38, 46)])
        except ValueError as error:
            raise InputError(
                f"{path} has an ATOM record without coordinates: {line[:54].strip()!r}."
            ) from error
        weights.append(weight)
        try:
            b_factors.append(float(line[60:66]))
        except ValueError:
            b_factors.append(0.0)  # EMAN2 scans the number and leaves 0 where there is none
    if not xyz:
        raise InputError(f"{path} has no ATOM record that EMAN2 would count; --eman2-atoms needs a PDB file.")
    coordinates = np.array(xyz, dtype=np.float64)
    _check_finite(coordinates, path)
    return coordinates, np.array(weights, dtype=np.float64), np.array(b_factors, dtype=np.float64)


def _eman2_z(line: str) -> int:
    name = list(line[12:16])
    if name[1] == " ":
        name[1] = name[2]
    if name[1] == " ":
        name[1] = name[3]
    letter, second = (name[1], name[2]) if name[0] == " " else (name[0], name[1])
    if letter == "A" and second == "U":
        return 79
    return _EMAN2_Z.get(letter, 0)
