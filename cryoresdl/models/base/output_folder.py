"""The folder that a command writes into: made, locked, and refused where it holds results."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Dict, Iterable, Set

from .atomic_files import PathLike, make_folder, shown
from .errors import InputError

_LOCKS: Dict[str, int] = {}
_MADE: Set[str] = set()


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
