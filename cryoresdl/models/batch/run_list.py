"""Validate maps: one, or a list of any length on worker processes, resumable after any end.

Everything known about a map comes from `validate_map`, whether it runs here, in a worker or on a cluster. A list
grows ``results.jsonl`` and ``results.csv`` by one line per finished map; ``results.jsonl`` is the memory of a
resume: a line counts when its input files (size and times of change, or else the bytes), the models, options and row
are still the same.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, Sequence

from ..base.atomic_files import PathLike
from ..base.errors import OutputError
from .jobs import DONE, STOP, Job, ValidationOptions
from .results_ledger import Ledger


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
            from .validation_workers import worker_rows

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
