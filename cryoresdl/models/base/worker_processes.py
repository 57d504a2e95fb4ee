"""The one pool of worker processes: for lists of maps and for data sets.

A worker ends with its parent, whatever ends that, so that none is left behind with memory and the parent's pipes. A
worker that dies at a job is replaced, and the job is handed back with the reason.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
from collections import deque
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import Connection, wait
from typing import Any, Callable, Iterator, Sequence

from .errors import CryoResError
from .machine import processors

_STARTS = 3
"""Workers that die before they are ready; after so many in a row there is no use in trying on."""
_READY = "ready"
_THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Outcome:
    """What became of a job: its ``result``, or in ``death`` a sentence about the worker that died at it."""

    job: Any
    result: Any = None
    death: str = ""


@dataclass(frozen=True)
class _Failure:
    """An exception of a worker, on its way to the parent."""

    error: BaseException


def outcomes(
    work: Callable[[Any], Any],
    jobs: Sequence[Any],
    workers: int,
    *,
    begin: Callable[[], object] | None = None,
    one_thread: bool = False,
) -> Iterator[Outcome]:
    """Do jobs in new processes and yield what becomes of them, in any order.

    Args:
        work: what is done with a job; a function of a module, as are its arguments' types.
        jobs: handed out in this order, one at a time to each worker, and looked at no earlier.
        workers: processes, at most one a job.
        begin: called once in every worker before its first job.
        one_thread: the libraries of a worker use one thread each: sums split over threads differ in their last bit.
            Otherwise the processors that we may use are divided among the workers.

    Raises:
        CryoResError: the workers die before they are ready.
        Exception: what ``work`` or ``begin`` raised.
    """
    waiting = iter(jobs)
    queue = deque(islice(waiting, 1))
    if not queue:
        return
    shares = _processor_shares(max(1, min(workers, len(jobs))), one_thread)
    task = pickle.dumps((begin, work))
    team = [_Worker(task, share, one_thread) for share in shares]
    false_starts = 0
    try:
        while queue or any(worker.busy for worker in team):
            pipes = {worker.pipe: place for place, worker in enumerate(team)}
            for pipe in wait(list(pipes)):
                place = next(number for other, number in pipes.items() if other is pipe)
                worker = team[place]
                had_job, job = worker.busy, worker.job
                try:
                    message = worker.pipe.recv()
                except (EOFError, OSError):
                    false_starts = 0 if worker.ready else false_starts + 1
                    death = worker.death()
                    worker.end()
                    if false_starts >= _STARTS:
                        raise CryoResError(f"The worker processes cannot start: {death}") from None
                    team[place] = _Worker(task, shares[place], one_thread)
                    if had_job:
                        yield Outcome(job, death=death)
                    continue
                if isinstance(message, _Failure):
                    raise message.error
                false_starts, worker.ready, worker.busy = 0, True, False
                if queue and worker.give(queue[0]):
                    queue.popleft()
                    queue.extend(islice(waiting, 1))
                if had_job:
                    yield Outcome(job, message)
    finally:
        for worker in team:
            worker.end()


def results_of(
    work: Callable[[Any], Any],
    jobs: Sequence[Any],
    workers: int,
    *,
    begin: Callable[[], object] | None = None,
) -> Iterator[Any]:
    """The results of `outcomes` with one thread a worker, where a worker's death ends it all.

    Raises:
        CryoResError: a worker died, or see `outcomes`.
    """
    for outcome in outcomes(work, jobs, workers, begin=begin, one_thread=True):
        if outcome.death:
            raise CryoResError(
                f"{outcome.death} What is finished is kept: go on with --resume and fewer --workers."
            )
        yield outcome.result


class _Worker:
    """A process, our end of the pipe to it, and the job it is at."""

    def __init__(self, task: bytes, cpus: Sequence[int], one_thread: bool):
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.job: Any = None
        self.busy = self.ready = False
        self.process = context.Process(
            target=_serve, args=(theirs, os.getpid(), task, list(cpus)), daemon=True
        )
        with _one_thread() if one_thread else contextlib.nullcontext():
            self.process.start()
        # Ours must be closed, or the end of the worker would not end the pipe.
        theirs.close()

    def give(self, job: Any) -> bool:
        """Send the next job; False when the process has ended meanwhile."""
        try:
            self.pipe.send(job)
        except OSError:
            return False
        self.job, self.busy = job, True
        return True

    def death(self) -> str:
        """Why the process ended, as a sentence."""
        self.process.join(5)
        code = self.process.exitcode
        if code == -signal.SIGKILL:
            return "The worker was killed at this job (signal 9, most likely out of memory)."
        if code is not None and code < 0:
            return f"The worker crashed at this job (signal {-code})."
        return f"The worker ended at this job (exit code {code})."

    def end(self) -> None:
        """Stop the process, whatever it does."""
        self.pipe.close()
        if self.process.is_alive():
            self.process.kill()
        self.process.join()
        self.process.close()


def _processor_shares(workers: int, one_thread: bool) -> list[list[int]]:
    """Divide the processors that we may use; libraries then start as many threads as each worker has."""
    if workers == 1 or one_thread or not hasattr(os, "sched_getaffinity"):
        return [[] for _ in range(workers)]
    cpus = sorted(os.sched_getaffinity(0))
    if workers >= len(cpus):
        return [[cpus[index % len(cpus)]] for index in range(workers)]
    size = processors() // workers
    return [cpus[index * size : (index + 1) * size] for index in range(workers)]


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Processes started in the block use one thread each; libraries read the variables when they are loaded."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _serve(pipe: Connection, parent: int, task: bytes, cpus: Sequence[int]) -> None:
    """The life of a worker. The task comes as bytes: its modules are imported when the parent is watched already."""
    _end_with_parent(parent)
    # Ctrl-C goes to the whole group; the parent decides what becomes of us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if cpus:
        os.sched_setaffinity(0, cpus)
    try:
        begin, work = pickle.loads(task)
        if begin is not None:
            begin()
        message: Any = _READY
    except Exception as error:
        what = f"{type(error).__name__}: {' '.join(str(error).split())}"
        message = _Failure(CryoResError(f"The worker processes cannot start ({what})."))
    while True:
        try:
            pipe.send(message)
            job = pipe.recv()
        except (EOFError, OSError):  # the parent has gone
            return
        try:
            message = work(job)
        except Exception as error:
            message = _failure(error)


def _failure(error: Exception) -> _Failure:
    """The exception, or, where it cannot travel, one that says what it was."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        what = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return _Failure(CryoResError(f"A worker process failed ({what})."))
    return _Failure(error)


def _end_with_parent(parent: int) -> None:
    """Let the system kill this process when its parent ends; elsewhere than on Linux, a thread looks for that."""
    with contextlib.suppress(OSError, AttributeError, ImportError):
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before we asked
        os._exit(1)
    known = multiprocessing.parent_process()
    if known is not None:
        threading.Thread(target=_wait_for_end, args=(known.sentinel,), daemon=True).start()


def _wait_for_end(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
