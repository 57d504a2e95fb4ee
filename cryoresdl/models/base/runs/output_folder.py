"""The folder that a command writes into: made, locked, and refused where it holds results."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from pathlib import Path
from typing import Dict, Iterable, List, Set

from ..errors import InputError, OutputError
from .atomic_files import PART, PathLike, make_folder, part_prefix, shown
from .run_record import RUN_JSON, FolderRecord, close_record, open_record

_LOCKS: Dict[str, int] = {}
_MADE: Set[str] = set()
_RECORDS: List[FolderRecord] = []
_LEFTOVER = re.compile(re.escape(PART) + r"(\w{8}-)?\w{8}(\.\w+)*")
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)
_TRIES = 100


def prepare_out(
    folder: PathLike,
    results: Iterable[str],
    overwrite: bool = False,
    resume: bool = False,
    *,
    command: str = "",
    may_remain: Iterable[str] = (),
) -> Path:
    """Create ``--out`` when missing and protect what is already there.

    Args:
        folder: the output folder.
        results: names of the files that the command is about to write, and that must not be there.
        overwrite: replace existing results, of other commands too.
        resume: existing results of this command are wanted.
        command: who writes; its files may be replaced by itself.
        may_remain: further files that it is about to write; those of an earlier run are replaced.

    The folder is locked against a second run and its record of files guards it (see `run_record`) until
    `unlock_folders` or the end of the process; what a killed run left half written is removed.

    Raises:
        InputError: the folder cannot be made or written to, holds results and neither flag is given, holds files
            of others under these names, or another run is writing in it.
    """
    folder = Path(folder)
    lock_folder(folder)
    if not os.access(folder, os.W_OK):
        raise InputError(f"Cannot write in {shown(folder)}: it is read-only; choose another --out.")
    record = guard_folder(folder, command, overwrite)
    names = list(results)
    there = [name for name in names if record.owns(name)]
    if there and not (overwrite or resume):
        raise InputError(
            f"{shown(folder)} already holds {there[0]}; give --overwrite to replace it or another --out."
        )
    for name in [*names, *may_remain]:
        record.check(name)
    return folder


def guard_folder(folder: PathLike, command: str, overwrite: bool = False) -> FolderRecord:
    """Open the folder's record until `unlock_folders`, so that only what it names is replaced in the folder.

    Raises:
        InputError: a file of another program has the record's name.
    """
    record = FolderRecord(folder)
    record.command, record.overwrite = command, overwrite
    return keep_open(record)


def guard_file(target: Path, others: Iterable[Path], *, command: str, overwrite: bool = False) -> None:
    """Guard a file that is made among others, and those beside it, by a record of its own: ``FILE.run.json``.

    Raises:
        InputError: files of others have one of these names.
    """
    names = [path.name for path in (target, *others)]
    record = FolderRecord(target.parent, target.with_name(f"{target.name}.{RUN_JSON}"), names)
    record.command, record.overwrite = command, overwrite
    for name in names:
        record.check(name)
    keep_open(record)


def keep_open(record: FolderRecord) -> FolderRecord:
    """Let a record guard its files until `unlock_folders`."""
    record = open_record(record)
    if record not in _RECORDS:
        _RECORDS.append(record)
    return record


def lock_folder(folder: PathLike) -> None:
    """Make a folder when missing and keep a second run out of it until this process ends or `unlock_folders` is called.

    The lock is on the folder itself, so that no file is left behind and a killed run frees it. File systems
    that cannot lock (some network ones) are used without.

    Raises:
        OutputError: the folder cannot be made.
        InputError: another process holds the folder.
    """
    key = os.path.realpath(folder)
    if key in _LOCKS and _is_at(_LOCKS[key], key):
        return
    for _ in range(_TRIES):
        _make(Path(folder))
        try:
            handle = os.open(key, os.O_RDONLY)
        except FileNotFoundError:  # another run removed it, empty, in the meantime
            continue
        except OSError as error:
            raise OutputError(f"Cannot open the folder {shown(folder)}: {error.strerror}.") from error
        if not _lock(handle):
            os.close(handle)
            raise InputError(
                f"Another run is writing in {shown(folder)}; wait for it or choose another --out."
            )
        if _is_at(handle, key):
            break
        os.close(handle)
    else:
        raise InputError(
            f"{shown(folder)} is removed again and again by another program; choose another --out."
        )
    if key in _LOCKS:
        os.close(_LOCKS.pop(key))
    _LOCKS[key] = handle
    sweep_folder(Path(key))


def _make(folder: Path) -> None:
    """Make a folder; only the one of several runs that made it removes it again."""
    make_folder(folder.parent)
    try:
        folder.mkdir()
    except FileExistsError:
        make_folder(folder)  # says so where a file is in the way
    except OSError:
        make_folder(folder)
    else:
        _MADE.add(os.path.realpath(folder))


def _lock(handle: int) -> bool:
    """Whether the folder is now ours, or cannot be locked at all."""
    try:
        import fcntl
    except ImportError:  # not a POSIX system
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return True
        raise
    return True


def _is_at(handle: int, path: str) -> bool:
    """Whether an open folder is still the one at this path: a lock on a removed one keeps nobody out."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except OSError:
        return False


def sweep_folder(folder: Path) -> None:
    """Remove what a killed run left half written in a folder and in its figures."""
    for place in (folder, folder / "figures"):
        with contextlib.suppress(OSError):
            for name in os.listdir(place):
                if _LEFTOVER.fullmatch(name):
                    (place / name).unlink()


def sweep_below(folder: Path) -> None:
    """Remove what a killed run left half written anywhere in a folder that is locked, and all its own."""
    for place, _, _ in os.walk(folder):
        sweep_folder(Path(place))


def sweep_files(targets: Iterable[Path]) -> None:
    """Remove what a killed run left half written of these files, in folders that are not ours alone."""
    for target in targets:
        start = part_prefix(target)
        with contextlib.suppress(OSError):
            for name in os.listdir(target.parent):
                if name.startswith(start) and _LEFTOVER.fullmatch(name):
                    (target.parent / name).unlink()


def unlock_folders() -> None:
    """Free every folder that this process locked, and remove those that it made and nothing was written to."""
    while _RECORDS:
        close_record(_RECORDS.pop())
    # Only while they are locked: a folder that another run has locked since is not ours to remove.
    for key in [key for key in _MADE if key in _LOCKS]:
        with contextlib.suppress(OSError):
            os.rmdir(key)
    _MADE.clear()
    while _LOCKS:
        os.close(_LOCKS.popitem()[1])
