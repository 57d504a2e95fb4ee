"""The same map as others might have given it: another mask, sharpening, filter, sampling or voxel size."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Callable, Dict, List, Tuple

import numpy as np
import scipy.fft as sf
from scipy import ndimage

from ..features import map_features
from ..features.band_energies import fourier_crop
from ..inference import local_resolution
from ..inference.bands.map_frame import MapFrame, frame_of
from ..inference.local_resolution import SeenMap
from ..maps.density_map import DensityMap, mask_box
from ..maps.fsc.fourier_shells import frequency_grid
from ..maps.local_filter import low_pass

MASK_STEP_A = 4.0
SMALLEST_MASK = 500
"""Voxels that a shrunk mask must hold."""
B_STEP_A2 = 50.0
VOXEL_STEP = 0.02
ROOM_AROUND = map_features.REGION_MARGIN / 2
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
        see: gives the changed map as the networks see it.
    """

    group: str
    name: str
    see: Callable[[], SeenMap]


def variants_of(
    density: DensityMap,
    mask: np.ndarray,
    claimed_A: float | None,
    estimate_A: float | None,
    halves: Tuple[DensityMap, DensityMap] | None = None,
    soft_mask: np.ndarray | None = None,
) -> List[MapVariant]:
    """The changes that a map is audited with; those that would leave nothing are left out.

    With half maps the answer is theirs: what is done to the map itself does not change it, mask and voxel size do.

    What variants have in common is done once: the transform of the map, and the bands of the map as it is, which other
    masks and voxel sizes leave as they are.

    Args:
        density: the map.
        mask: bool (z, y, x).
        claimed_A: A, or None.
        estimate_A: A, or None where none was made.
        halves: its half maps, or None.
        soft_mask: float32 (z, y, x), the mask with its soft edge for their FSC, or None.
    """
    if halves is not None:
        frame = frame_of([half.data for half in halves], mask)
        return _as_it_is(density, mask, frame, halves, soft_mask)
    frame = frame_of([density.data], mask)

    def seen(changed: DensityMap, its_mask: np.ndarray = mask) -> SeenMap:
        # A resampled map has another box.
        own = None if changed.data.shape != density.data.shape else frame
        return local_resolution.see_map(changed, [its_mask], own)[0]

    spectrum = lru_cache(1)(lambda: sf.rfftn(density.data, workers=2))
    found = _as_it_is(density, mask, frame)
    for words, b_factor in (("sharpened", -B_STEP_A2), ("blurred", B_STEP_A2)):
        found.append(
            MapVariant(
                "sharpening",
                f"{words} by {B_STEP_A2:g} A^2",
                lambda b_factor=b_factor: seen(with_b_factor(density, b_factor, spectrum())),  # type: ignore[misc]
            )
        )
    if claimed_A is not None and claimed_A > density.nyquist:
        words = f"low-passed at the claim of {claimed_A:g} A"
        found.append(MapVariant("low-pass", words, lambda: seen(filtered(density, claimed_A, spectrum()))))
    sides = tuple(2 * max(8, round(COARSER * n / 2)) for n in density.data.shape)
    voxel = density.voxel_size * density.data.shape[0] / sides[0]
    cubic = len({a / b for a, b in zip(density.data.shape, sides)}) == 1
    if cubic and estimate_A is not None and 2 * voxel * ROOM < estimate_A:
        words = f"resampled to {voxel:.2f} A"
        found.append(
            MapVariant("sampling", words, lambda: seen(*resampled(density, mask, sides, spectrum())))
        )
    return found


def _as_it_is(
    density: DensityMap,
    mask: np.ndarray,
    frame: MapFrame,
    halves: Tuple[DensityMap, DensityMap] | None = None,
    soft_mask: np.ndarray | None = None,
) -> List[MapVariant]:
    """The changes that leave every voxel as it is: of the mask and of the voxel size."""
    step = MASK_STEP_A / density.voxel_size
    masks = {"": mask, f"mask grown by {MASK_STEP_A:g} A": grown(mask, step)}
    small = grown(mask, -step)
    if small.sum() >= SMALLEST_MASK:
        masks[f"mask shrunk by {MASK_STEP_A:g} A"] = small

    @lru_cache(1)
    def looks() -> Dict[str, SeenMap]:
        # The region is that of the map as given, unless the grown mask would not fit into it.
        names = sorted(masks, key=lambda name: "grown" not in name) if step > ROOM_AROUND else list(masks)
        soft = [None if name else soft_mask for name in names]
        ordered = [masks[name] for name in names]
        found = local_resolution.see_map(_copy(density), ordered, frame, halves, soft)
        return dict(zip(names, found))

    def resized(ratio: float) -> SeenMap:
        changed = replace(_copy(density), voxel_size=density.voxel_size * ratio)
        given = looks()[""]
        features = map_features.with_voxel_size(given.features, ratio)
        measured = None if given.halves is None else given.halves.with_voxel_size(ratio)
        return SeenMap(changed, mask, frame, features, measured)

    found = [MapVariant("mask", name, lambda name=name: looks()[name]) for name in masks if name]  # type: ignore[misc]
    for sign in (1, -1):
        ratio = 1 + sign * VOXEL_STEP
        words = f"voxel size {100 * sign * VOXEL_STEP:+g} %"
        found.append(MapVariant("voxel size", words, lambda ratio=ratio: resized(ratio)))  # type: ignore[misc]
    return found


def _copy(density: DensityMap) -> DensityMap:
    return replace(density, warnings=[], doubts=[])


def grown(mask: np.ndarray, voxels: float) -> np.ndarray:
    """A mask grown (or, below 0, shrunk) by so many voxels."""
    box = mask_box(mask, math.ceil(abs(voxels)) + 1)
    result = np.zeros_like(mask)
    if voxels >= 0:
        result[box] = ndimage.distance_transform_edt(~mask[box]) <= voxels
    else:
        result[box] = ndimage.distance_transform_edt(mask[box]) > -voxels
    return result


def with_b_factor(density: DensityMap, b_factor: float, transform: np.ndarray | None = None) -> DensityMap:
    """A map whose amplitudes are multiplied by exp(-B/4 f^2): sharpened below 0, blurred above (A^2).

    ``transform`` is its ``rfftn`` where that is at hand.
    """
    frequency = frequency_grid(density.data.shape) / np.float32(density.voxel_size)
    return _multiplied(density, np.exp(np.float32(-b_factor / 4) * frequency**2), transform)


def filtered(density: DensityMap, resolution_A: float, transform: np.ndarray | None = None) -> DensityMap:
    """A map low-passed at a resolution in A; ``transform`` is its ``rfftn`` where that is at hand."""
    frequency = frequency_grid(density.data.shape) / np.float32(density.voxel_size)
    return _multiplied(density, low_pass(frequency, resolution_A), transform)


def _multiplied(density: DensityMap, gain: np.ndarray, transform: np.ndarray | None) -> DensityMap:
    whole = sf.rfftn(density.data, workers=2) if transform is None else transform
    data = sf.irfftn(whole * gain, density.data.shape, workers=2, overwrite_x=True)
    return replace(_copy(density), data=data)


def resampled(
    density: DensityMap, mask: np.ndarray, sides: Tuple[int, ...], transform: np.ndarray | None = None
) -> Tuple[DensityMap, np.ndarray]:
    """A map on coarser voxels, its Fourier transform cropped, and its mask beside it.

    ``transform`` is the map's ``rfftn`` where that is at hand.
    """
    shape = density.data.shape
    whole = sf.rfftn(density.data, workers=2) if transform is None else transform
    small = sf.irfftn(fourier_crop(whole, shape, sides), sides, workers=2, overwrite_x=True)
    small *= np.float32(np.prod(sides) / np.prod(shape))
    size = density.voxel_size * shape[0] / sides[0]
    places = np.meshgrid(
        *[np.arange(m, dtype=np.float32) * (n / m) for n, m in zip(shape, sides)], indexing="ij"
    )
    cut = ndimage.map_coordinates(mask.astype(np.float32), places, order=1, mode="nearest") > 0.5
    return replace(_copy(density), data=small.astype(np.float32, copy=False), voxel_size=size), cut
