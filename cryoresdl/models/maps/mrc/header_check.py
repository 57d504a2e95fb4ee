"""What a map's header alone tells, for forms: they answer at once and leave the reading of maps to the run."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass

from ...base.errors import InputError
from ...base.runs.atomic_files import PathLike, shown
from ..density_map import plain_path
from .mrc_header import _read_header
from .mrc_stream import _open


@dataclass(frozen=True)
class MapHeader:
    """What a form needs of a header.

    Attributes:
        box: voxels along x, y, z.
        voxel_size: mean of the voxel's edges in A, 0 where the header has none.
    """

    box: tuple[int, int, int]
    voxel_size: float


def check_header(path: PathLike, role: str = "map") -> MapHeader:
    """Refuse what its header, length or place already show to be no map; no density is read.

    Args:
        path: the file.
        role: what the file is to the user ("map", "half map"), for the messages.

    Raises:
        InputError: missing, unreadable, not an MRC file, truncated, a stack or an image.
    """
    where = f"The {role} {shown(path)}"
    try:
        with _open(plain_path(path), where) as stream:
            header = _read_header(stream, where)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{where} is a damaged archive ({error}); copy or compress it again.") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{where} cannot be read: {reason}; check the path and its permissions.") from error
    sides = [0, 0, 0]
    for place, axis in enumerate(header.axes):
        sides[axis] = header.shape[2 - place]
    return MapHeader((sides[0], sides[1], sides[2]), sum(header.voxel) / 3)
