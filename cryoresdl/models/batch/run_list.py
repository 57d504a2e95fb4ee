"""Validate maps: one, or a list of any length on worker processes, resumable after any end.

Everything known about a map comes from `validate_map`, whether it runs here, in a worker or on a cluster. A list
grows ``results.jsonl`` and ``results.csv`` by one line per finished map; ``results.jsonl`` is the memory of a
resume: a line counts when its input files (size and times of change, or else the bytes), the models, options and row
are still the same.
"""

from __future__ import annotations

import contextlib
from functools import partial
from pathlib import Path
from typing import Any, Generator, Sequence

from ..base.errors import OutputError
from ..base.progress import Progress
from ..base.runs.atomic_files import PathLike
from ..base.runs.run_record import guarding
from ..base.worker_processes import outcomes
from ..results import result_files
from .jobs import CRASHED, DONE, STOP, Job, ValidationOptions, failed_row
from .results_ledger import RESULTS_JSONL, Ledger
from .validate_map import LIST_COMMAND, run_job

LIST_FILES = (result_files.RESULTS_CSV, RESULTS_JSONL)
"""Files of a list beside the sub-folders of its maps."""


def run_list(
    jobs: Sequence[Job],
    options: ValidationOptions,
    out: PathLike,
    workers: int = 1,
    resume: bool = False,
    dask: str | None = None,
    *,
    overwrite: bool = False,
) -> list[dict[str, Any]]:
    """Validate many maps, writing one row each as they are finished.

    Args:
        jobs: from `read_list`.
        options: how.
        out: the folder for ``results.csv``, ``results.jsonl`` and one sub-folder per map.
        workers: processes; each loads the models once.
        resume: keep the rows of an earlier run (see `Ledger`).
        dask: address of a Dask scheduler, or ``local:N``; instead of our own workers.
        overwrite: results of other commands in the sub-folders may be replaced.

    Returns:
        The rows in the order of the list.

    Raises:
        OutputError: the folder cannot be written to.
        CryoResError: no worker can be started.
    """
    out = Path(out)
    with guarding(out, LIST_COMMAND, overwrite) as record:
        ledger = Ledger(out, jobs, resume)
        left = ledger.left
        if left and dask:
            from .dask_workers import dask_rows

            _take(dask_rows(left, options, out, dask, overwrite), ledger, len(left))
        elif left:
            _take(_worker_rows(left, options, out, workers, overwrite), ledger, len(left))
        ledger.finish()
        record.settle()
    return list(ledger.rows())


def _take(rows: Generator[tuple[Job, dict[str, Any]], None, None], ledger: Ledger, left: int) -> None:
    """Put rows into the ledger as they come, and show how far the list is."""
    total = len(ledger.jobs)
    failures = sum(row["status"] != DONE for row in ledger.rows())
    with contextlib.closing(rows), Progress("maps", total, done=total - left) as progress:
        for job, row in rows:
            if row.get(STOP):
                raise OutputError(f"{row['error']} What is finished is kept: go on with --resume.")
            ledger.add(job, row)
            failures += row["status"] != DONE
            progress.step(detail=f"{failures} failed" if failures else "")


def _worker_rows(
    jobs: Sequence[Job], options: ValidationOptions, out: Path, workers: int, overwrite: bool
) -> Generator[tuple[Job, dict[str, Any]], None, None]:
    """Yield (job, row) as worker processes finish them, in any order; a worker that dies is a row, too."""
    work = partial(run_job, options=options, out=out, overwrite=overwrite)
    for outcome in outcomes(work, jobs, workers, begin=_load_engine):
        death = failed_row(outcome.job, outcome.death, CRASHED) if outcome.death else None
        yield outcome.job, death or outcome.result


def _load_engine() -> None:
    """Import in a worker, before its first map arrives, what every map needs."""
    from ..inference import global_resolution, local_resolution  # noqa: F401
