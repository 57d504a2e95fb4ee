"""The results of a list: one JSON line per map, from which ``results.csv`` is written."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
from pathlib import Path
from typing import Any, BinaryIO, Iterator, Sequence

from ..base.errors import InputError, OutputError
from ..base.runs import atomic_files
from ..base.runs.atomic_files import csv_cell, shown
from ..results import result_files
from .job_list import PIECE
from .jobs import CRASHED, DONE, FIELDS, Job, empty_row, same_inputs
from .validate_map import is_complete

RESULTS_JSONL = "results.jsonl"


class Ledger:
    """``results.jsonl`` and ``results.csv``: one line per finished map, complete after any kill.

    Args:
        folder: where they are.
        jobs: the list, in its order.
        resume: keep the rows of an earlier run whose job, options and input files are the same; those of a
            crashed worker are tried again.
    """

    def __init__(self, folder: Path, jobs: Sequence[Job], resume: bool):
        self.folder, self.jobs = folder, jobs
        # Where each row begins in results.jsonl: the rows of a long list stay out of memory.
        self._places: dict[str, int] = {}
        self._columns = list(empty_row(jobs[0])) if jobs else list(FIELDS)
        if resume:
            own = self._remember(self.folder / RESULTS_JSONL)
            self._places = {record["key"]: place for place, record in own}
        self._write_whole()
        if resume:
            self._gather()

    @property
    def left(self) -> Sequence[Job]:
        """Jobs without a row."""
        if not self._places:
            return self.jobs
        return [job for job in self.jobs if job.key not in self._places]

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows so far, in the order of the list."""
        if not self._places:
            return
        try:
            with open(self.folder / RESULTS_JSONL, "rb") as stream:
                for job in self.jobs:
                    if job.key in self._places:
                        stream.seek(self._places[job.key])
                        yield json.loads(stream.readline())
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            raise InputError(
                f"{shown(self.folder / RESULTS_JSONL)} was changed by another program; go on with --resume."
            ) from error

    def add(self, job: Job, row: dict[str, Any]) -> None:
        """Append a finished map to both files."""
        self._append({"key": job.key, "inputs": None, **row})

    def finish(self) -> None:
        """Bring both files into the order of the list."""
        self._write_whole(grows=False)

    def _remember(self, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
        """Rows of an earlier run that still hold, and where they begin."""
        jobs = {job.key: job for job in self.jobs}
        for place, record in _records(path):
            job = jobs.get(record.get("key", ""))
            if job is None or record.get("status") == CRASHED:
                continue
            if record.get("status") == DONE:
                # A row that was gathered from a piece has its results there.
                holds = is_complete(job, path.parent / str(record.get("folder")))
            else:
                holds = same_inputs(job, record.get("inputs"))
            if holds:
                yield place, record

    def _gather(self) -> None:
        """Take over what runs of pieces of this list have done in folders of their own."""
        for path in sorted(self.folder.glob(f"{PIECE}*/{RESULTS_JSONL}")):
            for _, record in list(self._remember(path)):
                if record["key"] not in self._places:
                    record["folder"] = f"{path.parent.name}/{record['folder']}"
                    self._append(record)

    def _append(self, record: dict[str, Any]) -> None:
        if not self._places:  # a file that grows is known by how it begins
            self._write_whole(first=record)
            return
        self._places[record["key"]] = _append(self.folder / RESULTS_JSONL, _json_line(record))
        _append(self.folder / result_files.RESULTS_CSV, self._csv_line(record))

    def _write_whole(self, *, grows: bool = True, first: dict[str, Any] | None = None) -> None:
        places = {}
        with contextlib.ExitStack() as stack:
            # Left in the other order: the lines, which a resume trusts, are replaced last.
            lines = stack.enter_context(_rewritten(self.folder / RESULTS_JSONL, grows))
            table = stack.enter_context(_rewritten(self.folder / result_files.RESULTS_CSV, grows))
            header = io.StringIO()
            csv.writer(header).writerow([csv_cell(name) for name in self._columns])
            table.write(_encoded(header.getvalue()))
            for record in self.rows() if first is None else [first]:
                places[record["key"]] = lines.tell()
                lines.write(_encoded(_json_line(record)))
                table.write(_encoded(self._csv_line(record)))
        self._places = places

    def _csv_line(self, record: dict[str, Any]) -> str:
        text = io.StringIO()
        table = csv.DictWriter(text, self._columns, extrasaction="ignore", restval="")
        table.writerow({name: csv_cell(value) for name, value in record.items()})
        return text.getvalue()


def _json_line(record: dict[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=True) + "\n"


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


@contextlib.contextmanager
def _rewritten(path: Path, grows: bool) -> Iterator[BinaryIO]:
    """A stream whose content becomes the file ``path`` when the block succeeds."""
    with atomic_files.atomic_path(path, grows=grows) as temporary, open(temporary, "wb") as stream:
        yield stream


def _append(path: Path, text: str) -> int:
    """Append in one write, so that a kill leaves at most one torn line, the last; return where it begins."""
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        place = os.lseek(handle, 0, os.SEEK_END)
        data = _encoded(text)
        if os.write(handle, data) != len(data):
            raise OutputError(f"The disk of {shown(path.parent)} is full; free it and go on with --resume.")
        return place
    except OSError as error:
        raise OutputError(
            f"Cannot write {shown(path)}: {error.strerror}; free the disk and go on with --resume."
        ) from error
    finally:
        os.close(handle)


def _records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Lines of an earlier run and where they begin; a torn or foreign one is skipped and its map done again."""
    try:
        with open(path, "rb") as stream:
            place = 0
            for line in stream:
                record = _record(line)
                if record is not None:
                    yield place, record
                place += len(line)
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(f"Cannot read {shown(path)}: {error.strerror}.") from error


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None
