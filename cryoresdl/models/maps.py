"""Density maps: read, check, write, mask. Every check of a bad map lives here, once.

Arrays are float32 in (z, y, x) order, whatever the file's axis order was; lengths are in angstroms.
The MRC/CCP4 conventions are those of MRC2014 (Cheng et al., 2015) and of mrcfile's documentation.
"""

from __future__ import annotations

import bz2
import gzip
import io
import math
import os
import re
import stat
import zlib
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np

from .errors import InputError
from .files import PathLike, atomic_path, shown
from .machine import require_memory

HEADER_BYTES = 1024
MIN_BOX = 4
"""Fewer voxels along an axis than this cannot hold a resolution."""
VOXEL_SIZE_RANGE_A = (0.05, 45.0)
ANISOTROPY_TOLERANCE = 0.01
LARGEST_DENSITY = 1e15
SMALLEST_DENSITY = 1e-15
"""Densities outside this span overflow or vanish when squared in float32; they come from damaged files."""
SOFT_MASK_LEVEL = 0.5
"""A mask is what reaches this part of the mask's maximum (soft edges are cut at half height)."""

_MODES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}
_COMPLEX_MODES = (3, 4)
_DEFLATE_BEST_RATIO = 1040
_IMOD_STAMP = 1146047817
_CHUNK = 1 << 22


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
    """

    data: np.ndarray
    voxel_size: float
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    nstart: tuple[int, int, int] = (0, 0, 0)
    path: str | None = None
    warnings: list[str] = field(default_factory=list)

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


@dataclass
class _Header:
    """What the 1024 bytes say, in the file's own axis order (columns, rows, sections)."""

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    offset: int
    axes: tuple[int, int, int]
    voxel: tuple[float, float, float]
    origin: tuple[float, float, float]
    nstart: tuple[int, int, int]
    warnings: list[str]

    @property
    def body_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


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


def write(path: PathLike, data: np.ndarray, like: DensityMap) -> None:
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


def plain_path(path: PathLike) -> str:
    """The path as the file system knows it: Scipion's ``:mrc`` and the like dropped.

    A file whose real name ends in such a suffix wins.
    """
    text = os.fspath(path)
    if isinstance(text, bytes):
        text = os.fsdecode(text)
    if not os.path.lexists(text):
        text = re.sub(r":(mrcs?|map|ccp4|st)$", "", text)
    return text


# --------------------------------------------------------------------------------------------- reading


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


class _Stream:
    """A file opened for reading, unpacked on the way if it is gzip or bzip2 by its first bytes."""

    def __init__(self, raw: BinaryIO, size: int):
        self.raw, self.size = raw, size
        magic = raw.read(3)
        raw.seek(0)
        self.compression = "gzip" if magic[:2] == b"\x1f\x8b" else "bzip2" if magic == b"BZh" else ""
        self.file: Any = raw
        if self.compression == "gzip":
            self.file = gzip.GzipFile(fileobj=raw)
        elif self.compression == "bzip2":
            self.file = bz2.BZ2File(raw)

    def __enter__(self) -> _Stream:
        return self

    def __exit__(self, *_: object) -> None:
        if self.file is not self.raw:
            self.file.close()
        self.raw.close()


def _open(path: str, where: str) -> _Stream:
    if "\0" in path:
        raise InputError(f"{where} has a NUL character in its name; check the path.")
    if re.match(r"\d+@", os.path.basename(path)) and not os.path.lexists(path):
        raise InputError(f"{where} is one item of a stack; extract it to a map of its own first.")
    status = os.stat(path)
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{where} is a folder; give a map file.")
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{where} is not a regular file; give a map file.")
    if status.st_size == 0:
        raise InputError(f"{where} is empty (0 bytes); copy it again.")
    return _Stream(open(path, "rb"), status.st_size)


def _read_header(stream: _Stream, where: str) -> _Header:
    from mrcfile.dtypes import HEADER_DTYPE

    raw = stream.file.read(HEADER_BYTES)
    if len(raw) < HEADER_BYTES:
        raise InputError(f"{where} is not an MRC file: it ends after {len(raw)} bytes; give an MRC/CCP4 map.")
    named = raw[208:211] == b"MAP"
    order = _byte_order(raw, where)
    head = np.frombuffer(raw, dtype=HEADER_DTYPE.newbyteorder(order))[0]
    warnings: list[str] = []
    mode = int(head["mode"])
    if not named:
        # Files older than MRC2000 have no 'MAP ' word: believed only when their length agrees to the byte.
        if stream.compression or not _fits_exactly(head, mode, stream.size):
            raise InputError(f"{where} is not an MRC file; give an MRC/CCP4 map (plain, .gz or .bz2).")
        warnings.append(f"{where} has an old header without the word MAP.")
    if mode in _COMPLEX_MODES:
        raise InputError(
            f"{where} holds complex numbers (mode {mode}), a transform; give the real-space map."
        )
    if mode not in _MODES:
        raise InputError(f"{where} has the unknown data mode {mode}; convert it to 32-bit floats (mode 2).")
    shape = (int(head["nz"]), int(head["ny"]), int(head["nx"]))
    _check_dimensions(shape, head, where)
    extended = int(head["nsymbt"])
    if extended < 0:
        raise InputError(f"{where} is damaged: its extended header has {extended} bytes; copy it again.")
    header = _Header(
        shape=shape,
        dtype=_data_type(mode, order, raw),
        offset=HEADER_BYTES + extended,
        axes=_axes(head, where, warnings),
        voxel=_header_voxel(head, where, warnings),
        origin=_header_origin(head, where, warnings),
        nstart=(int(head["nxstart"]), int(head["nystart"]), int(head["nzstart"])),
        warnings=warnings,
    )
    _check_length(header, stream, where)
    return header


def _byte_order(raw: bytes, where: str) -> str:
    """'<' or '>': the order in which mode and dimensions make sense; the machine stamp breaks ties."""
    stamped = {b"DD": "<", b"DA": "<", b"\x11\x11": ">"}.get(raw[212:214], "<")
    other = ">" if stamped == "<" else "<"
    for order in (stamped, other):
        nx, ny, nz, mode = np.frombuffer(raw[:16], dtype=order + "i4").tolist()
        if 0 <= mode <= 101 and min(nx, ny, nz) > 0:
            return order
    raise InputError(f"{where} is not an MRC file, or is damaged; give an MRC/CCP4 map (plain, .gz or .bz2).")


def _fits_exactly(head: Any, mode: int, size: int) -> bool:
    if mode not in _MODES:
        return False
    body = int(head["nx"]) * int(head["ny"]) * int(head["nz"]) * np.dtype(_MODES[mode]).itemsize
    return HEADER_BYTES + max(0, int(head["nsymbt"])) + body == size


def _data_type(mode: int, order: str, raw: bytes) -> np.dtype[Any]:
    if mode == 0:
        # IMOD's older files hold unsigned bytes: its stamp, with bit 0 of its flags off, says so.
        stamp, flags = np.frombuffer(raw[152:160], dtype=order + "i4").tolist()
        return np.dtype("u1" if stamp == _IMOD_STAMP and not flags & 1 else "i1")
    return np.dtype(order + _MODES[mode])


def _check_dimensions(shape: tuple[int, int, int], head: Any, where: str) -> None:
    nz, ny, nx = shape
    text = f"{nx} x {ny} x {nz}"
    if min(shape) <= 0:
        raise InputError(f"{where} is damaged: its header says {text} voxels; copy it again.")
    space_group, mz = int(head["ispg"]), int(head["mz"])
    if nz > 1 and ((401 <= space_group <= 630 and 0 < mz < nz) or (space_group == 0 and mz == 1)):
        what = "volumes" if space_group else "images"
        count = nz // mz
        raise InputError(f"{where} is a stack of {count} {what}; extract one map to a file of its own.")
    if nz == 1:
        raise InputError(f"{where} is a single 2-D image ({nx} x {ny}); give a 3-D map.")
    if min(shape) < MIN_BOX:
        raise InputError(
            f"{where} is too small ({text} voxels): at least {MIN_BOX} along each axis are needed."
        )


def _axes(head: Any, where: str, warnings: list[str]) -> tuple[int, int, int]:
    """For columns, rows and sections: the axis they run along, 0 = x, 1 = y, 2 = z."""
    words = (int(head["mapc"]), int(head["mapr"]), int(head["maps"]))
    if words == (0, 0, 0):
        warnings.append(f"{where} names no axis order; columns, rows, sections = x, y, z is taken.")
        return (0, 1, 2)
    if sorted(words) != [1, 2, 3]:
        raise InputError(f"{where} is damaged: its axis order is {words}; write it again with axes 1, 2, 3.")
    return (words[0] - 1, words[1] - 1, words[2] - 1)


def _header_voxel(head: Any, where: str, warnings: list[str]) -> tuple[float, float, float]:
    """Voxel edges along x, y, z in A; 0 where the header has none."""
    angles = [float(head["cellb"][name]) for name in ("alpha", "beta", "gamma")]
    if any(math.isfinite(angle) and angle != 0 and abs(angle - 90) > 0.5 for angle in angles):
        raise InputError(f"{where} has a skewed cell (angles {angles}); resample it on a cubic grid.")
    cell = [float(head["cella"][name]) for name in "xyz"]
    samples = [int(head[name]) for name in ("mx", "my", "mz")]
    if min(samples) <= 0:
        axes = {int(head["mapc"]): "nx", int(head["mapr"]): "ny", int(head["maps"]): "nz"}
        names = [axes.get(axis, default) for axis, default in ((1, "nx"), (2, "ny"), (3, "nz"))]
        samples = [int(head[name]) for name in names]
        warnings.append(f"{where} has no grid sampling (mx, my, mz); the box is taken.")
    voxel = [edge / count if math.isfinite(edge) else 0.0 for edge, count in zip(cell, samples)]
    return (voxel[0], voxel[1], voxel[2])


def _header_origin(head: Any, where: str, warnings: list[str]) -> tuple[float, float, float]:
    x, y, z = (float(head["origin"][name]) for name in "xyz")
    if not all(math.isfinite(value) and abs(value) < 1e7 for value in (x, y, z)):
        warnings.append(f"{where} has a meaningless origin in its header; 0, 0, 0 is taken.")
        return (0.0, 0.0, 0.0)
    return (x, y, z)


def _check_length(header: _Header, stream: _Stream, where: str) -> None:
    """Refuse before anything is allocated: a header may announce any box."""
    need = header.offset + header.body_bytes
    size = stream.size
    if not stream.compression and size < need:
        raise InputError(f"{where} is truncated: {size} bytes of {need}; copy it again.")
    if stream.compression == "gzip" and size * _DEFLATE_BEST_RATIO < need:
        raise InputError(f"{where} is truncated: its header announces {need} bytes; copy it again.")
    if not stream.compression and size > need:
        header.warnings.append(f"{where} has {size - need} bytes after the map; they are ignored.")
    nz, ny, nx = header.shape
    working = 4 * math.prod(header.shape) + (0 if header.dtype == np.dtype("<f4") else header.body_bytes)
    require_memory(working, f"{where} ({nx} x {ny} x {nz} voxels)")


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


def _skip(stream: io.BufferedIOBase, count: int, where: str) -> None:
    while count:
        got = len(stream.read(min(count, _CHUNK)))
        if not got:
            raise InputError(f"{where} is truncated inside its extended header; copy it again.")
        count -= got


def _read_exactly(stream: io.BufferedIOBase, count: int, where: str) -> bytearray:
    """Read ``count`` bytes; memory grows with what is really there, not with what a header promises."""
    body = bytearray()
    while len(body) < count:
        part = stream.read(min(count - len(body), _CHUNK))
        if not part:
            raise InputError(f"{where} is truncated: {len(body)} bytes of {count}; copy it again.")
        body += part
    return body


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


# --------------------------------------------------------------------------------------------- masks

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
_WORK_BOX = 160
_INVERTED = 1.5


def auto_mask(density: DensityMap) -> tuple[np.ndarray, dict[str, Any]]:
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
        bool array (z, y, x), and ``source`` ("auto"), ``method`` ("threshold" or "nonzero"), ``voxels``,
        ``threshold`` (density of the low-passed map), ``lowpass_A``, ``background``, ``noise``, ``contrast`` (the
        peak above the background over the noise), ``inverted`` and ``warnings``.
    """
    from scipy import ndimage

    factor = _bin_factor(density)
    voxel = density.voxel_size * factor
    lowpass = max(MASK_LOWPASS_A, 4 * density.voxel_size)
    # A Gaussian whose Fourier transform is 1/2 at the cut-off.
    sigma = lowpass / (2 * math.pi) * math.sqrt(2 * math.log(2)) / voxel
    binned = _unsharpened(_binned(density.data, factor))
    smooth = ndimage.gaussian_filter(binned, sigma, mode="nearest", truncate=3.0)
    support = _earlier_mask(density.data, factor)
    warnings: list[str] = []
    values = smooth[support]
    low, middle, high = (float(q) for q in np.percentile(values, (0.1, 50.0, 99.9)))
    inverted = middle - low > _INVERTED * (high - middle)
    if inverted:
        smooth, low, middle, high = -smooth, -high, -middle, -low
        warnings.append("The contrast seems inverted (the molecule is darker than the background).")
    background, noise = _background(smooth, support)
    threshold = max(background + MASK_SIGMAS * noise, background + MASK_PEAK_PART * (high - background))
    found = _grown(_large_blobs((smooth > threshold) & support), voxel)
    method = "threshold"
    if not support.all():
        found &= support
        tight = found.sum() >= TIGHT_PART * support.sum() or background > TIGHT_RIM * high
        if tight or not _roundish(support):
            found, method = support, "nonzero"
    if not found.any():
        found, method = support, "nonzero"
        warnings.append("No molecule stands out from the noise: the whole box is taken; give a mask.")
    mask = _unbinned(found, factor, density.data.shape)
    if not mask.any():
        mask = np.ones(density.data.shape, bool)
    return mask, {
        "source": "auto",
        "method": method,
        "voxels": int(mask.sum()),
        "threshold": -threshold if inverted else threshold,
        "lowpass_A": lowpass,
        "background": -background if inverted else background,
        "noise": noise,
        "contrast": round((high - background) / noise, 2) if method == "threshold" and noise > 0 else None,
        "inverted": bool(inverted),
        "warnings": warnings,
    }


def _bin_factor(density: DensityMap) -> int:
    """Voxels of a quarter of the low-pass carry it; boxes that stay large are binned further, for speed."""
    lossless = int(MASK_LOWPASS_A / 4 / density.voxel_size)
    return max(1, lossless, math.ceil(max(density.data.shape) / _WORK_BOX / 1.25))


def _binned(data: np.ndarray, factor: int) -> np.ndarray:
    """Means over cubes of ``factor`` voxels; the last, incomplete ones are padded with the edge."""
    if factor == 1:
        return data
    for axis in range(3):
        size = data.shape[axis]
        whole = size // factor * factor
        starts = np.arange(0, size, factor)
        counts = np.full(starts.size, factor, np.float32)
        if whole < size:
            counts[-1] = size - whole
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


def _earlier_mask(data: np.ndarray, factor: int) -> np.ndarray:
    """Where an earlier mask left density, on the binned grid; all True when there was none."""
    from scipy import ndimage

    value, _ = commonest_value(data)
    kept = data != np.float32(value)
    if 1 - kept.mean() <= MASKED_PART:
        return np.ones(tuple(-(-size // factor) for size in data.shape), bool)
    support = _binned(kept.astype(np.float32), factor) >= 0.5
    solid = ndimage.binary_opening(support, iterations=2)
    # One value strewn all over the box is density that was cut there, not a mask.
    if solid.sum() < MASK_SOLID_PART * support.sum() or not support.any():
        return np.ones_like(support)
    return ndimage.binary_fill_holes(support)


def _roundish(support: np.ndarray) -> bool:
    """Whether a region fills most of the ellipsoid in its bounding box, as a particle-diameter mask does."""
    spans = [np.flatnonzero(support.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    extent = np.prod([float(span[-1] - span[0] + 1) for span in spans])
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
    spans = [np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    box = tuple(slice(span[0], span[-1] + 1) for span in spans)
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


def _unbinned(mask: np.ndarray, factor: int, shape: tuple[int, ...]) -> np.ndarray:
    """The binned mask on the full grid: linear between the centres of the cubes, cut at one half."""
    if factor == 1:
        return mask
    values = mask.astype(np.float32)
    for axis, size in enumerate(shape):
        last = mask.shape[axis] - 1
        place = np.clip((np.arange(size) - (factor - 1) / 2) / factor, 0, last)
        below = np.minimum(place.astype(int), max(0, last - 1))
        part = (place - below).astype(np.float32)
        form = [1, 1, 1]
        form[axis] = -1
        part = part.reshape(form)
        above = np.minimum(below + 1, last)
        values = np.take(values, below, axis) * (1 - part) + np.take(values, above, axis) * part
    return values >= 0.5
