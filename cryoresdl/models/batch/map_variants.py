"""The same map as others might have given it: another mask, sharpening, filter, sampling or voxel size."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Callable, List, Tuple

import numpy as np
import scipy.fft as sf
from scipy import ndimage

from ..maps.density_map import DensityMap
from ..maps.fsc.fourier_shells import frequency_grid
from ..maps.local_filter import low_pass

MASK_STEP_A = 4.0
B_STEP_A2 = 50.0
VOXEL_STEP = 0.02
COARSER = 0.8
"""A resampled map has so many of the voxels along each side, as far as Nyquist allows."""
ROOM = 1.15
"""Resampling keeps Nyquist so many times finer than the estimate."""


@dataclass(frozen=True)
class MapVariant:
    """One change of a map.

    Attributes:
        group: what it is about: ``mask``, ``sharpening``, ``low-pass``, ``sampling`` or ``voxel size``.
        name: what was done, in words.
        make: gives the changed map and its mask (bool, z, y, x).
    """

    group: str
    name: str
    make: Callable[[], Tuple[DensityMap, np.ndarray]]


def variants_of(
    density: DensityMap, mask: np.ndarray, claimed_A: float | None, estimate_A: float | None
) -> List[MapVariant]:
    """The changes that a map is audited with; those that would leave nothing are left out.

    Args:
        density: the map.
        mask: bool (z, y, x).
        claimed_A: A, or None.
        estimate_A: A, or None where none was made.
    """
    step = MASK_STEP_A / density.voxel_size
    found = [
        MapVariant("mask", f"mask grown by {MASK_STEP_A:g} A", lambda: (_copy(density), grown(mask, step))),
        MapVariant(
            "sharpening",
            f"sharpened by {B_STEP_A2:g} A^2",
            lambda: (with_b_factor(density, -B_STEP_A2), mask),
        ),
        MapVariant(
            "sharpening", f"blurred by {B_STEP_A2:g} A^2", lambda: (with_b_factor(density, B_STEP_A2), mask)
        ),
    ]
    if grown(mask, -step).sum() >= 500:
        shrunk = MapVariant(
            "mask", f"mask shrunk by {MASK_STEP_A:g} A", lambda: (_copy(density), grown(mask, -step))
        )
        found.insert(1, shrunk)
    if claimed_A is not None and claimed_A > density.nyquist:
        found.append(
            MapVariant(
                "low-pass",
                f"low-passed at the claim of {claimed_A:g} A",
                lambda: (filtered(density, claimed_A), mask),
            )
        )
    sides = tuple(2 * max(8, round(COARSER * n / 2)) for n in density.data.shape)
    voxel = density.voxel_size * density.data.shape[0] / sides[0]
    cubic = len({a / b for a, b in zip(density.data.shape, sides)}) == 1
    if cubic and estimate_A is not None and 2 * voxel * ROOM < estimate_A:
        found.append(
            MapVariant("sampling", f"resampled to {voxel:.2f} A", lambda: resampled(density, mask, sides))
        )
    for sign in (1, -1):
        size = density.voxel_size * (1 + sign * VOXEL_STEP)
        changed = replace(_copy(density), voxel_size=size)
        words = f"voxel size {100 * sign * VOXEL_STEP:+g} %"
        found.append(MapVariant("voxel size", words, lambda changed=changed: (changed, mask)))  # type: ignore[misc]
    return found


def _copy(density: DensityMap) -> DensityMap:
    return replace(density, warnings=[], doubts=[])


def grown(mask: np.ndarray, voxels: float) -> np.ndarray:
    """A mask grown (or, below 0, shrunk) by so many voxels."""
    if voxels >= 0:
        return ndimage.distance_transform_edt(~mask) <= voxels
    return ndimage.distance_transform_edt(mask) > -voxels


def with_b_factor(density: DensityMap, b_factor: float) -> DensityMap:
    """A map whose amplitudes are multiplied by exp(-B/4 f^2): sharpened below 0, blurred above (A^2)."""
    frequency = frequency_grid(density.data.shape) / np.float32(density.voxel_size)
    transform = sf.rfftn(density.data) * np.exp(np.float32(-b_factor / 4) * frequency**2)
    return replace(_copy(density), data=sf.irfftn(transform, density.data.shape))


def filtered(density: DensityMap, resolution_A: float) -> DensityMap:
    """A map low-passed at a resolution in A."""
    frequency = frequency_grid(density.data.shape) / np.float32(density.voxel_size)
    transform = sf.rfftn(density.data) * low_pass(frequency, resolution_A)
    return replace(_copy(density), data=sf.irfftn(transform, density.data.shape))


def resampled(density: DensityMap, mask: np.ndarray, sides: Tuple[int, ...]) -> Tuple[DensityMap, np.ndarray]:
    """A map on coarser voxels, its Fourier transform cropped, and its mask beside it."""
    shape = density.data.shape
    transform = np.fft.fftshift(sf.fftn(density.data))
    part = tuple(slice(n // 2 - m // 2, n // 2 - m // 2 + m) for n, m in zip(shape, sides))
    small = sf.ifftn(np.fft.ifftshift(transform[part])).real * (np.prod(sides) / np.prod(shape))
    size = density.voxel_size * shape[0] / sides[0]
    places = np.meshgrid(*[np.arange(m) * (n / m) for n, m in zip(shape, sides)], indexing="ij")
    cut = ndimage.map_coordinates(mask.astype(np.float32), places, order=1, mode="nearest") > 0.5
    return replace(_copy(density), data=small.astype(np.float32), voxel_size=size), cut
