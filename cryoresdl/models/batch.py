"""Validate maps: one, or a list of any length on worker processes, resumable after any end.

Everything known about a map comes from `validate_map`, whether it runs here, in a worker or on a cluster. A list
grows ``results.jsonl`` and ``results.csv`` by one line per finished map; ``results.jsonl`` is the memory of a
resume: a line counts when its input files (size and times of change, or else the bytes), the models, options and row
are still the same.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import hashlib
import importlib
import io
import json
import os
import re
import time
import traceback
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, Iterator, Sequence

from . import constants, files
from .errors import InputError, MemoryLimitError, OutputError
from .files import PathLike, shown

COLUMNS = ("map", "mask", "voxel_size", "claimed", "half1", "half2", "monores", "resmap", "relion")
"""Columns of a list; only ``map`` is needed, and others are carried into the results."""
COMPARED = {"monores": "MonoRes", "resmap": "ResMap", "relion": "RELION"}
FIELDS = (
    "map",
    "folder",
    "status",
    "error",
    "class",
    "p_high",
    "p_medium",
    "p_low",
    "resolution_A",
    "interval_low_A",
    "interval_high_A",
    "in_distribution",
    "claimed_A",
    "verdict",
    "reasons",
    "local_median_A",
    "local_q1_A",
    "local_q3_A",
    "mask_voxels",
    "voxel_size_A",
    "nyquist_A",
    "warnings",
    "model_global",
    "model_local",
    "inference_seconds",
    "seconds",
)
RESULTS_JSONL = "results.jsonl"
VALIDATION_JSON = constants.VALIDATION_JSON
"""Written last into the folder of one map: its presence means that everything else is whole."""
ERROR_LOG = "error.log"
PIECE = "piece-"
"""How the folders begin that hold a piece of a list, made by one task of a job array."""
DONE, FAILED, CRASHED = "done", "failed", "crashed"
"""``crashed`` (killed, out of memory) is what another try may mend, so that a resume does it again."""
STOP = "stop"
"""Set in the row of a map that failed for want of a disk to write on."""
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
_RESULTS = (
    VALIDATION_JSON,
    constants.CLASSIFICATION_JSON,
    constants.LOCAL_JSON,
    constants.LOCAL_RESOLUTION,
    constants.LOCAL_CLASS,
    constants.LOCAL_INTERVAL,
    constants.MASK_USED,
    constants.COMPARISON_JSON,
    constants.DISAGREEMENT,
    constants.REPORT_HTML,
    constants.REPORT_JSON,
    "report.pdf",
    files.RUN_JSON,
)
_FILE_COLUMNS = ("map", "mask", "half1", "half2", "monores", "resmap", "relion")
_LONGEST_NAME = 80


@dataclass(frozen=True)
class Options:
    """How to validate; the same for every map of a list.

    Attributes:
        networks: "both", "global" or "local".
        model_global: name or file of a global model.
        model_local: name or file of a local model.
        seed: stored with the results.
        report: make figures and a report for every map.
        digests: of the model files: results of a model that was replaced do not count for a resume.
        engine: module with ``localres`` and ``classify``; tests put a quick one here.
    """

    networks: str = "both"
    model_global: str = constants.DEFAULT_GLOBAL_MODEL
    model_local: str = constants.DEFAULT_LOCAL_MODEL
    seed: int = 0
    report: bool = True
    digests: str = ""
    engine: str = "cryoresdl.models.inference"


@dataclass(frozen=True)
class Job:
    """One map to validate; paths as given, resolved against the list's folder.

    Attributes:
        map: the map; the other files are "" where there are none.
        voxel_size: A, or None for the header's.
        claimed: A, or None.
        folder: name of the sub-folder for the results; "" in the folder of a single map.
        key: identifies row and options across runs.
        extra: further columns of the list.
        problem: why the row cannot be run at all, or "".
    """

    map: str
    mask: str = ""
    voxel_size: float | None = None
    claimed: float | None = None
    half1: str = ""
    half2: str = ""
    monores: str = ""
    resmap: str = ""
    relion: str = ""
    folder: str = ""
    key: str = ""
    extra: dict[str, str] = field(default_factory=dict)
    problem: str = ""


# ------------------------------------------------------------------------------------------- one map


def validate_map(job: Job, options: Options, folder: PathLike) -> dict[str, Any]:
    """Validate one map and write everything about it into ``folder``.

    All inputs are read before anything is written.

    Args:
        job: what to validate.
        options: how.
        folder: where; it exists.

    Returns:
        The map's row of the results (`FIELDS` and the extra columns), and ``inputs``, the stamps of its files.

    Raises:
        InputError: bad input.
    """
    from . import maps, outputs

    start = time.perf_counter()
    if job.problem:
        raise InputError(job.problem)
    engine = importlib.import_module(options.engine)
    folder = Path(folder)
    before = stamps(job, digest=False)
    density = maps.read(job.map, job.voxel_size)
    halves = [
        maps.read(path, job.voxel_size, "half map") if path else None for path in (job.half1, job.half2)
    ]
    mask = maps.read_mask(job.mask, density) if job.mask else None
    others = {
        title: maps.read_values(getattr(job, name), density, f"{title} volume")
        for name, title in COMPARED.items()
        if getattr(job, name)
    }
    local = entry = None
    ready = time.perf_counter()
    if options.networks != "global":
        local = engine.localres(
            density, halves[0], halves[1], mask, model=options.model_local, seed=options.seed
        )
    if options.networks != "local":
        entry = engine.classify(
            density,
            mask=mask,
            claimed=job.claimed,
            model=options.model_global,
            local=local,
            half1=halves[0],
            half2=halves[1],
        )
    inference = time.perf_counter() - ready
    after = stamps(job)
    for name, path in _inputs(job):
        files.check_unchanged(path, before[name], after[name])
    _clear(folder)
    if local is not None:
        outputs.write_local(local, density, folder)
    if entry is not None:
        outputs.write_classification([entry], folder)
    _compare(folder, density, local, others, mask)
    if options.report:
        _report(folder)
    row = _row(job, options, density, entry, local)
    row["inference_seconds"] = round(inference, 4)
    row["seconds"] = round(time.perf_counter() - start, 4)
    record = {"key": job.key, "inputs": after, "files": dict(_inputs(job)), "row": row}
    files.write_json(folder / VALIDATION_JSON, record)
    return {**row, "inputs": after}


def is_complete(job: Job, folder: PathLike) -> bool:
    """Whether ``folder`` holds all results of this job, from the files as they are now."""
    path = Path(folder) / VALIDATION_JSON
    try:
        record = files.read_json(path) if path.is_file() else None
    except InputError:
        return False
    if not isinstance(record, dict) or record.get("key") != job.key:
        return False
    return same_inputs(job, record.get("inputs"))


def _clear(folder: Path) -> None:
    """Remove an earlier run's results, the mark of completeness first: this run may not make all of them.

    What a killed run left half written goes, too.
    """
    for name in _RESULTS:
        _drop(folder / name)
    for leftover in (*folder.glob(".part-*"), *folder.glob("figures/.part-*")):
        _drop(leftover)
    for figure in (folder / "figures").glob("*.png"):
        _drop(figure)


def _compare(folder: Path, density: Any, local: Any, others: dict[str, Any], mask: Any) -> None:
    from . import comparison

    estimates = [
        comparison.Estimate(title, volume.data, os.path.abspath(volume.path or ""))
        for title, volume in others.items()
    ]
    if local is not None:
        own = os.path.abspath(folder / constants.LOCAL_RESOLUTION)
        estimates.insert(0, comparison.Estimate("CryoResDL", local.resolution, own))
        mask = local.mask
    if others and len(estimates) > 1:
        comparison.write(folder, estimates, mask, density)


def _report(folder: Path) -> None:
    from . import plots, report

    plots.write_standard(folder)
    report.build(folder)


def _row(job: Job, options: Options, density: Any, entry: Any, local: Any) -> dict[str, Any]:
    row = empty_row(job)
    row.update(
        status=DONE, voxel_size_A=_rounded(density.voxel_size), nyquist_A=_rounded(2 * density.voxel_size)
    )
    warnings = list(density.warnings)
    if entry is not None:
        low, high = entry.get("interval_A") or (None, None)
        claim = entry.get("claim") or {}
        row.update({f"p_{name}": _rounded(p) for name, p in entry["probabilities"].items()})
        row.update(
            {
                "class": entry["class"],
                "resolution_A": _rounded(entry.get("resolution_A")),
                "interval_low_A": _rounded(low),
                "interval_high_A": _rounded(high),
                "in_distribution": entry["in_distribution"],
                "claimed_A": _rounded(claim.get("claimed_A", job.claimed)),
                "verdict": claim.get("verdict"),
                "reasons": " ".join(claim.get("reasons", [])),
                "model_global": options.model_global,
            }
        )
        warnings += entry["warnings"]
    if local is not None:
        info = local.info
        first, third = info.get("quartiles_A") or (None, None)
        row.update(
            local_median_A=_rounded(info.get("median_A")),
            local_q1_A=_rounded(first),
            local_q3_A=_rounded(third),
            mask_voxels=int(local.mask.sum()),
            model_local=options.model_local,
        )
        warnings += info.get("warnings", [])
    row["warnings"] = " ".join(dict.fromkeys(warnings))
    return row


def empty_row(job: Job) -> dict[str, Any]:
    """A row of the results with nothing in it but the job; extra columns that collide get a prefix."""
    row: dict[str, Any] = dict.fromkeys(FIELDS)
    row.update(map=job.map, folder=job.folder, error="")
    for name, value in job.extra.items():
        row[f"list_{name}" if name in (*FIELDS, "key", "inputs") else name] = value
    return row


def failed_row(job: Job, error: str, status: str = FAILED) -> dict[str, Any]:
    """The row of a map that could not be validated."""
    row = empty_row(job)
    row.update(status=status, error=" ".join(error.split()))
    return row


def _rounded(value: Any) -> float | None:
    return None if value is None else round(float(value), 4)


def stamps(job: Job, digest: bool = True) -> dict[str, Any]:
    """`files.stamp` of every input file of a job; None for one that cannot be read."""
    return {name: files.stamp(path, digest) for name, path in _inputs(job)}


def _inputs(job: Job) -> list[tuple[str, str]]:
    from .maps import plain_path

    return [(name, plain_path(getattr(job, name))) for name in _FILE_COLUMNS if getattr(job, name)]


def same_inputs(job: Job, earlier: Any) -> bool:
    """Whether every input file of a job is what it was when ``earlier`` was taken by `stamps`."""
    paths = dict(_inputs(job))
    if not isinstance(earlier, dict) or earlier.keys() != paths.keys():
        return False
    return all(files.unchanged(path, earlier[name]) for name, path in paths.items())


# ------------------------------------------------------------------------------------------- the list


def read_list(path: PathLike, options: Options, defaults: dict[str, Any] | None = None) -> list[Job]:
    """Read a CSV list of maps.

    Paths count from the folder of the list, or, where there is no such file, from the working directory. A row
    that cannot be understood becomes a job with a ``problem``; the rest of the list goes on.

    Args:
        path: CSV with a header line; the columns are `COLUMNS`, ``map`` at least.
        options: part of the rows' identity.
        defaults: values for empty cells (``mask``, ``voxel_size``, ``claimed``).

    Raises:
        InputError: unreadable, not text, no ``map`` column, a column twice, or no rows.
    """
    where = f"The list {shown(path)}"
    try:
        with open(path, newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream, strict=True)
            numbered = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except UnicodeDecodeError as error:
        raise InputError(f"{where} is not UTF-8 text; save it as CSV in UTF-8.") from error
    except csv.Error as error:
        raise InputError(f"{where} is not a CSV file ({error}); save it again as CSV.") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{where} cannot be read: {reason}.") from error
    header = [name.strip() for name in numbered[0][1]] if numbered else []
    names = [name.lower() if name.lower() in COLUMNS else name for name in header]
    if "map" not in names:
        raise InputError(
            f"{where} has no column named map in its first line; add the header {','.join(COLUMNS[:8])}."
        )
    twice = [name for name in names if name and names.count(name) > 1]
    if twice:
        raise InputError(f"{where} has the column {shown(twice[0])} twice; remove one.")
    if len(numbered) == 1:
        raise InputError(f"{where} has no rows; add one line per map.")
    base = Path(path).resolve().parent
    return _named([_job(names, row, base, defaults or {}, number) for number, row in numbered[1:]], options)


def jobs_of(paths: Sequence[str], options: Options, defaults: dict[str, Any] | None = None) -> list[Job]:
    """The same for maps given one by one."""
    return _named([replace(Job(map=path), **(defaults or {})) for path in paths], options)


def piece_of(jobs: Sequence[Job], number: int, pieces: int) -> tuple[list[Job], str]:
    """Every ``pieces``-th job from the ``number``-th on, and the name of the folder for this piece.

    Keys and folders of the jobs are those of the whole list, so that its own run can take over the rows.
    """
    width = len(str(pieces))
    return list(jobs[number - 1 :: pieces]), f"{PIECE}{number:0{width}d}-of-{pieces}"


def _job(names: Sequence[str], row: Sequence[str], base: Path, defaults: dict[str, Any], number: int) -> Job:
    problem = ""
    if len(row) > len(names):
        problem = f"Line {number} of the list has {len(row)} cells for {len(names)} columns; quote names with commas."
    cells = dict(zip(names, row))
    values: dict[str, Any] = {}
    for name in COLUMNS:
        text = cells.get(name, "").strip()
        if name in ("voxel_size", "claimed"):
            try:
                values[name] = _number(text, name)
            except InputError as error:
                values[name], problem = None, problem or f"Line {number} of the list: {error}"
        else:
            # Names may begin or end with blanks: only a cell of nothing but blanks is empty.
            values[name] = _found(cells[name], base) if text else ""
        if values[name] in ("", None) and defaults.get(name) is not None:
            values[name] = defaults[name]
    if not values["map"]:
        problem = problem or f"Line {number} of the list names no map; fill in the column map."
    extra = {name: cells.get(name, "") for name in names if name and name not in COLUMNS}
    return Job(**values, extra=extra, problem=problem)


def _number(text: str, name: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise InputError(f"{shown(text)} in the column {name} is not a number above 0 (A).")
    return value


def _found(text: str, base: Path) -> str:
    from .maps import plain_path

    beside = os.path.join(str(base), text)
    with contextlib.suppress(OSError, ValueError):
        for candidate in (beside, os.path.abspath(text)):
            if os.path.exists(plain_path(candidate)):
                return candidate
    return beside


def _named(jobs: Sequence[Job], options: Options) -> list[Job]:
    """Give every job its key and a sub-folder: the map's name, made safe, with a digest where two would meet."""
    counted: dict[str, int] = {}
    keyed = []
    for job in jobs:
        text = json.dumps([asdict(job), asdict(options)], sort_keys=True)
        counted[text] = counted.get(text, 0) + 1
        key = hashlib.sha256(f"{text} {counted[text]}".encode("utf-8", "surrogatepass")).hexdigest()[:24]
        keyed.append(replace(job, key=key))
    stems = [safe_name(job.map) for job in keyed]
    lower = [stem.lower() for stem in stems]
    return [
        replace(job, folder=stem if lower.count(stem.lower()) == 1 else f"{stem}-{job.key[:8]}")
        for job, stem in zip(keyed, stems)
    ]


def safe_name(path: str) -> str:
    """A folder name from a map's: letters, digits, dot, dash and underscore, never hidden, never empty."""
    name = os.path.basename(path)
    name = re.sub(r"(:mrcs?)?$", "", name)
    name = re.sub(r"\.(gz|bz2)$", "", name, flags=re.IGNORECASE)
    name = re.sub(r"\.(mrcs?|map|ccp4|st|rec|vol)$", "", name, flags=re.IGNORECASE)
    name = re.sub(r"[^\w.-]+", "_", name.encode("utf-8", "replace").decode("utf-8"))
    return name.strip("._-")[:_LONGEST_NAME].rstrip("._-") or "map"


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
    def left(self) -> list[Job]:
        """Jobs without a row."""
        return [job for job in self.jobs if job.key not in self._places]

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows so far, in the order of the list."""
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
        self._write_whole()

    def _remember(self, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
        """Rows of an earlier run that still hold, and where they begin."""
        jobs = {job.key: job for job in self.jobs}
        for place, record in _records(path):
            job = jobs.get(record.get("key", ""))
            if job is None or record.get("status") == CRASHED or not same_inputs(job, record.get("inputs")):
                continue
            # A row that was gathered from a piece has its results there.
            done = path.parent / str(record.get("folder")) / VALIDATION_JSON
            if record.get("status") != DONE or done.is_file():
                yield place, record

    def _gather(self) -> None:
        """Take over what runs of pieces of this list have done in folders of their own."""
        for path in sorted(self.folder.glob(f"{PIECE}*/{RESULTS_JSONL}")):
            for _, record in list(self._remember(path)):
                if record["key"] not in self._places:
                    record["folder"] = f"{path.parent.name}/{record['folder']}"
                    self._append(record)

    def _append(self, record: dict[str, Any]) -> None:
        self._places[record["key"]] = _append(self.folder / RESULTS_JSONL, _json_line(record))
        _append(self.folder / constants.RESULTS_CSV, self._csv_line(record))

    def _write_whole(self) -> None:
        places = {}
        with contextlib.ExitStack() as stack:
            # Left in the other order: the lines, which a resume trusts, are replaced last.
            lines = stack.enter_context(_rewritten(self.folder / RESULTS_JSONL))
            table = stack.enter_context(_rewritten(self.folder / constants.RESULTS_CSV))
            header = io.StringIO()
            csv.writer(header).writerow(self._columns)
            table.write(_encoded(header.getvalue()))
            for record in self.rows():
                places[record["key"]] = lines.tell()
                lines.write(_encoded(_json_line(record)))
                table.write(_encoded(self._csv_line(record)))
        self._places = places

    def _csv_line(self, record: dict[str, Any]) -> str:
        text = io.StringIO()
        table = csv.DictWriter(text, self._columns, extrasaction="ignore", restval="")
        table.writerow(record)
        return text.getvalue()


def _json_line(record: dict[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=True) + "\n"


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


@contextlib.contextmanager
def _rewritten(path: Path) -> Iterator[BinaryIO]:
    """A stream whose content becomes the file ``path`` when the block succeeds."""
    with files.atomic_path(path) as temporary, open(temporary, "wb") as stream:
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


# ----------------------------------------------------------------------------------------- the runs


def run_job(job: Job, options: Options, out: PathLike) -> dict[str, Any]:
    """Validate one map of a list into its sub-folder; whatever goes wrong becomes its row.

    This is what workers, and Dask, run. A row with `STOP` says that no map can be written.
    """
    folder = Path(out) / job.folder
    try:
        if job.problem:
            raise InputError(job.problem)
        files.make_folder(folder)
        row = validate_map(job, options, folder)
        _drop(folder / ERROR_LOG)
        return row
    except OutputError as error:
        return {**failed_row(job, str(error)), STOP: True}
    except MemoryLimitError as error:
        row = failed_row(job, str(error), CRASHED)
    except InputError as error:
        row = failed_row(job, _with_columns(str(error)))
    except MemoryError:
        row = failed_row(job, "Not enough memory for this map; bin or crop it.", CRASHED)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _DISK:
            return {**failed_row(job, f"Cannot write in {shown(folder)}: {error.strerror}."), STOP: True}
        with contextlib.suppress(OSError):
            (folder / ERROR_LOG).write_text(
                traceback.format_exc(), encoding="utf-8", errors="backslashreplace"
            )
        what = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        row = failed_row(job, f"Unexpected failure ({what}); see {ERROR_LOG} in its folder.")
    row["inputs"] = stamps(job, digest=False)
    with contextlib.suppress(OSError):
        if folder != Path(out):
            folder.rmdir()  # only where nothing was written
    return row


_COLUMNS_OF_OPTIONS = (
    ("both --half1 and --half2", "both columns half1 and half2"),
    ("give --voxel-size", "give --voxel-size or the column voxel_size of a list"),
)


def _with_columns(sentence: str) -> str:
    """A remedy of one map, told as that of a list, which has columns in the place of options."""
    for option, column in _COLUMNS_OF_OPTIONS:
        sentence = sentence.replace(option, column)
    return sentence


def _drop(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def run_list(
    jobs: Sequence[Job],
    options: Options,
    out: PathLike,
    workers: int = 1,
    resume: bool = False,
    dask: str | None = None,
) -> list[dict[str, Any]]:
    """Validate many maps, writing one row each as they are finished.

    Args:
        jobs: from `read_list`.
        options: how.
        out: the folder for ``results.csv``, ``results.jsonl`` and one sub-folder per map.
        workers: processes; each loads the models once.
        resume: keep the rows of an earlier run (see `Ledger`).
        dask: address of a Dask scheduler, or ``local:N``; instead of our own workers.

    Returns:
        The rows in the order of the list.

    Raises:
        OutputError: the folder cannot be written to.
        CryoResError: no worker can be started.
    """
    from .progress import Progress

    out = Path(out)
    ledger = Ledger(out, jobs, resume)
    left = ledger.left
    failures = sum(row["status"] != DONE for row in ledger.rows())
    if left:
        if dask:
            from .dask_fanout import dask_rows

            rows = dask_rows(left, options, out, dask)
        else:
            from .workers import worker_rows

            rows = worker_rows(left, options, out, workers)
        with contextlib.closing(rows), Progress("maps", len(jobs), done=len(jobs) - len(left)) as progress:
            for job, row in rows:
                if row.get(STOP):
                    raise OutputError(f"{row['error']} What is finished is kept: go on with --resume.")
                ledger.add(job, row)
                failures += row["status"] != DONE
                progress.step(detail=f"{failures} failed" if failures else "")
    ledger.finish()
    return list(ledger.rows())
