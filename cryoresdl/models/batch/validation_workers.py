"""Processes that validate maps: each loads the models once, and one that dies is reported and replaced."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from multiprocessing.connection import Connection, wait
from typing import Any, Generator, Sequence

from ..base.atomic_files import PathLike
from ..base.errors import CryoResError
from ..base.machine import processors
from .jobs import CRASHED, Job, ValidationOptions, failed_row
from .validate_map import run_job

_STARTS = 3
"""Workers that die before they are ready; after so many in a row there is no use in trying on."""
_READY = "ready"


class _Worker:
    """A process, our end of the pipe to it, and the job it is at."""

    def __init__(self, context: Any, options: ValidationOptions, out: str, cpus: Sequence[int]):
        self.pipe, theirs = context.Pipe()
        self.job: Job | None = None
        self.ready = False
        self.process = context.Process(target=_serve, args=(theirs, options, out, list(cpus)), daemon=True)
        self.process.start()
        # Ours must be closed, or the end of the worker would not end the pipe.
        theirs.close()

    def give(self, job: Job) -> bool:
        """Send the next job; False when the process has ended meanwhile."""
        try:
            self.pipe.send(job)
        except OSError:
            return False
        self.job = job
        return True

    def death(self) -> str:
        """Why the process ended, as a sentence."""
        self.process.join(5)
        code = self.process.exitcode
        if code == -signal.SIGKILL:
            return "The worker was killed while on this map (signal 9, most likely out of memory)."
        if code is not None and code < 0:
            return f"The worker crashed on this map (signal {-code})."
        return f"The worker ended while on this map (exit code {code})."

    def end(self) -> None:
        """Stop the process, whatever it does."""
        self.pipe.close()
        if self.process.is_alive():
            self.process.kill()
        self.process.join()
        self.process.close()


def worker_rows(
    jobs: Sequence[Job], options: ValidationOptions, out: PathLike, workers: int
) -> Generator[tuple[Job, dict[str, Any]], None, None]:
    """Yield (job, row) as worker processes finish them, in any order.

    Args:
        jobs: what to do.
        options: how.
        out: results folder.
        workers: number of processes.

    Raises:
        CryoResError: the workers die before they are ready.
    """
    context = multiprocessing.get_context("spawn")
    queue = deque(jobs)
    shares = _processor_shares(max(1, min(workers, len(queue))))
    team = [_Worker(context, options, os.fspath(out), share) for share in shares]
    false_starts = 0
    try:
        while any(worker.job for worker in team) or queue:
            busy = [worker.pipe for worker in team]
            for pipe in wait(busy):
                place = next(i for i, worker in enumerate(team) if worker.pipe is pipe)
                worker = team[place]
                job = worker.job
                try:
                    message = worker.pipe.recv()
                except (EOFError, OSError):
                    message = None
                if message is None:
                    false_starts = 0 if worker.ready else false_starts + 1
                    death = worker.death()
                    worker.end()
                    if false_starts >= _STARTS:
                        raise CryoResError(f"The worker processes cannot start: {death}")
                    team[place] = _Worker(context, options, os.fspath(out), shares[place])
                    if job is not None:
                        yield job, failed_row(job, death, CRASHED)
                    continue
                if isinstance(message, CryoResError):
                    raise message
                false_starts, worker.ready, worker.job = 0, True, None
                if queue and worker.give(queue[0]):
                    queue.popleft()
                if message != _READY and job is not None:
                    yield job, message
    finally:
        for worker in team:
            worker.end()


def _processor_shares(workers: int) -> list[list[int]]:
    """Divide the processors that we may use; libraries then start as many threads as each worker has."""
    if workers == 1 or not hasattr(os, "sched_getaffinity"):
        return [[] for _ in range(workers)]
    cpus = sorted(os.sched_getaffinity(0))
    if workers >= len(cpus):
        return [[cpus[index % len(cpus)]] for index in range(workers)]
    size = processors() // workers
    return [cpus[index * size : (index + 1) * size] for index in range(workers)]


def _serve(pipe: Connection, options: ValidationOptions, out: str, cpus: Sequence[int]) -> None:
    """The life of a worker."""
    # Ctrl-C goes to the whole group; the parent decides what becomes of us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if cpus:
        os.sched_setaffinity(0, cpus)
    _end_with_parent()
    message: Any = _READY
    try:
        from ..inference import global_resolution, local_resolution  # noqa: F401 - before the first map arrives
    except Exception as error:
        message = CryoResError(f"The worker processes cannot start ({type(error).__name__}: {error}).")
    while True:
        try:
            pipe.send(message)
            job = pipe.recv()
        except (EOFError, OSError):  # the parent has gone
            return
        message = run_job(job, options, out)


def _end_with_parent() -> None:
    """A killed parent must not leave workers behind that go on writing."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
