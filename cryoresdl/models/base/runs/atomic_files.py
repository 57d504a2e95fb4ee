"""Results appear whole or not at all: atomic files, JSON, and the rules for output folders."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import stat
import tempfile
from pathlib import Path, PurePath
from typing import Any, Dict, Iterable, Iterator, List, Optional, Protocol, Sequence, Set, Tuple, Union

from ..errors import InputError, OutputError

PathLike = Union[str, "os.PathLike[str]"]


class Guard(Protocol):
    """What watches over the files of a folder; see `run_record`."""

    def name_of(self, path: PathLike) -> Optional[str]:
        """The file's name there, or None where it is not guarded."""

    def check(self, name: str) -> None:
        """Refuse to replace a file of others."""

    def note(self, name: str, temporary: Path, grows: bool = False) -> None:
        """Learn of a file that is about to get its name."""

    def remove(self, names: Iterable[str]) -> None:
        """Remove those of these files that are not others'."""


GUARDS: List[Guard] = []
"""Guards of the folders that this process writes into."""


def shown(path: PathLike) -> str:
    """A path as one printable line: control characters and undecodable bytes are escaped."""
    text = os.fspath(path)
    if isinstance(text, bytes):
        text = os.fsdecode(text)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text)


def shown_apart(paths: Sequence[str]) -> List[str]:
    """The names of files, each with as many of its folders as tell it from the others; equal paths stay equal."""
    parts = [PurePath(path).parts or (path,) for path in paths]
    depths = [1] * len(parts)
    while True:
        names = [os.path.join(*found[-depth:]) for found, depth in zip(parts, depths)]
        held: Dict[str, Set[Tuple[str, ...]]] = {}
        for name, found in zip(names, parts):
            held.setdefault(name, set()).add(found)
        longer = [
            len(held[name]) > 1 and depth < len(found) for name, depth, found in zip(names, depths, parts)
        ]
        if not any(longer):
            return names
        depths = [depth + step for depth, step in zip(depths, longer)]


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
def atomic_path(target: PathLike, *, grows: bool = False, sync: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside ``target``; rename it onto ``target`` when the block succeeds.

    Args:
        target: the file to appear whole; its folder must exist.
        grows: the file will be appended to.
        sync: wait until file and name are on the disk, so that they outlast a power cut.

    Raises:
        InputError: a file of others is in its place (see `run_record`).
        OutputError: the folder cannot be written to (read-only, full, missing).
    """
    target = Path(target)
    guard, name = _guard_of(target)
    there = os.path.lexists(target)
    if guard is not None:
        guard.check(name)
    try:
        handle, temporary_name = tempfile.mkstemp(
            prefix=part_prefix(target), suffix=target.suffix, dir=str(target.parent)
        )
    except OSError as error:
        raise OutputError(
            f"Cannot write in {shown(target.parent)}: {error.strerror}; "
            "choose another --out or free the folder."
        ) from error
    os.close(handle)
    temporary = Path(temporary_name)
    try:
        yield temporary
        # mkstemp makes private files; results are to be read by the whole group, as umask says.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        if sync:
            _sync(temporary)
        if guard is not None:
            if not there:
                guard.check(name)  # it may have come while this one was made
            guard.note(name, temporary, grows)
        os.replace(temporary, target)
        if sync:
            _sync(target.parent)
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


def remove_result(path: PathLike) -> None:
    """Remove an older result that no longer holds, when it is there; a guard of its folder keeps a file of others."""
    guard, name = _guard_of(Path(path))
    if guard is not None:
        guard.remove([name])
        return
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


PART = ".part-cryoresdl-"
"""How the names of files begin that are not whole yet."""


def part_prefix(target: PathLike) -> str:
    """How the names of files begin that are to become ``target``: what a killed run left is known to be its."""
    name = os.path.basename(os.fspath(target))
    return f"{PART}{hashlib.sha256(os.fsencode(name)).hexdigest()[:8]}-"


def _guard_of(target: Path) -> Tuple[Optional[Guard], str]:
    """The guard that was put up last over a file, and the file's name there."""
    for guard in reversed(GUARDS):
        name = guard.name_of(target)
        if name is not None:
            return guard, name
    return None, ""


def _sync(path: Path) -> None:
    """Wait until a file's bytes or a folder's names are on the disk; where that cannot be had, go on."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
    finally:
        os.close(handle)


def write_json(path: PathLike, value: Any, *, sync: bool = True) -> None:
    """Write ``value`` as indented UTF-8 JSON, atomically; NaN and infinities are refused.

    Names of files that are no UTF-8 text are escaped, and read back as they were.
    """
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError:
        data = json.dumps(value, indent=1, allow_nan=False).encode("ascii")
    with atomic_path(path, sync=sync) as temporary:
        temporary.write_bytes(data + b"\n")


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


def csv_cell(value: Any) -> Any:
    """A value as a cell of a CSV file: text that a spreadsheet would take for a formula gets a leading apostrophe.

    What OWASP advises against CSV injection; numbers stay as they are.
    """
    if not isinstance(value, str) or not value.startswith(_FORMULA_STARTS):
        return value
    try:
        float(value)
    except ValueError:
        return "'" + value
    return value


_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def require_regular_file(path: PathLike, what: str) -> None:
    """Refuse a device, pipe or folder in the place of a file that is read whole: it may have no end.

    Raises:
        InputError: it is not a regular file, or is missing.
    """
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        raise InputError(
            f"{what} {shown(path)} cannot be read: {getattr(error, 'strerror', None) or error}."
        ) from error
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe or device"
        raise InputError(
            f"{what} {shown(path)} cannot be read: it is {kind}; save it as a file and give that."
        )


def make_folder(folder: Path) -> None:
    """Create a folder for results, when missing.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"Cannot create the output folder {shown(folder)}: {error.strerror}.") from error
