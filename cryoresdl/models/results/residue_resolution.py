"""Local resolution of every residue of an atomic model: tables for people, an attribute file for ChimeraX."""

from __future__ import annotations

import csv
import io
import os
from dataclasses import dataclass
from typing import Any, Sequence

import numpy as np

from ..base.errors import InputError
from ..base.resolution_terms import class_of, estimated
from ..base.runs.atomic_files import PathLike, atomic_path, csv_cell, shown
from ..maps.density_map import DensityMap

ATTRIBUTE = "local_resolution"
INTERVAL_ATTRIBUTE = "local_resolution_interval"
RESIDUE_COLUMNS = (
    "chain",
    "number",
    "name",
    "atoms",
    "atoms_estimated",
    "resolution_A",
    "class",
    "interval_A",
)
MISSING_PART = 0.5
"""Fewer of the atoms than this inside the box: the model was not fitted to this map."""


@dataclass
class Residue:
    """One residue: where it is in the model and what its atoms have on average.

    Attributes:
        chain: name of the chain.
        number: residue number.
        insertion: its insertion code: residues 82, 82A and 82B are three; empty for most.
        name: residue name ("ALA").
        atoms: its atoms.
        atoms_estimated: those where the volume has an estimate.
        resolution_A: their mean, or None.
        interval_A: mean half-width of the 68 % interval, or None.
    """

    chain: str
    number: int
    insertion: str
    name: str
    atoms: int
    atoms_estimated: int
    resolution_A: float | None
    interval_A: float | None

    @property
    def label(self) -> str:
        """Number and insertion code, as people and ChimeraX write it: 82A."""
        return f"{self.number}{self.insertion}"


def sample(volume: DensityMap, xyz: np.ndarray, holes: bool = True) -> np.ndarray:
    """Trilinear samples of a volume at atom positions.

    Voxel (0, 0, 0) lies at ``volume.offset()`` (the header's origin, or its start indices). With ``holes``,
    voxels that are "not estimated" take no part: the weights of the others are scaled up, and an atom whose
    estimated neighbours weigh less than half has no value.

    Args:
        volume: data (z, y, x).
        xyz: (n, 3) positions x, y, z in A.
        holes: respect "not estimated".

    Returns:
        (n,) float64; NaN outside the box (beyond the outermost voxel centres) and where nothing is estimated.
    """
    place = (np.asarray(xyz, np.float64) - np.asarray(volume.offset())) / volume.voxel_size
    place = place[:, ::-1]  # z, y, x
    shape = np.array(volume.data.shape)
    inside = ((place >= -1e-6) & (place <= shape - 1 + 1e-6)).all(1)
    low = np.clip(np.floor(place), 0, shape - 2).astype(int)
    part = np.clip(place - low, 0, 1)
    total = np.zeros(len(place))
    weights = np.zeros(len(place))
    for corner in np.ndindex(2, 2, 2):
        step = np.array(corner)
        weight = np.prod(np.where(step, part, 1 - part), axis=1)
        values = volume.data[tuple((low + step).T)].astype(np.float64)
        known = estimated(values) if holes else np.ones(len(values), bool)
        total += np.where(known, weight * values, 0)
        weights += np.where(known, weight, 0)
    good = inside & (weights >= 0.5)
    return np.where(good, total / np.where(good, weights, 1), np.nan)


def residue_table(
    atoms: Any, volume: DensityMap, interval: DensityMap | None = None
) -> tuple[list[Residue], list[str]]:
    """Means per residue.

    Args:
        atoms: `structures.atoms.Atoms` of the model.
        volume: local resolution in A.
        interval: half-widths of the 68 % interval in A, on the same grid.

    Returns:
        The residues in the order of the model, and warnings.

    Raises:
        InputError: most atoms lie outside the box, or none has an estimate.
    """
    values = sample(volume, atoms.xyz)
    inside = ~np.isnan(sample(volume, atoms.xyz, holes=False))
    warnings = list(atoms.warnings) + _check_place(atoms, volume, inside, values)
    widths = None if interval is None else sample(interval, atoms.xyz)
    starts, order = _residue_starts(atoms)
    rows = []
    for first, members in zip(starts, order):
        known = members[~np.isnan(values[members])]
        rows.append(
            Residue(
                chain=str(atoms.chain_names[atoms.chain[first]]),
                number=int(atoms.residue_number[first]),
                insertion=str(atoms.insertion[first]),
                name=str(atoms.residue_name[first]),
                atoms=len(members),
                atoms_estimated=len(known),
                resolution_A=float(values[known].mean()) if len(known) else None,
                interval_A=float(widths[known].mean()) if widths is not None and len(known) else None,
            )
        )
    return rows, warnings


def _residue_starts(atoms: Any) -> tuple[list[int], list[np.ndarray]]:
    """First atom and all atoms of every residue, in the order of the model."""
    _, first, inverse = np.unique(atoms.residue, return_index=True, return_inverse=True)
    members = np.split(np.argsort(inverse, kind="stable"), np.cumsum(np.bincount(inverse))[:-1])
    order = np.argsort(first)
    return [int(first[i]) for i in order], [members[i] for i in order]


def _check_place(atoms: Any, volume: DensityMap, inside: np.ndarray, values: np.ndarray) -> list[str]:
    part = float(inside.mean())
    if part < MISSING_PART:
        low, high = atoms.xyz.min(0), atoms.xyz.max(0)
        start = np.array(volume.offset())
        stop = start + (np.array(volume.data.shape[::-1]) - 1) * volume.voxel_size
        raise InputError(
            f"Only {100 * part:.0f} % of the atoms of {shown(atoms.path)} lie in the map's box: atoms at "
            f"{_span(low, high)}, box at {_span(start, stop)} A (x, y, z); fit the model to the map or check "
            "the map's origin."
        )
    if np.isnan(values).all():
        raise InputError(
            f"No atom of {shown(atoms.path)} lies where a local resolution was estimated; "
            "fit the model to the map or give a mask that covers it."
        )
    warnings = []
    if part < 1:
        warnings.append(f"{int((~inside).sum())} atoms ({100 * (1 - part):.1f} %) lie outside the map's box.")
    bare = int((inside & np.isnan(values)).sum())
    if bare:
        warnings.append(f"{bare} atoms lie where no local resolution was estimated.")
    if bare > 0.5 * len(values):
        warnings.append("Most atoms lie outside the mask: is the model fitted to this map?")
    return warnings


def _span(low: np.ndarray, high: np.ndarray) -> str:
    return ", ".join(f"{a:.0f} to {b:.0f}" for a, b in zip(low, high))


def chains(rows: Sequence[Residue]) -> list[dict[str, Any]]:
    """Means per chain, every residue with an estimate counting alike."""
    found = []
    for name in dict.fromkeys(row.chain for row in rows):
        own = [row for row in rows if row.chain == name]
        known = [row.resolution_A for row in own if row.resolution_A is not None]
        widths = [row.interval_A for row in own if row.interval_A is not None]
        found.append(
            {
                "chain": name,
                "residues": len(own),
                "residues_estimated": len(known),
                "resolution_A": float(np.mean(known)) if known else None,
                "interval_A": float(np.mean(widths)) if widths else None,
            }
        )
    return found


def write_residues(path: PathLike, rows: Sequence[Residue]) -> None:
    """One line per residue (`COLUMNS`), atomically."""
    text = io.StringIO()
    lines = csv.writer(text)
    lines.writerow(RESIDUE_COLUMNS)
    for row in rows:
        value = row.resolution_A
        number = "" if value is None else int(class_of(np.array([value]))[0])
        names = [csv_cell(name) for name in (row.chain, row.label, row.name)]
        counts = [row.atoms, row.atoms_estimated]
        lines.writerow([*names, *counts, _cell(value), number, _cell(row.interval_A)])
    _write(path, text.getvalue())


def write_chains(path: PathLike, rows: Sequence[Residue]) -> None:
    """One line per chain, atomically."""
    text = io.StringIO()
    lines = csv.writer(text)
    lines.writerow(("chain", "residues", "residues_estimated", "resolution_A", "interval_A"))
    for item in chains(rows):
        cells = [csv_cell(item["chain"]), item["residues"], item["residues_estimated"]]
        lines.writerow(cells + [_cell(item["resolution_A"]), _cell(item["interval_A"])])
    _write(path, text.getvalue())


def write_attributes(path: PathLike, rows: Sequence[Residue]) -> None:
    r"""An attribute file for ChimeraX (``open NAME.defattr`` after the model), atomically.

    Format: https://www.cgl.ucsf.edu/chimerax/docs/user/formats/defattr.html; data lines are
    ``\t/CHAIN:NUMBER\tVALUE``, and every attribute starts with its own header lines.
    """
    lines = ["# Mean local resolution per residue (A), by CryoResDL"]
    for attribute, values in (
        (ATTRIBUTE, [row.resolution_A for row in rows]),
        (INTERVAL_ATTRIBUTE, [row.interval_A for row in rows]),
    ):
        if all(value is None for value in values):
            continue
        lines += [f"attribute: {attribute}", "match mode: any", "recipient: residues"]
        for row, value in zip(rows, values):
            if value is not None:
                chain = f"/{row.chain}" if row.chain.strip() else ""
                lines.append(f"\t{chain}:{row.label}\t{value:.3f}")
    _write(path, "\n".join(lines) + "\n")


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _write(path: PathLike, text: str) -> None:
    with atomic_path(path) as temporary:
        with open(os.fspath(temporary), "w", encoding="utf-8", newline="") as stream:
            stream.write(text)
