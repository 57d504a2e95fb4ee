"""Realistic maps together with their true local resolution.

A reconstruction is signal plus noise in two independent halves. Here both are known: the signal comes from atoms with
their own flexibility, the noise from a known spectrum and a known spatial profile. The *expected* local half-map FSC
follows without ever averaging noise::

    FSC(f, x) = E(f, x) / (E(f, x) + N(f, x))

with E the energy of the noiseless signal in the band around frequency f, in a Gaussian window of half a wavelength
around x, and N the expected energy of one half map's noise in the same band. The truth at x is the wavelength at which
FSC(f, x) first falls to 0.143, from low frequencies up. Derivation and limits: ``docs/explanation/true-resolution.md``.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Dict, Optional

import numpy as np
import scipy.fft as sf
from scipy import ndimage

from ..base.errors import InputError
from ..features.band_energies import cells_of_mask
from ..maps import automatic_mask, density_map
from ..maps.fourier_shells import first_crossing, frequency_grid, half_map_fsc, shell_power, soft_edge
from ..structures.atoms import Atoms
from .imaging_conditions import ImagingConditions, plain_options
from .known_directional_resolution import directional_truth
from .known_local_resolution import TRUTH_TOP, local_truth
from .molecule_signal import _molecule, flexibility, mask_around, signal_volume, smooth_noise
from .reconstruction_noise import (
    _masked_noise_power,
    _noise,
    _noise_scale,
    _radial_fall,
    band_limit_filter,
    noise_spectrum,
)
from .view_distribution import UNIFORM, views_of


@dataclass
class RealisticMap:
    """A simulated reconstruction and what is true of it; volumes are float32 (z, y, x).

    Attributes:
        map: the final map (mean of the halves, post-processed as the options say).
        half1: first half map, as the reconstruction gives it: no mask, no filter.
        half2: second half map.
        mask: bool, voxels within ``mask_margin`` of an atom.
        truth: angstroms on the grid of ``truth_stride``; 0 outside the mask.
        info: seed, options, global cut-offs and figures (JSON-ready).
    """

    map: np.ndarray
    half1: np.ndarray
    half2: np.ndarray
    mask: np.ndarray
    truth: np.ndarray
    info: Dict[str, Any] = field(default_factory=dict)


def simulate(
    atoms: Atoms,
    resolution: float,
    box: Optional[int] = None,
    voxel_size: float = 1.0,
    seed: int = 0,
    options: Optional[ImagingConditions] = None,
    truth_stride: int = 1,
    crop: bool = False,
    directional: bool = False,
) -> RealisticMap:
    """Simulate a reconstruction of ``atoms`` whose half maps reach ``resolution``, with its true local resolution.

    Args:
        atoms: the structure.
        resolution: angstroms at which the expected FSC of the half maps inside the (soft-edged) mask first falls to
            0.143. What is really reached is in ``info``: a dip of the signal's spectrum or the band limit can end the
            curve earlier.
        box: edge in voxels; None takes the extent plus a margin.
        voxel_size: angstroms.
        seed: fixes orientation, shift, flexibility and noise.
        options: None draws none: :func:`plain_options`.
        truth_stride: truth on every ``truth_stride``-th voxel block (training uses 2).
        crop: allow the box to cut a piece out of a larger molecule (training only).
        directional: add ``directional_truth`` to the info.

    Returns:
        RealisticMap, volumes float32 (z, y, x).

    Raises:
        InputError: the molecule does not fit the box, the resolution lies beyond Nyquist, or too few atoms.
    """
    options = options or plain_options(resolution)
    rng = np.random.default_rng(seed)
    if not np.isfinite(voxel_size) or voxel_size <= 0:
        raise InputError(
            f"The voxel size {voxel_size} is not a positive number of angstroms; give --voxel-size."
        )
    if not np.isfinite(resolution) or resolution < 2 * voxel_size:
        raise InputError(
            f"A resolution of {resolution:g} A needs voxels of at most {resolution / 2:g} A, not {voxel_size:g} A."
        )
    xyz, weights, b_file, chain = _molecule(atoms, options, rng)
    margin = options.mask_margin + max(2 * voxel_size, 3.0)
    need = int(np.ceil((np.ptp(xyz, axis=0).max() + 2 * margin) / voxel_size))
    if box is None:
        box = sf.next_fast_len(max(need + need % 2, 32), real=True)
    if need > box and not crop:
        raise InputError(
            f"{atoms.path or 'The structure'} needs a box of {need} voxels of {voxel_size:g} A; "
            f"give --box {need + need % 2}."
        )
    shape = (box,) * 3
    xyz = xyz + (box // 2) * voxel_size + rng.uniform(-0.5, 0.5, 3) * voxel_size
    if crop and need > box:
        anchor = xyz[rng.integers(len(xyz))]
        xyz = xyz - anchor + (box // 2) * voxel_size
        inside = ((xyz > margin) & (xyz < box * voxel_size - margin)).all(1)
        xyz, weights, b_file, chain = xyz[inside], weights[inside], b_file[inside], chain[inside]
    b_values = flexibility(xyz, b_file, chain, options, rng)
    signal = signal_volume(xyz, weights, b_values, shape, voxel_size, options.solvent)
    mask = mask_around(xyz, shape, voxel_size, options.mask_margin)
    return _reconstruct(
        signal, mask, xyz, resolution, voxel_size, seed, options, truth_stride, rng, directional
    )


def _reconstruct(
    signal: np.ndarray,
    mask: np.ndarray,
    xyz: np.ndarray,
    resolution: float,
    voxel_size: float,
    seed: int,
    options: ImagingConditions,
    truth_stride: int,
    rng: np.random.Generator,
    directional: bool,
) -> RealisticMap:
    """Noise, half maps, truth and post-processing of a noiseless signal."""
    shape = signal.shape
    f = frequency_grid(shape)
    limit = band_limit_filter(f, options.band_limit)
    views = views_of(options.views, options.view_axis, options.view_floor)
    noise_filter = limit
    transform = sf.rfftn(signal) * limit
    if views.kind != UNIFORM:
        transfer, noise_share = views.grids(shape)
        transform *= transfer
        noise_filter = limit * np.sqrt(noise_share, out=noise_share)
    signal = sf.irfftn(transform, s=shape)
    profile = None
    if options.noise_profile > 0:
        profile = np.exp(options.noise_profile * smooth_noise(shape, min(shape) / 3, rng)).astype(np.float32)
    soft = soft_edge(mask, max(3.0, 3.0 / voxel_size))
    if options.noise_inside > 0:
        inside = 1 + options.noise_inside * ndimage.gaussian_filter(mask.astype(np.float32), 4.0)
        profile = inside if profile is None else profile * inside
    if options.noise_fall > 0:
        fall = _radial_fall(shape, options.noise_fall)
        profile = fall if profile is None else profile * fall
    n_shells = min(shape) // 2
    frequency = np.arange(n_shells + 1) / (2.0 * n_shells)
    masked_transform = sf.rfftn(signal * soft)
    masked_signal = shell_power(masked_transform, f, n_shells)
    weight = soft if profile is None else soft * profile
    masked_noise = _masked_noise_power(weight, f, noise_filter, options)
    unit_noise = shell_power(np.sqrt(masked_noise), f, n_shells)
    # Beyond its band limit a reconstruction holds neither signal nor noise: nothing is resolved there.
    finest = min(options.band_limit, TRUTH_TOP)
    scale = _noise_scale(
        frequency, masked_signal, unit_noise, min(voxel_size / resolution, options.band_limit)
    )
    noises = [_noise(shape, f, noise_filter, options, profile, scale, rng) for _ in range(2)]
    half1, half2 = signal + noises[0], signal + noises[1]

    def power(freq: np.ndarray) -> np.ndarray:
        cut = band_limit_filter(np.asarray(freq, np.float32), options.band_limit)
        level = scale * noise_spectrum(np.asarray(freq), options) * cut**2
        return level if views.kind == UNIFORM else level * views.mean_noise(freq)

    expected = masked_signal / (masked_signal + scale * unit_noise + 1e-30)
    final = _post_process((half1 + half2) / 2, mask, xyz, f, frequency, expected, voxel_size, options, rng)
    if options.auto_mask:
        mask = automatic_mask.auto_mask(density_map.DensityMap(final, voxel_size))[0]
    keep = cells_of_mask(mask, truth_stride)
    truth = np.maximum(local_truth(signal, power, profile, truth_stride, keep), np.float32(1 / finest))
    truth *= np.float32(voxel_size)
    truth[~keep] = 0
    cut_masked = voxel_size / min(first_crossing(frequency[1:], expected[1:]), options.band_limit)
    _, fsc_masked = half_map_fsc(half1, half2, soft)
    _, fsc_unmasked = half_map_fsc(half1, half2)
    fsc_given = fsc_masked
    if options.auto_mask:
        fsc_given = half_map_fsc(half1, half2, soft_edge(mask, max(3.0, 3.0 / voxel_size)))[1]
    inside = truth[keep]
    info = {
        "seed": int(seed),
        "target_A": float(resolution),
        "voxel_size_A": float(voxel_size),
        "box": int(shape[0]),
        "options": dataclasses.asdict(options),
        "noise_power_per_voxel": float(scale),
        "global_fsc0143_A": float(cut_masked),
        "measured_fsc0143_masked_A": voxel_size / first_crossing(frequency[1:], fsc_masked[1:]),
        "measured_fsc0143_given_mask_A": voxel_size / first_crossing(frequency[1:], fsc_given[1:]),
        "measured_fsc0143_unmasked_A": voxel_size / first_crossing(frequency[1:], fsc_unmasked[1:]),
        "truth_median_A": float(np.median(inside)),
        "truth_quartiles_A": [float(v) for v in np.quantile(inside, (0.25, 0.75))],
        "mask_voxels": int(mask.sum()),
        "fsc": {"frequency_per_A": [float(v) / voxel_size for v in frequency], "masked": fsc_masked.tolist()},
    }
    if directional:
        info["directional_truth"] = directional_truth(
            masked_transform, scale * masked_noise, shape, voxel_size
        )
    return RealisticMap(final, half1.astype(np.float32), half2.astype(np.float32), mask, truth, info)


def _post_process(
    mean: np.ndarray,
    mask: np.ndarray,
    xyz: np.ndarray,
    f: np.ndarray,
    frequency: np.ndarray,
    expected: np.ndarray,
    voxel_size: float,
    options: ImagingConditions,
    rng: np.random.Generator,
) -> np.ndarray:
    """Weight, sharpen, filter and mask the mean of the half maps as the options say; unit variance, float32."""
    transform = sf.rfftn(mean)
    if options.weighting:
        fsc = np.clip(expected, 0, 1)
        fsc[np.flatnonzero(np.minimum.accumulate(fsc) < 0.02)] = 0.0
        transform *= np.interp(f, frequency, np.sqrt(2 * fsc / (1 + fsc))).astype(np.float32)
    if options.b_sharpen:
        exponent = np.clip(-0.25 * options.b_sharpen * (f / voxel_size) ** 2, -20, 12)
        transform *= np.exp(exponent).astype(np.float32)
    if options.low_pass > 0:
        cut = voxel_size / options.low_pass
        transform *= (0.5 * (1 + np.cos(np.pi * np.clip((f - cut + 0.015) / 0.03, 0, 1)))).astype(np.float32)
    volume = sf.irfftn(transform, s=mean.shape, overwrite_x=True)
    volume /= volume.std() + 1e-30
    if options.background == "soft":
        volume *= soft_edge(mask, max(4.0, 4.0 / voxel_size))
    elif options.background == "hard":
        volume = np.where(mask, volume, 0)
    elif options.background == "zone":
        volume = np.where(mask_around(xyz, mean.shape, voxel_size, rng.uniform(2.0, 5.0)), volume, 0)
    elif options.background == "clipped":
        volume = np.maximum(volume, 0)
    return volume.astype(np.float32)
