"""A map low-passed everywhere at its local resolution: a bank of filters, interpolated voxel by voxel.

Where a molecule moves, frequencies beyond its local resolution hold noise only; where it does not, they hold side chains.
One global filter keeps the noise of the first or loses the detail of the second.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Dict, List, Tuple

import numpy as np
import scipy.fft as sf
from scipy import ndimage

from ..base.machine import processors
from ..base.resolution_terms import estimated
from .density_map import mask_box
from .fsc.fourier_shells import frequency_grid, inverse_part, soft_edge

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
    box = mask_box(known, math.ceil(BLEND_VOXELS))
    index, wanted, coarse, finest = _wanted(resolution[box], known[box])
    limit = max(finest, 2 * voxel_size)
    places = np.log2(np.maximum(wanted, np.float32(limit)))
    low, high = float(places.min()), float(places.max())
    count = int(np.clip(np.ceil((high - low) / STEP_OCTAVES) + 1, 1, FILTERS))
    bank = np.linspace(low, high, count)
    step = (high - low) / (count - 1) if count > 1 else 1.0
    transform = sf.rfftn(density, workers=processors())
    power = frequency_grid(density.shape) / np.float32(voxel_size)
    np.square(power, out=power)
    if b_factor:
        transform *= np.exp(np.float32(-b_factor / 4) * power)
    _steep(power)
    values = np.zeros(places.shape, np.float32)
    for place in bank:
        part = inverse_part(transform * _gain(power, 2.0**place), density.shape, box)
        weight = np.abs(places - np.float32(place))
        weight *= np.float32(-1 / step)
        weight += 1
        np.maximum(weight, 0, out=weight)
        values += part.ravel()[index] * weight
    result = _background(density, transform, power, max(coarse, limit), known)
    inner = np.ascontiguousarray(result[box])
    inner.ravel()[index] = values
    result[box] = inner
    return LocallyFiltered(result, [float(2.0**place) for place in bank], coarse, float(b_factor))


def _background(
    density: np.ndarray, transform: np.ndarray, power: np.ndarray, resolution_A: float, known: np.ndarray
) -> np.ndarray:
    """The map low-passed for where nothing is estimated; empty where everything is. ``transform`` is overwritten."""
    if known.all():
        return np.empty(density.shape, np.float32)
    transform *= _gain(power, resolution_A)
    return sf.irfftn(transform, density.shape, workers=processors(), overwrite_x=True)


def low_pass(frequency: np.ndarray, resolution_A: float) -> np.ndarray:
    """Gain of a smooth low-pass that leaves ``GAIN_AT_CUTOFF`` at a resolution.

    Args:
        frequency: 1/A, of any shape; the gain (0 to 1) has the same.
        resolution_A: A.
    """
    power = np.square(frequency, dtype=np.float32)
    _steep(power)
    return _gain(power, resolution_A)


def _steep(squares: np.ndarray) -> None:
    """Squared frequencies (1/A^2) become those to the power of ``STEEPNESS``, in place: they are of the whole bank."""
    for _ in range(int(np.log2(STEEPNESS)) - 1):
        np.square(squares, out=squares)


def _gain(power: np.ndarray, resolution_A: float) -> np.ndarray:
    """Gain of the filter of a resolution in A, from the frequencies to the power of ``STEEPNESS``."""
    gain = power * np.float32((1 / GAIN_AT_CUTOFF - 1) * resolution_A**STEEPNESS)
    gain += 1
    return np.reciprocal(gain, out=gain)


def _wanted(resolution: np.ndarray, known: np.ndarray) -> Tuple[np.ndarray, np.ndarray, float, float]:
    """Which voxels are filtered at a resolution of their own: the molecule's and those of a passage to the background.

    Args:
        resolution: A (z, y, x), the part of the box around the molecule.
        known: bool, where it is an estimate.

    Returns:
        the voxels' places in the flat volume, the resolution that each is filtered at (A), the background's, and the finest.
    """
    finest, coarse = (float(v) for v in np.percentile(resolution[known], (0.5, OUTSIDE_FILTER)))
    share = soft_edge(known, BLEND_VOXELS)
    index = np.flatnonzero(share)
    values, edge = resolution.ravel()[index], index[~known.ravel()[index]]
    if edge.size:
        size = 2 * math.ceil(BLEND_VOXELS) - 1
        total = ndimage.uniform_filter(np.where(known, resolution, np.float32(0)), size, mode="constant")
        part = ndimage.uniform_filter(known.astype(np.float32), size, mode="constant")
        near, own = total.ravel()[edge] / part.ravel()[edge], share.ravel()[edge]
        values[~known.ravel()[index]] = near * own + np.float32(coarse) * (1 - own)
    return index, values, coarse, finest
