"""Density maps: read, check, write, mask. Every check of a bad map lives here, once.

Arrays are float32 in (z, y, x) order, whatever the file's axis order was; lengths are in angstroms.
The MRC/CCP4 conventions are those of MRC2014 (Cheng et al., 2015) and of mrcfile's documentation.
"""

from __future__ import annotations

import gzip
import math
import zlib

import numpy as np

from ..base.atomic_files import PathLike, shown
from ..base.errors import InputError
from .density_map import DensityMap, plain_path
from .mrc_header import HEADER_BYTES, _Header, _read_header
from .mrc_stream import _open, _read_exactly, _skip, _Stream

VOXEL_SIZE_RANGE_A = (0.05, 45.0)
ANISOTROPY_TOLERANCE = 0.01
LARGEST_DENSITY = 1e15
SMALLEST_DENSITY = 1e-15
"""Densities outside this span overflow or vanish when squared in float32; they come from damaged files."""
SOFT_MASK_LEVEL = 0.5
"""A mask is what reaches this part of the mask's maximum (soft edges are cut at half height)."""


def read(path: PathLike, voxel_size: float | None = None, role: str = "map") -> DensityMap:
    """Read a density map.

    Reads MRC/CCP4/MAP files (plain, gzip or bzip2, either byte order), modes int8, int16, uint16, float16 and
    float32; permuted axes are put in (z, y, x) order. Scipion's ``:mrc`` suffix is dropped.

    Args:
        path: the file.
        voxel_size: A; overrides the header (and is needed where the header has none).
        role: what the file is to the user ("map", "half map"), for the messages.

    Returns:
        The map, with ``warnings`` about what was put right.

    Raises:
        InputError: missing or unreadable, not an MRC file, truncated, complex, a stack or an image, holding
            NaN or infinities, constant, with no, an absurd or an anisotropic voxel size, or too large for the
            memory.
    """
    density = _load(path, voxel_size, role, voxel_needed=True)
    _check_values(density.data, _where(path, role))
    return density


def read_values(
    path: PathLike, like: DensityMap | None = None, role: str = "local-resolution volume"
) -> DensityMap:
    """Read a volume of values in A, such as MonoRes', ResMap's or RELION's local resolution.

    A constant or zero volume is allowed, and NaN or infinite voxels become 0 ("not estimated") with a
    warning. With ``like``, the voxel size and origin are those of ``like``: MonoRes writes 1 A and no origin
    whatever the map had.

    Args:
        path: the file.
        like: the map that the values belong to; its box is checked.
        role: what the file is to the user, for the messages.

    Raises:
        InputError: unreadable (see `read`), or of another box than ``like``.
    """
    values = _load(path, None, role, voxel_needed=False)
    bad = ~np.isfinite(values.data)
    if bad.any():
        values.data[bad] = 0.0
        values.warnings.append(
            f"{shown(path)}: {int(bad.sum())} voxels are NaN or infinite and count as not estimated."
        )
    if like is not None:
        _check_box(path, role, values.data.shape, like)
        values.voxel_size, values.origin, values.nstart = like.voxel_size, like.origin, like.nstart
    return values


MASK_RINGING = 0.25
"""A resampled mask may ring below 0 by less than this part of its maximum; a density map falls further."""


def read_mask(path: PathLike, like: DensityMap, role: str = "mask") -> np.ndarray:
    """Read a mask on the grid of ``like``.

    Soft masks are cut at half of their maximum (`SOFT_MASK_LEVEL`).

    Returns:
        bool array (z, y, x).

    Raises:
        InputError: unreadable (see `read`), of another box, holding NaN, empty, or a density map.
    """
    mask = _load(path, None, role, voxel_needed=False).data
    _check_box(path, role, mask.shape, like)
    top = float(mask.max())
    if not math.isfinite(top) or not math.isfinite(float(mask.min())):
        raise InputError(f"{_where(path, role)} holds NaN or infinite voxels; make the mask again.")
    if top <= 0:
        raise InputError(f"{_where(path, role)} is empty (no voxel above 0); give another mask or none.")
    bottom = float(mask.min())
    if bottom < -MASK_RINGING * top:
        raise InputError(
            f"{_where(path, role)} holds values from {bottom:.3g} to {top:.3g}: that is a density map, not a mask (0 "
            "outside the molecule, above 0 inside); make a mask of it or give none."
        )
    return mask >= SOFT_MASK_LEVEL * top


def _where(path: PathLike, role: str) -> str:
    return f"The {role} {shown(path)}"


def _load(path: PathLike, voxel_size: float | None, role: str, voxel_needed: bool) -> DensityMap:
    where = _where(path, role)
    plain = plain_path(path)
    try:
        with _open(plain, where) as stream:
            header = _read_header(stream, where)
            data = _read_body(stream, header, where)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{where} is a damaged archive ({error}); copy or compress it again.") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{where} cannot be read: {reason}; check the path and its permissions.") from error
    data = _to_zyx(data, header.axes)
    voxel = _voxel_size(header, voxel_size, where, voxel_needed)
    nstart = [0, 0, 0]
    for place, axis in enumerate(header.axes):
        nstart[axis] = header.nstart[place]
    return DensityMap(
        data=data,
        voxel_size=voxel,
        origin=header.origin,
        nstart=(nstart[0], nstart[1], nstart[2]),
        path=plain,
        warnings=header.warnings,
    )


def _read_body(stream: _Stream, header: _Header, where: str) -> np.ndarray:
    if stream.compression:
        _skip(stream.file, header.offset - HEADER_BYTES, where)
        body = np.frombuffer(_read_exactly(stream.file, header.body_bytes, where), dtype=header.dtype)
    else:
        stream.raw.seek(header.offset)
        count = math.prod(header.shape)
        body = np.fromfile(stream.raw, dtype=header.dtype, count=count)
        if body.size < count:
            raise InputError(f"{where} is truncated; copy it again.")
    with np.errstate(invalid="ignore", over="ignore"):
        return body.astype(np.float32, copy=False).reshape(header.shape)


def _to_zyx(data: np.ndarray, axes: tuple[int, int, int]) -> np.ndarray:
    columns, rows, sections = axes
    held = [2 - sections, 2 - rows, 2 - columns]
    order = [held.index(axis) for axis in range(3)]
    return np.ascontiguousarray(data.transpose(order))


def _voxel_size(header: _Header, given: float | None, where: str, needed: bool) -> float:
    low, high = VOXEL_SIZE_RANGE_A
    edges = header.voxel
    mean = sum(edges) / 3
    if given is not None:
        if not (math.isfinite(given) and low <= given <= high):
            raise InputError(
                f"The voxel size {given:g} A is impossible; give one between {low:g} and {high:g} A."
            )
        if mean > 0 and abs(mean - given) > ANISOTROPY_TOLERANCE * given:
            header.warnings.append(f"{where} says {mean:.4g} A per voxel; the given {given:.4g} A is used.")
        return float(given)
    if not needed and not (low <= min(edges) and max(edges) <= high):
        return 1.0
    if all(edge == 0 for edge in edges):
        raise InputError(f"{where} has voxel size 0 in its header; give --voxel-size in A.")
    if min(edges) <= 0 or not low <= mean <= high:
        sizes = " x ".join(f"{edge:.3g}" for edge in edges)
        raise InputError(f"{where} has the impossible voxel size {sizes} A; give --voxel-size in A.")
    if needed and max(edges) - min(edges) > ANISOTROPY_TOLERANCE * mean:
        sizes = " x ".join(f"{edge:.4g}" for edge in edges)
        raise InputError(
            f"{where} has voxels of {sizes} A; resample it to cubic voxels or give --voxel-size."
        )
    return _tidy(mean)


def _tidy(voxel: float) -> float:
    """Undo the float32 rounding of cell / samples: 1.3199999 is 1.32."""
    rounded = round(voxel, 5)
    return rounded if abs(rounded - voxel) <= 3e-7 * voxel else voxel


def _check_values(data: np.ndarray, where: str) -> None:
    low, high = float(data.min()), float(data.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        bad = int(data.size - np.isfinite(data).sum())
        raise InputError(f"{where} holds {bad} NaN or infinite voxels; repair or reconstruct it again.")
    if low == high:
        raise InputError(f"{where} is constant (every voxel is {low:g}); give a map with density.")
    top = max(abs(low), abs(high))
    if top > LARGEST_DENSITY:
        raise InputError(
            f"{where} holds densities up to {top:.3g}: it is damaged; write it again or rescale it."
        )
    if top < SMALLEST_DENSITY or high - low < 1e-6 * top:
        raise InputError(f"{where} is practically constant ({low:g} to {high:g}); rescale it.")


def _check_box(path: PathLike, role: str, shape: tuple[int, ...], like: DensityMap) -> None:
    if tuple(shape) != tuple(like.data.shape):
        theirs = " x ".join(str(n) for n in reversed(shape))
        ours = " x ".join(str(n) for n in reversed(like.data.shape))
        raise InputError(
            f"{_where(path, role)} has another box ({theirs} voxels) than the map ({ours}); "
            "give one on its grid."
        )
