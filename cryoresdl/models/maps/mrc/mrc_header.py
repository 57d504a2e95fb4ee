"""The header of an MRC file: modes, axes, voxel size, origin, and what in it speaks against a cryo-EM map."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...base.errors import InputError
from ...base.machine import require_memory
from .mrc_stream import _Stream

HEADER_BYTES = 1024
MIN_BOX = 4
"""Fewer voxels along an axis than this cannot hold a resolution."""

_MODES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}
_COMPLEX_MODES = (3, 4)
_DEFLATE_BEST_RATIO = 1040
_IMOD_STAMP = 1146047817
UNEQUAL_EDGES = 0.001
"""Voxel edges that differ by more than this part are named; reconstruction programs make cubes."""


@dataclass
class _Header:
    """What the 1024 bytes say, in the file's own axis order (columns, rows, sections).

    Attributes:
        signed: whether the bytes of mode 0 are signed; None where the header does not tell.
        images: whether it calls the sections images of a stack.
        named: whether it holds the word MAP.
        warnings: sentences about what was put right.
        doubts: sentences about why this can hardly be a cryo-EM map.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    offset: int
    axes: tuple[int, int, int]
    voxel: tuple[float, float, float]
    origin: tuple[float, float, float]
    nstart: tuple[int, int, int]
    signed: bool | None
    images: bool
    named: bool
    warnings: list[str]
    doubts: list[str]

    @property
    def body_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


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
        # Files older than MRC2000 have no 'MAP ' word: believed only when all else in them fits.
        if not _believable(head, mode, stream):
            raise InputError(NOT_MRC.format(where=where))
        warnings.append(f"{where} has an old header without the word MAP.")
    if mode in _COMPLEX_MODES:
        raise InputError(
            f"{where} holds complex numbers (mode {mode}), a transform; give the real-space map."
        )
    if mode not in _MODES:
        raise InputError(f"{where} has the unknown data mode {mode}; convert it to 32-bit floats (mode 2).")
    shape = (int(head["nz"]), int(head["ny"]), int(head["nx"]))
    images = _check_dimensions(shape, head, where)
    extended = int(head["nsymbt"])
    if extended < 0:
        raise InputError(f"{where} is damaged: its extended header has {extended} bytes; copy it again.")
    voxel = _header_voxel(head, where, warnings)
    header = _Header(
        shape=shape,
        dtype=np.dtype("i1") if mode == 0 else np.dtype(order + _MODES[mode]),
        offset=HEADER_BYTES + extended,
        axes=_axes(head, where, warnings),
        voxel=voxel,
        origin=_header_origin(head, where, warnings),
        nstart=(int(head["nxstart"]), int(head["nystart"]), int(head["nzstart"])),
        signed=_signed_bytes(head, order, raw),
        images=images,
        named=named,
        warnings=warnings,
        doubts=_crystal(head, voxel, where),
    )
    _check_length(header, stream, where)
    return header


NOT_MRC = "{where} is not an MRC file; give an MRC/CCP4 map (plain, .gz or .bz2)."


def _byte_order(raw: bytes, where: str) -> str:
    """'<' or '>': the order in which mode and dimensions make sense; the machine stamp breaks ties."""
    stamped = {b"DD": "<", b"DA": "<", b"\x11\x11": ">"}.get(raw[212:214], "<")
    other = ">" if stamped == "<" else "<"
    for order in (stamped, other):
        nx, ny, nz, mode = np.frombuffer(raw[:16], dtype=order + "i4").tolist()
        if 0 <= mode <= 101 and min(nx, ny, nz) > 0:
            return order
    raise InputError(f"{where} is not an MRC file, or is damaged; give an MRC/CCP4 map (plain, .gz or .bz2).")


def _believable(head: Any, mode: int, stream: _Stream) -> bool:
    """Whether a header without the word MAP is one: known mode, axes, and no more data than the file has."""
    if mode not in _MODES or min(int(head[name]) for name in ("nx", "ny", "nz")) < MIN_BOX:
        return False
    if sorted(int(head[name]) for name in ("mapc", "mapr", "maps")) not in ([0, 0, 0], [1, 2, 3]):
        return False
    body = int(head["nx"]) * int(head["ny"]) * int(head["nz"]) * np.dtype(_MODES[mode]).itemsize
    return bool(stream.compression) or HEADER_BYTES + body <= stream.size


def _signed_bytes(head: Any, order: str, raw: bytes) -> bool | None:
    """Whether the bytes of mode 0 are signed, as IMOD's stamp or the statistics tell.

    MRC2014 has signed bytes; older programs wrote unsigned ones into the same mode.
    """
    stamp, flags = np.frombuffer(raw[152:160], dtype=order + "i4").tolist()
    if stamp == _IMOD_STAMP:
        return bool(flags & 1)
    low, high = float(head["dmin"]), float(head["dmax"])
    if low < min(high, 0.0):
        return True
    return False if 0 <= low < high and high > 127 else None


def _check_dimensions(shape: tuple[int, int, int], head: Any, where: str) -> bool:
    """Refuse what is no volume; return whether the header calls the sections images of a stack."""
    nz, ny, nx = shape
    text = f"{nx} x {ny} x {nz}"
    if min(shape) <= 0:
        raise InputError(f"{where} is damaged: its header says {text} voxels; copy it again.")
    space_group, mz = int(head["ispg"]), int(head["mz"])
    if 401 <= space_group <= 630 and 1 < mz < nz:
        raise InputError(f"{where} is a stack of {nz // mz} volumes; extract one map to a file of its own.")
    if nz == 1:
        raise InputError(f"{where} is a single 2-D image ({nx} x {ny}); give a 3-D map.")
    if min(shape) < MIN_BOX:
        raise InputError(
            f"{where} is too small ({text} voxels): at least {MIN_BOX} along each axis are needed."
        )
    return mz == 1 and (space_group == 0 or space_group > 400)


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
        raise InputError(
            f"{where} has a skewed cell (angles {angles}), as maps of crystals have; what is judged here are cryo-EM maps "
            "of particles on a cubic grid."
        )
    cell = [float(head["cella"][name]) for name in "xyz"]
    samples = [int(head[name]) for name in ("mx", "my", "mz")]
    if min(samples) <= 0:
        axes = {int(head["mapc"]): "nx", int(head["mapr"]): "ny", int(head["maps"]): "nz"}
        names = [axes.get(axis, default) for axis, default in ((1, "nx"), (2, "ny"), (3, "nz"))]
        samples = [int(head[name]) for name in names]
        warnings.append(f"{where} has no grid sampling (mx, my, mz); the box is taken.")
    elif samples[2] == 1 and abs(cell[2] - cell[0] / samples[0]) > 0.1 * cell[2]:
        samples[2] = int(head["nz"])  # a stack's header, but the cell of the whole volume
        cell[2] = cell[2] or cell[0] / samples[0] * samples[2]
    voxel = [edge / count if math.isfinite(edge) else 0.0 for edge, count in zip(cell, samples)]
    return (voxel[0], voxel[1], voxel[2])


def _crystal(head: Any, voxel: tuple[float, float, float], where: str) -> list[str]:
    """One sentence where symmetry or cell are those of an X-ray map of a crystal."""
    group = int(head["ispg"])
    unequal = min(voxel) > 0 and max(voxel) - min(voxel) > UNEQUAL_EDGES * max(voxel)
    samples, sizes = (sorted(int(head[c + axis]) for axis in "xyz") for c in "mn")
    if 1 < group <= 230:
        why = f"its space group is {group}"
    elif unequal and samples[0] > 1 and samples != sizes:
        why = "it is part of a cell whose voxels are not cubes"
    else:
        return []
    return [f"{where} looks like a map of a crystal ({why}): the networks know cryo-EM maps only."]


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
    if not stream.compression and size == HEADER_BYTES + header.body_bytes < need:
        header.offset = HEADER_BYTES
        header.warnings.append(no_extended_header(where))
    elif not stream.compression and size < need:
        raise InputError(f"{where} is truncated: {size} bytes of {need}; copy it again.")
    elif stream.compression == "gzip" and size * _DEFLATE_BEST_RATIO < need:
        raise InputError(f"{where} is truncated: its header announces {need} bytes; copy it again.")
    elif not stream.compression and size > need:
        header.warnings.append(bytes_after(where, f"{size - need}"))
    nz, ny, nx = header.shape
    working = 4 * math.prod(header.shape) + (0 if header.dtype == np.dtype("<f4") else header.body_bytes)
    require_memory(working, f"{where} ({nx} x {ny} x {nz} voxels)")


def no_extended_header(where: str) -> str:
    """The warning about an extended header that is announced and not there."""
    return f"{where} announces an extended header that is not there; the map is read from where it begins."


def bytes_after(where: str, count: str) -> str:
    """The warning about what lies behind the map."""
    return f"{where} has {count} bytes after the map; they are ignored."
