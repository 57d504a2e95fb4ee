"""Results appear whole or not at all: atomic files, JSON, and the rules for output folders."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any, Iterator, Union

from .errors import InputError, OutputError

PathLike = Union[str, "os.PathLike[str]"]


def shown(path: PathLike) -> str:
    """A path as one printable line: control characters and undecodable bytes are escaped."""
    text = os.fspath(path)
    if isinstance(text, bytes):
        text = os.fsdecode(text)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text)


def sha256(path: PathLike) -> str:
    """Hexadecimal SHA-256 digest of a file's bytes.

    Raises:
        InputError: the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as stream:
            for block in iter(lambda: stream.read(1 << 20), b""):
                digest.update(block)
    except OSError as error:
        raise InputError(f"Cannot read {shown(path)}: {error.strerror}.") from error
    return digest.hexdigest()


@contextlib.contextmanager
def atomic_path(target: PathLike) -> Iterator[Path]:
    """Yield a temporary path beside ``target``; rename it onto ``target`` when the block succeeds.

    Args:
        target: the file to appear whole; its folder must exist.

    Raises:
        OutputError: the folder cannot be written to (read-only, full, missing).
    """
    target = Path(target)
    try:
        handle, name = tempfile.mkstemp(prefix=".part-", suffix=target.suffix, dir=str(target.parent))
    except OSError as error:
        raise OutputError(
            f"Cannot write in {shown(target.parent)}: {error.strerror}; "
            "choose another --out or free the folder."
        ) from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes private files; results are to be read by the whole group, as umask says.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, target)
    except OSError as error:
        raise OutputError(
            f"Cannot write {shown(target)}: {error.strerror or error}; "
            "free disk space or choose another --out."
        ) from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()


def write_text(path: PathLike, text: str) -> None:
    """Write a text in UTF-8, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: PathLike, value: Any) -> None:
    """Write ``value`` as indented UTF-8 JSON, atomically; NaN and infinities are refused."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: PathLike) -> Any:
    """Read a JSON file.

    Raises:
        InputError: the file is missing or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"Cannot read {shown(path)}: {error.strerror}.") from error
    except ValueError as error:
        raise InputError(
            f"{shown(path)} is not valid JSON ({error}); run the command that made it again."
        ) from error


def make_folder(folder: Path) -> None:
    """Create a folder for results, when missing.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"Cannot create the output folder {shown(folder)}: {error.strerror}.") from error
