"""Writes volumes as MRC files, whole or not at all."""

from __future__ import annotations

import numpy as np

from ...base.runs.atomic_files import PathLike, atomic_path
from ..density_map import DensityMap


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
            out.set_data(np.ascontiguousarray(data, dtype=kind))
            out.set_volume()
            out.voxel_size = like.voxel_size
            out.header.origin.x, out.header.origin.y, out.header.origin.z = like.origin
            out.header.nxstart, out.header.nystart, out.header.nzstart = like.nstart
            # mrcfile stamps the time in the label; equal inputs are to give equal bytes.
            out.header.nlabl = 1
            out.header.label[:] = b""
            out.header.label[0] = b"CryoResDL"
