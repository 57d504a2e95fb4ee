"""Energy of a map in bands of frequency, cell by cell."""

from __future__ import annotations

from functools import lru_cache
from typing import Sequence, Tuple

import numpy as np
import scipy.fft as sf

BAND_TOP = 0.46
BAND_RATIO = 1.2
N_BANDS = 17
BAND_CENTRES = tuple(BAND_TOP / BAND_RATIO ** (N_BANDS - 1 - k) for k in range(N_BANDS))
"""Centres of the feature bands in cycles per voxel, low to high."""
RELATIVE_WIDTH = 0.1
"""Standard deviation of a band's Gaussian over its centre frequency."""
MIN_WIDTH = 0.008
WINDOW = 0.5
"""Standard deviation of the energy window in wavelengths."""
STRIDE = 2
"""Features live on every second voxel: windows are never narrower than about a voxel."""

# A coarser grid is enough for a band as long as its squared signal does not alias into the window's pass band.
_GRID_HEADROOM = 0.34
_FFT_WORKERS = 2
Region = Tuple[slice, ...]
WHOLE: Region = (slice(None),) * 3


def cell_count(length: int, stride: int = STRIDE) -> int:
    """Number of feature cells along an axis of ``length`` voxels."""
    return -(-length // stride)


@lru_cache(maxsize=512)
def _window_matrix(n_in: int, n_full: int, n_out: int, step: float, sigma: float) -> np.ndarray:
    """Gaussian smoothing and resampling along one axis, as a (n_out, n_in) float32 matrix with rows of sum 1.

    ``sigma`` and ``step`` are in voxels of the full grid; sample ``j`` of the input sits at ``j n_full / n_in`` and
    output cell ``i`` at ``i step + (step - 1) / 2``, the middle of its voxels.
    """
    x_in = np.arange(n_in) * (n_full / n_in)
    x_out = np.arange(n_out) * step + (step - 1) / 2
    width = max(sigma, 0.5 * n_full / n_in)
    weights = np.exp(-0.5 * ((x_out[:, None] - x_in[None, :]) / width) ** 2)
    # Numbers below float32's normal range would make the products twenty times slower.
    weights[weights < 1e-12] = 0.0
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def _along(matrix: np.ndarray, volume: np.ndarray, axis: int) -> np.ndarray:
    """Apply ``matrix`` (n_out, n_in) along one axis of a float32 volume."""
    return np.moveaxis(np.tensordot(matrix, volume, axes=(1, axis)), 0, axis)


def smooth_resample(
    volume: np.ndarray, full_shape: Sequence[int], out_shape: Sequence[int], step: float, sigma: float
) -> np.ndarray:
    """Smooth with a Gaussian of ``sigma`` full-grid voxels and sample at the middle of every cell of ``step`` voxels.

    Three matrix products, which on these sizes is many times faster than a filter followed by interpolation.

    Args:
        volume: float32 (z, y, x), on a grid that is as fine as the full one or coarser.
        full_shape: voxels (z, y, x) of the full grid.
        out_shape: cells (z, y, x).
        step: edge of a cell, in voxels of the full grid.
        sigma: of the Gaussian, in voxels of the full grid.

    Returns:
        float32 ``out_shape``.
    """
    for axis in (2, 1, 0):
        matrix = _window_matrix(
            volume.shape[axis], int(full_shape[axis]), int(out_shape[axis]), float(step), float(sigma)
        )
        volume = _along(matrix, volume, axis)
    return np.ascontiguousarray(volume)


class Spectrum:
    """The Fourier transform of a volume, from which bands are cut on grids just fine enough for them.

    Args:
        volume: float32 array (z, y, x).
    """

    def __init__(self, volume: np.ndarray):
        self.shape = volume.shape
        self.transform = sf.rfftn(np.asarray(volume, np.float32), workers=_FFT_WORKERS)

    def _grid(self, centre: float, width: float) -> Tuple[int, ...]:
        fraction = (centre + 2.5 * width) / _GRID_HEADROOM
        if fraction >= 0.9:
            return self.shape
        sizes = []
        for n in self.shape:
            m = sf.next_fast_len(max(int(np.ceil(n * fraction)), min(n, 12)), real=True)
            sizes.append(min(m + m % 2, n))
        return tuple(sizes)

    def band(self, centre: float) -> np.ndarray:
        """The volume filtered to one band, sampled on a grid of its own (z, y, x), amplitudes unchanged."""
        width = max(RELATIVE_WIDTH * centre, MIN_WIDTH)
        grid = self._grid(centre, width)
        cut = fourier_crop(self.transform, self.shape, grid)
        squares = []
        for axis, (n, m) in enumerate(zip(self.shape, grid)):
            k = np.arange(m // 2 + 1) if axis == 2 else sf.fftfreq(m, 1.0 / m)
            squares.append((k / n).astype(np.float32) ** 2)
        radius = np.sqrt(
            squares[0][:, None, None] + squares[1][None, :, None] + squares[2][None, None, :],
            dtype=np.float32,
        )
        radius -= np.float32(centre)
        radius *= radius
        radius *= np.float32(-0.5 / width**2)
        cut = cut * np.exp(radius, out=radius)
        scale = np.float32(np.prod([m / n for n, m in zip(self.shape, grid)]))
        return sf.irfftn(cut, s=grid, workers=_FFT_WORKERS, overwrite_x=True) * scale

    def energy(self, centre: float, out_shape: Sequence[int], step: float) -> Tuple[np.ndarray, np.ndarray]:
        """Windowed energy of a band on ``out_shape`` cells (z, y, x) of ``step`` voxels; its point energy on its grid."""
        point = self.band(centre)
        point *= point
        sigma = WINDOW / centre
        return smooth_resample(point, self.shape, out_shape, step, sigma), point


def fourier_crop(transform: np.ndarray, shape: Sequence[int], grid: Sequence[int]) -> np.ndarray:
    """The low-frequency part of a half-complex transform that a smaller grid can hold."""
    if tuple(shape) == tuple(grid):
        return transform
    picks = []
    for n, m in zip(shape[:2], grid[:2]):
        half = (m + 1) // 2
        picks.append(
            np.concatenate([np.arange(half), np.arange(n - (m - half), n)]) if m < n else np.arange(n)
        )
    return transform[np.ix_(picks[0], picks[1], np.arange(grid[2] // 2 + 1))]


def trapezoid(values: np.ndarray, places: np.ndarray) -> float:
    """Integral of values (n,) at places (n,) by the trapezoidal rule; ``scipy.integrate`` takes 0.3 s to load."""
    return float((np.diff(places) * (values[1:] + values[:-1]) / 2.0).sum())


def cells_of_mask(mask: np.ndarray, stride: int = STRIDE) -> np.ndarray:
    """Cells of ``stride`` voxels that hold at least one masked voxel: bool (z, y, x) -> bool (cz, cy, cx)."""
    return _by_cell(mask, stride).any(axis=(1, 3, 5))


def voxels_of_cells(mask: np.ndarray, stride: int = STRIDE) -> np.ndarray:
    """Masked voxels of every cell: bool (z, y, x) -> int (cz, cy, cx)."""
    return _by_cell(mask, stride).sum(axis=(1, 3, 5))


def _by_cell(mask: np.ndarray, stride: int) -> np.ndarray:
    """A mask as (cz, stride, cy, stride, cx, stride), filled up with False."""
    cells = [cell_count(n, stride) for n in mask.shape]
    padded = np.zeros([c * stride for c in cells], bool)
    padded[tuple(slice(0, n) for n in mask.shape)] = mask
    return padded.reshape(cells[0], stride, cells[1], stride, cells[2], stride)
