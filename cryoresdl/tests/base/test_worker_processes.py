"""The pool of worker processes: what becomes of jobs, and that no worker outlives its parent or holds its pipes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from cryoresdl.models.base import worker_processes
from cryoresdl.models.base.errors import CryoResError, InputError

PARENT = """
import sys, time
from cryoresdl.models.base import worker_processes
from cryoresdl.tests.base import test_worker_processes as here
if __name__ == "__main__":
    for result in worker_processes.results_of(here.sleep_noisily, [sys.argv[1]] * 8, 2):
        print(result)
"""


def sleep_noisily(folder):
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(120)


def square(number):
    return number * number


def refuse(number):
    raise InputError(f"{number} is refused")


class Stubborn(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def raise_what_cannot_travel(number):
    raise Stubborn(number, number)


def die_at_three(number):
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def threads(_):
    return os.environ.get("OPENBLAS_NUM_THREADS"), os.environ.get("OMP_NUM_THREADS")


def test_every_job_has_its_result_whatever_the_number_of_workers():
    assert sorted(worker_processes.results_of(square, range(7), 3)) == [0, 1, 4, 9, 16, 25, 36]
    assert list(worker_processes.results_of(square, [], 3)) == []


def test_an_error_of_the_work_reaches_the_caller():
    with pytest.raises(InputError, match="5 is refused"):
        list(worker_processes.results_of(refuse, [5], 1))
    with pytest.raises(CryoResError, match="Stubborn: 5 and 5"):
        list(worker_processes.results_of(raise_what_cannot_travel, [5], 1))


def test_a_worker_that_dies_is_replaced_and_its_job_handed_back():
    found = list(worker_processes.outcomes(die_at_three, range(6), 2))
    assert sorted(outcome.job for outcome in found) == list(range(6))
    (dead,) = [outcome for outcome in found if outcome.death]
    assert dead.job == 3 and "signal 9" in dead.death
    with pytest.raises(CryoResError, match="go on with --resume"):
        list(worker_processes.results_of(die_at_three, [3], 1))


def test_one_thread_is_for_the_workers_only(monkeypatch):
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert list(worker_processes.results_of(threads, [0], 1)) == [("1", "1")]
    assert "OPENBLAS_NUM_THREADS" not in os.environ and os.environ["OMP_NUM_THREADS"] == "7"


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGHUP", "SIGINT"])
def test_no_worker_outlives_its_parent_or_keeps_its_pipes_open(tmp_path, name):
    (tmp_path / "parent.py").write_text(PARENT)
    folder = tmp_path / "at"
    folder.mkdir()
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "parent.py"), str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    end = time.monotonic() + 60
    while time.monotonic() < end and len(list(folder.iterdir())) < 2:
        time.sleep(0.05)
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(list(folder.iterdir())) == 2 and len(children) >= 2
    os.kill(process.pid, getattr(signal, name))
    process.communicate(timeout=5)  # ends when nobody holds the other ends
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not alive


def test_workers_that_are_still_starting_end_with_their_parent(tmp_path):
    (tmp_path / "parent.py").write_text(PARENT)
    folder = tmp_path / "at"
    folder.mkdir()
    for delay in (0.1, 0.3, 0.6, 1.0):
        process = subprocess.Popen(
            [sys.executable, str(tmp_path / "parent.py"), str(folder)], stderr=subprocess.PIPE
        )
        time.sleep(delay)
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.communicate(timeout=10)
        _, alive = psutil.wait_procs(children, timeout=5)
        assert not alive
