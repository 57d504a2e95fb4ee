"""A density map with its voxel size and origin."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import List, Optional, TypedDict

import numpy as np

from ..base.runs.atomic_files import PathLike


@dataclass
class DensityMap:
    """A map in memory.

    Attributes:
        data: float32 array (z, y, x), C-contiguous.
        voxel_size: edge of the cubic voxel in A.
        origin: header origin (x, y, z) in A.
        nstart: header start indices (x, y, z) in voxels.
        path: the file it came from, or None.
        warnings: sentences for the user about quirks that were put right.
        doubts: sentences about why no claim on this map can be judged, such as an impossible voxel size.
    """

    data: np.ndarray
    voxel_size: float
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    nstart: tuple[int, int, int] = (0, 0, 0)
    path: str | None = None
    warnings: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)

    @property
    def nyquist(self) -> float:
        """The finest resolution that the sampling can carry: two voxels, in A."""
        return 2.0 * self.voxel_size

    def offset(self) -> tuple[float, float, float]:
        """Position (x, y, z) of voxel (0, 0, 0) in A.

        MRC2014 gives the origin fields to programs that use them and nstart to those that do not. When the
        origin is set it is the position; otherwise nstart times the voxel size is (as ChimeraX does).
        """
        if any(self.origin):
            return self.origin
        x, y, z = (start * self.voxel_size for start in self.nstart)
        return (x, y, z)


class MaskInfo(TypedDict, total=False):
    """Where a mask comes from and how large it is; of one made from the map also how.

    Attributes:
        source: ``given`` or ``auto``.
        voxels: inside.
        warnings: sentences for the user.
        doubts: sentences about why no claim can be judged with it.
        method: ``threshold``, or ``nonzero`` where an earlier mask was left.
        lowpass_A: the map was low-passed at so many A for it.
        threshold: of the low-passed map, in its own units, like the next two.
        background: of the low-passed map.
        noise: standard deviation of the background.
        contrast: peak of the low-passed map over its background, in standard deviations.
        inverted: the map's contrast is inverted.
    """

    source: str
    voxels: int
    warnings: List[str]
    doubts: List[str]
    method: str
    lowpass_A: float
    threshold: float
    background: float
    noise: float
    contrast: Optional[float]
    inverted: bool


def mask_box(mask: np.ndarray, margin: int = 0) -> tuple[slice, ...]:
    """The bounding box (z, y, x) of what is True in a mask, not empty, with a margin inside the volume."""
    box = []
    for axis, length in enumerate(mask.shape):
        used = np.flatnonzero(mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        box.append(slice(max(int(used[0]) - margin, 0), min(int(used[-1]) + 1 + margin, length)))
    return tuple(box)


def plain_path(path: PathLike) -> str:
    """The path as the file system knows it: Scipion's ``:mrc`` and the like dropped.

    A file whose real name ends in such a suffix wins.
    """
    text = os.fspath(path)
    if isinstance(text, bytes):
        text = os.fsdecode(text)
    short = re.sub(r":(mrcs?|map|ccp4|st)$", "", text)
    return short if short != text and not os.path.lexists(text) else text
