"""What carries local resolution: the energy of each frequency band around each voxel, against the noise.

Local resolution is local signal against noise, frequency by frequency. A bank of band-passes gives the energy of
the map per band in a Gaussian window that scales with the wavelength; the noise level of each band comes from
outside the mask or, where half maps exist, from their difference. The ratio does not change when a map is sharpened,
blurred or scaled, because any radial filter multiplies signal and noise alike. So that it holds for strongly sharpened
maps too, a spectrum that rises is levelled before the region is cut out of the box (``Levelling``): the strong high
bands would otherwise leak into the weak low ones through the region's faces. Bands are spaced in cycles per voxel, so the
same bank serves every voxel size.

The same bank gives the truth of the simulator (``realistic``), with the exact signal and noise in place of estimates.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Iterator, Optional, Sequence, Tuple

import numpy as np
import scipy.fft as sf
from scipy import ndimage

from .errors import InputError
from .maps import commonest_value

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
VERSION = 2
"""Of the features: feature sets of another version are refused. Since 2 the noise level comes from near the molecule."""
READABLE = (1, 2)
"""Versions whose networks read these features: the arrays and their meaning are the same."""
Region = Tuple[slice, ...]
WHOLE: Region = (slice(None),) * 3
REGION_MARGIN = 16
"""Voxels kept around the mask: enough background for the noise level of all but the lowest bands."""


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
        cut = _fourier_crop(self.transform, self.shape, grid)
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
        """Windowed energy of a band on cells of ``step`` voxels, and the band's point energy on its own grid."""
        point = self.band(centre)
        point *= point
        sigma = WINDOW / centre
        return smooth_resample(point, self.shape, out_shape, step, sigma), point


@dataclass
class Levelling:
    """A radial filter that takes the rise out of a map's spectrum; what falls with frequency is left as it is.

    What sharpening has raised comes down, and what a low-pass filter has emptied, or rounding has left there, is never
    brought up.

    Attributes:
        power: mean power of every shell of the map as it is; shell ``s`` lies at ``s * step`` cycles per voxel.
        gain: amplitude factor of every shell.
        step: distance of the shells in cycles per voxel.
        mean_power: mean power over all of Fourier space, corners included.
    """

    power: np.ndarray
    gain: np.ndarray
    step: float
    mean_power: float

    def frequencies(self) -> np.ndarray:
        """Radius of every shell, cycles per voxel."""
        return np.arange(self.power.size) * self.step

    def apply(self, volume: np.ndarray, region: Region) -> np.ndarray:
        """The filtered volume inside ``region``: float32, of a whole box (z, y, x) like the one measured, less its mean."""
        transform = _centred_transform(volume)
        return self.filtered(transform, volume.shape, region)

    def filtered(self, transform: np.ndarray, shape: Sequence[int], region: Region) -> np.ndarray:
        """The inverse transform of a filtered volume inside ``region``; ``transform`` is overwritten.

        Axis by axis, so that what lies outside the region is left out as early as possible.
        """
        for plane, radius in zip(transform, _plane_radii(shape)):
            plane *= np.interp(radius, self.frequencies(), self.gain).astype(np.float32)
        part = sf.ifft(transform, axis=0, overwrite_x=True, workers=_FFT_WORKERS)[region[0]]
        part = sf.ifft(part, axis=1, workers=_FFT_WORKERS)[:, region[1]]
        part = sf.irfft(part, n=shape[2], axis=2, workers=_FFT_WORKERS)[:, :, region[2]]
        return np.ascontiguousarray(part)


def _plane_radii(shape: Sequence[int]) -> Iterator[np.ndarray]:
    """Distance from the origin of Fourier space, cycles per voxel, plane by plane along z: large boxes fit no third copy."""
    plane = sf.fftfreq(shape[1])[:, None] ** 2 + sf.rfftfreq(shape[2])[None, :] ** 2
    for z in sf.fftfreq(shape[0]):
        yield np.sqrt(plane + z * z).astype(np.float32)


def _over_bands(power: np.ndarray, frequencies: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Mean power density of shells in bands like the features' around ``centres``."""
    width = np.maximum(RELATIVE_WIDTH * centres, MIN_WIDTH)
    weights = np.exp(-(((frequencies[None, :] - centres[:, None]) / width[:, None]) ** 2))
    weights *= frequencies[None, :] ** 2 + 1e-9
    return weights @ power / weights.sum(1)


def _centred_transform(volume: np.ndarray) -> np.ndarray:
    """Transform of a volume less its mean.

    The mean tells nothing of signal or noise, and it must be gone: a band's tail reaches frequency 0, and the filter that
    brings a sharpened map's high frequencies down would leave it standing far above all bands.
    """
    centred = np.asarray(volume, np.float32) - np.float32(np.mean(volume, dtype=np.float64))
    return sf.rfftn(centred, workers=_FFT_WORKERS, overwrite_x=True)


def level_spectrum(volume: np.ndarray, region: Region = WHOLE) -> Tuple[np.ndarray, Levelling]:
    """Level the rise of a whole map's spectrum.

    Args:
        volume: float32 (z, y, x): the whole box, which reconstruction programs make periodic.
        region: the part of the filtered volume that is wanted.

    Returns:
        the filtered volume inside ``region``, of mean 0 over the whole box, and the filter.
    """
    transform = _centred_transform(volume)
    step = 0.5 / (min(volume.shape) // 2)
    shells = int(np.ceil(0.5 * np.sqrt(3) / step)) + 1
    total, count = np.zeros(shells), np.zeros(shells)
    for plane, radius in zip(transform, _plane_radii(volume.shape)):
        index = (radius / step + 0.5).astype(np.int32).ravel()
        square = plane.real.astype(np.float64) ** 2 + plane.imag.astype(np.float64) ** 2
        total += np.bincount(index, square.ravel(), minlength=shells)
        count += np.bincount(index, minlength=shells)
    power = total / np.maximum(count, 1)
    power[0] = power[1]
    found = Levelling(power, np.ones(shells), step, float(total.sum() / count.sum()))
    frequencies = found.frequencies()
    left = np.maximum.accumulate(np.maximum(power, np.finfo(np.float32).tiny))
    # Smoothing overestimates a steep spectrum, so what is left of it is smoothed again.
    for _ in range(2):
        found.gain /= np.sqrt(_over_bands(left * found.gain**2, frequencies, frequencies))
    return found.filtered(transform, volume.shape, region), found


def _fourier_crop(transform: np.ndarray, shape: Sequence[int], grid: Sequence[int]) -> np.ndarray:
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


def band_noise_gain(centre: float, samples: int = 4096) -> float:
    """Energy per voxel that white noise of unit variance leaves in a band (3-D, up to the corners ignored)."""
    width = max(RELATIVE_WIDTH * centre, MIN_WIDTH)
    f = np.linspace(0.0, 0.5 * np.sqrt(3), samples)
    # Solid angle inside the Nyquist cube: exact up to 0.5; beyond it the band's tail meets only the corners.
    shell = 4 * np.pi * f**2 * np.clip(1 - np.clip(3 * (1 - 0.5 / np.maximum(f, 1e-9)), 0, 1), 0, 1)
    return float(np.trapz(shell * np.exp(-(((f - centre) / width) ** 2)), f))


@dataclass
class Features:
    """What the networks see.

    Attributes:
        local: float32 (bands + 2, cz, cy, cx): log2 energy-to-noise per band, signed density of a low band
            (0.08 cycles per voxel), mask.
        summary: float32 vector: the map's own profile, one block per kind (see ``summary_length``).
        mask_cells: bool (cz, cy, cx): cells with at least one masked voxel.
        has_noise: whether the noise level came from the map (outside or half maps) and not from inside the mask.
        background_constant: fraction of exactly constant background voxels.
        finest: wavelength in voxels below which a filter has left nothing; 2 for a map that reaches Nyquist.
        region: the part of the box (z, y, x) that the cells cover, from an even voxel on.
        drowned: whether bands are lost in the rounding of others that were sharpened too far.
        rise: float32 (bands): log2 of the noise near the mask over that in the whole background of the region; 0
            where it does not come from there. Noise that rises towards the molecule is higher still inside it.
    """

    local: np.ndarray
    summary: np.ndarray
    mask_cells: np.ndarray
    has_noise: bool
    background_constant: float
    finest: float = 2.0
    region: Region = WHOLE
    drowned: bool = False
    rise: np.ndarray = field(default_factory=lambda: np.zeros(N_BANDS, np.float32))

    def cell_region(self) -> Region:
        """Where the cells lie among those of the whole box."""
        first = [(edge.start or 0) // STRIDE for edge in self.region]
        return tuple(slice(low, low + n) for low, n in zip(first, self.mask_cells.shape))


N_LOCAL = N_BANDS + 2
SUMMARY_BLOCKS = 6
RATIO_BLOCKS = 4
"""So many of the blocks come first that are energies over the noise, which no radial filter changes."""
SUMMARY_FLAGS = 5
HALF_MAPS_FLAG = SUMMARY_BLOCKS * N_BANDS + 1
"""Place in ``Features.summary`` that is 1 when the noise comes from half maps."""
NOISE_FLAG = HALF_MAPS_FLAG + 1
"""Place that is 1 when the noise level comes from the map or its halves, 0 when only from inside the mask."""
BACKGROUND, HALF_MAPS, NO_BACKGROUND = "background", "half_maps", "no_background"


def summary_length() -> int:
    """Length of ``Features.summary``: six profiles over the bands and five flags."""
    return SUMMARY_BLOCKS * N_BANDS + SUMMARY_FLAGS


def noise_source(summary: np.ndarray) -> str:
    """Where a map's noise level comes from: ``BACKGROUND`` (outside the mask), ``HALF_MAPS``, or ``NO_BACKGROUND``."""
    if summary[HALF_MAPS_FLAG] > 0.5:
        return HALF_MAPS
    return BACKGROUND if summary[NOISE_FLAG] > 0.5 else NO_BACKGROUND


EMPTY_LOG2 = 20.0
"""A band whose power density lies this many powers of two under a lower band's holds rounding, not data."""

FILTERED_LOG2 = 30.0
"""So much under the lower shells' there is nothing, not even the fall-off of a low-resolution map or 16-bit rounding."""


def filter_edge(levelling: Levelling) -> float:
    """Wavelength in voxels of the last shell up to Nyquist that a low-pass filter has left anything in; 2 at least."""
    power = levelling.power[: int(round(0.5 / levelling.step)) + 1]
    left = power > np.maximum.accumulate(power) * 2.0**-FILTERED_LOG2
    last = int(np.flatnonzero(left).max(initial=0))
    return max(2.0, 1.0 / ((last + 0.5) * levelling.step))


def empty_bands(levelling: Levelling) -> np.ndarray:
    """Bands that a filter has emptied: bool (bands).

    What is left there is the rounding of the file's number format (float16 maps keep 3 digits), which follows the
    density and would look like signal.
    """
    density = _over_bands(levelling.power, levelling.frequencies(), np.asarray(BAND_CENTRES))
    return np.logical_or.accumulate(density < np.maximum.accumulate(density) * 2.0**-EMPTY_LOG2)


ROUNDING_LOG2 = 45.0
"""A band so many powers of two under the mean of all is lost: the rounding of 32-bit numbers lies at 2^-48 of it."""


def drowned(levelling: Levelling, empty: np.ndarray) -> bool:
    """Whether sharpening has raised the highest frequencies so far that lower bands, not ``empty``, are lost in rounding."""
    density = _over_bands(levelling.power, levelling.frequencies(), np.asarray(BAND_CENTRES))
    lost = density < levelling.mean_power * 2.0**-ROUNDING_LOG2
    return bool((lost & ~empty).any())


def _blank(local: np.ndarray, summary: np.ndarray, empty: np.ndarray) -> None:
    """Set the empty bands to "signal equals noise", in place (arrays as in :class:`Features`)."""
    blocks = summary[: SUMMARY_BLOCKS * N_BANDS].reshape(SUMMARY_BLOCKS, N_BANDS)
    local[:N_BANDS][empty] = -0.5
    blocks[:RATIO_BLOCKS, empty] = 0.0
    blocks[RATIO_BLOCKS:, empty] = -2.5


def _log2(x: np.ndarray) -> np.ndarray:
    return np.log2(np.maximum(x, 1e-30))


def cells_of_mask(mask: np.ndarray, stride: int = STRIDE) -> np.ndarray:
    """Cells of ``stride`` voxels that hold at least one masked voxel: bool (z, y, x) -> bool (cz, cy, cx)."""
    cells = [cell_count(n, stride) for n in mask.shape]
    padded = np.zeros([c * stride for c in cells], bool)
    padded[tuple(slice(0, n) for n in mask.shape)] = mask
    return padded.reshape(cells[0], stride, cells[1], stride, cells[2], stride).any(axis=(1, 3, 5))


NEAR = (8.0, 12.0, 16.0, 24.0, np.inf)
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


def _noise_from_outside(point: np.ndarray, distance: np.ndarray, centre: float) -> Tuple[float, float]:
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
        for reach in NEAR:
            near = outside & (away <= margin + reach)
            if near.sum() >= max(ENOUGH_SAMPLES, ENOUGH_VOLUMES / volume):
                return _trimmed_energy(point[near]), everywhere
        return everywhere, everywhere
    return float("nan"), float("nan")


def _distance_outside(data: np.ndarray, mask_cells: np.ndarray, constant: float, value: float) -> np.ndarray:
    """Distance of every cell from the mask, in cells; 0 where an emptied background holds ``value`` and no noise."""
    distance = ndimage.distance_transform_edt(~mask_cells).astype(np.float32)
    if constant > 0.02:
        sampled = data[tuple(slice(0, None, STRIDE) for _ in range(3))]
        empty = ndimage.uniform_filter((sampled == np.float32(value)).astype(np.float32), 3) > 0.3
        distance[empty] = 0.0
    return distance


def constant_background(data: np.ndarray, mask: np.ndarray) -> Tuple[float, float]:
    """Share of the voxels outside the mask that hold one and the same value, as in a masked or cut-out map; that value."""
    outside = data[~mask]
    if outside.size == 0:
        return 1.0, 0.0
    value, share = commonest_value(outside)
    return share, value


def region_of(mask: np.ndarray, margin: int = REGION_MARGIN) -> Region:
    """The mask's bounding box with a margin, grown to lengths that Fourier transforms quickly; it begins at a cell."""
    window = []
    for axis in range(3):
        used = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        length = mask.shape[axis]
        low, high = max(int(used[0]) - margin, 0), min(int(used[-1]) + 1 + margin, length)
        low -= low % STRIDE
        size = min(sf.next_fast_len(high - low, real=True), length)
        low = max(0, min(low - (size - (high - low)) // 2, length - size))
        window.append(slice(low - low % STRIDE, low + size))
    return tuple(window)


def compute(
    data: np.ndarray,
    mask: np.ndarray,
    voxel_size: float,
    half_difference: Optional[np.ndarray] = None,
) -> Features:
    """Features of a map, or of the mean of two half maps with half their difference beside it.

    Args:
        data: float32 (z, y, x), the whole box; the map, or (half1 + half2) / 2.
        mask: bool (z, y, x).
        voxel_size: angstroms.
        half_difference: (half1 - half2) / 2, same shape: its energy is the noise of ``data``, voxel by voxel.

    Returns:
        Features on a grid of every second voxel of the mask's region (:func:`region_of`).

    Raises:
        InputError: an empty mask.
    """
    if not mask.any():
        raise InputError("The mask is empty; give one that covers the molecule.")
    data = np.asarray(data, np.float32)
    region = region_of(mask)
    flat, levelling = level_spectrum(data, region)
    signal = Spectrum(flat)
    noise = signal if half_difference is None else Spectrum(levelling.apply(half_difference, region))
    data, mask = data[region], mask[region]
    cells = tuple(cell_count(n) for n in data.shape)
    mask_cells = cells_of_mask(mask)
    constant, distance = 0.0, None
    if half_difference is None:
        constant, value = constant_background(data, mask)
        distance = _distance_outside(data, mask_cells, constant, value)

    local = np.empty((N_LOCAL,) + cells, np.float32)
    raw_inside = np.empty(N_BANDS, np.float32)
    noise_level, everywhere = (np.full(N_BANDS, np.nan, np.float32) for _ in range(2))
    quantiles = np.empty((3, N_BANDS), np.float32)
    for k, centre in enumerate(BAND_CENTRES):
        energy, point = signal.energy(centre, cells, STRIDE)
        inside = energy[mask_cells]
        raw_inside[k] = inside.mean()
        quantiles[:, k] = np.quantile(inside, (0.1, 0.5, 0.9))
        local[k] = _log2(energy)
        if distance is not None:
            noise_level[k], everywhere[k] = _noise_from_outside(point, distance, centre)
            continue
        point = noise.band(centre)
        point *= point
        # Noise varies slowly over the box: a wide window tells its level without its speckle.
        level = smooth_resample(point, data.shape, cells, STRIDE, max(3 * WINDOW / centre, 6.0))
        noise_level[k] = level[mask_cells].mean()
        local[k] -= _log2(level / noise_level[k])
    has_noise = bool(np.isfinite(noise_level[-6:]).all()) and constant < 0.9
    floor = raw_inside.max() * 1e-9 + 1e-30
    known = np.isfinite(noise_level) & (noise_level > floor) & has_noise
    reference = np.where(
        known, np.maximum(np.nan_to_num(noise_level), floor), np.maximum(quantiles[0], floor)
    )
    local[:N_BANDS] -= _log2(reference)[:, None, None, None]
    np.clip(local[:N_BANDS], -4, 14, out=local[:N_BANDS])
    local[:N_BANDS] = (local[:N_BANDS] - 2.0) / 4.0

    low = signal.band(0.08)
    low = smooth_resample(low, data.shape, cells, STRIDE, 1.5)
    local[N_BANDS] = np.clip(low / (low[mask_cells].std() + 1e-30), -4, 4) / 2
    local[N_BANDS + 1] = mask_cells

    # The slopes are those of the map as it is; everything else is a ratio in one band.
    tilt = 2 * np.log2(np.interp(BAND_CENTRES, levelling.frequencies(), levelling.gain))
    slope, noise_slope = (
        np.diff(level, prepend=level[:1])
        for level in (_log2(np.maximum(raw_inside, floor)) - tilt, _log2(reference) - tilt)
    )
    relative = _log2(np.maximum(raw_inside, floor)) - _log2(reference)
    spread = [_log2(np.maximum(q, floor)) - _log2(reference) for q in quantiles]
    blocks = [np.clip(b, -14, 14) / 4 for b in (relative, *spread)]
    blocks += [np.clip(slope, -10, 10) / 4, np.clip(noise_slope, -10, 10) / 4]
    size = np.cbrt(mask.sum()) * voxel_size
    flags = [
        np.log2(voxel_size),
        1.0 if half_difference is not None else 0.0,
        1.0 if has_noise else 0.0,
        constant,
        np.log2(max(size, 1.0)) / 4,
    ]
    summary = np.concatenate([*blocks, np.asarray(flags)]).astype(np.float32)
    empty = empty_bands(levelling)
    _blank(local, summary, empty)
    rise = np.zeros(N_BANDS, np.float32)
    told = known & ~empty & (everywhere > floor)
    rise[told] = np.clip(_log2(noise_level[told] / everywhere[told]), -2, 4)
    finest = filter_edge(levelling) if empty[-1] else 2.0
    return Features(
        local, summary, mask_cells, has_noise, constant, finest, region, drowned(levelling, empty), rise
    )


CROSSING_RATIOS = (1.1, 1.2, 1.33, 1.6, 2.2, 4.0, 10.0)
"""Energy over noise at which a profile is said to end; 1.33 is FSC 0.143 of two halves if noise is the same inside."""


def crossings(summary: np.ndarray) -> np.ndarray:
    """Where the map's own profiles end: log2 of the wavelength in voxels.

    For each ratio of :data:`CROSSING_RATIOS` and each of the profiles (mean energy inside over noise, and its 10 %,
    50 % and 90 % quantiles), the first fall below that ratio, going up in frequency, and the last band above it.

    Args:
        summary: as in :class:`Features`.

    Returns:
        float32 vector of 2 x 7 x 4 numbers.
    """
    profiles = 4.0 * summary[: RATIO_BLOCKS * N_BANDS].reshape(RATIO_BLOCKS, N_BANDS)
    place = -np.log2(np.asarray(BAND_CENTRES))
    beyond = place[-1] - 0.2
    found = []
    for level in np.log2(CROSSING_RATIOS):
        for profile in profiles:
            low = np.flatnonzero(profile < level)
            high = np.flatnonzero(profile >= level)
            first = _between(profile, place, int(low[0]) - 1, level) if low.size else beyond
            last = _between(profile, place, int(high[-1]), level) if high.size else place[0]
            found += [first, last]
    return np.asarray(found, np.float32)


def _between(profile: np.ndarray, place: np.ndarray, k: int, level: float) -> float:
    """Where a profile passes a level between bands k and k + 1; the first band's place before it, beyond the last."""
    if k < 0:
        return float(place[0])
    if k + 1 >= place.size:
        return float(place[-1] - 0.2)
    share = (profile[k] - level) / max(profile[k] - profile[k + 1], 1e-6)
    return float(place[k] + (place[k + 1] - place[k]) * min(max(share, 0.0), 1.0))
