"""The pool of worker processes for work on many items."""

from __future__ import annotations

import contextlib
import os
from typing import Any, Callable, Iterator, Sequence

from .errors import CryoResError


def _spread(work: Callable[[Any], str], jobs: Sequence[Any], workers: int) -> Iterator[str]:
    """Do the jobs in processes with one BLAS thread each, so that the bytes do not depend on their number."""
    if not jobs:
        return
    import multiprocessing
    from concurrent import futures

    context = multiprocessing.get_context("spawn")
    size = max(1, min(workers, len(jobs)))
    # Not multiprocessing.Pool, which waits for ever for the work of a process that the system has killed.
    with _one_thread(), futures.ProcessPoolExecutor(size, context, _start_worker, (os.getpid(),)) as pool:
        waiting = [pool.submit(work, job) for job in jobs]
        try:
            for future in futures.as_completed(waiting):
                yield future.result()
        except futures.process.BrokenProcessPool as error:
            raise CryoResError(
                "A worker process was killed, perhaps for want of memory; go on with --resume and fewer --workers."
            ) from error
        finally:
            for future in waiting:
                future.cancel()


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Processes started in the block run BLAS with one thread."""
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    old = {name: os.environ.get(name) for name in names}
    os.environ.update({name: "1" for name in names})
    try:
        yield
    finally:
        for name, value in old.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _start_worker(parent: int) -> None:
    """End the worker when its parent was killed; a pool's workers would wait for ever."""
    import signal
    import threading
    import time

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends the pool
    signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
