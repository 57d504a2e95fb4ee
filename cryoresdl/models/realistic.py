"""Realistic maps together with their true local resolution.

A reconstruction is signal plus noise in two independent halves. Here both are known: the signal comes from atoms with
their own flexibility, the noise from a known spectrum and a known spatial profile. The *expected* local half-map FSC
follows without ever averaging noise::

    FSC(f, x) = E(f, x) / (E(f, x) + N(f, x))

with E the energy of the noiseless signal in the band around frequency f, in a Gaussian window of half a wavelength
around x, and N the expected energy of one half map's noise in the same band. The truth at x is the wavelength at which
FSC(f, x) first falls to 0.143, going up from low frequencies. See ``docs/simulation.md`` for the derivation and limits.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Dict, Optional, Sequence, Tuple

import numpy as np
import scipy.fft as sf
from scipy import ndimage

from . import maps
from .constants import FSC_THRESHOLD
from .errors import InputError
from .features import MIN_WIDTH, RELATIVE_WIDTH, WINDOW, Spectrum, cell_count, cells_of_mask, smooth_resample
from .fsc import first_crossing, frequency_grid, half_map_fsc, soft_edge
from .structures import Atoms, random_rotation

SSNR_THRESHOLD = FSC_THRESHOLD / (1.0 - FSC_THRESHOLD)
TRUTH_TOP = 0.49
TRUTH_RATIO = 1.08
TRUTH_LOWEST = 0.02
_B_STEPS = 5
PROTEIN_DENSITY = 0.81
"""Mean density of protein in Da per cubic angstrom."""


def truth_frequencies(shape: Sequence[int]) -> np.ndarray:
    """Band centres of the truth in cycles per voxel, low to high; the lowest fits the box 1.5 times."""
    lowest = max(TRUTH_LOWEST, 1.5 / min(shape))
    count = int(np.floor(np.log(TRUTH_TOP / lowest) / np.log(TRUTH_RATIO))) + 1
    return TRUTH_TOP / TRUTH_RATIO ** np.arange(count - 1, -1, -1)


@dataclass
class Options:
    """Everything about a realistic map that is not its structure; drawn by :func:`random_options` for training.

    The defaults are those of a map of 3 A (:func:`plain_options` for others).

    Attributes:
        b_base: isotropic B-factor of every atom, square angstroms.
        b_range: scale of the flexibility field's B-factors, square angstroms.
        b_source: "field" (smooth random field), "file" (the structure's B-factors), "radial" or "none".
        field_length: correlation length of the random field, angstroms.
        solvent: bulk-solvent density over the mean protein density (0 = vacuum).
        noise_slope: exponent p of the noise power spectrum (f + 0.02)^p.
        noise_bump: height and centre (cycles per voxel) of a bump in the log noise spectrum.
        noise_profile: relative amplitude of the noise's smooth spatial modulation.
        noise_inside: extra noise amplitude inside the molecule over that outside: misalignment, heterogeneity and
            solvent flattening leave real maps noisier where the particle is.
        noise_fall: how far the log amplitude of the noise has fallen in the middle of the box's faces, with the square
            of the distance from its centre: images are masked by a circle, and particles are aligned by their middle.
        band_limit: cycles per voxel above which the reconstruction holds nothing (0.87 = the whole cube).
        weighting: FSC weighting sqrt(2 FSC / (1 + FSC)) of the final map.
        b_sharpen: B-factor of sharpening (negative) or blurring (positive) of the final map, square angstroms.
        low_pass: cut-off in angstroms of a soft low-pass of the final map, or 0.
        background: "noise", "soft" (soft mask), "hard" (zeros outside the mask), "zone" (zeros 2-5 A around atoms),
            "clipped" (negative densities set to zero).
        mask_margin: distance from the nearest atom to the edge of the mask, angstroms.
        copies: number of symmetry copies about the z axis (1 = none).
        auto_mask: the mask is the one that ``maps.auto_mask`` finds in the final map, as for a user without a mask;
            the noise level still refers to the atoms' own mask.
    """

    b_base: float = 40.0
    b_range: float = 120.0
    b_source: str = "field"
    field_length: float = 18.0
    solvent: float = 0.4
    noise_slope: float = 0.0
    noise_bump: Tuple[float, float] = (0.0, 0.2)
    noise_profile: float = 0.0
    noise_inside: float = 0.0
    noise_fall: float = 0.0
    band_limit: float = 0.87
    weighting: bool = False
    b_sharpen: float = 0.0
    low_pass: float = 0.0
    background: str = "noise"
    mask_margin: float = 4.0
    copies: int = 1
    auto_mask: bool = False


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


def spline_deposit(positions: np.ndarray, weights: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Deposit points on a periodic grid with cubic B-splines.

    Args:
        positions: (n, 3) z, y, x in voxels.
        weights: (n,).
        shape: grid (z, y, x).

    Returns:
        float64 grid whose sum is the sum of the weights.
    """
    base = np.floor(positions).astype(np.int64)
    t = positions - base
    splines = (
        np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=0)
        / 6.0
    )
    nz, ny, nx = (int(n) for n in shape)
    grid = np.zeros(nz * ny * nx)
    for dz in range(4):
        iz = (base[:, 0] + dz - 1) % nz * ny
        for dy in range(4):
            izy = (iz + (base[:, 1] + dy - 1) % ny) * nx
            wzy = weights * splines[dz, :, 0] * splines[dy, :, 1]
            index = np.concatenate([izy + (base[:, 2] + dx - 1) % nx for dx in range(4)])
            value = np.concatenate([wzy * splines[dx, :, 2] for dx in range(4)])
            grid += np.bincount(index, value, minlength=grid.size)
    return grid.reshape(nz, ny, nx)


def smooth_noise(shape: Sequence[int], length: float, rng: np.random.Generator) -> np.ndarray:
    """A smooth random field of correlation ``length`` in voxels (z, y, x), of deviation 0.9 (1 before interpolation)."""
    coarse = [max(4, int(np.ceil(n / max(length, 1.0) * 2)) + 3) for n in shape]
    values = ndimage.gaussian_filter(rng.normal(size=coarse), 1.0, mode="wrap")
    values /= values.std() + 1e-12
    return ndimage.zoom(
        values, [n / c for n, c in zip(shape, coarse)], order=1, grid_mode=True, mode="nearest"
    )


def flexibility(
    xyz: np.ndarray, b_factor: np.ndarray, chain: np.ndarray, options: Options, rng: np.random.Generator
) -> np.ndarray:
    """B-factor of every atom in square angstroms: a base plus what the options' source says.

    The random field is smooth over ``field_length``, with an offset of its own per chain, and skewed: most of a
    molecule is about equally well ordered, a few regions much worse, as in real maps.
    """
    count = len(xyz)
    low = xyz.min(0)
    if options.b_source == "none" or options.b_range <= 0:
        return np.full(count, options.b_base)
    if options.b_source == "file" and np.ptp(b_factor) > 1:
        value = (b_factor - np.quantile(b_factor, 0.05)) / (
            np.quantile(b_factor, 0.95) - b_factor.min() + 1e-9
        )
    elif options.b_source == "radial":
        distance = np.linalg.norm(xyz - xyz.mean(0) - rng.normal(size=3) * xyz.std(0) * 0.5, axis=1)
        value = (distance / distance.max()) ** 2
    else:
        extent = np.ceil((xyz.max(0) - low) / 2.0).astype(int) + 2
        field_values = smooth_noise(extent, options.field_length / 2.0, rng)
        value = ndimage.map_coordinates(field_values, ((xyz - low) / 2.0).T, order=1, mode="nearest")
        offsets = rng.normal(size=int(chain.max()) + 1) * 0.5
        value = np.exp(0.8 * (value + offsets[chain])) / 2.5
    return options.b_base + options.b_range * np.clip(value, 0.0, 6.0)


def _form_factor(s2: np.ndarray) -> np.ndarray:
    """Fall-off of the electron scattering of light atoms with squared resolution (1/A^2), 1 at zero."""
    return 0.45 * np.exp(-0.25 * 30.0 * s2) + 0.35 * np.exp(-0.25 * 8.0 * s2) + 0.2 * np.exp(-0.25 * 1.5 * s2)


def signal_volume(
    xyz: np.ndarray,
    weights: np.ndarray,
    b_values: np.ndarray,
    shape: Sequence[int],
    voxel_size: float,
    solvent: float,
) -> np.ndarray:
    """Noiseless density of atoms with their B-factors in bulk solvent.

    Args:
        xyz: (n, 3) x, y, z in angstroms, 0 at the corner voxel (0, 0, 0).
        weights: (n,) scattering weight of each atom (atomic number times occupancy).
        b_values: (n,) square angstroms.
        shape: box (z, y, x), periodic.
        voxel_size: angstroms.
        solvent: bulk-solvent density over mean protein density.

    Returns:
        float32 (z, y, x).
    """
    positions = xyz[:, ::-1] / voxel_size
    f = frequency_grid(shape)
    s2 = (f / np.float32(voxel_size)) ** 2
    edges = np.quantile(b_values, np.linspace(0, 1, _B_STEPS)) if np.ptp(b_values) > 1 else b_values[:1]
    edges = np.unique(edges)
    total = np.zeros(f.shape, np.complex64)
    place = np.interp(b_values, edges, np.arange(edges.size)) if edges.size > 1 else np.zeros(len(b_values))
    for k, b in enumerate(edges):
        share = np.clip(1.0 - np.abs(place - k), 0.0, 1.0) * weights
        chosen = share > 0
        grid = spline_deposit(positions[chosen], share[chosen], shape).astype(np.float32)
        total += sf.rfftn(grid) * np.exp(np.float32(-0.25 * b) * s2)
    total *= _form_factor(s2)
    if solvent > 0:
        total -= _solvent_transform(positions, weights, shape, voxel_size, solvent, s2)
    # The B-spline's own transform, sinc^4 per axis, is divided out.
    for axis, n in enumerate(shape):
        k = sf.rfftfreq(n) if axis == 2 else sf.fftfreq(n)
        shape_k = [1, 1, 1]
        shape_k[axis] = -1
        total /= (np.sinc(k) ** 4).astype(np.float32).reshape(shape_k)
    return sf.irfftn(total, s=tuple(shape), overwrite_x=True)


def _solvent_transform(
    positions: np.ndarray,
    weights: np.ndarray,
    shape: Sequence[int],
    voxel_size: float,
    solvent: float,
    s2: np.ndarray,
) -> np.ndarray:
    """Transform of the solvent that the molecule displaces: a smooth envelope of constant density."""
    smear = np.exp(-0.25 * 8 * np.pi**2 * max(2.5, 0.8 * voxel_size) ** 2 * s2).astype(np.float32)
    grid = spline_deposit(positions, weights, shape).astype(np.float32)
    blurred = sf.irfftn(sf.rfftn(grid) * smear, s=tuple(shape))
    inside = blurred > 0.3 * np.quantile(blurred[blurred > 0.02 * blurred.max()], 0.9)
    envelope = inside.astype(np.float32)
    level = solvent * float(weights.sum()) / max(float(envelope.sum()), 1.0)
    edge = np.exp(-0.25 * 8 * np.pi**2 * max(1.2, 0.4 * voxel_size) ** 2 * s2).astype(np.float32)
    return sf.rfftn(envelope) * edge * np.float32(level)


def noise_spectrum(f: np.ndarray, options: Options) -> np.ndarray:
    """Relative noise power at frequencies ``f`` (cycles per voxel), without the band limit."""
    height, centre = options.noise_bump
    return ((f + 0.02) / 0.3) ** options.noise_slope * np.exp(
        height * np.exp(-0.5 * ((f - centre) / 0.08) ** 2)
    )


def band_limit_filter(f: np.ndarray, limit: float) -> np.ndarray:
    """Soft edge at the reconstruction's own band limit; 1 everywhere when the limit covers the cube."""
    if limit >= 0.866:
        return np.ones_like(f)
    return (0.5 * (1 + np.cos(np.pi * np.clip((f - limit + 0.02) / 0.04, 0, 1)))).astype(np.float32)


def shell_power(transform: np.ndarray, f: np.ndarray, n_shells: int) -> np.ndarray:
    """Mean power per Fourier shell of width 1/(2 n_shells) cycles per voxel, up to Nyquist."""
    index = np.minimum((f * 2 * n_shells + 0.5).astype(np.int32).ravel(), n_shells + 1)
    weights = np.full(f.shape, 2.0, np.float32)
    weights[..., 0] = 1.0
    power = (transform.real**2 + transform.imag**2) * weights
    total = np.bincount(index, power.ravel(), minlength=n_shells + 2)
    count = np.bincount(index, weights.ravel(), minlength=n_shells + 2)
    return (total / np.maximum(count, 1))[: n_shells + 1]


def local_truth(
    signal: np.ndarray,
    noise_power: Any,
    noise_profile: Optional[np.ndarray],
    stride: int = 1,
    keep: Optional[np.ndarray] = None,
) -> np.ndarray:
    """True local resolution in voxels (see the module's text).

    Args:
        signal: noiseless volume, float32 (z, y, x).
        noise_power: function of frequency (cycles per voxel) giving one half map's noise power density per voxel.
        noise_profile: relative local noise amplitude, same shape as ``signal``, or None for stationary noise.
        stride: one value per block of ``stride`` voxels.
        keep: bool cells whose truth is wanted: bands end when all of them have fallen; None for all.

    Returns:
        float32 (cells): wavelength in voxels, between 1/0.49 and the lowest band's.
    """
    cells = tuple(cell_count(n, stride) for n in signal.shape)
    frequencies = truth_frequencies(signal.shape)
    spectrum = Spectrum(signal)
    result = np.zeros(cells, np.float32)
    previous: Optional[np.ndarray] = None
    open_cells = np.ones(cells, bool) if keep is None else keep.copy()
    for k, centre in enumerate(frequencies):
        energy, _ = spectrum.energy(centre, cells, stride)
        width = max(RELATIVE_WIDTH * centre, MIN_WIDTH)
        noise = band_power(noise_power, centre, width)
        level: Any = np.float32(noise)
        if noise_profile is not None:
            # Noise reaches a voxel through the window and through the band's own impulse response.
            reach = float(np.hypot(WINDOW / centre, 1.0 / (2 * np.pi * np.sqrt(6.0) * width)))
            local = smooth_resample(noise_profile**2, signal.shape, cells, stride, reach)
            level = local * level
        fsc = energy / (energy + level + 1e-30)
        fallen = open_cells & (fsc < FSC_THRESHOLD)
        if previous is None:
            crossing = np.full(int(fallen.sum()), centre, np.float32)
        else:
            high, low = previous[fallen], fsc[fallen]
            share = np.clip((high - FSC_THRESHOLD) / np.maximum(high - low, 1e-9), 0, 1)
            crossing = frequencies[k - 1] + (centre - frequencies[k - 1]) * share
        result[fallen] = 1.0 / crossing
        open_cells &= ~fallen
        previous = fsc
        if not open_cells.any():
            break
    result[open_cells] = 1.0 / frequencies[-1]
    return result


def band_power(power: Any, centre: float, width: float) -> float:
    """Expected energy per voxel in a band, of noise with the radial power density ``power(f)`` per voxel."""
    f = np.linspace(max(centre - 5 * width, 0.0), min(centre + 5 * width, 0.866), 200)
    # Share of the sphere of radius f that lies inside the cube of Fourier space (exact up to f = 0.707).
    inside = np.clip(1.0 - np.clip(3.0 * (1.0 - 0.5 / np.maximum(f, 1e-6)), 0.0, 1.0), 0.0, 1.0)
    shell = 4 * np.pi * f**2 * inside
    return float(np.trapz(shell * power(f) * np.exp(-(((f - centre) / width) ** 2)), f))


def _molecule(atoms: Atoms, options: Options, rng: np.random.Generator) -> Tuple[np.ndarray, ...]:
    """Coordinates (centred), weights, B-factors and chains of the molecule, its symmetry copies and orientation."""
    weights = atoms.z_number * np.where(atoms.occupancy > 0, np.minimum(atoms.occupancy, 1.0), 0.0)
    keep = (atoms.z_number > 1) & (weights > 0) & np.isfinite(atoms.xyz).all(1)
    if keep.sum() < 3:
        raise InputError(
            f"{atoms.path or 'The structure'} has fewer than 3 usable atoms; give a whole molecule."
        )
    xyz, weights, b, chain = atoms.xyz[keep], weights[keep], atoms.b_factor[keep], atoms.chain[keep]
    xyz = (xyz - xyz.mean(0)) @ random_rotation(rng).T
    if options.copies > 1:
        radius = 0.5 * np.ptp(xyz[:, 0]) / np.sin(np.pi / options.copies) * 0.55
        angles = 2 * np.pi * np.arange(options.copies) / options.copies
        parts = []
        for angle in angles:
            c, s = np.cos(angle), np.sin(angle)
            moved = xyz + [radius, 0, 0]
            parts.append(moved @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]).T)
        xyz = np.concatenate(parts) @ random_rotation(rng).T
        weights, b = np.tile(weights, options.copies), np.tile(b, options.copies)
        chain = np.concatenate([chain + k * (chain.max() + 1) for k in range(options.copies)])
    return xyz - (xyz.max(0) + xyz.min(0)) / 2, weights.astype(float), b, chain


def mask_around(xyz: np.ndarray, shape: Sequence[int], voxel_size: float, margin: float) -> np.ndarray:
    """Voxels within ``margin`` angstroms of an atom (atoms snapped to voxels), holes filled; bool (z, y, x)."""
    index = np.rint(xyz[:, ::-1] / voxel_size).astype(int)
    ok = ((index >= 0) & (index < np.asarray(shape))).all(1)
    far = np.ones(shape, bool)
    far[tuple(index[ok].T)] = False
    near = ndimage.distance_transform_edt(far) <= max(margin / voxel_size, 1.0)
    return ndimage.binary_fill_holes(near)


def simulate(
    atoms: Atoms,
    resolution: float,
    box: Optional[int] = None,
    voxel_size: float = 1.0,
    seed: int = 0,
    options: Optional[Options] = None,
    truth_stride: int = 1,
    crop: bool = False,
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
    return _reconstruct(signal, mask, xyz, resolution, voxel_size, seed, options, truth_stride, rng)


def _reconstruct(
    signal: np.ndarray,
    mask: np.ndarray,
    xyz: np.ndarray,
    resolution: float,
    voxel_size: float,
    seed: int,
    options: Options,
    truth_stride: int,
    rng: np.random.Generator,
) -> RealisticMap:
    """Noise, half maps, truth and post-processing of a noiseless signal."""
    shape = signal.shape
    f = frequency_grid(shape)
    limit = band_limit_filter(f, options.band_limit)
    transform = sf.rfftn(signal) * limit
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
    masked_signal = shell_power(sf.rfftn(signal * soft), f, n_shells)
    weight = soft if profile is None else soft * profile
    unit_noise = _masked_noise_power(weight, f, limit, options, n_shells)
    # Beyond its band limit a reconstruction holds neither signal nor noise: nothing is resolved there.
    finest = min(options.band_limit, TRUTH_TOP)
    scale = _noise_scale(
        frequency, masked_signal, unit_noise, min(voxel_size / resolution, options.band_limit)
    )
    noises = [_noise(shape, f, limit, options, profile, scale, rng) for _ in range(2)]
    half1, half2 = signal + noises[0], signal + noises[1]

    def power(freq: np.ndarray) -> np.ndarray:
        cut = band_limit_filter(np.asarray(freq, np.float32), options.band_limit)
        return scale * noise_spectrum(np.asarray(freq), options) * cut**2

    expected = masked_signal / (masked_signal + scale * unit_noise + 1e-30)
    final = _post_process((half1 + half2) / 2, mask, xyz, f, frequency, expected, voxel_size, options, rng)
    if options.auto_mask:
        mask = maps.auto_mask(maps.DensityMap(final, voxel_size))[0]
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
    return RealisticMap(final, half1.astype(np.float32), half2.astype(np.float32), mask, truth, info)


def _masked_noise_power(
    weight: np.ndarray, f: np.ndarray, limit: np.ndarray, options: Options, n_shells: int
) -> np.ndarray:
    """Expected power per shell of noise of scale 1 after multiplication with ``weight`` (mask and spatial profile).

    The product's autocorrelation is the product of both: so coloured noise, and the band limit's edge, are smeared by the
    mask just as the signal is.
    """
    density = noise_spectrum(f, options) * limit**2
    correlation = sf.irfftn(density, s=weight.shape, overwrite_x=True)
    correlation *= sf.irfftn(np.abs(sf.rfftn(weight)) ** 2, s=weight.shape, overwrite_x=True)
    power = np.maximum(sf.rfftn(correlation, overwrite_x=True).real, 0)
    return shell_power(np.sqrt(power), f, n_shells)


def _noise_scale(frequency: np.ndarray, signal: np.ndarray, unit_noise: np.ndarray, target: float) -> float:
    """Noise power that makes the masked FSC cross the threshold at ``target`` (cycles per voxel)."""
    ratio = signal[1:] / np.maximum(unit_noise[1:], 1e-30)
    # Beyond a dip the curve has already crossed: the running minimum is what the threshold meets.
    level = np.interp(target, frequency[1:], np.minimum.accumulate(ratio))
    return max(float(level), 1e-30) / SSNR_THRESHOLD


def _radial_fall(shape: Sequence[int], fall: float) -> np.ndarray:
    """Relative noise amplitude exp(-fall r^2), r = 1 in the middle of the box's faces: float32 (z, y, x)."""
    squares = [((np.arange(n, dtype=np.float32) - n // 2) / (n / 2)) ** 2 for n in shape]
    return np.exp(-np.float32(fall) * (squares[0][:, None, None] + squares[1][:, None] + squares[2]))


def _noise(
    shape: Sequence[int],
    f: np.ndarray,
    limit: np.ndarray,
    options: Options,
    profile: Optional[np.ndarray],
    scale: float,
    rng: np.random.Generator,
) -> np.ndarray:
    white = sf.rfftn(rng.standard_normal(shape, dtype=np.float32))
    white *= np.sqrt(scale * noise_spectrum(f, options)).astype(np.float32) * limit
    noise = sf.irfftn(white, s=tuple(shape), overwrite_x=True)
    return noise if profile is None else noise * profile


def _post_process(
    mean: np.ndarray,
    mask: np.ndarray,
    xyz: np.ndarray,
    f: np.ndarray,
    frequency: np.ndarray,
    expected: np.ndarray,
    voxel_size: float,
    options: Options,
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


def _b_scale(resolution: float) -> float:
    """B-factors over those at 3 A: what limits a reconstruction to ``resolution`` blurs it by about as much."""
    return (max(resolution, 2.0) / 3.0) ** 2


def plain_options(resolution: float) -> Options:
    """The options of a map as it comes from the reconstruction, in white noise: the defaults of ``simulate``.

    Args:
        resolution: angstroms; B-factors grow with its square (``docs/simulation.md``).
    """
    scale = _b_scale(resolution)
    return Options(b_base=Options.b_base * scale, b_range=Options.b_range * scale)


def random_options(rng: np.random.Generator, resolution: float) -> Options:
    """Draw options across what users have; the spread of the training set (``docs/simulation.md``)."""
    scale = _b_scale(resolution)
    weighting = bool(rng.random() < 0.35)
    sharpen = 0.0
    kind = rng.random()
    if kind < 0.35:
        sharpen = -float(rng.uniform(0.3, 1.6)) * 40.0 * scale
    elif kind < 0.45:
        sharpen = float(rng.uniform(0.2, 1.5)) * 40.0 * scale
    return Options(
        b_base=float(rng.uniform(0.1, 1.5)) * 40.0 * scale,
        b_range=float(np.exp(rng.normal(0.0, 0.7))) * 50.0 * scale,
        b_source=str(rng.choice(["field", "file", "radial", "none"], p=[0.72, 0.1, 0.12, 0.06])),
        field_length=float(rng.uniform(8.0, 35.0)),
        solvent=float(rng.choice([0.0, rng.uniform(0.2, 0.65)], p=[0.45, 0.55])),
        noise_slope=float(rng.choice([0.0, rng.uniform(-0.8, 1.2)], p=[0.5, 0.5])),
        noise_bump=(
            float(rng.choice([0.0, rng.normal(0, 0.5)], p=[0.6, 0.4])),
            float(rng.uniform(0.05, 0.4)),
        ),
        noise_profile=float(rng.choice([0.0, rng.uniform(0.05, 0.3)], p=[0.65, 0.35])),
        noise_inside=float(np.exp(rng.uniform(np.log(0.2), np.log(5.0)))) if rng.random() < 0.4 else 0.0,
        band_limit=float(rng.choice([0.87, 0.49, rng.uniform(0.2, 0.48)], p=[0.55, 0.25, 0.2])),
        weighting=weighting,
        b_sharpen=sharpen,
        low_pass=float(resolution * rng.uniform(0.75, 1.05)) if rng.random() < 0.15 else 0.0,
        background=str(
            rng.choice(["noise", "soft", "hard", "zone", "clipped"], p=[0.7, 0.12, 0.06, 0.07, 0.05])
        ),
        mask_margin=float(rng.uniform(2.0, 5.5) + 0.15 * resolution),
        copies=int(rng.choice([1, 2, 3, 4, 6], p=[0.8, 0.07, 0.06, 0.04, 0.03])),
        auto_mask=bool(rng.random() < 0.45),
        noise_fall=float(rng.uniform(0.1, 1.2)) if rng.random() < 0.35 else 0.0,
    )
