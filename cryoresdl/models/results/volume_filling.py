"""Local resolution continued beyond the molecule, for surfaces that are coloured by it."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

FILL_VOXELS = 3
"""How far values are continued beyond the mask: surfaces are coloured by interpolation, and 0 is no value."""


def fill(resolution: np.ndarray, inside: np.ndarray, voxels: int = FILL_VOXELS) -> np.ndarray:
    """Continue the estimated values a few voxels beyond the mask (mean of the estimated neighbours).

    Args:
        resolution: A (z, y, x).
        inside: bool (z, y, x), the estimated voxels; they keep their value.
        voxels: how far.
    """
    values = np.where(inside, resolution, 0).astype(np.float32)
    known = inside.copy()
    for _ in range(voxels):
        weight = ndimage.uniform_filter(known.astype(np.float32), 3, mode="constant")
        total = ndimage.uniform_filter(values, 3, mode="constant")
        new = ~known & (weight > 0.5 / 27)
        values[new] = total[new] / weight[new]
        known |= new
    return values
