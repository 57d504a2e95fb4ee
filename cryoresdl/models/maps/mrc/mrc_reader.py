"""Density maps and volumes of values: read and check. Every check of a bad map lives here, once.

Arrays are float32 in (z, y, x) order, whatever the file's axis order was; lengths are in angstroms.
The MRC/CCP4 conventions are those of MRC2014 (Cheng et al., 2015) and of mrcfile's documentation.
"""

from __future__ import annotations

import gzip
import math
import os
import zlib

import numpy as np

from ...base.errors import InputError
from ...base.runs.atomic_files import PathLike, shown
from ..density_map import DensityMap, plain_path
from .mrc_header import (
    HEADER_BYTES,
    NOT_MRC,
    UNEQUAL_EDGES,
    _Header,
    _read_header,
    bytes_after,
    no_extended_header,
)
from .mrc_stream import _open, _read_up_to, _Stream

VOXEL_SIZE_RANGE_A = (0.05, 45.0)
ANISOTROPY_TOLERANCE = 0.01
LARGEST_DENSITY = 1e15
SMALLEST_DENSITY = 1e-15
"""Densities outside this span overflow or vanish when squared in float32; they come from damaged files."""
FINEST_VOXEL_A = 0.3
"""No camera and microscope give finer voxels; a smaller number is in nanometres or made up."""
PLACEHOLDER_VOXEL_A = 1.0
"""What programs write when they know no voxel size."""
SECTIONS_RELATED = 0.6
"""Sections of a volume are alike by at least this part of how far neighbouring columns are."""
_STACK_NAMES = (".mrcs", ".st")


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
    density = load(path, voxel_size, role, voxel_needed=True)
    _check_values(density.data, where_of(path, role))
    _doubt_voxel_size(density, voxel_size is not None, path, role)
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
    values = load(path, None, role, voxel_needed=False)
    bad = ~np.isfinite(values.data)
    if bad.any():
        values.data[bad] = 0.0
        values.warnings.append(
            f"{shown(path)}: {int(bad.sum())} voxels are NaN or infinite and count as not estimated."
        )
    if like is not None:
        check_box(path, role, values.data.shape, like)
        values.warnings += other_grid(values, like, role)
        values.voxel_size, values.origin, values.nstart = like.voxel_size, like.origin, like.nstart
    return values


def where_of(path: PathLike, role: str) -> str:
    """What a file is called in messages."""
    return f"The {role} {shown(path)}"


def load(
    path: PathLike, voxel_size: float | None, role: str, voxel_needed: bool, positive: bool = False
) -> DensityMap:
    """Read a file with every header quirk put right, but without a look at the values.

    Args:
        path: the file.
        voxel_size: A; overrides the header.
        role: what the file is to the user, for the messages.
        voxel_needed: whether a missing voxel size is an error.
        positive: whether values below 0 make no sense, as in a mask: bytes are then unsigned.

    Raises:
        InputError: missing, unreadable, damaged or truncated, no MRC volume, or without a voxel size that is needed.
    """
    where = where_of(path, role)
    plain = plain_path(path)
    try:
        with _open(plain, where) as stream:
            header = _read_header(stream, where)
            data = _read_body(stream, header, where)
            if stream.compression and header.body_bytes:
                _name_rest(stream, header, where)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{where} is a damaged archive ({error}); copy or compress it again.") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{where} cannot be read: {reason}; check the path and its permissions.") from error
    if header.dtype == np.dtype("i1") and _are_unsigned(data, header.signed, positive):
        data = data.view(np.uint8)
    if header.images:
        _check_volume(data, plain, path, where, header.warnings)
    data = _to_zyx(data.astype(np.float32, copy=False), header.axes)
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
        doubts=header.doubts,
    )


def _read_body(stream: _Stream, header: _Header, where: str) -> np.ndarray:
    """The values in the file's own axis order (sections, rows, columns) and, for bytes, in its own type."""
    extended = header.offset - HEADER_BYTES
    if stream.compression:
        before = _read_up_to(stream.file, extended)
        found = _read_up_to(stream.file, header.body_bytes)
        if extended and len(before) + len(found) == header.body_bytes:
            found = before + found
            header.warnings.append(no_extended_header(where))
        if len(found) < header.body_bytes and not header.named:
            raise InputError(NOT_MRC.format(where=where))
        if len(before) < extended and len(found) < header.body_bytes:
            raise InputError(f"{where} is truncated inside its extended header; copy it again.")
        if len(found) < header.body_bytes:
            raise InputError(
                f"{where} is truncated: {len(found)} bytes of {header.body_bytes}; copy it again."
            )
        body = np.frombuffer(found, dtype=header.dtype)
    else:
        stream.raw.seek(header.offset)
        count = math.prod(header.shape)
        body = np.fromfile(stream.raw, dtype=header.dtype, count=count)
        if body.size < count:
            raise InputError(f"{where} is truncated; copy it again.")
    with np.errstate(invalid="ignore", over="ignore"):
        kept = body if header.dtype == np.dtype("i1") else body.astype(np.float32, copy=False)
        return kept.reshape(header.shape)


def _name_rest(stream: _Stream, header: _Header, where: str) -> None:
    """Name what follows the map in an archive; the archive is checked to its end on the way."""
    rest = 0
    while rest <= header.body_bytes:
        part = len(_read_up_to(stream.file, 1 << 16))
        if not part:
            break
        rest += part
    if rest:
        count = f"{rest}" if rest <= header.body_bytes else f"more than {header.body_bytes}"
        header.warnings.append(bytes_after(where, count))


def _are_unsigned(data: np.ndarray, signed: bool | None, positive: bool) -> bool:
    """Whether bytes are unsigned where the header does not tell: neighbours then differ less than as signed ones."""
    if signed is not None or data.min() >= 0:
        return signed is False
    if positive:
        return True
    jumps = [
        int((np.abs(np.diff(each.astype(np.int16), axis=-1)) > 127).sum())
        for each in (data, data.view(np.uint8))
    ]
    return jumps[1] < jumps[0]


def _check_volume(data: np.ndarray, plain: str, path: PathLike, where: str, warnings: list[str]) -> None:
    """Whether sections that the header calls images are those of a volume, as of many programs that never set it."""
    step = max(1, data.size // 4_000_000)
    centred = data.astype(np.float32) - np.float32(data.mean(dtype=np.float64))
    power = float(np.mean(np.square(centred.ravel()[::step]), dtype=np.float64)) + 1e-30
    columns, sections = (
        float(
            np.mean(
                (np.take(centred, range(1, n), axis) * np.take(centred, range(n - 1), axis)).ravel()[::step]
            )
        )
        / power
        for axis, n in ((2, data.shape[2]), (0, data.shape[0]))
    )
    named = os.fspath(path) if isinstance(path, (str, os.PathLike)) else ""
    stack = str(named).endswith((":mrcs", ":st")) or plain.lower().endswith(_STACK_NAMES)
    if stack or (columns > 0.2 and sections < SECTIONS_RELATED * columns):
        raise InputError(
            f"{where} is a stack of {data.shape[0]} images; give the map that was reconstructed from them."
        )
    warnings.append(
        f"{where} is flagged as a stack of images in its header; its sections are read as one volume."
    )


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
    sizes = " x ".join(f"{edge:.5g}" for edge in edges)
    if needed and max(edges) - min(edges) > ANISOTROPY_TOLERANCE * mean:
        raise InputError(
            f"{where} has voxels of {sizes} A; resample it to cubic voxels or give --voxel-size."
        )
    if needed and max(edges) - min(edges) > UNEQUAL_EDGES * mean:
        header.warnings.append(f"{where} has voxels of {sizes} A, not cubes; their mean is taken.")
    return _tidy(mean)


def _doubt_voxel_size(density: DensityMap, given: bool, path: PathLike, role: str) -> None:
    """Name a voxel size that no cryo-EM map has, or that programs write when they know none."""
    voxel = density.voxel_size
    if voxel < FINEST_VOXEL_A:
        unit = f" (in nanometres it would be {10 * voxel:.4g} A)" if 10 * voxel >= FINEST_VOXEL_A else ""
        density.doubts.append(
            f"{where_of(path, role)} has {voxel:.4g} A per voxel, finer than any cryo-EM map{unit}: "
            "give --voxel-size in A."
        )
    elif voxel == PLACEHOLDER_VOXEL_A and not given and role == "map":
        density.warnings.append(
            f"{where_of(path, role)} says exactly 1 A per voxel, as programs also write when they do not know; every "
            "answer scales with it: give --voxel-size if it is another."
        )


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


def check_box(path: PathLike, role: str, shape: tuple[int, ...], like: DensityMap) -> None:
    """Refuse a volume of another box than the map's.

    Raises:
        InputError: the boxes differ.
    """
    if tuple(shape) != tuple(like.data.shape):
        theirs = " x ".join(str(n) for n in reversed(shape))
        ours = " x ".join(str(n) for n in reversed(like.data.shape))
        raise InputError(
            f"{where_of(path, role)} has another box ({theirs} voxels) than the map ({ours}); "
            "give one on its grid."
        )


def other_grid(other: DensityMap, like: DensityMap, role: str) -> list[str]:
    """Sentences about a volume of the map's box that says another voxel size or place.

    A voxel size of 1 A and the origin 0 are no statement: many programs write nothing else.

    Args:
        other: as its file says.
        like: the map.
        role: what ``other`` is to the user.
    """
    where, found = where_of(other.path or "", role), []
    here, there = like.voxel_size, other.voxel_size
    if there != PLACEHOLDER_VOXEL_A and abs(there - here) > ANISOTROPY_TOLERANCE * here:
        found.append(
            f"{where} says {there:.4g} A per voxel and the map {here:.4g} A: one of the headers is wrong, or it belongs "
            "to another map; the map's is taken."
        )
    place, ours = other.offset(), like.offset()
    if any(place) and max(abs(a - b) for a, b in zip(place, ours)) > here:
        text = [", ".join(f"{x:.1f}" for x in each) for each in (place, ours)]
        found.append(
            f"{where} lies at {text[0]} A (x, y, z) and the map at {text[1]} A; they are laid over each other voxel by "
            "voxel."
        )
    return found
