"""``run.json``: what a run read, by stamp and digest, so that a later run can tell whether it still holds."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any, Iterator, List, Mapping, Optional

from .atomic_files import PathLike, read_json, sha256, shown, write_json
from .errors import InputError

RUN_JSON = "run.json"


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
