"""From the mean of two half maps to the map that people deposit and hand on.

Post-processing weights, sharpens and filters it; then it is masked, cut out around a chain or a box, freed of negative
values and resampled. None of this changes what the half maps hold, but two of the steps limit what the map itself can
show: a low-pass filter and coarser voxels (``finest_shown``).
"""

from __future__ import annotations

from typing import Tuple

import numpy as np
import scipy.fft as sf
from scipy import ndimage

from ..features.band_energies import STRIDE, cell_count
from ..maps.density_map import mask_box
from ..maps.fsc.fourier_shells import frequency_grid, soft_edge
from .imaging_conditions import Deposition, ImagingConditions
from .molecule_signal import mask_around

HIDDEN_AMPLITUDE = 0.1
"""Waves that a filter has left a tenth of are lost: a hundredth of their energy."""
_LOCAL_STEPS = 5


def low_pass_gain(f: np.ndarray, cut: float, deposition: Deposition) -> np.ndarray:
    """Amplitude that a low-pass filter leaves at frequencies ``f``; one half at ``cut`` (both in cycles per voxel)."""
    if deposition.filter_shape == "gaussian":
        return np.exp2(-((f / cut) ** 2)).astype(np.float32)
    if deposition.filter_shape == "butterworth":
        return (1.0 / (1.0 + (f / cut) ** 12)).astype(np.float32)
    edge = deposition.filter_edge
    return (0.5 * (1 + np.cos(np.pi * np.clip((f - cut + edge / 2) / edge, 0, 1)))).astype(np.float32)


def finest_shown(options: ImagingConditions, voxel_size: float) -> float:
    """Wavelength in angstroms below which the final map shows nothing: of its filter and voxels; 0 without either."""
    deposition = options.deposition
    coarse = 2.0 * voxel_size * deposition.resample if deposition.resample > 1 else 0.0
    if options.low_pass <= 0:
        return coarse
    f = np.linspace(0.005, 0.5, 500)
    left = low_pass_gain(f, voxel_size / options.low_pass, deposition) >= HIDDEN_AMPLITUDE
    return max(coarse, float(voxel_size / f[left].max(initial=f[0])))


def weighted_and_filtered(
    mean: np.ndarray,
    f: np.ndarray,
    frequency: np.ndarray,
    expected: np.ndarray,
    voxel_size: float,
    options: ImagingConditions,
) -> np.ndarray:
    """The mean of the half maps weighted by its FSC, sharpened or blurred and low-passed; of unit variance."""
    transform = sf.rfftn(mean)
    if options.weighting:
        fsc = np.clip(expected, 0, 1)
        fsc[np.flatnonzero(np.minimum.accumulate(fsc) < 0.02)] = 0.0
        transform *= np.interp(f, frequency, np.sqrt(2 * fsc / (1 + fsc))).astype(np.float32)
    if options.b_sharpen:
        exponent = np.clip(-0.25 * options.b_sharpen * (f / voxel_size) ** 2, -20, 12)
        transform *= np.exp(exponent).astype(np.float32)
    if options.low_pass > 0:
        transform *= low_pass_gain(f, voxel_size / options.low_pass, options.deposition)
    volume = sf.irfftn(transform, s=mean.shape, overwrite_x=True)
    volume /= volume.std() + 1e-30
    return volume.astype(np.float32)


def locally_filtered(volume: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """A map filtered everywhere to its local resolution, as RELION and others do it.

    Args:
        volume: float32 (z, y, x).
        truth: local resolution in voxels, on blocks of voxels.
    """
    factor = -(-volume.shape[0] // truth.shape[0])
    wave = truth.repeat(factor, 0).repeat(factor, 1).repeat(factor, 2)
    wave = np.log2(np.maximum(wave[tuple(slice(0, n) for n in volume.shape)], 2.0))
    steps = np.unique(np.quantile(wave, np.linspace(0.02, 0.98, _LOCAL_STEPS)))
    f, transform = frequency_grid(volume.shape), sf.rfftn(volume)
    place = np.interp(wave, steps, np.arange(steps.size))
    total = np.zeros_like(volume)
    for k, step in enumerate(steps):
        gain = low_pass_gain(f, float(np.exp2(-step)), Deposition(filter_edge=0.06))
        share = np.clip(1.0 - np.abs(place - k), 0.0, 1.0).astype(np.float32)
        total += share * sf.irfftn(transform * gain, s=volume.shape)
    return total


def masked(
    volume: np.ndarray,
    mask: np.ndarray,
    xyz: np.ndarray,
    voxel_size: float,
    options: ImagingConditions,
    rng: np.random.Generator,
) -> np.ndarray:
    """What is left of a map outside the molecule, and of its negative values, as the options say."""
    if options.background == "soft":
        volume = volume * soft_edge(
            mask, max(options.deposition.mask_edge, options.deposition.mask_edge / voxel_size)
        )
    elif options.background == "hard":
        volume = np.where(mask, volume, 0)
    elif options.background == "zone":
        volume = np.where(mask_around(xyz, volume.shape, voxel_size, rng.uniform(2.0, 5.0)), volume, 0)
    if options.background == "clipped" or options.deposition.positive:
        volume = np.maximum(volume, 0)
    return volume.astype(np.float32)


def part_shown(chain: np.ndarray, xyz: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The atoms of one chain, or of one half of a molecule that has only one: bool (n,)."""
    names, counts = np.unique(chain, return_counts=True)
    names = names[counts >= 0.2 * counts.max()]
    if names.size > 1:
        return chain == rng.choice(names)
    distance = np.linalg.norm(xyz - xyz[rng.integers(len(xyz))], axis=1)
    return distance <= np.quantile(distance, 0.5)


def window_around(mask: np.ndarray, margin: int) -> Tuple[slice, ...]:
    """The box around a mask with a margin in voxels, from an even voxel on so that cells stay cells."""
    return tuple(slice(edge.start - edge.start % STRIDE, edge.stop) for edge in mask_box(mask, margin))


def resample_volume(volume: np.ndarray, factor: float, order: int = 1) -> np.ndarray:
    """A volume on voxels ``factor`` times as large, by splines of that order; voxel 0 stays where it is."""
    shape = tuple(max(8, int((n - 1) / factor) + 1) for n in volume.shape)
    return ndimage.affine_transform(
        volume.astype(np.float32), np.diag([factor] * 3), output_shape=shape, order=order, mode="nearest"
    )


def resample_truth(truth: np.ndarray, shape: Tuple[int, ...], factor: float) -> np.ndarray:
    """Truth of cells for a resampled volume of that shape: each new cell takes that of the old one at its middle."""
    places = []
    for n, old in zip(shape, truth.shape):
        middle = (np.arange(cell_count(n)) * STRIDE + (STRIDE - 1) / 2) * factor
        places.append(np.clip(np.rint((middle - (STRIDE - 1) / 2) / STRIDE).astype(int), 0, old - 1))
    return truth[np.ix_(*places)]


def changes_grid(options: ImagingConditions) -> bool:
    """Whether the map is cut out of its box or resampled: its half maps then are, too."""
    return options.deposition.cut_margin is not None or options.deposition.resample != 1.0


def cut_and_resampled(
    volumes: Tuple[np.ndarray, ...], mask: np.ndarray, truth: np.ndarray, options: ImagingConditions
) -> Tuple[Tuple[np.ndarray, ...], np.ndarray, np.ndarray]:
    """Volumes (z, y, x), mask and truth (of every cell) cut to the box around the mask, then resampled."""
    deposition = options.deposition
    if deposition.cut_margin is not None:
        window = window_around(mask, deposition.cut_margin)
        cells = tuple(slice(w.start // STRIDE, -(-w.stop // STRIDE)) for w in window)
        volumes, mask, truth = tuple(v[window] for v in volumes), mask[window], truth[cells]
    if deposition.resample != 1.0:
        factor = deposition.resample
        volumes = tuple(resample_volume(v, factor, deposition.resample_order) for v in volumes)
        mask = resample_volume(mask, factor) > 0.5
        truth = resample_truth(truth, volumes[0].shape, factor)
    return volumes, mask, truth
