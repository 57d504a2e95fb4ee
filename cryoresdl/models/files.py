"""Results appear whole or not at all: atomic files, JSON, and the rules for output folders."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Set, Union

from .errors import InputError, OutputError

PathLike = Union[str, "os.PathLike[str]"]


RUN_JSON = "run.json"
_LOCKS: Dict[str, int] = {}
_MADE: Set[str] = set()


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


def stamp(path: PathLike, digest: bool = True) -> Optional[List[Any]]:
    """What tells whether a file is still the same: size, times of change (ns), and the SHA-256 of its bytes.

    Args:
        path: the file.
        digest: False leaves the last out, for files that nothing was made from.

    Returns:
        A list for `unchanged`; None when there is no such file.
    """
    try:
        status = os.stat(path)
        return [*_glance(status), sha256(path) if digest else None]
    except (OSError, ValueError, InputError):
        return None


def unchanged(path: PathLike, earlier: Any) -> bool:
    """Whether a file is what it was when its `stamp` was taken.

    Times are only compared for equality, so that clocks may jump: where they differ, the bytes decide.
    """
    try:
        now = _glance(os.stat(path))
    except (OSError, ValueError):
        return earlier is None
    if not isinstance(earlier, list) or len(earlier) != len(now) + 1:
        return False
    if earlier[:-1] == now:
        return True
    return earlier[0] == now[0] and earlier[-1] is not None and stamp(path) == [*now, earlier[-1]]


def _glance(status: os.stat_result) -> List[int]:
    # The second time is the system's own: giving an old time to new content changes it.
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def changed_inputs(path: PathLike) -> List[str]:
    """Files that have changed since results were made from them.

    Args:
        path: JSON with ``files`` (path by role) and ``inputs`` (their `stamp` by role); none changed where it is missing.
    """
    if not Path(path).is_file():
        return []
    record = read_json(path)
    return [file for name, file in record["files"].items() if not unchanged(file, record["inputs"].get(name))]


class Run:
    """What a command makes from which files: `RUN_JSON` in its folder, for `--resume`.

    Make it before the files are read.

    Args:
        folder: results folder.
        request: options that the results depend on.
        inputs: files that they depend on, by their role.
    """

    def __init__(self, folder: PathLike, request: Mapping[str, Any], inputs: Mapping[str, PathLike]):
        self.path = Path(folder) / RUN_JSON
        self.request = json.loads(json.dumps(dict(request)))
        self.inputs = dict(inputs)
        self._before = {name: stamp(path, digest=False) for name, path in self.inputs.items()}

    def complete(self) -> bool:
        """Whether an earlier run did the same here, from files that have not changed since."""
        try:
            record = read_json(self.path) if self.path.is_file() else None
        except InputError:
            return False
        if not isinstance(record, dict) or record.get("request") != self.request:
            return False
        stamps = record.get("inputs")
        if not isinstance(stamps, dict) or stamps.keys() != self.inputs.keys():
            return False
        return all(unchanged(path, stamps[name]) for name, path in self.inputs.items())

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Write the results inside this block.

        `RUN_JSON` is removed first and written last: without it, the results may be of two runs.

        Raises:
            InputError: an input changed in the meantime.
        """
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        yield
        stamps = {name: stamp(path) for name, path in self.inputs.items()}
        for name, path in self.inputs.items():
            check_unchanged(path, self._before[name], stamps[name])
        write_json(self.path, {"request": self.request, "inputs": stamps})


def check_unchanged(path: PathLike, before: Any, after: Any) -> None:
    """Refuse a file that was written to while it was read: what was made from it is of no file at all.

    Raises:
        InputError: the two stamps differ.
    """
    if (before or [])[:-1] != (after or [])[:-1]:
        raise InputError(f"{shown(path)} was changed while it was read; run this again.")


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


def prepare_out(
    folder: PathLike, results: Iterable[str], overwrite: bool = False, resume: bool = False
) -> Path:
    """Create ``--out`` when missing and protect results that are already there.

    Args:
        folder: the output folder.
        results: names of the files that the command is about to write.
        overwrite: replace existing results.
        resume: existing results are wanted.

    The folder is locked against a second run until `unlock_folders` or the end of the process, and what a
    killed run left half written (``.part-*``) is removed.

    Raises:
        InputError: the folder cannot be made or written to, holds results and neither flag is given, or
            another run is writing in it.
    """
    folder = Path(folder)
    if not folder.exists():
        _MADE.add(os.path.realpath(folder))
    make_folder(folder)
    if not os.access(folder, os.W_OK):
        raise InputError(f"Cannot write in {shown(folder)}: it is read-only; choose another --out.")
    lock_folder(folder)
    there = [name for name in results if (folder / name).exists()]
    if there and not (overwrite or resume):
        raise InputError(
            f"{shown(folder)} already holds {there[0]}; give --overwrite to replace it or another --out."
        )
    return folder


def lock_folder(folder: PathLike) -> None:
    """Keep a second run out of ``folder`` until this process ends or `unlock_folders` is called.

    The lock is on the folder itself, so that no file is left behind and a killed run frees it. File systems
    that cannot lock (some network ones) are used without.

    Raises:
        InputError: another process holds the folder.
    """
    try:
        import fcntl
    except ImportError:  # not a POSIX system
        return
    key = os.path.realpath(folder)
    if key in _LOCKS:
        return
    handle = os.open(key, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise InputError(
            f"Another run is writing in {shown(folder)}; wait for it or choose another --out."
        ) from error
    except OSError:
        os.close(handle)
        return
    _LOCKS[key] = handle
    for leftover in Path(key).glob(".part-*"):
        with contextlib.suppress(OSError):
            leftover.unlink()


def unlock_folders() -> None:
    """Free every folder that `prepare_out` locked, and remove those that it made and nothing was written to."""
    while _LOCKS:
        os.close(_LOCKS.popitem()[1])
    while _MADE:
        # A folder with anything in it stays.
        with contextlib.suppress(OSError):
            os.rmdir(_MADE.pop())
