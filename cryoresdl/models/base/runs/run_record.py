"""``run.json``: what our commands made in a folder, by name, size and digest, and what they read.

A folder for results may hold files of other people: nothing but what its record names is replaced or removed. While a
`FolderRecord` is open, `atomic_path` asks it before a file is replaced and tells it of every file before that gets its
name, so that the record holds after a kill, too. What a run read tells a later one whether its results still hold.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Set, Tuple

from ..errors import ForeignFileError, InputError
from . import atomic_files
from .atomic_files import PathLike, read_json, sha256, shown, write_json

RUN_JSON = "run.json"
_FORMAT = "cryoresdl-run-1"
_HEAD = 4096
"""Bytes by which a file of ours that lost its end (a full disk, a power cut) is still known."""


class FolderRecord:
    """The record of a folder, or of one file that lies among others.

    Args:
        folder: what lies in it or below is guarded.
        path: of the record; ``run.json`` of the folder where not given.
        names: guard only these files and folders in it; None guards all.

    Raises:
        ForeignFileError: a file of another program has the record's name.
    """

    def __init__(self, folder: PathLike, path: Optional[Path] = None, names: Optional[Iterable[str]] = None):
        self.folder = Path(os.path.abspath(folder))
        self.path = path or self.folder / RUN_JSON
        self.command, self.overwrite = "", False
        self.made: Dict[str, Dict[str, Any]] = {}
        self.runs: Dict[str, Dict[str, Any]] = {}
        self.written: Set[str] = set()
        """What was noted since somebody cleared this."""
        self._names = None if names is None else set(names)
        self._read()

    def _read(self) -> None:
        if not os.path.lexists(self.path):
            return
        with contextlib.suppress(InputError, KeyError, TypeError, AttributeError):
            content = read_json(self.path)
            if self.path.is_symlink() or content["format"] != _FORMAT:
                raise KeyError(_FORMAT)
            self.made, self.runs = dict(content["made"]), dict(content["runs"])
            return
        raise ForeignFileError(
            f"{shown(self.path)} is not a record of CryoResDL (or is damaged), so that nothing in its folder can be "
            "replaced; move it away or choose another --out."
        )

    def name_of(self, path: PathLike) -> Optional[str]:
        """The name in this record of a file, or None where it is not guarded."""
        given = os.path.abspath(path)
        if given.endswith(RUN_JSON):  # a record looks after itself
            return None
        real = os.path.join(os.path.realpath(os.path.dirname(given)), os.path.basename(given))
        # As it is written first: a link in the folder must not lead out of the guard.
        for place, folder in ((given, str(self.folder)), (real, os.path.realpath(self.folder))):
            if place.startswith(os.path.join(folder, "")):
                name = os.path.relpath(place, folder)
                if self._names is None or name.split(os.sep)[0] in self._names:
                    return name
        return None

    def owns(self, name: str) -> bool:
        """Whether the file of this name is the one that we made, whole or without its end."""
        entry = self.made.get(name)
        status = _status(self.folder / name)
        if entry is None or status is None or not stat.S_ISREG(status.st_mode):
            return False
        before = entry.get("before")
        return _is(self.folder / name, status.st_size, entry) or bool(
            before and _is(self.folder / name, status.st_size, before)
        )

    def intact(self, name: str, command: str) -> bool:
        """Whether the file of this name is whole and the command's; bytes are read only where the time differs."""
        entry = self.made.get(name)
        status = _status(self.folder / name)
        if entry is None or status is None or entry["command"] != command or status.st_size != entry["size"]:
            return False
        if status.st_mtime_ns == entry["modified_ns"]:
            return True
        return _digests(self.folder / name)[0] == entry["sha256"]

    def check(self, name: str) -> None:
        """Refuse to replace a file that we did not make.

        Raises:
            ForeignFileError: the record does not name it, its bytes are others, or another command made it and
                ``overwrite`` is not set.
        """
        path = self.folder / name
        if not os.path.lexists(path):
            self._check_parent(path)
            return
        if not self.owns(name):
            raise ForeignFileError(
                f"{shown(path)} is not a file that CryoResDL made there, or was changed since; "
                "move it away or choose another --out."
            )
        if not self.may_replace(name):
            raise ForeignFileError(
                f"{shown(path)} is a result of '{self.made[name]['command']}'; "
                "give --overwrite to replace it or choose another --out."
            )

    def _check_parent(self, path: Path) -> None:
        if os.path.lexists(path.parent) and not path.parent.is_dir():
            raise ForeignFileError(
                f"{shown(path.parent)} is in the way of a folder for results; move it away or choose another --out."
            )

    def note(self, name: str, temporary: Path, grows: bool = False) -> None:
        """Write down what is about to become the file of this name."""
        digest, head, size = _digests(temporary)
        entry = {
            "size": size,
            "modified_ns": os.stat(temporary).st_mtime_ns,
            "sha256": digest,
            "head": head,
            "command": self.command,
            "grows": grows,
        }
        earlier = self.made.get(name)
        if earlier is not None and os.path.lexists(self.folder / name):
            entry["before"] = {key: value for key, value in earlier.items() if key != "before"}
        self.made[name] = entry
        self.written.add(name)
        self.save(sync=False)

    def may_replace(self, name: str) -> bool:
        """Whether the file of this name is there, ours, and the command's own unless ``overwrite`` is set."""
        return self.owns(name) and (self.made[name]["command"] == self.command or self.overwrite)

    def remove(self, names: Iterable[str]) -> None:
        """Remove those of these files that may be replaced; others stay where they are."""
        gone = [name for name in names if self.may_replace(name)]
        for name in gone:
            with contextlib.suppress(OSError):
                (self.folder / name).unlink()
            del self.made[name]
        if gone:
            self.save(sync=False)

    def settle(self) -> None:
        """Write the record of a finished run: what was there before is no longer ours, nor what grew out of it."""
        for entry in self.made.values():
            entry.pop("before", None)
        self.save()

    def save(self, sync: bool = True) -> None:
        """Write the record; a record of nothing is no file."""
        if not self.made and not self.runs:
            with contextlib.suppress(OSError):
                self.path.unlink()
            return
        content = {"format": _FORMAT, "runs": self.runs, "made": self.made}
        write_json(self.path, content, sync=sync)


def _status(path: Path) -> Optional[os.stat_result]:
    try:
        return os.lstat(path)
    except (OSError, ValueError):
        return None


def _is(path: Path, size: int, entry: Dict[str, Any]) -> bool:
    """Whether a file is the one that an entry describes; what grew or was cut off is known by its beginning."""
    try:
        if entry["grows"] and size > entry["size"] > 0:
            return _digests(path, entry["size"])[0] == entry["sha256"]
        if size < entry["size"]:
            return size == 0 or (size >= _HEAD and _digests(path, _HEAD)[1] == entry["head"])
        return size == entry["size"] and _digests(path)[0] == entry["sha256"]
    except (OSError, KeyError, TypeError):
        return False


def _digests(path: Path, length: Optional[int] = None) -> Tuple[str, str, int]:
    """SHA-256 of a file (of its first ``length`` bytes), that of its first `_HEAD` bytes, and how many were read."""
    whole, head, size = hashlib.sha256(), hashlib.sha256(), 0
    with open(path, "rb") as stream:
        while length is None or size < length:
            block = stream.read(1 << 20 if length is None else min(1 << 20, length - size))
            if not block:
                break
            if size == 0:
                head.update(block[:_HEAD])
            whole.update(block)
            size += len(block)
    return whole.hexdigest(), head.hexdigest(), size


def open_record(record: FolderRecord) -> FolderRecord:
    """Let a record guard its files until `close_records`; one that is open for the same folder is used on."""
    for other in atomic_files.GUARDS:
        if isinstance(other, FolderRecord) and other.path == record.path:
            other.command, other.overwrite = record.command, record.overwrite
            return other
    atomic_files.GUARDS.append(record)
    return record


def record_for(folder: PathLike) -> Optional[FolderRecord]:
    """The open record of a folder, or None."""
    path = Path(os.path.abspath(folder)) / RUN_JSON
    found: List[FolderRecord] = [
        guard for guard in atomic_files.GUARDS if isinstance(guard, FolderRecord) and guard.path == path
    ]
    return found[-1] if found else None


@contextlib.contextmanager
def guarding(folder: PathLike, command: str, overwrite: bool = False) -> Iterator[FolderRecord]:
    """Guard a folder in the block, with the record that is open for it or else one of its own."""
    record = record_for(folder)
    if record is not None:
        yield record
        return
    record = FolderRecord(folder)
    record.command, record.overwrite = command, overwrite
    atomic_files.GUARDS.append(record)
    try:
        yield record
    finally:
        close_record(record)


def remove_made(folder: PathLike) -> None:
    """Remove what commands made in a folder and below; files of others, and the folders that hold them, stay."""
    inside = os.path.join(os.path.abspath(folder), "")
    for guard in atomic_files.GUARDS:
        if isinstance(guard, FolderRecord):
            guard.remove([name for name in guard.made if str(guard.folder / name).startswith(inside)])
    for place, _, files in os.walk(folder, topdown=False):
        if RUN_JSON in files:
            with contextlib.suppress(ForeignFileError):
                record = FolderRecord(place)
                record.overwrite = True
                record.runs.clear()
                record.remove(list(record.made))
                record.save()
        with contextlib.suppress(OSError):
            os.rmdir(place)


def close_record(record: FolderRecord) -> None:
    """End the guard of one record."""
    with contextlib.suppress(ValueError):
        atomic_files.GUARDS.remove(record)


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
            record.settle()
