"""Signal and noise of a map by direction: of two half maps, or of one map and its background.

Both come as the same two sums over every shell and patch of directions (``maps.fsc.directional_fsc``): *common*, the
signal's energy, and *whole*, the signal's with that of one half map's noise, so that common / whole is the FSC of half maps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

import numpy as np
import scipy.fft as sf
from scipy import ndimage

from ..base.resolution_terms import FSC_THRESHOLD
from ..maps.density_map import mask_box
from ..maps.fsc import directional_fsc
from .background_noise import constant_background
from .band_energies import _FFT_WORKERS, cells_of_mask

EDGE = 3.0
"""Width of the mask's soft edge in voxels, or in angstroms where that is more voxels; the simulator's own."""
DIRECTION_CLEAR_OF_MASK = 4.0
"""Voxels between the soft edge and the background."""
_COARSE = 4
DIRECTION_LEAST_BACKGROUND = 0.05
"""Share of the box that the background needs."""
MOST_CONSTANT = 0.5
"""A background of which more voxels hold one value tells nothing of the noise."""
LEAST_NOISE_FACTOR = 0.05
HIGHEST_OF_NOISE = 0.3
"""Shells from this frequency on (cycles per voxel), or from the global resolution's, tell how noise differs by direction."""


@dataclass(frozen=True)
class DirectionSums:
    """What is measured of a map by direction.

    Attributes:
        counts: coefficients of every shell and patch, float64 (shells, patches).
        common: signal's energy, same shape; may be below 0 by chance.
        whole: signal's energy and one half map's noise, same shape.
        independent: independent coefficients per counted one: a mask correlates neighbours, and each is counted twice.
        extent: edge in voxels of the region transformed.
    """

    counts: np.ndarray
    common: np.ndarray
    whole: np.ndarray
    independent: float
    extent: int


def region_around(mask: np.ndarray, margin: int) -> Tuple[slice, ...]:
    """A cube (or, in a flat box, less) around the mask with a margin, of a length that Fourier transforms quickly."""
    spans = [(edge.start, edge.stop) for edge in mask_box(mask, margin)]
    size = sf.next_fast_len(max(high - low for low, high in spans), real=True)
    window = []
    for (low, high), length in zip(spans, mask.shape):
        n = min(size, length)
        first = min(max(0, (low + high - n) // 2), length - n)
        window.append(slice(first, first + n))
    return tuple(window)


def _independent(weight: np.ndarray) -> float:
    squares = np.square(weight)
    return float(squares.sum(dtype=np.float64) ** 2 / np.vdot(squares, squares) / weight.size / 2)


def _soft(mask: np.ndarray, width: float) -> np.ndarray:
    """The mask with an edge that falls to 0 over ``width`` voxels outside; a box filter, many times quicker than distances.

    Beside a flat border the filter is 1/2 on the border and falls evenly to 0 outside: twice that, and 1 inside.
    """
    near = ndimage.uniform_filter(mask.astype(np.float32), 2 * int(round(width)) + 1, mode="nearest")
    np.clip(2 * near, 0.0, 1.0, out=near)
    near = 0.5 - 0.5 * np.cos(np.float32(np.pi) * near)
    near[mask] = 1.0
    return near


def _edge(voxel_size: float) -> float:
    return max(EDGE, EDGE / voxel_size)


def _transform(volume: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return sf.rfftn(volume * weight, workers=_FFT_WORKERS, overwrite_x=True)


def _power(plane: np.ndarray) -> np.ndarray:
    return np.square(plane.real) + np.square(plane.imag)


def sums_of_halves(
    half1: np.ndarray, half2: np.ndarray, mask: np.ndarray, voxel_size: float
) -> DirectionSums:
    """Of two half maps inside the soft mask.

    Args:
        half1: float32 (z, y, x).
        half2: float32 (z, y, x).
        mask: bool (z, y, x).
        voxel_size: angstroms.
    """
    width = _edge(voxel_size)
    region = region_around(mask, int(np.ceil(width)) + 1)
    soft = _soft(mask[region], width)
    first, second = (
        _transform(half[region] - np.float32(half.mean(dtype=np.float64)), soft) for half in (half1, half2)
    )
    energies = [float(np.vdot(one, one).real) for one in (first, second)]
    if min(energies) > 0:
        second *= np.float32(np.sqrt(energies[0] / energies[1]))  # halves may come on different grey scales

    def planes(z: int) -> Tuple[np.ndarray, np.ndarray]:
        """What the halves share and their mean power in plane z (y, x) of the transform."""
        a, b = first[z], second[z]
        return a.real * b.real + a.imag * b.imag, (_power(a) + _power(b)) / 2

    counts, common, whole = directional_fsc.direction_sums(planes, soft.shape)
    return DirectionSums(counts, common, whole, _independent(soft), min(soft.shape))


def sums_of_map(
    data: np.ndarray, mask: np.ndarray, voxel_size: float, global_A: Optional[float] = None
) -> Optional[DirectionSums]:
    """Of one map: the energy inside the soft mask, less the noise that the background has in the same direction.

    The map is taken for the mean of two halves, whose noise is twice its own.

    Args:
        data: float32 (z, y, x).
        mask: bool (z, y, x).
        voxel_size: angstroms.
        global_A: resolution of the whole, where it is known: the noise inside is then that of the background, direction by
            direction, times the factor that brings the FSC of all directions to 0.143 there. Real maps have more noise
            inside than outside.

    Returns:
        None where there is no noise to measure by: an emptied background, or next to none.
    """
    sampled = (slice(None, None, 2),) * 3
    if constant_background(data[sampled], mask[sampled])[0] > MOST_CONSTANT:
        return None
    width = _edge(voxel_size)
    outside = _background_weight(mask, width + DIRECTION_CLEAR_OF_MASK, 2 * _COARSE)
    if float(outside.mean()) < DIRECTION_LEAST_BACKGROUND:
        return None
    region = region_around(mask, int(np.ceil(width)) + 1)
    soft = _soft(mask[region], width)
    level = np.float32(np.vdot(data, outside) / outside.sum(dtype=np.float64))
    inner, outer = _transform(data[region] - level, soft), _transform(data - level, outside)
    counts, total = directional_fsc.direction_sums(lambda z: (_power(inner[z]),), soft.shape)
    outer_counts, noise = directional_fsc.direction_sums(lambda z: (_power(outer[z]),), data.shape)
    squares = [float(np.vdot(weight, weight)) for weight in (soft, outside)]
    lowest = min(0.9 * voxel_size / global_A, HIGHEST_OF_NOISE) if global_A is not None else HIGHEST_OF_NOISE
    density = _noise_density(outer_counts, noise, len(counts), lowest) * (squares[0] / squares[1])
    if not density.any():
        return None
    noise = density * counts
    if global_A is not None:
        noise *= _noise_factor(counts, total, noise, voxel_size / global_A)
    seen = counts.sum() * _independent(soft)
    known = outer_counts.sum() * _independent(outside)
    share = _independent(soft) / (1.0 + seen / known)
    return DirectionSums(counts, total - noise, total + noise, share, min(soft.shape))


def _background_weight(mask: np.ndarray, clear: float, width: float) -> np.ndarray:
    """1 from ``clear + width`` voxels off the mask on, falling to 0 towards it: float32 (z, y, x).

    Distances are taken on a grid of every fourth voxel, which is near enough for a background and a hundred times quicker.
    """
    cells = cells_of_mask(mask, _COARSE)
    distance = ndimage.distance_transform_edt(~cells).astype(np.float32) * _COARSE
    weight = np.clip((distance - np.float32(clear)) / np.float32(width), 0.0, 1.0)
    for axis in range(3):
        weight = np.repeat(weight, _COARSE, axis=axis)
    weight = weight[tuple(slice(0, n) for n in mask.shape)]
    return ndimage.uniform_filter(weight, _COARSE + 1, mode="nearest")


def _noise_density(counts: np.ndarray, sums: np.ndarray, shells: int, lowest: float) -> np.ndarray:
    """Noise per coefficient at ``shells`` shells up to Nyquist: a shell's mean times a factor of the direction.

    Uneven views give noise one and the same factor at all frequencies. It is taken from the shells above ``lowest``:
    below, what is left of the molecule outside its mask differs between directions, too.
    """
    even = sums.sum(1) / np.maximum(counts.sum(1), 1e-9)
    high = np.arange(len(counts)) / (2.0 * (len(counts) - 1)) >= lowest
    expected = (counts[high] * even[high, None]).sum(0)
    factor = np.where(expected > 0, sums[high].sum(0) / np.maximum(expected, 1e-300), 1.0)
    place = np.linspace(0.0, len(counts) - 1.0, shells)
    return np.interp(place, np.arange(len(counts)), even)[:, None] * factor


def _noise_factor(counts: np.ndarray, total: np.ndarray, noise: np.ndarray, frequency: float) -> float:
    """The factor of the noise that makes (total - noise) / (total + noise) fall to 0.143 at ``frequency``."""
    centres = directional_fsc.band_centres(2 * (len(counts) - 1))
    ratio = [directional_fsc.band_sums(one, centres).sum(-1) for one in (total, noise)]
    at = float(np.interp(frequency, centres, ratio[0] / np.maximum(ratio[1], 1e-300)))
    return max(at * (1.0 - FSC_THRESHOLD) / (1.0 + FSC_THRESHOLD), LEAST_NOISE_FACTOR)
