"""How far local-resolution volumes of one map agree, whoever made them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Sequence

import numpy as np

from ..base.accuracy_measures import agreement
from ..base.errors import InputError
from ..base.resolution_terms import estimated, summarize
from ..base.runs.atomic_files import PathLike, shown, write_json
from ..maps import foreign_volumes
from ..maps.density_map import DensityMap, plain_path
from ..maps.mrc import mrc_writer
from . import result_files


@dataclass
class Estimate:
    """One local-resolution volume: its name in tables and its values in A (z, y, x)."""

    name: str
    data: np.ndarray
    path: str = ""
    warnings: tuple[str, ...] = ()


def parse(word: str) -> tuple[str, str]:
    """``VOL=NAME`` -> (path, name); the name defaults to the file's. A file that has the whole word as name wins.

    Raises:
        InputError: no path or no name.
    """
    path, separator, name = word.rpartition("=")
    whole = plain_path(word)
    if not separator or os.path.exists(whole):
        path, name = whole, Path(whole).name.split(".")[0]
    if not path or not name:
        raise InputError(f"{shown(word)} is not VOL=NAME; give a volume and its name in the tables.")
    return plain_path(path), name


def load_volumes(
    words: Sequence[tuple[str, str]], like: DensityMap | None = None, mask: np.ndarray | None = None
) -> tuple[list[Estimate], DensityMap]:
    """Read the volumes of a comparison.

    Args:
        words: path and name of each, as `parse` gives them.
        like: the map that they belong to; without it the first volume gives the grid.
        mask: bool (z, y, x).

    Returns:
        The estimates and the map (or first volume) whose grid they share.

    Raises:
        InputError: fewer than two, a name given twice, other boxes, or no local resolution in A.
    """
    if len(words) < 2:
        raise InputError("A comparison needs two volumes at least; give VOL=NAME twice or more.")
    estimates: list[Estimate] = []
    grid = like
    for path, name in words:
        if any(name == other.name for other in estimates):
            raise InputError(f"The name {shown(name)} is given twice; name the volumes apart with VOL=NAME.")
        volume = foreign_volumes.read_resolution(path, like, grid=grid, mask=mask)
        grid = grid or volume
        estimates.append(Estimate(name, volume.data, str(volume.path), tuple(volume.warnings)))
    return estimates, grid or like  # type: ignore[return-value]


def compare(estimates: Sequence[Estimate], mask: np.ndarray | None = None) -> dict[str, Any]:
    """Compare every pair of volumes on the voxels that both estimate, inside the mask.

    Args:
        estimates: two or more, of one box; ``data`` of those with a filled background is replaced by a cleaned
            array (see `foreign_volumes.cleaned`).
        mask: bool (z, y, x).

    Returns:
        What ``comparison.json`` holds: ``volumes`` (name, path, summary), ``pairs`` (`accuracy_measures.agreement`
        with the first as the reference, ``names``, ``coverage``: the part of the mask that both estimate),
        ``cross_table`` (rows: reference, columns: compared; equal classes in percent, as the paper's table 6)
        and ``warnings``.
    """
    warnings: list[str] = []
    for estimate in estimates:
        warnings += estimate.warnings
        estimate.data, fill = foreign_volumes.cleaned(estimate.data, mask)
        if fill is not None:
            warnings.append(f"{estimate.name}: {foreign_volumes.filled_sentence(fill)}")
    given = mask
    if mask is None:
        mask, more = _without_solvent(estimates)
        warnings += more
    total = int(mask.sum()) if mask is not None else estimates[0].data.size
    pairs = []
    for first, second in combinations(estimates, 2):
        both = estimated(first.data) & estimated(second.data)
        if mask is not None:
            both &= mask
        pair: dict[str, Any] = {"names": [first.name, second.name]}
        pair.update(agreement(first.data[both], second.data[both]))
        pair["coverage"] = float(both.sum() / max(1, total))
        pairs.append(pair)
        if not both.any():
            warnings.append(f"{first.name} and {second.name} have no estimated voxel in common.")
        else:
            warnings += _other_unit(first, second, both, pair["spearman"])
    return {
        "volumes": [
            {"name": item.name, "path": item.path, **summarize(item.data, mask)} for item in estimates
        ],
        "pairs": pairs,
        "cross_table": cross_table([item.name for item in estimates], pairs),
        "mask_voxels": total if given is not None else None,
        "warnings": warnings,
    }


def _without_solvent(estimates: Sequence[Estimate]) -> tuple[np.ndarray | None, list[str]]:
    """Where the other volumes estimate, when one estimates the solvent too, as RELION does; and warnings."""
    parts = [estimated(item.data) for item in estimates]
    everywhere = [part.mean() > MOST_OF_THE_BOX for part in parts]
    if not any(everywhere):
        return None, []
    others = [part for part, whole in zip(parts, everywhere) if not whole]
    names = ", ".join(item.name for item, whole in zip(estimates, everywhere) if whole)
    if not others:
        return None, [f"{names}: estimates fill most of the box, solvent too; give a mask to leave it out."]
    return np.logical_or.reduce(others), [
        f"{names}: estimates fill most of the box; only what another volume estimates counts, or give a mask."
    ]


def _other_unit(first: Estimate, second: Estimate, both: np.ndarray, rank: float | None) -> list[str]:
    """A warning where two volumes disagree as two units do: in reverse, or by one factor everywhere."""
    names = f"{first.name} and {second.name}"
    if rank is not None and rank < OPPOSED:
        return [
            f"{names} run against each other (rank correlation {rank:.2f}): one of them may hold frequencies or shell "
            "numbers instead of A."
        ]
    low, middle, high = np.percentile(second.data[both] / first.data[both], (25, 50, 75))
    if rank is not None and high - low < SAME_FACTOR * middle and abs(np.log(middle)) > 0.05:
        return [
            f"{names} differ by the factor {middle:.3g} everywhere: one of them may be in another unit than A."
        ]
    return []


SAME_FACTOR = 0.01
"""Two estimates never differ by one factor as closely as this."""
MOST_OF_THE_BOX = 0.5
"""A volume with estimates in a larger part of its box estimates solvent: a molecule fills less."""
OPPOSED = -0.5
"""Rank correlation below which one of two volumes is no resolution: two estimates do not rank a map in reverse."""


def cross_table(names: Sequence[str], pairs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Equal classes in percent of the voxels, every volume against every other (paper, table 6)."""
    size = len(names)
    table: list[list[float | None]] = [[100.0 if i == j else None for j in range(size)] for i in range(size)]
    for pair in pairs:
        row, column = (list(names).index(name) for name in pair["names"])
        share = pair["exact_class"]
        table[row][column] = table[column][row] = None if share is None else round(100 * share, 2)
    return {"names": list(names), "percent": table}


def disagreement(volumes: Sequence[np.ndarray], mask: np.ndarray | None = None) -> np.ndarray:
    """Spread of the estimates at every voxel: the largest minus the smallest.

    Args:
        volumes: A (z, y, x) each.
        mask: bool (z, y, x).

    Returns:
        float32 A (z, y, x); 0 where fewer than two volumes have an estimate.
    """
    low = np.full(volumes[0].shape, np.inf, np.float32)
    high = np.zeros(volumes[0].shape, np.float32)
    number = np.zeros(volumes[0].shape, np.uint8)
    for values in volumes:
        there = estimated(values)
        low = np.where(there, np.minimum(low, values), low)
        high = np.where(there, np.maximum(high, values), high)
        number += there
    known = number >= 2
    if mask is not None:
        known &= mask
    return np.where(known, high - np.where(known, low, 0), 0).astype(np.float32)


def write_comparison(
    folder: PathLike,
    estimates: Sequence[Estimate],
    mask: np.ndarray | None,
    like: DensityMap,
    mask_path: PathLike | None = None,
) -> dict[str, Any]:
    """Compare, and write ``comparison.json`` and ``disagreement.mrc`` on the grid of ``like``.

    Returns:
        The content of ``comparison.json``; ``map`` is the density that gave the grid, if one did, and ``mask`` the
        file of the mask, if it has one.
    """
    folder = Path(folder)
    result = compare(estimates, mask)
    grid = os.path.abspath(like.path) if like.path else ""
    if grid and grid not in [os.path.abspath(estimate.path) for estimate in estimates]:
        result["map"] = grid
    if mask_path is not None:
        result["mask"] = os.path.abspath(mask_path)
    spread = disagreement([item.data for item in estimates], mask)
    mrc_writer.write_volume(folder / result_files.DISAGREEMENT, spread, like)
    write_json(folder / result_files.COMPARISON_JSON, result)
    return result
