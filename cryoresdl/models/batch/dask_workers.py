"""Validate a list of maps on many machines: Dask hands the jobs out, our `validate_map.run_job` does them.

The results folder, the maps and this package must be at the same paths on every machine (a shared file system).
``slurm:N`` and its like start N such workers as jobs of a queue, with ``dask-jobqueue`` and its configuration file; see
the guide.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import replace
from itertools import islice
from typing import Any, Generator, Sequence

from ..base.errors import InputError
from ..base.runs.atomic_files import PathLike, shown
from .jobs import CRASHED, FILE_COLUMNS, Job, ValidationOptions, failed_row
from .validate_map import run_job

AHEAD = 1000
"""Jobs handed to the scheduler at once: enough for any cluster, few enough for its memory."""
_CONNECT_S = 30
QUEUES = {
    "slurm": "SLURMCluster",
    "pbs": "PBSCluster",
    "sge": "SGECluster",
    "lsf": "LSFCluster",
    "oar": "OARCluster",
    "htcondor": "HTCondorCluster",
}
"""Queue systems whose jobs can be our workers, and their classes in dask_jobqueue."""


def dask_rows(
    jobs: Sequence[Job], options: ValidationOptions, out: PathLike, address: str, overwrite: bool = False
) -> Generator[tuple[Job, dict[str, Any]], None, None]:
    """Yield (job, row) as the workers of a Dask cluster finish them, in any order.

    A job whose worker dies is tried again elsewhere, as Dask is set up (three times by default), and then
    reported.

    Args:
        jobs: what to do.
        options: how.
        out: results folder, on a file system that every worker sees.
        address: of a scheduler ("tcp://10.0.0.1:8786"), a scheduler file, ``local:N`` for N local processes, or
            ``slurm:N`` (see `QUEUES`) for N jobs of a queue.
        overwrite: results of other commands in the sub-folders may be replaced.

    Raises:
        InputError: Dask is not installed, no scheduler answers, or the queue takes no jobs.
    """
    try:
        from distributed import Client, as_completed
    except ImportError as error:
        raise InputError(
            "--dask needs the packages of the extra dask; install them with: "
            "pip install distributed dask-jobqueue"
        ) from error
    with contextlib.ExitStack() as stack:
        client = _client(Client, address, stack)
        waiting = iter(jobs)
        handed: dict[str, Job] = {}

        def hand_out(number: int) -> list[Any]:
            futures = []
            for job in islice(waiting, number):
                future = client.submit(
                    run_job, _absolute(job), options, os.path.abspath(out), overwrite, pure=False
                )
                handed[future.key] = job
                futures.append(future)
            return futures

        done = as_completed(hand_out(AHEAD))
        for future in done:
            job = handed.pop(future.key)
            try:
                row = future.result()
            except Exception as error:  # a killed worker, or one that cannot import us
                what = f"{type(error).__name__}: {error}"
                row = failed_row(job, f"The Dask worker failed on this map ({what[:200]}).", CRASHED)
            row["map"] = job.map
            future.release()
            for fresh in hand_out(1):
                done.add(fresh)
            yield job, row


def _client(kind: Any, address: str, stack: contextlib.ExitStack) -> Any:
    number = re.fullmatch(r"(\w+):(\d+)", address)
    try:
        if number and number.group(1) == "local":
            from distributed import LocalCluster

            workers = max(1, int(number.group(2)))
            cluster = LocalCluster(
                n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None
            )
            return stack.enter_context(kind(stack.enter_context(cluster)))
        if number and number.group(1) in QUEUES:
            cluster = stack.enter_context(_queue(number.group(1)))
            cluster.scale(jobs=max(1, int(number.group(2))))
            return stack.enter_context(kind(cluster))
        if os.path.isfile(address):
            return stack.enter_context(kind(scheduler_file=address, timeout=_CONNECT_S))
        return stack.enter_context(kind(address, timeout=_CONNECT_S))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"No Dask scheduler answers at {shown(address)} ({error}); check the address."
        ) from error


def _queue(name: str) -> Any:
    """A cluster whose workers are jobs of a queue; what a job asks for is in ``jobqueue.yaml``."""
    try:
        import dask_jobqueue
    except ImportError as error:
        raise InputError(
            f"--dask {name}:N needs the package dask-jobqueue; install it with: pip install dask-jobqueue"
        ) from error
    try:
        return getattr(dask_jobqueue, QUEUES[name])()
    except ValueError as error:  # it names the setting that is missing
        raise InputError(
            f"Jobs for the queue {name} are not described ({' '.join(str(error).split())}); "
            "write cores and memory into ~/.config/dask/jobqueue.yaml."
        ) from error


def _absolute(job: Job) -> Job:
    """Workers start elsewhere: relative paths must not depend on where."""
    return replace(
        job, **{name: os.path.abspath(getattr(job, name)) for name in FILE_COLUMNS if getattr(job, name)}
    )
