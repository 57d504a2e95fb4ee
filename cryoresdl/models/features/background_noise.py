"""The noise level of a band from the background of a map: how near the molecule, and where nothing was emptied."""

from __future__ import annotations

from typing import Sequence, Tuple

import numpy as np
from scipy import ndimage

from ..maps.automatic_mask import commonest_value
from .band_energies import STRIDE

NEAR_REGION = (8.0, 12.0, 16.0, 24.0, np.inf)
"""Voxels beyond the margin that the noise level is taken from: the first that hold enough of it."""
ENOUGH_SAMPLES, ENOUGH_VOLUMES = 60, 200
"""Samples of a band, and volumes of half a wavelength cubed, whose mean energy is steady."""


def _distances(distance: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Distance from the mask, in voxels, of the samples of a band's grid."""
    picks = [np.minimum((np.arange(m) * (n / m)).astype(int), n - 1) for n, m in zip(distance.shape, shape)]
    return distance[np.ix_(*picks)] * np.float32(STRIDE)


def _trimmed_energy(point: np.ndarray) -> float:
    """Mean energy of noise without its highest 2 %: ice, aggregates and neighbouring particles are not noise."""
    values = point[:: max(1, point.size // 20000)]
    kept = max(1, int(0.98 * values.size))
    # For Gaussian noise the lowest 98 % of the energies average 0.8735 of the full mean (chi-square, 1 degree).
    return float(np.partition(values, kept - 1)[:kept].mean() / 0.8735)


def noise_from_outside(point: np.ndarray, distance: np.ndarray, centre: float) -> Tuple[float, float]:
    """Noise level of a band near the mask, and in all of the background; NaN where it cannot be told.

    As far from the mask as the wavelength asks and the box allows, and no farther than is needed for a steady mean:
    images are masked by a circle and particles are aligned by their middle, so that the noise of a reconstruction falls
    towards the faces of its box, and what counts is the noise where the molecule is.
    """
    away = _distances(distance, point.shape)
    volume = distance.size * STRIDE**3 / point.size * (2.0 * centre) ** 3
    for margin in (1.0 / centre, 0.4 / centre, 3.0):
        outside = away > margin
        if outside.sum() < ENOUGH_SAMPLES:
            continue
        everywhere = _trimmed_energy(point[outside])
        for reach in NEAR_REGION:
            near = outside & (away <= margin + reach)
            if near.sum() >= max(ENOUGH_SAMPLES, ENOUGH_VOLUMES / volume):
                return _trimmed_energy(point[near]), everywhere
        return everywhere, everywhere
    return float("nan"), float("nan")


def distance_outside(data: np.ndarray, mask_cells: np.ndarray, constant: float, value: float) -> np.ndarray:
    """Distance of every cell from the mask, in cells; 0 where an emptied background holds ``value`` and no noise."""
    distance = ndimage.distance_transform_edt(~mask_cells).astype(np.float32)
    if constant > 0.02:
        sampled = data[tuple(slice(0, None, STRIDE) for _ in range(3))]
        empty = ndimage.uniform_filter((sampled == np.float32(value)).astype(np.float32), 3) > 0.3
        distance[empty] = 0.0
    return distance


def constant_background(data: np.ndarray, mask: np.ndarray) -> Tuple[float, float]:
    """Share of the voxels outside the mask that hold one and the same value, as in a masked or cut-out map; that value.

    Args:
        data: (z, y, x).
        mask: bool (z, y, x).
    """
    outside = data[~mask]
    if outside.size == 0:
        return 1.0, 0.0
    value, share = commonest_value(outside)
    return share, value
