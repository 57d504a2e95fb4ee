"""Masks from files: soft, of bytes, of several labels, or with hot voxels; nothing is cut in silence."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from ...base.errors import InputError
from ...base.runs.atomic_files import PathLike
from ..density_map import DensityMap
from .mrc_reader import PLACEHOLDER_VOXEL_A, check_box, load, other_grid, where_of

SOFT_MASK_LEVEL = 0.5
"""A mask is what reaches this part of its plateau (soft edges are cut at half height)."""
MASK_RINGING = 0.25
"""A resampled mask may ring below 0 by less than this part of its maximum; a density map falls further."""
LEAST_PLATEAU = 0.005
"""A value is a plateau when this part of all flat voxels above 0, or more, have it: labels are, hot voxels are not."""
HOT = 1.5
"""A maximum so many times higher than nearly all of the mask is that of hot voxels."""
CLIPPED_PART, PEAKED = 0.05, 0.75
"""A density map without its negative values: less than the first part of what is above 0 reaches half height; or, where
nothing is flat, what does lies below the second part of the height."""
LARGEST_LABEL = 50
_LOOKED_AT = 4_000_000
NAMED_PART = 1 / 3
"""So little left of what lies above 0 is said."""


def read_mask(path: PathLike, like: DensityMap) -> np.ndarray:
    """Read a mask on the grid of ``like``.

    Soft masks are cut at half of their height (`SOFT_MASK_LEVEL`). All labels of a segmentation count, a few hot voxels
    do not raise the level, and a background above 0 is taken off. What was decided, what was cut and a grid other than the
    map's are named in ``like.warnings``.

    Args:
        path: the file.
        like: the map that the mask belongs to.

    Returns:
        bool array (z, y, x).

    Raises:
        InputError: unreadable (see `mrc_reader.read`), of another box, holding NaN, empty, or a density map.
    """
    found = load(path, None, "mask", voxel_needed=False, positive=True)
    data, where = found.data, where_of(path, "mask")
    check_box(path, "mask", data.shape, like)
    top, bottom = float(data.max()), float(data.min())
    if not math.isfinite(top) or not math.isfinite(bottom):
        raise InputError(f"{where} holds NaN or infinite voxels; make the mask again.")
    if top <= 0:
        raise InputError(f"{where} is empty (no voxel above 0); give another mask or none.")
    if bottom < -MASK_RINGING * top:
        raise InputError(
            f"{where} holds values from {bottom:.3g} to {top:.3g}: that is a density map, not a mask (0 "
            "outside the molecule, above 0 inside); make a mask of it or give none."
        )
    warnings = found.warnings + other_grid(found, like, "mask")
    if like.voxel_size == PLACEHOLDER_VOXEL_A != found.voxel_size:
        like.doubts.append(
            f"The map says exactly 1 A per voxel and the mask {found.voxel_size:.4g} A: give --voxel-size in A."
        )
    if 0 < bottom < top:
        data -= np.float32(bottom)
        top -= bottom
        warnings.append(f"{where} is nowhere 0: its lowest value, {bottom:.3g}, is taken as outside.")
    mask = _cut(data, top, where, warnings)
    like.warnings += [text for text in warnings if text not in like.warnings]
    return mask


def _cut(data: np.ndarray, top: float, where: str, warnings: list[str]) -> np.ndarray:
    """The mask at half of its height; what that leaves out is named."""
    levels = _plateaus(data)
    height = min(levels) if levels else top
    if not levels:
        # No flat part: the height is that of nearly all of the upper half, however high single voxels are.
        usual = float(np.percentile(data[data > 0], 99))
        usual = float(np.percentile(data[data > 0.02 * usual], 99))
        if top > HOT * usual:
            height = usual
    level = SOFT_MASK_LEVEL * height
    if top <= LARGEST_LABEL and bool((np.rint(data) == data).all()):
        numbers = np.flatnonzero(np.bincount(np.maximum(data, 0).astype(np.uint8).ravel()))
        levels, level = numbers[numbers > 0].tolist(), 0.5  # labels: the smallest part counts, too
    mask = data >= np.float32(level)
    above, kept = int((data > 0.02 * height).sum()), int(mask.sum())
    _refuse_density(data, mask, height if not levels else None, above, where)
    if len(levels) > 1:
        warnings.append(
            f"{where} holds several values or labels ({_listed(levels)}); all of them are inside."
        )
    elif top > HOT * height:
        hot = int((data > HOT * height).sum())
        warnings.append(
            f"{where} has {hot} voxels far above the rest (up to {top:.3g}); its height is taken as {height:.3g}."
        )
    if kept < NAMED_PART * above:
        warnings.append(
            f"{where} is cut at half of its height, {level:.3g}: {above - kept} of {above} voxels above 0 are left out; "
            "give it with 1 inside and 0 outside to keep them."
        )
    return mask


def _refuse_density(data: np.ndarray, mask: np.ndarray, peak: float | None, above: int, where: str) -> None:
    """Refuse a density map without its negative values; ``peak`` is its height where nothing in it is flat."""
    part = float(mask.sum()) / above
    peaked = peak is not None and part < NAMED_PART and float(np.median(data[mask])) < PEAKED * peak
    if part < CLIPPED_PART or peaked:
        raise InputError(
            f"{where} is a density map without its negative values, not a mask: {100 * part:.1f} % of what is above "
            "0 reaches half of its height; make a mask of it or give none."
        )


def _plateaus(data: np.ndarray) -> list[float]:
    """The values that flat parts of a mask have, without those of a few voxels only; ascending.

    Every section is looked at with those beside it, of large masks not every one.
    """
    found = []
    for z in range(1, data.shape[0] - 1, max(1, round(data.size / _LOOKED_AT))):
        slab = data[z - 1 : z + 2]
        high, low = ndimage.maximum_filter(slab.max(0), 3), ndimage.minimum_filter(slab.min(0), 3)
        found.append(high[(low > 0) & (high == low)])
    flat = np.concatenate(found) if found else np.empty(0)
    if not flat.size:
        return []
    values, counts = np.unique(flat, return_counts=True)
    return [float(value) for value in values[counts >= LEAST_PLATEAU * flat.size]]


def _listed(levels: list[float]) -> str:
    shown = [f"{level:.4g}" for level in levels]
    return ", ".join(shown if len(shown) < 8 else [*shown[:6], "...", shown[-1]])
