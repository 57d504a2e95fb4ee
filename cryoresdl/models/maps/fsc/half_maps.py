"""Two half maps made comparable, and what speaks against them: other scales, filters, masks, shared noise."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import List, Optional, Tuple

import numpy as np
from scipy import ndimage

from . import fourier_shells

SCALE_TOLERANCE = 0.05
"""Half maps whose scales differ by more than this part are brought to one before they are used."""
OFFSET_TOLERANCE = 0.05
"""The same for their background levels, in standard deviations ..."""
COMMON_OFFSET = 1.0
"""... and for the level that both share."""
SCALE_FSC = 0.8
"""The scale is read off the shells where the half maps agree at least so well ..."""
FIRST_SCALE_SHELL = 2
"""... from this one on: coarser shells tell of the mask and the background."""
FILTER_LOG2, FILTER_SHELLS = 2.0, 4
"""Spectra that differ by so many powers of two of power over so many shells: one half map was filtered."""
MASKED_HALF_PART = 0.2
"""Emptied parts of the background that differ by more: one half map was masked."""
EMPTY_INSIDE = 0.02
"""Half maps that are empty in a larger part of the mask were masked inside it."""
TIGHT_NOISE = 0.25
"""The noise just outside the mask over that inside; below this the half maps were masked tightly."""
_NEAR = (3.0, 6.0)
ALIKE_BACKGROUND = 0.5
"""Independent half maps correlate by about 0 outside the molecule."""
LEAST_LIKENESS = 0.5
"""A map that was made from its half maps, however filtered, agrees with their mean better than this in some shells."""
EMPTY_BALL = 0.05
"""More empty background inside the ball that the box holds: both half maps were masked (corners may be empty)."""
EMPTY_POWER, NOISY_UP_TO = 1e-3, 0.45
"""Noise below this part of its upper quartile over the shells, from fewer cycles per voxel on, was filtered away."""


@dataclass
class HalfMaps:
    """A pair on one grey scale, and what was found of it.

    Attributes:
        first: float32 (z, y, x), the whole box.
        second: as ``first``, brought to its scale and background.
        cutoff_A: resolution at which their FSC inside the mask falls to 0.143.
        background_correlation: see `fourier_shells.background_correlation`.
        likeness: of their mean and the map, see `fourier_shells.likeness`.
        warnings: what was put right.
        doubts: why their FSC cannot be trusted.
    """

    first: np.ndarray
    second: np.ndarray
    cutoff_A: float = 0.0
    background_correlation: Optional[float] = None
    likeness: Optional[float] = None
    warnings: List[str] = field(default_factory=list)
    doubts: List[str] = field(default_factory=list)

    def mean(self) -> np.ndarray:
        """What is looked at: (z, y, x)."""
        return (self.first + self.second) / 2

    def difference(self) -> np.ndarray:
        """Half of the difference, whose energy is the noise of the mean: (z, y, x)."""
        return (self.first - self.second) / 2


def matched_half_maps(
    data: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    mask: np.ndarray,
    region: Tuple[slice, ...],
    voxel_size: float,
) -> HalfMaps:
    """Bring a pair to one grey scale and measure it.

    Pairs that agree within the tolerances are left as they are, bit by bit.

    Args:
        data: float32 (z, y, x), the map.
        first: half map of the same box.
        second: the other one.
        mask: bool (z, y, x).
        region: the part of the box that is looked at.
        voxel_size: A.
    """
    # A turned map is a view, whose transforms take twice as long.
    inside = np.ascontiguousarray(mask[region])
    pair = HalfMaps(first, second)
    _match_offsets(pair, inside, region)
    soft = fourier_shells.soft_edge(inside, max(3.0, 3.0 / voxel_size))
    a, b = (np.ascontiguousarray(half[region]) for half in (pair.first, pair.second))
    shells = fourier_shells.half_map_shells(a, b, soft)
    scale = _match_scales(pair, shells)
    frequency, fsc = shells.frequency, shells.fsc() * np.sign(scale)
    pair.cutoff_A = float(voxel_size / fourier_shells.first_crossing(frequency[1:], fsc[1:]))
    if scale != 1.0:
        b = np.ascontiguousarray(pair.second[region])
    pair.background_correlation = fourier_shells.background_correlation(a, b, inside)
    pair.likeness = fourier_shells.likeness(data[region], (a + b) / 2, inside)
    _doubt_masks(pair, a, b, inside)
    if not pair.doubts and _filtered(shells, scale):
        pair.doubts.append(
            "The half maps' spectra differ: one of them was filtered or sharpened, or is much noisier, so that their "
            "FSC and their difference tell nothing; give both as the reconstruction wrote them."
        )
    return pair


def _match_offsets(pair: HalfMaps, inside: np.ndarray, region: Tuple[slice, ...]) -> None:
    """Take off background levels that differ, or that lie far from 0."""
    step = max(1, inside.size // 500_000)
    outside = ~inside.ravel()[::step]
    if not outside.any():
        return
    values = [each[region].ravel()[::step] for each in (pair.first, pair.second)]
    levels = [float(np.mean(each[outside], dtype=np.float64)) for each in values]
    spreads = [float(np.std(each, dtype=np.float64)) + 1e-30 for each in values]
    # In their own units: scales that differ are no other levels, nor is opposite contrast.
    own = [level / spread for level, spread in zip(levels, spreads)]
    apart = min(abs(own[0] - own[1]), abs(own[0] + own[1])) > OFFSET_TOLERANCE
    if not apart and max(map(abs, own)) <= COMMON_OFFSET:
        return
    pair.first = pair.first - np.float32(levels[0])
    pair.second = pair.second - np.float32(levels[1])
    if apart:
        pair.warnings.append(
            f"The half maps have other background levels ({levels[0]:.3g} and {levels[1]:.3g}); these were taken off."
        )


def _match_scales(pair: HalfMaps, shells: fourier_shells.HalfMapShells) -> float:
    """Bring the second half map to the scale of the first; return its scale, negative for inverted contrast."""
    fsc = shells.fsc()
    alike = np.abs(fsc) >= SCALE_FSC
    alike[:FIRST_SCALE_SHELL] = False
    if not alike.any():
        return 1.0
    sign = float(np.sign(shells.cross[alike].sum()))
    scale = sign * float(np.sqrt(shells.second[alike].sum() / max(shells.first[alike].sum(), 1e-30)))
    if abs(scale - 1) <= SCALE_TOLERANCE or scale == 0:
        return 1.0
    pair.second = pair.second / np.float32(scale)
    if sign < 0:
        pair.warnings.append("The half maps have opposite contrast: the second one was inverted before use.")
    if abs(abs(scale) - 1) > SCALE_TOLERANCE:
        pair.warnings.append(
            f"The half maps have other grey scales: the second one was divided by {abs(scale):.3g} before use."
        )
    return scale


def _filtered(shells: fourier_shells.HalfMapShells, scale: float) -> bool:
    """Whether several neighbouring shells up to 0.45 cycles per voxel have much more power in one half map."""
    first, second = shells.first / shells.count, shells.second / shells.count / scale**2
    floor = 1e-8 * max(first.max(), second.max())
    ratio = np.log2((second + floor) / (first + floor))[FIRST_SCALE_SHELL:][
        shells.frequency[FIRST_SCALE_SHELL:] < 0.45
    ]
    if ratio.size < FILTER_SHELLS:
        return False
    means = np.convolve(ratio, np.full(FILTER_SHELLS, 1 / FILTER_SHELLS), "valid")
    return bool(np.abs(means).max() > FILTER_LOG2)


def _doubt_masks(pair: HalfMaps, a: np.ndarray, b: np.ndarray, inside: np.ndarray) -> None:
    """Name half maps of which one was masked, or both so tightly that their FSC holds the mask's own correlation."""
    outside = ~inside
    if outside.mean() < 0.02:
        return
    bare = [_empty(each) for each in (a, b)]
    empty = [float(np.mean(each[outside[_LATER]])) for each in bare]
    if abs(empty[0] - empty[1]) > MASKED_HALF_PART:
        pair.doubts.append(
            f"One of the half maps is masked and the other is not ({100 * empty[0]:.0f} and {100 * empty[1]:.0f} % of the "
            "background are empty): their difference is no noise; give both unmasked."
        )
        return
    part = float((bare[0] & bare[1])[inside[_LATER]].mean()) if inside[_LATER].any() else 0.0
    if part > EMPTY_INSIDE:
        pair.doubts.append(
            f"The half maps are empty in {100 * part:.0f} % of the mask: they were masked, and the mask reaches beyond; "
            "give them unmasked, or a mask of what is left."
        )
        return
    if min(empty) < MASKED_HALF_PART:
        return
    distance = ndimage.distance_transform_edt(outside).astype(np.float32)
    near = (distance > _NEAR[0]) & (distance <= _NEAR[1])
    if near.sum() < 100:
        return
    noise = [float(np.std((a - b)[part], dtype=np.float64)) for part in (near, inside)]
    if noise[0] < TIGHT_NOISE * noise[1]:
        pair.doubts.append(
            "The half maps are masked tightly around the molecule: their FSC holds the mask's own correlation, and there "
            "is no noise beside the molecule; give them unmasked."
        )


_LATER = (slice(1, None),) * 3
"""The voxels that `_empty` tells of."""


def _empty(data: np.ndarray) -> np.ndarray:
    """Whether a voxel and its seven earlier neighbours (z, y, x) hold one value: bool, without each axis' first plane.

    Two neighbours alone are often equal by chance in a map of whole numbers.
    """
    flat = data[..., 1:] == data[..., :-1]
    flat = flat[:, 1:] & flat[:, :-1] & (data[:, 1:, 1:] == data[:, :-1, 1:])
    return flat[1:] & flat[:-1] & (data[1:, 1:, 1:] == data[:-1, 1:, 1:])


def inverted(likeness: Optional[float]) -> bool:
    """Whether the map has the opposite contrast of its half maps."""
    return likeness is not None and likeness < -0.5


def alterations(half1: np.ndarray, half2: np.ndarray, mask: np.ndarray, voxel_size: float) -> List[str]:
    """Sentences about what was done to both half maps alike that should be as the reconstruction wrote them.

    Args:
        half1: float32 (z, y, x), the whole box.
        half2: the same.
        mask: bool (z, y, x), the molecule.
        voxel_size: A.
    """
    found = []
    squares = [((np.arange(n) - n // 2) / (0.49 * n)) ** 2 for n in mask.shape]
    radius = np.sqrt(squares[0][:, None, None] + squares[1][:, None] + squares[2], dtype=np.float32)
    background = ((radius < 1) & ~mask)[_LATER]
    empty = (
        [float(np.mean(_empty(each)[background])) for each in (half1, half2)] if background.any() else [0.0]
    )
    if max(empty) > EMPTY_BALL:
        found.append(f"The half maps are masked: {100 * max(empty):.0f} % of their background is empty.")
    # The faces of the box would leak into the shells that a filter has emptied.
    window = np.cos(np.minimum(radius, 1) * np.float32(np.pi / 2)) ** 2
    shells = fourier_shells.half_map_shells(half1, half2, window)
    noise = (shells.first + shells.second - 2 * shells.cross) / shells.count
    level = float(np.percentile(noise[FIRST_SCALE_SHELL:], 75))
    last = float(shells.frequency[np.flatnonzero(noise >= EMPTY_POWER * level)[-1]])
    if last < NOISY_UP_TO:
        found.append(
            f"The half maps are filtered: beyond {voxel_size / last:.2f} A no noise is left in them."
        )
    return found
