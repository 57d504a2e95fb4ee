"""The noiseless density of a molecule, with flexibility and solvent."""

from __future__ import annotations

from typing import Sequence, Tuple

import numpy as np
import scipy.fft as sf
from scipy import ndimage

from ..base.errors import InputError
from ..maps.fsc.fourier_shells import frequency_grid
from ..structures.atoms import Atoms, random_rotation
from . import assemblies
from .imaging_conditions import ImagingConditions

_B_STEPS = 5
PROTEIN_DENSITY = 0.81
"""Mean density of protein in Da per cubic angstrom."""


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
    xyz: np.ndarray,
    b_factor: np.ndarray,
    chain: np.ndarray,
    options: ImagingConditions,
    rng: np.random.Generator,
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


def _molecule(atoms: Atoms, options: ImagingConditions, rng: np.random.Generator) -> Tuple[np.ndarray, ...]:
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
        placed = assemblies.placements(xyz, options.copies, options.arrangement, rng)
        xyz = np.concatenate([xyz @ turn.T + shift for turn, shift in placed])
        if options.arrangement != assemblies.HELIX:  # a helix keeps its axis along z
            xyz = xyz @ random_rotation(rng).T
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
