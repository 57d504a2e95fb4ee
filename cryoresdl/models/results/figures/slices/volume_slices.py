"""Which planes of a volume to show, and how they are sampled."""

from __future__ import annotations

import math
from typing import Any, List, Sequence, Tuple

import numpy as np

from ....base.resolution_terms import estimated
from ....maps.density_map import mask_box

AXES = ("z", "y", "x")
_SAMPLES = 200_000


class Difference:
    """The signed difference of two local-resolution volumes, computed only for the slices that are looked at.

    Args:
        first: A (z, y, x).
        second: A (z, y, x), on the same grid.
    """

    def __init__(self, first: Any, second: Any):
        self.first, self.second = first, second
        self.shape, self.size = first.shape, first.size

    def __getitem__(self, key: Any) -> np.ndarray:
        """``second - first`` where both have an estimate, NaN elsewhere (A)."""
        a, b = np.asarray(self.first[key], np.float32), np.asarray(self.second[key], np.float32)
        return np.where(estimated(a) & estimated(b), b - a, np.float32(np.nan))


def focus(resolution: Any, margin: float = 0.15) -> Tuple[Tuple[int, int], ...]:
    """First and last + 1 voxel along (z, y, x) of a box around the estimated voxels, with a margin.

    Args:
        resolution: A (z, y, x); the whole box is taken when nothing is estimated.
        margin: part of the longest side of the estimated region, added on each side.
    """
    step = max(1, round((resolution.size / 2e6) ** (1 / 3)))
    there = estimated(resolution[::step, ::step, ::step])
    if not there.any():
        return tuple((0, n) for n in resolution.shape)
    edges = [(edge.start * step, edge.stop * step) for edge in mask_box(there)]
    extra = math.ceil(margin * max(last - first for first, last in edges))
    return tuple(
        (max(0, first - extra), min(n, last + extra)) for (first, last), n in zip(edges, resolution.shape)
    )


def cut(data: np.ndarray, axis: str, index: int) -> np.ndarray:
    """Slice ``index`` of a (z, y, x) volume perpendicular to ``axis``: (y, x), (z, x) or (z, y)."""
    key: List[Any] = [slice(None)] * 3
    key[AXES.index(axis)] = index
    return np.asarray(data[tuple(key)])


def outline(mask: Any, axis: str, index: int) -> np.ndarray:
    """The edge of a mask on a slice: bool, its pixels that have a neighbour outside; as `cut`.

    Args:
        mask: (z, y, x); above 0.5 counts.
        axis: the axis that the slice is perpendicular to.
        index: slice number.
    """
    inside = cut(mask, axis, index) > 0.5
    edge = np.zeros_like(inside)
    for direction in (0, 1):
        change = np.diff(inside, axis=direction)
        for part in (slice(None, -1), slice(1, None)):
            key = [slice(None), slice(None)]
            key[direction] = part
            edge[tuple(key)] |= change
    return edge & inside


def slice_words(shape: Sequence[int], axis: str, index: int, position: float) -> str:
    """Which slice is shown, the same everywhere: its number on the input's grid, counted from 1, and its place in A."""
    return f"slice {index + 1} of {shape[AXES.index(axis)]}, {axis} = {position:.1f} Å"


def best_index(resolution: Any, axis: str = "z") -> int:
    """The slice with most estimated voxels; the one nearest the centre wins a tie, and an empty volume."""
    number = AXES.index(_known_axis(axis))
    step = max(1, round((resolution.size / 2e6) ** (1 / 2)))
    thin = [slice(None, None, step)] * 3
    thin[number] = slice(None)
    others = tuple(i for i in range(3) if i != number)
    counts = estimated(resolution[tuple(thin)]).sum(axis=others)
    centre = resolution.shape[number] // 2
    best = np.flatnonzero(counts == counts.max())
    return int(best[np.argmin(np.abs(best - centre))])


def _known_axis(axis: str) -> str:
    if axis not in AXES:
        raise ValueError(f"axis is {axis!r}, not one of z, y, x")
    return axis


def _plane(axis: str) -> Tuple[str, str]:
    return {"z": ("x", "y"), "y": ("x", "z"), "x": ("y", "z")}[axis]


def _extent(
    shape: Sequence[int], voxel_size: float, origin: Sequence[float], axis: str
) -> Tuple[float, float, float, float]:
    """Edges of a slice in A; pixel centres lie on voxel positions."""
    sides = []
    for name in _plane(axis):
        number = "xyz".index(name)
        start = origin[number] - 0.5 * voxel_size
        sides += [start, start + shape[2 - number] * voxel_size]
    return tuple(sides)  # type: ignore[return-value]


def _sample(data: np.ndarray) -> np.ndarray:
    """Finite values on a regular subset of voxels: contrast needs no more, and a 512^3 map stays quick."""
    step = max(1, int(round((data.size / _SAMPLES) ** (1 / 3))))
    values = np.asarray(data[::step, ::step, ::step], np.float32)
    return values[np.isfinite(values)]
