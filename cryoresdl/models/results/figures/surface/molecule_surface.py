"""What is drawn as a surface: the molecule, smoothed to its resolution, on a small grid, with the colours' values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Tuple

import numpy as np
from scipy import ndimage

from ....base.resolution_terms import estimated
from ...volume_filling import fill
from ..slices.volume_slices import focus

LEVEL_PERCENTILE = 75
"""The contour encloses a quarter of the estimated voxels: masks hold solvent around the molecule, too."""
SMOOTHING = 0.22
"""Standard deviation of the smoothing, in median local resolutions: what lies beyond is noise."""


@dataclass(frozen=True)
class MoleculeSurface:
    """A molecule to look at.

    Attributes:
        density: float32 (z, y, x), smoothed, 0 is the background.
        values: float32 (z, y, x), A, continued beyond the estimated voxels.
        level: a sensible contour.
        voxel_size: A.
        corner: place (x, y, z) of the first voxel in A.
        factor: how many voxels of the map make one.
    """

    density: np.ndarray
    values: np.ndarray
    level: float
    voxel_size: float
    corner: Tuple[float, float, float]
    factor: int


def surface_of(
    density: Any, resolution: Any, values: Any, voxel_size: float, origin: Any, side: int
) -> MoleculeSurface:
    """Cut the molecule out, smooth it to its resolution and bin it.

    Args:
        density: the map (z, y, x).
        resolution: local resolution (z, y, x), A: where it is estimated is the molecule.
        values: what colours the surface (z, y, x), 0 where unknown.
        voxel_size: A.
        origin: place (x, y, z) of the first voxel in A.
        side: about the longest side of the result in voxels; boxes of more than 1.25 times that are binned.

    Raises:
        ValueError: nothing is estimated.
    """
    window = focus(resolution, 0.06)
    part = tuple(slice(*edges) for edges in window)
    inside = estimated(np.asarray(resolution[part]))
    if not inside.any():
        raise ValueError("nothing is estimated")
    factor = max(1, math.ceil(max(inside.shape) / (1.25 * side)))
    median = float(np.median(np.asarray(resolution[part])[inside]))
    data = np.asarray(density[part], np.float32)
    sigma = max(0.0, (SMOOTHING * median / voxel_size) ** 2 - (factor**2 - 1) / 12) ** 0.5
    data, inside, known = (
        binned(a, factor) for a in (data, inside.astype(np.float32), np.asarray(values[part], np.float32))
    )
    weight = np.where(inside > 0, inside, 1)
    inside = inside > 0.5
    if sigma:
        data = ndimage.gaussian_filter(data, sigma / factor)
    known = np.where(inside, known / weight, 0)
    reach = ndimage.gaussian_filter(ndimage.binary_dilation(inside, iterations=1).astype(np.float32), 1.0)
    base = float(np.median(data[~inside])) if (~inside).any() else 0.0
    data = (data - base) * reach
    corner = tuple(
        o + (edges[0] + 0.5 * (factor - 1)) * voxel_size for o, edges in zip(origin, reversed(window))
    )
    level = float(np.percentile(data[inside], LEVEL_PERCENTILE))
    return MoleculeSurface(data, fill(known, known > 0), level, voxel_size * factor, corner, factor)  # type: ignore[arg-type]


def binned(data: np.ndarray, factor: int) -> np.ndarray:
    """Mean over blocks of ``factor`` voxels; the rest at the far faces is left out."""
    if factor == 1:
        return data
    shape = [n // factor for n in data.shape]
    data = data[tuple(slice(0, n * factor) for n in shape)]
    return data.reshape(shape[0], factor, shape[1], factor, shape[2], factor).mean(axis=(1, 3, 5))
