"""What a run read, by stamp and digest, in the folder's record: a later run can tell whether it still holds."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional

from .atomic_files import PathLike, read_json, sha256, shown
from .errors import InputError
from .made_files import FolderRecord, guarding


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
    """What a command makes from which files: its entry of the folder's record, for `--resume`.

    Make it before the files are read.

    Args:
        folder: results folder.
        request: options that the results depend on; ``command`` says whose entry it is.
        inputs: files that they depend on, by their role.
    """

    def __init__(self, folder: PathLike, request: Mapping[str, Any], inputs: Mapping[str, PathLike]):
        self.folder = Path(folder)
        self.request = json.loads(json.dumps(dict(request)))
        self.command = str(self.request["command"])
        self.inputs = dict(inputs)
        self._before = {name: stamp(path, digest=False) for name, path in self.inputs.items()}
        self._stamps: Dict[str, Any] = {}

    def complete(self) -> bool:
        """Whether an earlier run did the same here, from files that have not changed since, and all of it is there."""
        try:
            record = FolderRecord(self.folder)
        except InputError:
            return False
        run = record.runs.get(self.command)
        if not isinstance(run, dict) or run.get("request") != self.request:
            return False
        stamps, files = run.get("inputs"), run.get("files")
        if not isinstance(stamps, dict) or stamps.keys() != self.inputs.keys() or not isinstance(files, list):
            return False
        return all(record.intact(name, self.command) for name in files) and all(
            unchanged(path, stamps[name]) for name, path in self.inputs.items()
        )

    def stamps(self) -> Dict[str, Any]:
        """The `stamp` of every input, with digests.

        Raises:
            InputError: an input changed since this run began: what was made from it is of no file at all.
        """
        for name, path in self.inputs.items():
            now = stamp(path, digest=False)
            known = self._stamps.get(name)
            if known is None or known[:-1] != (now or [])[:-1]:
                self._stamps[name] = now = stamp(path)
            if (self._before[name] or [])[:-1] != (now or [])[:-1]:
                raise InputError(f"{shown(path)} was changed while it was read; run this again.")
        return self._stamps

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Write the results inside this block.

        The command's entry is removed first and written last: without it, the results may be of two runs.

        Raises:
            InputError: an input changed in the meantime; what was written is removed.
        """
        with guarding(self.folder, self.command) as record:
            if record.runs.pop(self.command, None) is not None:
                record.save(sync=False)
            record.written.clear()
            yield
            try:
                stamps = self.stamps()
            except InputError:
                record.remove(record.written)
                raise
            files = sorted(record.written)
            record.runs[self.command] = {"request": self.request, "inputs": stamps, "files": files}
            record.save()
