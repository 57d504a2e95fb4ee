"""Writes volumes as MRC files, whole or not at all."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...base.runs.atomic_files import PathLike, atomic_path
from ..density_map import DensityMap

_BLOCK = 1 << 16
"""Voxels that are counted at a time: they stay in the processor's cache."""


def write_volume(path: PathLike, data: np.ndarray, like: DensityMap) -> None:
    """Write a volume atomically on the grid of ``like``: its voxel size, origin and start indices.

    Args:
        path: the file to appear; written whole or not at all.
        data: array (z, y, x); bool and int8 become mode 0, anything else float32 (mode 2).
        like: the map that gives voxel size, origin and nstart.

    Raises:
        InputError: the folder cannot be written to, or the disk is full.
    """
    import mrcfile

    kind = np.int8 if data.dtype in (np.dtype(bool), np.dtype(np.int8)) else np.float32
    with atomic_path(path) as temporary:
        with mrcfile.new(str(temporary), overwrite=True) as out:
            # mrcfile's own statistics pass over the volume many times; they take longer than the writing.
            out.update_header_stats = lambda: _set_statistics(out.header, out.data)
            out.set_data(np.ascontiguousarray(data, dtype=kind))
            out.set_volume()
            out.voxel_size = like.voxel_size
            out.header.origin.x, out.header.origin.y, out.header.origin.z = like.origin
            out.header.nxstart, out.header.nystart, out.header.nzstart = like.nstart
            # mrcfile stamps the time in the label; equal inputs are to give equal bytes.
            out.header.nlabl = 1
            out.header.label[:] = b""
            out.header.label[0] = b"CryoResDL"


def _set_statistics(header: Any, data: np.ndarray) -> None:
    """Write least, greatest and mean value and standard deviation (``rms``) into a header, in one pass.

    Each block's mean and squares about it are joined in double precision.

    Args:
        header: of mrcfile.
        data: int8 or float32, contiguous.
    """
    flat, buffer = data.reshape(-1), np.empty(_BLOCK, np.float32)
    sizes, means, squares, least, greatest = [], [], [], [], []
    for start in range(0, flat.size, _BLOCK):
        block = flat[start : start + _BLOCK]
        least.append(block.min())
        greatest.append(block.max())
        around = buffer[: block.size]
        np.copyto(around, block)
        middle = float(around.mean())
        around -= middle
        sizes.append(block.size)
        means.append(middle)
        squares.append(float(np.dot(around, around)))
    mean = float(np.average(means, weights=sizes))
    spread = np.sum(squares) + np.dot(sizes, np.square(np.subtract(means, mean)))
    header.dmin, header.dmax = np.min(least), np.max(greatest)
    header.dmean, header.rms = mean, np.sqrt(spread / flat.size)
