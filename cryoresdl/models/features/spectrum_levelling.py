"""Levelling the spectrum of a map by its noise, and finding bands that hold no signal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, Optional, Sequence, Tuple

import numpy as np
import scipy.fft as sf

from ..maps.fsc.fourier_shells import inverse_part
from .band_energies import _FFT_WORKERS, BAND_CENTRES, MIN_WIDTH, RELATIVE_WIDTH, WHOLE, Region


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
        """Radius (shells,) of every shell, cycles per voxel."""
        return np.arange(self.power.size) * self.step

    def apply(self, volume: np.ndarray, region: Region) -> np.ndarray:
        """The filtered volume inside ``region``: float32, of a whole box (z, y, x) like the one measured, less its mean."""
        transform = _centred_transform(volume)
        return self.filtered(transform, volume.shape, region)

    def filtered(self, transform: np.ndarray, shape: Sequence[int], region: Region) -> np.ndarray:
        """The inverse transform of a filtered volume inside ``region``; ``transform`` is overwritten.

        Args:
            transform: ``rfftn`` of the volume.
            shape: of the volume (z, y, x).
            region: slices (z, y, x).

        Returns:
            float32, of the region's shape.
        """
        for plane, radius in zip(transform, _plane_radii(shape)):
            plane *= np.interp(radius, self.frequencies(), self.gain).astype(np.float32)
        return inverse_part(transform, shape, region)


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


EMPTY_LOG2 = 20.0
"""A band whose power density lies this many powers of two under a lower band's holds rounding, not data."""

EDGE_WINDOW = 0.035
"""Cycles per voxel over which a filter's edge falls."""
SURE_FALL, LIKELY_FALL, LIKELY_EXCESS = 15.0, 4.0, 1.7
"""Powers of two that the spectrum falls over the window: no molecule, blurring or weighting does the first; a mask put on
after the filter fills up what it had emptied, and leaves a fall that exceeds those on either side of it by the third."""
HALF_AMPLITUDE_LOG2 = 2.0
_GRID = 0.0025
_LOWEST_EDGE = 0.04


@dataclass(frozen=True)
class FilterEdge:
    """Where a low-pass filter cut a map's spectrum.

    Attributes:
        wavelength: in voxels, where the filter's amplitude is about a half.
        sure: the spectrum ends there; otherwise it only falls more steeply than on either side.
    """

    wavelength: float
    sure: bool


def filter_edge(levelling: Levelling) -> Optional[FilterEdge]:
    """The edge of the low-pass filter that a map went through; None where its spectrum shows none.

    Beyond the edge is neither signal nor noise, so that their ratio, by which a resolution is told, means nothing there.
    """
    places = np.arange(_LOWEST_EDGE, 0.5, _GRID)
    level = np.log2(np.maximum(np.interp(places, levelling.frequencies(), levelling.power), 1e-38))
    # Small boxes have few shells: an edge is no narrower than two of them.
    reach = max(int(round(EDGE_WINDOW / _GRID)), int(np.ceil(2 * levelling.step / _GRID)))
    if places.size < 3 * reach:
        return None
    falls = level[:-reach] - level[reach:]
    middle = np.arange(reach, falls.size)
    # Next to Nyquist there is nothing to compare with on the far side.
    after = np.where(middle + reach < falls.size, falls[np.minimum(middle + reach, falls.size - 1)], 0.0)
    excess = falls[middle] - np.maximum(np.maximum(falls[middle - reach], after), 0.0)
    best = int(middle[np.argmax(excess)])
    sure = bool(falls[best] >= SURE_FALL)
    if not sure and (falls[best] < LIKELY_FALL or excess.max() < LIKELY_EXCESS):
        return None
    expected = level[best] - falls[best - reach] / reach * np.arange(reach + 1)
    below = np.flatnonzero(level[best : best + reach + 1] < expected - HALF_AMPLITUDE_LOG2)
    crossing = best + (int(below[0]) if below.size else reach // 2)
    return FilterEdge(float(1.0 / places[crossing]), sure)


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
    """Whether sharpening has raised the highest frequencies so far that lower bands are lost in rounding.

    Args:
        levelling: of the map.
        empty: bool (bands,), the bands that hold nothing anyway.
    """
    density = _over_bands(levelling.power, levelling.frequencies(), np.asarray(BAND_CENTRES))
    lost = density < levelling.mean_power * 2.0**-ROUNDING_LOG2
    return bool((lost & ~empty).any())
