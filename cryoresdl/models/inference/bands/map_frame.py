"""How the local network looks at a map: along axes and from a place that the density tells, not its file.

A convolution answers differently when a map is turned by 90 degrees, mirrored or moved by a voxel, by more than 0.1 A. So
the axes are put into an order and a direction that the density itself tells, padding is left out, a molecule at a face of
the box, which is periodic, comes to its middle, and the answer is put back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import List, Sequence, Tuple

import numpy as np
import scipy.fft as sf

from ...features import map_features
from ...features.band_energies import WHOLE, Region
from ...maps.density_map import mask_box
from ...maps.map_box import without_copies

_OTHERS = ((1, 2), (0, 2), (0, 1))
"""The axes beside each axis."""
EVEN = 5e-5
"""Skewness below which a molecule has no longer tail: what rounding leaves of exact symmetry."""


@dataclass(frozen=True)
class MapFrame:
    """A part of the box, an order and a direction of its axes, and a place to begin.

    Attributes:
        window: the part of the file's box that is no padding.
        order: axis of the file that becomes z, y and x.
        flipped: axes, counted after that, that run backwards.
        shift: voxels by which the volume is rolled along each axis after that.
    """

    window: Region = WHOLE
    order: Tuple[int, ...] = (0, 1, 2)
    flipped: Tuple[int, ...] = ()
    shift: Tuple[int, ...] = (0, 0, 0)

    def view(self, volume: np.ndarray) -> np.ndarray:
        """A volume of the file (z, y, x) as the network looks at it: copied only where it is rolled."""
        turned = self._turned(volume)
        return np.roll(turned, self.shift, (0, 1, 2)) if any(self.shift) else turned

    def back(self, seen: np.ndarray, shape: Tuple[int, ...]) -> np.ndarray:
        """A volume as `view` gives it on the file's box ``shape`` (z, y, x), 0 in the padding."""
        volume = np.zeros(shape, seen.dtype)
        self._turned(volume)[...] = np.roll(seen, [-move for move in self.shift], (0, 1, 2))
        return volume

    def _turned(self, volume: np.ndarray) -> np.ndarray:
        return np.flip(np.transpose(volume[self.window], self.order), self.flipped)


def frame_of(volumes: Sequence[np.ndarray], mask: np.ndarray) -> MapFrame:
    """The frame that moves with a map which is rotated by 90 degrees, mirrored, rolled or padded.

    Args:
        volumes: float32 (z, y, x): the map, or both half maps.
        mask: bool (z, y, x), not empty.
    """
    window = _without_padding(volumes, mask)
    frame = replace(_axes([volume[window] for volume in volumes], mask[window]), window=window)
    turned = frame.view(mask)
    shift = (_shift(*extent, length) for extent, length in zip(_extents(turned), turned.shape))
    return replace(frame, shift=tuple(shift))


def _without_padding(volumes: Sequence[np.ndarray], mask: np.ndarray) -> Region:
    """The box without the padding that all volumes share and that the mask leaves out."""
    window: Region = tuple(slice(0, n) for n in mask.shape)
    for step in (lambda volume, _: without_copies(volume), map_features.filled_box):
        boxes = [step(volume[window], mask[window]) for volume in volumes]
        if boxes[0] == WHOLE or any(box != boxes[0] for box in boxes):
            continue
        inner = tuple(slice(a.start + b.start, a.start + b.stop) for a, b in zip(window, boxes[0]))
        if mask[inner].sum() == mask.sum():
            window = inner
    return window


def _shift(first: int, reach: int, length: int) -> int:
    """The roll along one axis that lets the mask's margin lie in the box: to the middle where it does not."""
    margin = map_features.REGION_MARGIN
    room = margin + sf.next_fast_len(reach + 2 * margin, real=True) - (reach + 2 * margin)
    if first >= room and first + reach + room <= length:
        return 0
    return (length - reach) // 2 - first


def _extents(mask: np.ndarray) -> List[Tuple[int, int]]:
    """First plane and number of planes of a mask along each axis; over the faces where it reaches both, as if rolled."""
    found = []
    for others in _OTHERS:
        used = mask.any(axis=others)
        places = np.flatnonzero(used)
        if used[0] and used[-1] and places.size < used.size:
            places = np.roll(places, -int(np.argmax(np.diff(places))) - 1)
        found.append((int(places[0]), int(places[-1] - places[0]) % used.size + 1))
    return found


def _axes(volumes: Sequence[np.ndarray], mask: np.ndarray) -> MapFrame:
    """The axes by the spread of the squared contrast inside the mask, narrowest first, each towards its longer tail.

    Rotations by 90 degrees and mirrors move the axes with the map; scale, level and sign of a volume do not count. Where
    two spreads are equal, as in a molecule of cubic symmetry, noise decides, which moves with the map as well. Molecules
    with two-fold axes have no tails: there, the mixed third moment tells the hand, and turns by those axes change nothing.
    """
    box = mask_box(mask)
    inside = mask[box]
    weights = np.zeros(inside.shape, np.float32)
    for volume in volumes:
        values = volume[box][inside]
        values = values - np.float32(values.mean(dtype=np.float64))
        values *= values
        weights[inside] += values / max(np.float32(values.mean(dtype=np.float64)), np.finfo(np.float32).tiny)
    spreads, skews, ways = [], [], []
    for others, edge, (first, _) in zip(_OTHERS, box, _extents(mask)):
        profile = np.roll(weights.sum(axis=others, dtype=np.float64), edge.start - first)
        total = float(profile.sum())
        if total <= 0:
            return MapFrame()
        places = np.arange(profile.size)
        away = places - float(profile @ places) / total
        spreads.append(float(profile @ away**2))
        skews.append(float(profile @ away**3) / max(spreads[-1] ** 1.5 / total**0.5, np.finfo(float).tiny))
        ways.append(np.roll(away, first - edge.start).astype(np.float32))
    signs = [1 if abs(skew) < EVEN or skew > 0 else -1 for skew in skews]
    even = [axis for axis, skew in enumerate(skews) if abs(skew) < EVEN]
    if even and float(ways[0] @ ((weights @ ways[2]) @ ways[1])) * np.prod(signs) < 0:
        signs[max(even, key=lambda axis: spreads[axis])] = -1
    order = tuple(int(axis) for axis in np.argsort(spreads, kind="stable"))
    return MapFrame(order=order, flipped=tuple(place for place, axis in enumerate(order) if signs[axis] < 0))
