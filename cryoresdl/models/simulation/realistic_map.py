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
from typing import Any, Callable, Dict, Optional, Tuple

import numpy as np
import scipy.fft as sf
from scipy import ndimage

from ..base.errors import InputError
from ..base.resolution_terms import FSC_THRESHOLD
from ..features.band_energies import cells_of_mask
from ..maps import automatic_mask, density_map
from ..maps.fsc.fourier_shells import first_crossing, frequency_grid, half_map_fsc, shell_power, soft_edge
from ..structures.atoms import Atoms
from . import deposited_map
from .assemblies import HELIX
from .imaging_conditions import ImagingConditions, plain_options
from .molecule_signal import _molecule, flexibility, mask_around, signal_volume, smooth_noise
from .reconstruction_noise import (
    _masked_noise_power,
    _noise,
    _noise_scale,
    _radial_fall,
    band_limit_filter,
    noise_spectrum,
)
from .truth.known_directional_resolution import directional_truth
from .truth.known_local_resolution import TRUTH_TOP, local_truth
from .view_distribution import UNIFORM, views_of

_COARSE_VOXEL_A, _MANY_ATOMS = 2.5, 60000
"""From such voxels on, a share of the atoms of large assemblies stands for all: single atoms do not show."""


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


def _thinned(molecule: Tuple[np.ndarray, ...], voxel_size: float) -> Tuple[np.ndarray, ...]:
    """Fewer and heavier atoms where a coarse voxel holds many of them: positions, weights, B-factors, chains."""
    xyz, weights, b_file, chain = molecule
    if voxel_size < _COARSE_VOXEL_A or len(xyz) <= _MANY_ATOMS:
        return molecule
    every = -(-len(xyz) // _MANY_ATOMS)
    return tuple(values[::every] for values in (xyz, weights * every, b_file, chain))


def _box_edge(box: Optional[int], need: int, crop: bool, path: Optional[str], voxel_size: float) -> int:
    """The box that was asked for, or one that holds ``need`` voxels and transforms quickly."""
    if box is None:
        return int(sf.next_fast_len(max(need + need % 2, 32), real=True))
    if need > box and not crop:
        raise InputError(
            f"{path or 'The structure'} needs a box of {need} voxels of {voxel_size:g} A; "
            f"give --box {need + need % 2}."
        )
    return box


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
    _check_sampling(resolution, voxel_size)
    xyz, weights, b_file, chain = _thinned(_molecule(atoms, options, rng), voxel_size)
    margin = options.mask_margin + max(2 * voxel_size, 3.0)
    need = int(np.ceil((np.ptp(xyz, axis=0).max() + 2 * margin) / voxel_size))
    box = _box_edge(box, need, crop, atoms.path, voxel_size)
    shape = (box,) * 3
    xyz = xyz + (box // 2) * voxel_size + rng.uniform(-0.5, 0.5, 3) * voxel_size
    if crop and need > box:
        inside, xyz = _inside_box(xyz, box * voxel_size, margin, options, rng)
        xyz, weights, b_file, chain = xyz[inside], weights[inside], b_file[inside], chain[inside]
    b_values = flexibility(xyz, b_file, chain, options, rng)
    signal = signal_volume(xyz, weights, b_values, shape, voxel_size, options.solvent)
    mask = mask_around(xyz, shape, voxel_size, options.mask_margin)
    later = np.random.default_rng((seed, 5))
    shown = xyz[deposited_map.part_shown(chain, xyz, later)] if options.deposition.part else xyz
    made = _reconstruct(signal, mask, resolution, voxel_size, options, rng)
    result = _finished(made, mask, shown, voxel_size, options, truth_stride, later)
    facts = _facts(made, result, voxel_size, options)
    result.info = {"seed": int(seed), "target_A": float(resolution), **facts}
    if directional:
        result.info["directional_truth"] = directional_truth(
            made.masked_transform, made.masked_noise, shape, voxel_size
        )
    return result


def _check_sampling(resolution: float, voxel_size: float) -> None:
    if not np.isfinite(voxel_size) or voxel_size <= 0:
        raise InputError(
            f"The voxel size {voxel_size} is not a positive number of angstroms; give --voxel-size."
        )
    if not np.isfinite(resolution) or resolution < 2 * voxel_size:
        raise InputError(
            f"A resolution of {resolution:g} A needs voxels of at most {resolution / 2:g} A, not {voxel_size:g} A."
        )


def _inside_box(
    xyz: np.ndarray, edge: float, margin: float, options: ImagingConditions, rng: np.random.Generator
) -> Tuple[np.ndarray, np.ndarray]:
    """Which atoms of a molecule larger than its box stay, bool (n,), and where all of them lie then.

    Helices go through the faces along their axis, and boxes that are cut out anyway are full to all faces.
    """
    if options.arrangement != HELIX:
        xyz = xyz - xyz[rng.integers(len(xyz))] + edge / 2
    free = np.full(3, margin)
    if options.deposition.cut_margin is not None:
        free[:] = 0.0
    elif options.arrangement == HELIX:
        free[2] = 0.0
    return ((xyz > free) & (xyz < edge - free)).all(1), xyz


@dataclass
class _Reconstruction:
    """Two half maps and everything that is known of them; volumes are (z, y, x).

    Attributes:
        signal: what both halves share.
        halves: signal and noise of its own each.
        f: frequency of every coefficient of ``rfftn``, cycles per voxel.
        frequency: of the shells.
        expected: FSC that is expected inside the molecule, by shell.
        soft: the molecule's mask with its soft edge.
        power: a half map's noise power density per voxel at frequencies in cycles per voxel.
        profile: relative local amplitude of the noise, or None.
        masked_transform: transform of the masked signal.
        masked_noise: expected power of one half's masked noise, per coefficient.
        scale: noise power per voxel before colour and profile.
    """

    signal: np.ndarray
    halves: Tuple[np.ndarray, np.ndarray]
    f: np.ndarray
    frequency: np.ndarray
    expected: np.ndarray
    soft: np.ndarray
    power: Callable[[np.ndarray], np.ndarray]
    profile: Optional[np.ndarray]
    masked_transform: np.ndarray
    masked_noise: np.ndarray
    scale: float

    def truth(self, stride: int, finest: float, keep: Optional[np.ndarray]) -> np.ndarray:
        """True local resolution of cells in voxels, none finer than ``finest``; of all cells where ``keep`` is None."""
        found = local_truth(self.signal, self.power, self.profile, stride, keep)
        return np.maximum(found, np.float32(finest))


def _noise_profile(
    mask: np.ndarray, options: ImagingConditions, rng: np.random.Generator
) -> Optional[np.ndarray]:
    """Relative local amplitude of the noise (z, y, x); None where it is the same everywhere."""
    profile: Optional[np.ndarray] = None
    if options.noise_profile > 0:
        smooth = smooth_noise(mask.shape, min(mask.shape) / 3, rng)
        profile = np.exp(options.noise_profile * smooth).astype(np.float32)
    if options.noise_inside > 0:
        inside = 1 + options.noise_inside * ndimage.gaussian_filter(mask.astype(np.float32), 4.0)
        profile = inside if profile is None else profile * inside
    if options.noise_fall > 0:
        fall = _radial_fall(mask.shape, options.noise_fall)
        profile = fall if profile is None else profile * fall
    return profile


def _reconstruct(
    signal: np.ndarray,
    mask: np.ndarray,
    resolution: float,
    voxel_size: float,
    options: ImagingConditions,
    rng: np.random.Generator,
) -> _Reconstruction:
    """Half maps of a noiseless signal that reach ``resolution`` inside the mask."""
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
    profile = _noise_profile(mask, options, rng)
    soft = soft_edge(mask, max(3.0, 3.0 / voxel_size))
    n_shells = min(shape) // 2
    frequency = np.arange(n_shells + 1) / (2.0 * n_shells)
    masked_transform = sf.rfftn(signal * soft)
    masked_signal = shell_power(masked_transform, f, n_shells)
    masked_noise = _masked_noise_power(soft if profile is None else soft * profile, f, noise_filter, options)
    unit_noise = shell_power(np.sqrt(masked_noise), f, n_shells)
    target = min(voxel_size / resolution, options.band_limit)
    scale = _noise_scale(frequency, masked_signal, unit_noise, target)
    noises = [_noise(shape, f, noise_filter, options, profile, scale, rng) for _ in range(2)]

    def power(freq: np.ndarray) -> np.ndarray:
        cut = band_limit_filter(np.asarray(freq, np.float32), options.band_limit)
        level = scale * noise_spectrum(np.asarray(freq), options) * cut**2
        return level if views.kind == UNIFORM else level * views.mean_noise(freq)

    return _Reconstruction(
        signal,
        (signal + noises[0], signal + noises[1]),
        f,
        frequency,
        masked_signal / (masked_signal + scale * unit_noise + 1e-30),
        soft,
        power,
        profile,
        masked_transform,
        scale * masked_noise,
        scale,
    )


def _finished(
    made: _Reconstruction,
    mask: np.ndarray,
    xyz: np.ndarray,
    voxel_size: float,
    options: ImagingConditions,
    stride: int,
    later: np.random.Generator,
) -> RealisticMap:
    """The map that is made of two half maps, with mask and truth; what is known of it is still missing.

    Args:
        made: the half maps.
        mask: of the molecule.
        xyz: (n, 3) of the atoms that are shown, angstroms from the corner of the box.
        voxel_size: angstroms.
        options: what is done to the map.
        stride: truth on every ``stride``-th voxel block.
        later: of its own, so that what is done to a finished map does not move its noise.
    """
    # Beyond its band limit a reconstruction holds neither signal nor noise: nothing is resolved there.
    finest = 1.0 / min(options.band_limit, TRUTH_TOP)
    if options.deposition.part:
        mask = mask_around(xyz, mask.shape, voxel_size, options.mask_margin)
    mean = (made.halves[0] + made.halves[1]) / 2
    final = deposited_map.weighted_and_filtered(
        mean, made.f, made.frequency, made.expected, voxel_size, options
    )
    truth: Optional[np.ndarray] = None
    if options.deposition.local_filter or deposited_map.changes_grid(options):
        truth = made.truth(stride, finest, None)
        if options.deposition.local_filter:
            final = deposited_map.locally_filtered(final, truth)
    final = deposited_map.masked(final, mask, xyz, voxel_size, options, later)
    volumes: Tuple[np.ndarray, ...] = (
        final,
        made.halves[0].astype(np.float32),
        made.halves[1].astype(np.float32),
    )
    if truth is not None and deposited_map.changes_grid(options):
        volumes, mask, truth = deposited_map.cut_and_resampled(volumes, mask, truth, options)
    if options.auto_mask:
        new_voxel = voxel_size * options.deposition.resample
        mask = automatic_mask.auto_mask(density_map.DensityMap(volumes[0], new_voxel))[0]
    keep = cells_of_mask(mask, stride)
    truth = (made.truth(stride, finest, keep) if truth is None else truth) * np.float32(voxel_size)
    truth[~keep] = 0
    final, half1, half2 = volumes
    return RealisticMap(final, half1, half2, mask, truth)


def _facts(
    made: _Reconstruction, result: RealisticMap, voxel_size: float, options: ImagingConditions
) -> Dict[str, Any]:
    """Global resolutions, expected and measured, and figures of mask and truth."""
    frequency, limit = made.frequency, options.band_limit
    new_voxel = voxel_size * options.deposition.resample
    _, masked = half_map_fsc(*made.halves, made.soft)
    _, unmasked = half_map_fsc(*made.halves)
    given_frequency, given = half_map_fsc(
        result.half1, result.half2, soft_edge(result.mask, max(3.0, 3.0 / new_voxel))
    )
    inside = result.truth[result.truth > 0]

    def expected_at(threshold: float) -> float:
        return voxel_size / min(first_crossing(frequency[1:], made.expected[1:], threshold), limit)

    def measured_at(fsc: np.ndarray, threshold: float = FSC_THRESHOLD) -> float:
        return voxel_size / first_crossing(frequency[1:], fsc[1:], threshold)

    return {
        "voxel_size_A": float(new_voxel),
        "box": int(made.signal.shape[0]),
        "options": dataclasses.asdict(options),
        "noise_power_per_voxel": float(made.scale),
        "global_fsc0143_A": expected_at(FSC_THRESHOLD),
        "global_fsc05_A": expected_at(0.5),
        "finest_shown_A": deposited_map.finest_shown(options, voxel_size),
        "measured_fsc0143_masked_A": measured_at(masked),
        "measured_fsc05_masked_A": measured_at(masked, 0.5),
        "measured_fsc0143_given_mask_A": new_voxel / first_crossing(given_frequency[1:], given[1:]),
        "measured_fsc05_given_mask_A": new_voxel / first_crossing(given_frequency[1:], given[1:], 0.5),
        "measured_fsc0143_unmasked_A": measured_at(unmasked),
        "truth_median_A": float(np.median(inside)),
        "truth_quartiles_A": [float(v) for v in np.quantile(inside, (0.25, 0.75))],
        "mask_voxels": int(result.mask.sum()),
        "fsc": {"frequency_per_A": [float(v) / voxel_size for v in frequency], "masked": masked.tolist()},
    }
