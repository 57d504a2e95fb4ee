"""A map low-passed everywhere at its local resolution: a bank of filters, interpolated voxel by voxel.

Where a molecule moves, frequencies beyond its local resolution hold noise only; where it does not, they hold side chains.
One global filter keeps the noise of the first or loses the detail of the second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List

import numpy as np
import scipy.fft as sf
from scipy import ndimage

from ..base.machine import processors
from ..base.resolution_terms import estimated
from .density_map import mask_box
from .fsc.fourier_shells import frequency_grid

FILTERS = 12
"""Filters of the bank at most; between two of them, voxels are interpolated."""
STEP_OCTAVES = 0.2
"""Two neighbouring filters are at most about this far apart."""
GAIN_AT_CUTOFF = 0.25
"""What a filter leaves at its own resolution: Wiener's gain where half maps correlate by 0.143, a quarter of the power
of their mean being signal there (2 FSC / (1 + FSC))."""
STEEPNESS = 8
OUTSIDE_FILTER = 95
"""Percentile of the local resolution that the background, where nothing is estimated, is low-passed at."""
BLEND_VOXELS = 3.0
"""Width of the transition from the molecule to the background."""


@dataclass(frozen=True)
class LocallyFiltered:
    """A locally filtered map.

    Attributes:
        data: float32 (z, y, x).
        bank_A: resolutions of the filters, A.
        background_A: resolution of the background's filter, A.
        b_factor: the B-factor that was applied, A^2.
    """

    data: np.ndarray
    bank_A: List[float]
    background_A: float
    b_factor: float

    def as_json(self) -> Dict[str, object]:
        """What ``filter.json`` says of the filters."""
        return {
            "bank_A": [round(value, 3) for value in self.bank_A],
            "background_A": round(self.background_A, 3),
            "b_factor_A2": self.b_factor,
            "gain_at_local_resolution": GAIN_AT_CUTOFF,
        }


def filter_locally(
    density: np.ndarray, resolution: np.ndarray, voxel_size: float, b_factor: float = 0.0
) -> LocallyFiltered:
    """Low-pass each voxel at its local resolution.

    Args:
        density: float32 (z, y, x).
        resolution: A (z, y, x); values that are no estimates are background, low-passed at the coarse end.
        voxel_size: A.
        b_factor: A^2; the amplitudes are multiplied by exp(-B/4 f^2): a negative one sharpens. It acts below the local
            resolution only, because the filters come after it.

    Returns:
        The map, and which filters it is made of.

    Raises:
        ValueError: nothing is estimated.
    """
    known = estimated(resolution)
    if not known.any():
        raise ValueError("nothing is estimated")
    finest, coarse = (float(v) for v in np.percentile(resolution[known], (0.5, OUTSIDE_FILTER)))
    wanted = _spread_to_background(resolution, known, coarse)
    places = np.log2(np.clip(wanted, max(finest, 2 * voxel_size), None))
    low, high = float(places.min()), float(places.max())
    count = int(np.clip(np.ceil((high - low) / STEP_OCTAVES) + 1, 1, FILTERS))
    bank = np.linspace(low, high, count)
    frequency = frequency_grid(density.shape) / np.float32(voxel_size)
    transform = sf.rfftn(density, workers=processors())
    if b_factor:
        transform *= np.exp(np.float32(-b_factor / 4) * frequency**2)
    step = (high - low) / (count - 1) if count > 1 else 1.0
    result = np.zeros(density.shape, np.float32)
    for place in bank:
        filtered = sf.irfftn(transform * low_pass(frequency, 2.0**place), density.shape, workers=processors())
        if count == 1:
            result = filtered
            break
        weight = np.abs(places - np.float32(place))
        weight *= np.float32(-1 / step)
        weight += 1
        np.maximum(weight, 0, out=weight)
        filtered *= weight
        result += filtered
    return LocallyFiltered(result, [float(2.0**place) for place in bank], coarse, float(b_factor))


def low_pass(frequency: np.ndarray, resolution_A: float) -> np.ndarray:
    """Gain of a smooth low-pass that leaves ``GAIN_AT_CUTOFF`` at a resolution.

    Args:
        frequency: 1/A, of any shape; the gain (0 to 1) has the same.
        resolution_A: A.
    """
    ratio = frequency * np.float32(resolution_A)
    power = np.square(ratio)
    for _ in range(int(np.log2(STEEPNESS)) - 1):
        power = np.square(power)
    return 1 / (1 + np.float32(1 / GAIN_AT_CUTOFF - 1) * power)


def _spread_to_background(resolution: np.ndarray, known: np.ndarray, coarse: float) -> np.ndarray:
    """The resolution that each voxel is filtered at: its own, and beyond the molecule a passage to the coarse end."""
    values = np.where(known, resolution, np.float32(coarse)).astype(np.float32)
    region = mask_box(known, 8)
    inside = known[region]
    distance, nearest = ndimage.distance_transform_edt(~inside, return_indices=True)
    part = values[region][tuple(nearest)]
    share = np.clip(distance / BLEND_VOXELS, 0, 1).astype(np.float32)
    values[region] = part * (1 - share) + np.float32(coarse) * share
    return values
