"""A mask of the molecule from the map alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .density_map import DensityMap, MaskInfo, mask_box
from .map_box import without_border, without_copies

MASK_LOWPASS_A = 10.0
"""The automatic mask is made from the map low-passed to this, or to four voxels if that is coarser."""
MASK_SIGMAS = 2.5
"""Threshold above the background, in robust standard deviations of the low-passed background ..."""
MASK_PEAK_PART = 0.18
"""... but at least this part of the low-passed peak (99.9th percentile), for maps with little or no noise."""
MASK_CLOSE_A = 6.0
MASK_GROW_A = 4.0
"""Gaps up to twice the first are closed, and the mask grows by the second: solvent belongs to no residue, but
the density of a residue at low resolution reaches further than its contour."""
MASK_PART_OF_LARGEST = 0.1
"""Blobs smaller than this part of the largest are noise."""
MASKED_PART = 0.1
"""A map that holds one and the same value in more than this part of its box was masked before."""
MASK_SOLID_PART = 0.5
"""What an earlier mask left is solid: at least this part of it is wider than two (binned) voxels each way."""
TIGHT_PART = 0.6
"""When the molecule fills this part of what an earlier mask left, that mask was tight and is kept ..."""
TIGHT_RIM = 0.1
"""... and so it is when the density at its rim reaches this part of the peak: it cut the molecule."""
ROUND_PART = 0.75
"""A region that fills this part of the ellipsoid in its bounding box is a particle-diameter mask, not a molecule's."""
ALONE, LARGEST_MOVE = 0.15, 0.125
"""A molecule alone in its box stands out by this part, at least, of the first harmonic of the squared density, and it was
put to the middle: what lies farther off, in parts of the box, was cut out."""
_WORK_BOX = 160
_INVERTED = 1.5


@dataclass(frozen=True)
class LowPassedMap:
    """A map as the automatic mask sees it: binned where that loses nothing, levelled and low-passed.

    Attributes:
        values: float32 on the binned grid (z, y, x).
        factor: voxels of the map per binned voxel, along each axis.
        voxel_size: of the binned grid, in A.
        cutoff_A: where the low-pass halves the amplitude.
        shape: of the map itself (z, y, x).
        start: where the first whole binned voxel begins (z, y, x), in voxels of the map.
    """

    values: np.ndarray
    factor: int
    voxel_size: float
    cutoff_A: float
    shape: tuple[int, ...]
    start: tuple[int, ...] = (0, 0, 0)

    def whole(self) -> np.ndarray:
        """The low-passed map on the map's own grid, float32 (z, y, x)."""
        return _interpolated(self.values, self.factor, self.shape, self.start)

    def above(self, threshold: float) -> np.ndarray:
        """The mask of a threshold: specks dropped, gaps and holes closed, grown; bool (z, y, x) on the map's own grid."""
        found = _grown(_large_blobs(self.values > threshold), self.voxel_size)
        return _unbinned(found, self)


def low_passed(density: DensityMap) -> LowPassedMap:
    """Low-pass a map for its mask, after taking back what sharpening has raised."""
    from scipy import ndimage

    factor = _bin_factor(density)
    voxel = density.voxel_size * factor
    cutoff = max(MASK_LOWPASS_A, 4 * density.voxel_size)
    # A Gaussian whose Fourier transform is 1/2 at the cut-off.
    sigma = cutoff / (2 * math.pi) * math.sqrt(2 * math.log(2)) / voxel
    start = _anchor(density.data, factor)
    binned = _unsharpened(_binned(density.data, factor, start))
    smooth = ndimage.gaussian_filter(binned, sigma, mode="nearest", truncate=3.0)
    return LowPassedMap(smooth, factor, voxel, cutoff, tuple(density.data.shape), start)


def _anchor(data: np.ndarray, factor: int) -> tuple[int, ...]:
    """Where binning begins along each axis: told by the voxel farthest from the mean, so that it moves with the map."""
    if factor == 1:
        return (0, 0, 0)
    level = np.float32(data.mean(dtype=np.float64))
    peak = np.unravel_index(
        int(max(data.argmax(), data.argmin(), key=lambda p: abs(data.flat[p] - level))), data.shape
    )
    starts = []
    for axis, place in enumerate(int(p) for p in peak):
        line = data[tuple(slice(None) if a == axis else int(p) for a, p in enumerate(peak))]
        if factor % 2:
            begin = place - factor // 2
        else:
            below, above = (
                abs(float(line[p] - level)) if 0 <= p < line.size else -1.0 for p in (place - 1, place + 1)
            )
            begin = place + 1 if above >= below else place
        starts.append(begin % factor)
    return tuple(starts)


def auto_mask(density: DensityMap) -> tuple[np.ndarray, MaskInfo]:
    """Find the molecule.

    The map is binned where that loses nothing, what sharpening has raised above the lower frequencies is taken back,
    and it is low-passed (`MASK_LOWPASS_A`). It is cut at `MASK_SIGMAS` robust standard deviations above the
    background, which is measured at the rim of the box (or at the rim of what an earlier mask left), and at
    `MASK_PEAK_PART` of the peak at least. Small blobs are dropped, gaps closed (`MASK_CLOSE_A`), holes filled, and
    the result grows by `MASK_GROW_A`. If the map was cut out before (many exact zeros), what is left is the mask,
    unless it is a mere sphere or box that the molecule does not fill. No chance is involved: equal maps give equal
    masks.

    Args:
        density: the map.

    Returns:
        bool array (z, y, x), and how it was made.
    """
    whole = without_copies(density.data)
    window = without_border(density.data[whole])
    part = DensityMap(np.ascontiguousarray(density.data[whole][window]), density.voxel_size)
    low_pass = low_passed(part)
    shift = _centring_shift(part.data, low_pass)
    if any(shift):
        part = DensityMap(np.roll(part.data, shift, (0, 1, 2)), density.voxel_size)
        low_pass = low_passed(part)
    support = _earlier_mask(part.data, low_pass)
    found, info = _found(low_pass, support)
    mask = np.zeros(density.data.shape, bool)
    mask[whole][window] = np.roll(_unbinned(found, low_pass), [-move for move in shift], (0, 1, 2))
    if not mask.any():
        mask[:] = True
    info.update({"source": "auto", "voxels": int(mask.sum()), "lowpass_A": low_pass.cutoff_A})
    return mask, info


def _centring_shift(data: np.ndarray, low_pass: LowPassedMap) -> tuple[int, ...]:
    """Voxels by which a roll brings a molecule to the middle of the box, which it may have left by a few.

    The centre is told by the first harmonic, so that it moves by whole voxels with a rolled map: reconstruction programs
    make the box periodic.
    """
    square = (low_pass.values - low_pass.values.mean()) ** 2
    shift = []
    for axis, length in enumerate(data.shape):
        others = tuple(a for a in range(3) if a != axis)
        profile = square.sum(axis=others, dtype=np.float64)
        alone = abs(_harmonic(profile)) > ALONE * profile.sum()
        # Half-way between the faces, so that it mirrors with the map; inverted contrast lies half a box away.
        turn = np.angle(_harmonic(data.sum(axis=others, dtype=np.float64))) / (2 * np.pi)
        move = round((length - 1) / 2 - length * (turn - round(2 * turn - 1) / 2))
        shift.append(move if alone and abs(move) < LARGEST_MOVE * length else 0)
    return tuple(shift)


def _harmonic(profile: np.ndarray) -> complex:
    """First Fourier coefficient of a profile along the box."""
    return complex(profile @ np.exp(2j * np.pi * np.arange(profile.size) / profile.size))


def _found(low_pass: LowPassedMap, support: np.ndarray) -> tuple[np.ndarray, MaskInfo]:
    """The molecule on the binned grid, inside what an earlier mask left, and how it was found."""
    smooth = low_pass.values
    warnings: list[str] = []
    values = smooth[support]
    low, middle, high = (float(q) for q in np.percentile(values, (0.1, 50.0, 99.9)))
    inverted = middle - low > _INVERTED * (high - middle)
    if inverted:
        smooth, low, middle, high = -smooth, -high, -middle, -low
        warnings.append("The contrast seems inverted (the molecule is darker than the background).")
    background, noise = _background(smooth, support)
    threshold = max(background + MASK_SIGMAS * noise, background + MASK_PEAK_PART * (high - background))
    found = _grown(_large_blobs((smooth > threshold) & support), low_pass.voxel_size)
    method = "threshold"
    if not support.all():
        found &= support
        tight = found.sum() >= TIGHT_PART * support.sum() or background > TIGHT_RIM * high
        if tight or not _roundish(support):
            found, method = support, "nonzero"
    if not found.any():
        found, method = support, "nonzero"
        warnings.append("No molecule stands out from the noise: the whole box is taken; give a mask.")
    return found, {
        "method": method,
        "threshold": -threshold if inverted else threshold,
        "background": -background if inverted else background,
        "noise": noise,
        "contrast": round((high - background) / noise, 2) if method == "threshold" and noise > 0 else None,
        "inverted": bool(inverted),
        "warnings": warnings,
    }


SEEN_VOXEL_A, SEEN_BOX = 8.0, 48
"""What stands out in a map is looked for on a grid about so coarse, and of so many voxels at most."""
STANDS_OUT = 6.0
"""Standard deviations of the background at which density stands out."""


def part_inside(density: DensityMap, mask: np.ndarray) -> float | None:
    """The part of what stands out in a map that lies inside a mask, looked at coarsely.

    Args:
        density: the map.
        mask: bool (z, y, x).

    Returns:
        0 to 1; None where too little stands out to tell.
    """
    factor = max(1, int(SEEN_VOXEL_A / density.voxel_size), math.ceil(max(mask.shape) / SEEN_BOX))
    factor = max(1, min(factor, min(mask.shape) // 8))
    coarse = _binned(density.data, factor)
    level = float(np.median(coarse))
    away = coarse - level
    low, high = (float(q) for q in np.percentile(away, (0.1, 99.9)))
    if -low > _INVERTED * high:
        away, high = -away, -low
    noise = 1.4826 * float(np.median(np.abs(away)))
    strong = away > max(STANDS_OUT * noise, MASK_PEAK_PART * high)
    if strong.sum() < 20:
        return None
    inside = _binned(mask.astype(np.float32), factor)
    return float((away * inside)[strong].sum() / away[strong].sum())


def _bin_factor(density: DensityMap) -> int:
    """Voxels of a quarter of the low-pass carry it; boxes that stay large are binned further, for speed."""
    lossless = int(MASK_LOWPASS_A / 4 / density.voxel_size)
    return max(1, lossless, math.ceil(max(density.data.shape) / _WORK_BOX / 1.25))


def _binned(data: np.ndarray, factor: int, begin: tuple[int, ...] = (0, 0, 0)) -> np.ndarray:
    """Means over cubes of ``factor`` voxels, the first whole one from ``begin`` on; those at the faces may be smaller."""
    if factor == 1:
        return data
    for axis in range(3):
        size = data.shape[axis]
        starts = np.arange(begin[axis], size, factor)
        if begin[axis]:
            starts = np.concatenate([[0], starts])
        counts = np.diff(starts, append=size).astype(np.float32)
        shape = [1, 1, 1]
        shape[axis] = -1
        data = np.add.reduceat(data, starts, axis=axis) / counts.reshape(shape)
    return data


def _unsharpened(data: np.ndarray) -> np.ndarray:
    """The map with a radial amplitude that does not rise with frequency; float32 (z, y, x).

    Molecules scatter less the higher the frequency. Where a sharpened map has more, it is noise, and after strong
    sharpening so much that it passes any low-pass and hides the molecule.
    """
    import scipy.fft as sf

    transform = sf.rfftn(data - data.mean(), workers=2)
    axes = [sf.fftfreq(n) for n in data.shape[:2]] + [sf.rfftfreq(data.shape[2])]
    radius = np.sqrt(axes[0][:, None, None] ** 2 + axes[1][None, :, None] ** 2 + axes[2][None, None, :] ** 2)
    shells = max(4, min(data.shape) // 2)
    index = np.minimum((radius * 2 * shells).astype(np.int32), shells)
    count = np.bincount(index.ravel(), minlength=shells + 1)
    power = np.bincount(index.ravel(), (np.abs(transform) ** 2).ravel(), minlength=shells + 1)
    power = power / np.maximum(count, 1) + 1e-30
    level = power.copy()
    for k in range(3, shells + 1):
        # The median of the shells below: single dips, which every molecule has, do not count.
        level[k] = min(power[k], float(np.median(level[1:k])))
    weight = np.sqrt(level / power).astype(np.float32)
    transform *= weight[index]
    return sf.irfftn(transform, s=data.shape, workers=2, overwrite_x=True).astype(np.float32)


_COMMONEST_SAMPLE = 200_000


def commonest_value(values: np.ndarray) -> tuple[float, float]:
    """The value that most voxels share, and their part (of a sample of large arrays).

    What an earlier mask left outside it: 0, or another number where grey values were normalised afterwards.

    Args:
        values: of any shape, not empty.
    """
    flat = values.ravel()
    found, counts = np.unique(flat[:: max(1, flat.size // _COMMONEST_SAMPLE)], return_counts=True)
    most = int(counts.argmax())
    return float(found[most]), float(counts[most] / counts.sum())


def _earlier_mask(data: np.ndarray, low_pass: LowPassedMap) -> np.ndarray:
    """Where an earlier mask left density, on the binned grid; all True when there was none."""
    from scipy import ndimage

    value, _ = commonest_value(data)
    kept = data != np.float32(value)
    if 1 - kept.mean() <= MASKED_PART:
        return np.ones(low_pass.values.shape, bool)
    support = _binned(kept.astype(np.float32), low_pass.factor, low_pass.start) >= 0.5
    solid = ndimage.binary_opening(support, iterations=2)
    # One value strewn all over the box is density that was cut there, not a mask.
    if solid.sum() < MASK_SOLID_PART * support.sum() or not support.any():
        return np.ones_like(support)
    return ndimage.binary_fill_holes(support)


def _roundish(support: np.ndarray) -> bool:
    """Whether a region fills most of the ellipsoid in its bounding box, as a particle-diameter mask does."""
    extent = np.prod([float(edge.stop - edge.start) for edge in mask_box(support)])
    return bool(support.sum() > ROUND_PART * np.pi / 6 * extent)


def _background(smooth: np.ndarray, support: np.ndarray) -> tuple[float, float]:
    """Level and robust standard deviation of the background.

    Taken at the rim of the support, or over all of it where that gives the lower threshold (the rim may cut
    through the molecule).
    """
    from scipy import ndimage

    rim = support & ~ndimage.binary_erosion(support, iterations=2)
    answers = []
    for region in (rim, support):
        values = smooth[region]
        level = float(np.median(values))
        answers.append((level, 1.4826 * float(np.median(np.abs(values - level)))))
    return min(answers, key=lambda pair: pair[0] + MASK_SIGMAS * pair[1])


def _large_blobs(mask: np.ndarray) -> np.ndarray:
    from scipy import ndimage

    labels, number = ndimage.label(mask)
    if number < 2:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return (sizes >= MASK_PART_OF_LARGEST * sizes.max())[labels]


def _grown(mask: np.ndarray, voxel: float) -> np.ndarray:
    """Close gaps, fill holes and grow, by Euclidean distances within the bounding box of the mask."""
    from scipy import ndimage

    if not mask.any():
        return mask
    margin = math.ceil((MASK_CLOSE_A + MASK_GROW_A) / voxel) + 1
    box = mask_box(mask)
    padded = np.pad(mask[box], margin)
    wide = ndimage.distance_transform_edt(~padded) * voxel <= MASK_CLOSE_A + MASK_GROW_A
    # Shrinking the wide mask by the closing radius alone leaves it grown by the rest.
    grown = ndimage.binary_fill_holes(ndimage.distance_transform_edt(wide) * voxel > MASK_CLOSE_A)
    result = np.zeros_like(mask)
    target, source = [], []
    for part, size in zip(box, mask.shape):
        start, stop = max(0, part.start - margin), min(size, part.stop + margin)
        target.append(slice(start, stop))
        source.append(slice(start - part.start + margin, stop - part.start + margin))
    result[tuple(target)] = grown[tuple(source)]
    return result


def _unbinned(mask: np.ndarray, low_pass: LowPassedMap) -> np.ndarray:
    """The binned mask on the full grid: linear between the centres of the cubes, cut at one half."""
    if low_pass.factor == 1:
        return mask
    return _interpolated(mask.astype(np.float32), low_pass.factor, low_pass.shape, low_pass.start) >= 0.5


def _interpolated(
    values: np.ndarray, factor: int, shape: tuple[int, ...], begin: tuple[int, ...]
) -> np.ndarray:
    """Values of the binned grid on the full one, linear between the centres of the cubes."""
    if factor == 1:
        return values
    for axis, size in enumerate(shape):
        last = values.shape[axis] - 1
        first = begin[axis] - factor if begin[axis] else 0
        place = np.clip((np.arange(size) - first - (factor - 1) / 2) / factor, 0, last)
        below = np.minimum(place.astype(int), max(0, last - 1))
        part = (place - below).astype(np.float32)
        form = [1, 1, 1]
        form[axis] = -1
        part = part.reshape(form)
        above = np.minimum(below + 1, last)
        values = np.take(values, below, axis) * (1 - part) + np.take(values, above, axis) * part
    return values
