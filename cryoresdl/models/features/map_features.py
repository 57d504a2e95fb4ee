"""What carries local resolution: the energy of each frequency band around each voxel, against the noise.

Local resolution is local signal against noise, frequency by frequency. A bank of band-passes gives the energy of
the map per band in a Gaussian window that scales with the wavelength; the noise level of each band comes from
outside the mask or, where half maps exist, from their difference. The ratio does not change when a map is sharpened,
blurred or scaled, because any radial filter multiplies signal and noise alike. So that it holds for strongly sharpened
maps too, a spectrum that rises is levelled before the region is cut out of the box (``Levelling``): the strong high
bands would otherwise leak into the weak low ones through the region's faces. Bands are spaced in cycles per voxel, so the
same bank serves every voxel size.

The same bank gives the truth of the simulator (``simulation.truth.known_local_resolution``), with the exact signal and noise
in place of estimates.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import List, Optional, Sequence

import numpy as np
import scipy.fft as sf

from ..base.errors import InputError
from ..maps.density_map import mask_box
from .background_noise import constant_background, distance_outside, noise_from_outside
from .band_energies import (
    BAND_CENTRES,
    N_BANDS,
    STRIDE,
    WHOLE,
    WINDOW,
    Region,
    Spectrum,
    cells_of_mask,
    smooth_resample,
)
from .network_inputs import N_LOCAL, RATIO_BLOCKS, SUMMARY_BLOCKS, SUMMARY_FLAGS
from .spectrum_levelling import Levelling, drowned, empty_bands, filter_edge, level_spectrum

REGION_MARGIN = 16
"""Voxels kept around the mask: enough background for the noise level of all but the lowest bands."""


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
        finest: wavelength in voxels below which a filter has left nothing; 2 where no filter's edge shows.
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


def _blank(local: np.ndarray, summary: np.ndarray, empty: np.ndarray) -> None:
    """Set the empty bands to "signal equals noise", in place (arrays as in :class:`Features`)."""
    blocks = summary[: SUMMARY_BLOCKS * N_BANDS].reshape(SUMMARY_BLOCKS, N_BANDS)
    local[:N_BANDS][empty] = -0.5
    blocks[:RATIO_BLOCKS, empty] = 0.0
    blocks[RATIO_BLOCKS:, empty] = -2.5


def _log2(x: np.ndarray) -> np.ndarray:
    return np.log2(np.maximum(x, 1e-30))


FILLED_FACE = 0.9
"""Share of a face that noise must fill for what lies beyond to be padding; a masked or cut-out map's is emptier."""


def filled_box(data: np.ndarray, mask: np.ndarray) -> Region:
    """The box that a map had before it was padded with one value; ``WHOLE`` where it was not.

    A padded map jumps at the faces of its former box, and the jump leaks into every band as if it were noise there.

    Args:
        data: float32 (z, y, x).
        mask: bool (z, y, x); nothing is taken for padding that it covers.
    """
    # Not take, which first copies a turned map.
    outer = (np.moveaxis(data, axis, 0)[end] for axis in range(3) for end in (0, -1))
    value = next((face[0, 0] for face in outer if (face == face[0, 0]).all()), None)
    if value is None:
        return WHOLE
    used = data != value
    if not used.any():
        return WHOLE
    box = mask_box(used, 0)
    inner = used[box]
    faces = [np.moveaxis(inner, axis, 0)[end] for axis in range(3) for end in (0, -1)]
    if min(float(face.mean()) for face in faces) < FILLED_FACE:
        return WHOLE
    return box if mask[box].sum() == mask.sum() else WHOLE


def region_of(mask: np.ndarray, *, cells_of_box: bool = True) -> Region:
    """The bounding box of a mask, bool (z, y, x), with a margin, grown to lengths that Fourier transforms quickly.

    Args:
        mask: not empty.
        cells_of_box: begin at a cell of the whole box; otherwise where the mask says, so that the cells move with it.
    """
    step = STRIDE if cells_of_box else 1
    window = []
    for edge, length in zip(mask_box(mask, REGION_MARGIN), mask.shape):
        low, high = edge.start - edge.start % step, edge.stop
        size = min(sf.next_fast_len(high - low, real=True), length)
        low = max(0, min(low - (size - (high - low)) // 2, length - size))
        window.append(slice(low - low % step, low + size))
    return tuple(window)


@dataclass
class _Noise:
    """Noise of every band where features are taken.

    Attributes:
        level: mean energy of noise per band; NaN where it cannot be told.
        everywhere: the same in all of the background; NaN where it does not come from there.
        inside: mean energy of the map inside the mask per band.
        quantiles: 10, 50 and 90 % quantiles of that energy, (3, bands).
    """

    level: np.ndarray
    everywhere: np.ndarray
    inside: np.ndarray
    quantiles: np.ndarray


@dataclass
class _InMask:
    """One mask of a region, and what becomes its features.

    Attributes:
        voxels: in the mask.
        cells: bool (cz, cy, cx).
        constant: share of the background that holds one value.
        distance: of every cell from the mask, in cells; None where half maps tell the noise.
        told: its noise.
        local: of `Features`.
    """

    voxels: int
    cells: np.ndarray
    constant: float
    distance: Optional[np.ndarray]
    told: _Noise
    local: np.ndarray


def _of_filled(
    data: np.ndarray,
    masks: Sequence[np.ndarray],
    voxel_size: float,
    half_difference: Optional[np.ndarray],
    filled: Region,
) -> List[Features]:
    """Features of the part of a padded box that is filled, placed in the whole box."""
    difference = None if half_difference is None else half_difference[filled]
    parts = [mask[filled] for mask in masks]
    found = compute_in_masks(data[filled], parts, voxel_size, difference, region_of(parts[0]))
    for one in found:
        pairs = zip(one.region, filled)
        one.region = tuple(slice(r.start + f.start, r.stop + f.start) for r, f in pairs)
    return found


def compute(
    data: np.ndarray,
    mask: np.ndarray,
    voxel_size: float,
    half_difference: Optional[np.ndarray] = None,
    region: Optional[Region] = None,
) -> Features:
    """Features of a map, or of the mean of two half maps with half their difference beside it.

    Args:
        data: float32 (z, y, x), the whole box; the map, or (half1 + half2) / 2.
        mask: bool (z, y, x).
        voxel_size: angstroms.
        half_difference: (half1 - half2) / 2, same shape: its energy is the noise of ``data``, voxel by voxel.
        region: what to look at; None takes :func:`region_of` the mask.

    Returns:
        Features on a grid of every second voxel of the region.

    Raises:
        InputError: an empty mask.
    """
    return compute_in_masks(data, [mask], voxel_size, half_difference, region)[0]


def compute_in_masks(
    data: np.ndarray,
    masks: Sequence[np.ndarray],
    voxel_size: float,
    half_difference: Optional[np.ndarray] = None,
    region: Optional[Region] = None,
) -> List[Features]:
    """Features of one map in several masks: its bands are cut out once for all of them.

    Args:
        data: as for :func:`compute`.
        masks: bool (z, y, x) each; the region is that of the first, which the others leave by a few voxels at most.
        voxel_size: as for :func:`compute`.
        half_difference: as for :func:`compute`.
        region: as for :func:`compute`.

    Raises:
        InputError: an empty mask.
    """
    if not all(mask.any() for mask in masks):
        raise InputError("The mask is empty; give one that covers the molecule.")
    data = np.asarray(data, np.float32)
    if region is None:
        filled = filled_box(data, masks[0])
        if filled != WHOLE:
            filled = tuple(slice(edge.start + edge.start % STRIDE, edge.stop) for edge in filled)
        if filled != WHOLE and masks[0][filled].sum() == masks[0].sum():
            return _of_filled(data, masks, voxel_size, half_difference, filled)
        region = region_of(masks[0])
    flat, levelling = level_spectrum(data, region)
    signal = Spectrum(flat)
    noise = signal if half_difference is None else Spectrum(levelling.apply(half_difference, region))
    inner = data[region]
    parts = [_in_mask(inner, mask[region], half_difference is None) for mask in masks]
    _band_energies(parts, signal, noise)
    return [_features(part, signal, levelling, voxel_size, region) for part in parts]


def with_voxel_size(found: Features, ratio: float) -> Features:
    """The features of the same voxels, taken to be so many times larger; arrays are shared with ``found``."""
    summary = found.summary.copy()
    for place, step in zip(range(-SUMMARY_FLAGS, 0), (1.0, 0.0, 0.0, 0.0, 0.25)):
        summary[place] += np.float32(step * np.log2(ratio))
    return replace(found, summary=summary)


def _in_mask(data: np.ndarray, mask: np.ndarray, alone: bool) -> _InMask:
    """A mask of the region, before any band was looked at; ``alone``: the noise comes from outside the mask."""
    cells = cells_of_mask(mask)
    constant, distance = 0.0, None
    if alone:
        constant, value = constant_background(data, mask)
        distance = distance_outside(data, cells, constant, value)
    level, everywhere, inside = (np.full(N_BANDS, np.nan, np.float32) for _ in range(3))
    told = _Noise(level, everywhere, inside, np.empty((3, N_BANDS), np.float32))
    local = np.empty((N_LOCAL, *cells.shape), np.float32)
    return _InMask(int(mask.sum()), cells, constant, distance, told, local)


def _features(
    part: _InMask, signal: Spectrum, levelling: Levelling, voxel_size: float, region: Region
) -> Features:
    """What the networks see of one mask, from the energies of its bands."""
    told, local, constant = part.told, part.local, part.constant
    has_noise = bool(np.isfinite(told.level[-6:]).all()) and constant < 0.9
    floor = told.inside.max() * 1e-9 + 1e-30
    known = np.isfinite(told.level) & (told.level > floor) & has_noise
    reference = np.where(
        known, np.maximum(np.nan_to_num(told.level), floor), np.maximum(told.quantiles[0], floor)
    )
    _finish_local(local, reference, signal, part.cells)
    size = np.log2(max(np.cbrt(part.voxels) * voxel_size, 1.0)) / 4
    flags = [np.log2(voxel_size), float(part.distance is None), float(has_noise), constant, size]
    blocks = _profiles(told, reference, floor, levelling)
    summary = np.concatenate([*blocks, np.asarray(flags)]).astype(np.float32)
    empty = empty_bands(levelling)
    _blank(local, summary, empty)
    rise = np.zeros(N_BANDS, np.float32)
    risen = known & ~empty & (told.everywhere > floor)
    rise[risen] = np.clip(_log2(told.level[risen] / told.everywhere[risen]), -2, 4)
    edge = filter_edge(levelling)
    finest, lost = 2.0 if edge is None else edge.wavelength, drowned(levelling, empty)
    return Features(local, summary, part.cells, has_noise, constant, finest, region, lost, rise)


def _band_energies(parts: Sequence[_InMask], signal: Spectrum, noise: Spectrum) -> None:
    """Energies of the bands in log2 and the noise of every mask: outside it, or of half maps (no ``distance``)."""
    shape, cells = signal.shape, parts[0].cells.shape
    for k, centre in enumerate(BAND_CENTRES):
        energy, point = signal.energy(centre, cells, STRIDE)
        level = None
        if parts[0].distance is None:
            point = noise.band(centre)
            point *= point
            # Noise varies slowly over the box: a wide window tells its level without its speckle.
            level = smooth_resample(point, shape, cells, STRIDE, max(3 * WINDOW / centre, 6.0))
        for part in parts:
            told = part.told
            inside = energy[part.cells]
            told.inside[k] = inside.mean()
            told.quantiles[:, k] = np.quantile(inside, (0.1, 0.5, 0.9))
            part.local[k] = _log2(energy)
            if part.distance is not None:
                told.level[k], told.everywhere[k] = noise_from_outside(point, part.distance, centre)
            elif level is not None:
                told.level[k] = level[part.cells].mean()
                part.local[k] -= _log2(level / told.level[k])


def _finish_local(local: np.ndarray, reference: np.ndarray, signal: Spectrum, mask_cells: np.ndarray) -> None:
    """Ratios to the noise, the signed density of a low band and the mask, in place."""
    local[:N_BANDS] -= _log2(reference)[:, None, None, None]
    np.clip(local[:N_BANDS], -4, 14, out=local[:N_BANDS])
    local[:N_BANDS] = (local[:N_BANDS] - 2.0) / 4.0
    low = signal.band(0.08)
    low = smooth_resample(low, signal.shape, mask_cells.shape, STRIDE, 1.5)
    local[N_BANDS] = np.clip(low / (low[mask_cells].std() + 1e-30), -4, 4) / 2
    local[N_BANDS + 1] = mask_cells


def _profiles(told: _Noise, reference: np.ndarray, floor: float, levelling: Levelling) -> List[np.ndarray]:
    """The map's profiles over the bands, as they stand in ``Features.summary``."""
    # The slopes are those of the map as it is; everything else is a ratio in one band.
    tilt = 2 * np.log2(np.interp(BAND_CENTRES, levelling.frequencies(), levelling.gain))
    slope, noise_slope = (
        np.diff(level, prepend=level[:1])
        for level in (_log2(np.maximum(told.inside, floor)) - tilt, _log2(reference) - tilt)
    )
    relative = _log2(np.maximum(told.inside, floor)) - _log2(reference)
    spread = [_log2(np.maximum(q, floor)) - _log2(reference) for q in told.quantiles]
    blocks = [np.clip(b, -14, 14) / 4 for b in (relative, *spread)]
    return blocks + [np.clip(slope, -10, 10) / 4, np.clip(noise_slope, -10, 10) / 4]
