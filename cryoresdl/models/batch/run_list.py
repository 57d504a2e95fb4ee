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

from ..base.atomic_files import PathLike
from ..base.errors import OutputError
from ..base.worker_processes import outcomes
from .jobs import CRASHED, DONE, STOP, Job, ValidationOptions, failed_row
from .results_ledger import Ledger
from .validate_map import run_job


def run_list(
    jobs: Sequence[Job],
    options: ValidationOptions,
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
    from ..base.progress import Progress

    out = Path(out)
    ledger = Ledger(out, jobs, resume)
    left = ledger.left
    failures = sum(row["status"] != DONE for row in ledger.rows())
    if left:
        if dask:
            from .dask_workers import dask_rows

            rows = dask_rows(left, options, out, dask)
        else:
            rows = _worker_rows(left, options, out, workers)
        with contextlib.closing(rows), Progress("maps", len(jobs), done=len(jobs) - len(left)) as progress:
            for job, row in rows:
                if row.get(STOP):
                    raise OutputError(f"{row['error']} What is finished is kept: go on with --resume.")
                ledger.add(job, row)
                failures += row["status"] != DONE
                progress.step(detail=f"{failures} failed" if failures else "")
    ledger.finish()
    return list(ledger.rows())


def _worker_rows(
    jobs: Sequence[Job], options: ValidationOptions, out: Path, workers: int
) -> Generator[tuple[Job, dict[str, Any]], None, None]:
    """Yield (job, row) as worker processes finish them, in any order; a worker that dies is a row, too."""
    work = partial(run_job, options=options, out=out)
    for outcome in outcomes(work, jobs, workers, begin=_load_engine):
        death = failed_row(outcome.job, outcome.death, CRASHED) if outcome.death else None
        yield outcome.job, death or outcome.result


def _load_engine() -> None:
    """Import in a worker, before its first map arrives, what every map needs."""
    from ..inference import global_resolution, local_resolution  # noqa: F401
