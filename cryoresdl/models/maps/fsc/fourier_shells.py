"""Fourier shell correlation of half maps, and what it needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Sequence, Tuple

import numpy as np
import scipy.fft as sf
from scipy import ndimage

from ...base.resolution_terms import FSC_THRESHOLD

WORKERS = 2
"""Threads of a Fourier transform."""


def frequency_grid(shape: Sequence[int]) -> np.ndarray:
    """Spatial frequency of every coefficient of ``rfftn`` of a (z, y, x) volume, cycles per voxel, float32."""
    f = [sf.fftfreq(shape[0]), sf.fftfreq(shape[1]), sf.rfftfreq(shape[2])]
    return np.sqrt(
        (f[0] ** 2)[:, None, None] + (f[1] ** 2)[None, :, None] + (f[2] ** 2)[None, None, :], dtype=np.float32
    )


def inverse_part(transform: np.ndarray, shape: Sequence[int], region: Tuple[slice, ...]) -> np.ndarray:
    """The inverse of ``rfftn`` inside a region, axis by axis: what lies outside is left out as early as possible.

    Args:
        transform: ``rfftn`` of a volume; it is overwritten.
        shape: of the volume (z, y, x).
        region: slices (z, y, x).

    Returns:
        of the region's shape, C-contiguous.
    """
    part = sf.ifft(transform, axis=0, overwrite_x=True, workers=WORKERS)[region[0]]
    part = sf.ifft(part, axis=1, workers=WORKERS)[:, region[1]]
    part = sf.irfft(part, n=shape[2], axis=2, workers=WORKERS)[:, :, region[2]]
    return np.ascontiguousarray(part)


def first_crossing(frequency: np.ndarray, fsc: np.ndarray, threshold: float = FSC_THRESHOLD) -> float:
    """Frequency at which a curve first falls to ``threshold``, linearly interpolated; the last one if it never does.

    Args:
        frequency: (n,), rising, in any unit; the answer has the same.
        fsc: (n,), the curve.
        threshold: the correlation looked for.
    """
    below = np.flatnonzero(fsc < threshold)
    if below.size == 0:
        return float(frequency[-1])
    k = int(below[0])
    if k == 0:
        return float(frequency[0])
    high, low = fsc[k - 1], fsc[k]
    return float(frequency[k - 1] + (frequency[k] - frequency[k - 1]) * (high - threshold) / (high - low))


@dataclass
class HalfMapShells:
    """Sums over Fourier shells of two volumes, up to Nyquist.

    Attributes:
        frequency: of every shell, cycles per voxel.
        cross: sum of the real part of the first times the conjugate of the second.
        first: sum of the first's power.
        second: sum of the second's.
        count: number of coefficients.
    """

    frequency: np.ndarray
    cross: np.ndarray
    first: np.ndarray
    second: np.ndarray
    count: np.ndarray

    def fsc(self) -> np.ndarray:
        """Fourier shell correlation, one value per shell."""
        return self.cross / np.maximum(np.sqrt(self.first * self.second), 1e-30)


def half_map_shells(half1: np.ndarray, half2: np.ndarray, mask: Optional[np.ndarray] = None) -> HalfMapShells:
    """Sums over shells of two half maps (z, y, x), optionally inside a (soft) mask."""
    weight = 1.0 if mask is None else mask
    a, b = sf.rfftn(half1 * weight, workers=WORKERS), sf.rfftn(half2 * weight, workers=WORKERS)
    n_shells = min(half1.shape) // 2
    index, double = _shell_index(frequency_grid(half1.shape), n_shells)

    def shells(values: np.ndarray) -> np.ndarray:
        return np.bincount(index, (values * double).ravel(), minlength=n_shells + 2)[: n_shells + 1]

    return HalfMapShells(
        np.arange(n_shells + 1) / (2.0 * n_shells),
        shells(a.real * b.real + a.imag * b.imag),
        shells(np.abs(a) ** 2),
        shells(np.abs(b) ** 2),
        shells(np.ones(a.shape, np.float32)),
    )


def _shell_index(f: np.ndarray, n_shells: int) -> Tuple[np.ndarray, np.ndarray]:
    """Shell of every coefficient of ``rfftn`` (flat), and how often it stands for itself and its conjugate."""
    index = np.minimum((f * 2 * n_shells + 0.5).astype(np.int32).ravel(), n_shells + 1)
    double = np.full(f.shape, 2.0, np.float32)
    double[..., 0] = 1.0
    return index, double


def half_map_fsc(
    half1: np.ndarray, half2: np.ndarray, mask: Optional[np.ndarray] = None
) -> Tuple[np.ndarray, np.ndarray]:
    """Measured FSC of two half maps, optionally inside a (soft) mask.

    Args:
        half1: float32 (z, y, x).
        half2: float32 (z, y, x).
        mask: bool, or float 0 to 1 (z, y, x).

    Returns:
        (frequency in cycles per voxel, FSC), one value per shell.
    """
    found = half_map_shells(half1, half2, mask)
    return found.frequency, found.fsc()


def soft_edge(mask: np.ndarray, width: float) -> np.ndarray:
    """A bool mask (z, y, x) with a raised-cosine edge of ``width`` voxels outside it: float32, 0 to 1.

    Only distances below ``width`` matter, and their squares are whole numbers: one shifted minimum per axis and step
    finds them in a fraction of the time of a distance transform, and a table turns them into the edge's values.
    """
    reach = int(np.ceil(width)) - 1
    far = 3 * reach**2 + 1
    squared = np.where(mask, np.uint16(0), np.uint16(far))
    for axis in range(mask.ndim):
        nearest = squared.copy()
        for step in range(1, min(reach, mask.shape[axis] - 1) + 1):
            for low, high in (
                (slice(step, None), slice(None, -step)),
                (slice(None, -step), slice(step, None)),
            ):
                here = tuple(low if k == axis else slice(None) for k in range(mask.ndim))
                there = tuple(high if k == axis else slice(None) for k in range(mask.ndim))
                np.minimum(nearest[here], squared[there] + np.uint16(step**2), out=nearest[here])
        squared = nearest
    distance = np.sqrt(np.arange(far + 1)).astype(np.float32)
    edge = np.where(distance < width, 0.5 * (1 + np.cos(np.pi * distance / width)), 0.0).astype(np.float32)
    edge[far] = 0.0
    return edge[np.minimum(squared, far)]


LIKENESS_SHELLS = 5
"""Neighbouring shells whose mean FSC tells whether two maps are of the same particle: single ones agree by chance."""
FIRST_LIKENESS_SHELL = 4
"""Coarser shells tell of the mask, which both share."""


def likeness(first: np.ndarray, second: np.ndarray, mask: np.ndarray) -> float:
    """How far two maps agree inside a mask where they agree best: about 1 for a map and a filtered copy of it.

    Args:
        first: float32 (z, y, x).
        second: float32 (z, y, x).
        mask: bool (z, y, x).

    Returns:
        the mean FSC of :data:`LIKENESS_SHELLS` neighbouring shells where it is farthest from 0: the largest, or the
        lowest if that is farther below 0 (inverted contrast).
    """
    soft = soft_edge(mask, 5.0)
    first, second = (volume - np.average(volume, weights=soft) for volume in (first, second))
    fsc = half_map_fsc(first, second, soft)[1][FIRST_LIKENESS_SHELL:]
    if fsc.size < LIKENESS_SHELLS:
        return float(fsc.max(initial=1.0))
    means = np.convolve(fsc, np.full(LIKENESS_SHELLS, 1 / LIKENESS_SHELLS), "valid")
    return float(means.max() if means.max() >= -means.min() else means.min())


CLEAR_OF_MASK = 5
"""Voxels between the mask and the background that half maps are compared in."""
LEAST_BACKGROUND = 1000


def background_correlation(half1: np.ndarray, half2: np.ndarray, mask: np.ndarray) -> Optional[float]:
    """Correlation of two half maps outside the molecule, of the differences of neighbouring voxels.

    Noise of independent half maps does not correlate; differences leave out slow density such as ice or a micelle.

    Args:
        half1: float32 (z, y, x).
        half2: float32 (z, y, x).
        mask: bool (z, y, x).

    Returns:
        -1 to 1; None where too little background is left, or none that varies (masked half maps).
    """
    near = ndimage.maximum_filter(mask.astype(np.uint8), 2 * CLEAR_OF_MASK + 1)[1:] > 0
    a, b = np.diff(half1, axis=0), np.diff(half2, axis=0)
    chosen = ~near & (a != 0) & (b != 0)
    if chosen.sum() < LEAST_BACKGROUND:
        return None
    return float(np.corrcoef(a[chosen], b[chosen])[0, 1])


def shell_power(transform: np.ndarray, f: np.ndarray, n_shells: int) -> np.ndarray:
    """Mean power per Fourier shell of width 1/(2 n_shells) cycles per voxel, up to Nyquist.

    Args:
        transform: ``rfftn`` of a (z, y, x) volume.
        f: `frequency_grid` of the volume.
        n_shells: shells up to Nyquist.

    Returns:
        (n_shells + 1,), the first the constant's.
    """
    index, weights = _shell_index(f, n_shells)
    power = (transform.real**2 + transform.imag**2) * weights
    total = np.bincount(index, power.ravel(), minlength=n_shells + 2)
    count = np.bincount(index, weights.ravel(), minlength=n_shells + 2)
    return (total / np.maximum(count, 1))[: n_shells + 1]
