"""The bytes of an MRC file, plain or compressed, read in order and in bounded memory."""

from __future__ import annotations

import bz2
import gzip
import io
import os
import re
import stat
from typing import Any, BinaryIO

from ...base.errors import InputError

_CHUNK = 1 << 22


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


def _read_up_to(stream: io.BufferedIOBase, count: int) -> bytearray:
    """Read ``count`` bytes or what there is; memory grows with that, not with what a header promises."""
    body = bytearray()
    while len(body) < count:
        part = stream.read(min(count - len(body), _CHUNK))
        if not part:
            break
        body += part
    return body
