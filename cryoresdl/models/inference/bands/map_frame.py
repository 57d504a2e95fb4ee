"""The orientation in which the local network looks at a map: its own, not its file's.

A convolution answers differently when a map is turned by 90 degrees or mirrored, by more than 0.1 A. So the axes are put
into an order and a direction that the density itself tells, and the answer is put back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence, Tuple

import numpy as np

from ...maps.density_map import mask_box


@dataclass(frozen=True)
class MapFrame:
    """An order and a direction of the axes; everything is a view, so that nothing is copied.

    Attributes:
        order: axis of the file that becomes z, y and x.
        flipped: axes, counted after that, that run backwards.
    """

    order: Tuple[int, ...] = (0, 1, 2)
    flipped: Tuple[int, ...] = ()

    def view(self, volume: np.ndarray) -> np.ndarray:
        """A volume of the file (z, y, x) as the network looks at it; writing into the view writes into the volume."""
        return np.flip(np.transpose(volume, self.order), self.flipped)


def frame_of(volumes: Sequence[np.ndarray], mask: np.ndarray) -> MapFrame:
    """The axes by the spread of the squared contrast inside the mask, narrowest first, each towards its longer tail.

    Rotations by 90 degrees and mirrors move the frame with the map; scale, level and sign of a volume do not count. Where
    two spreads are equal, as in a molecule of cubic symmetry, noise decides, which moves with the map as well.

    Args:
        volumes: float32 (z, y, x): the map, or both half maps.
        mask: bool (z, y, x), not empty.
    """
    box = mask_box(mask)
    inside = mask[box]
    weights = np.zeros(inside.shape, np.float32)
    for volume in volumes:
        values = volume[box][inside]
        values = values - np.float32(values.mean(dtype=np.float64))
        values *= values
        weights[inside] += values / max(np.float32(values.mean(dtype=np.float64)), np.finfo(np.float32).tiny)
    spreads, tails = [], []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        profile = weights.sum(axis=others, dtype=np.float64)
        total = float(profile.sum())
        if total <= 0:
            return MapFrame()
        places = np.arange(profile.size)
        away = places - float(profile @ places) / total
        spreads.append(float(profile @ away**2))
        tails.append(float(profile @ away**3))
    order = tuple(int(axis) for axis in np.argsort(spreads, kind="stable"))
    return MapFrame(order, tuple(place for place, axis in enumerate(order) if tails[axis] < 0))
