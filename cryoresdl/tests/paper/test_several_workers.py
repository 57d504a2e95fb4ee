"""Training by two processes on loopback: the same data, the same losses, and a clean stop when one dies."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from cryoresdl.models.base.errors import InputError
from cryoresdl.models.paper import epoch_loop
from cryoresdl.models.paper.several_workers import Cluster
from cryoresdl.models.training import run_files
from cryoresdl.tests.helpers.map_sets import global_set
from cryoresdl.tests.helpers.needs import free_ports
from cryoresdl.tests.helpers.places import REPOSITORY


def start(data, out, epochs, cluster=None, worker=None, resume=False):
    words = [
        "train",
        "dnn",
        "--paper",
        "--solver",
        "keras",
        "--data",
        data,
        "--width",
        "0.05",
        "--batch",
        "8",
    ]
    words += ["--learning-rate", "0.1", "--epochs", str(epochs), "--seed", "3", "--out", str(out)]
    words += ["--cluster", cluster, "--worker", str(worker)] if cluster else []
    words += ["--resume"] if resume else []
    return subprocess.Popen(
        [sys.executable, "-m", "cryoresdl.models", *words],
        env=dict(os.environ, PYTHONPATH=str(REPOSITORY)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_two(data, out, epochs, resume=False):
    cluster = ",".join(f"127.0.0.1:{port}" for port in free_ports(2))
    return [start(data, out, epochs, cluster, worker, resume) for worker in (0, 1)]


@pytest.mark.slow
def test_two_workers_train_as_one_and_survive_a_kill(tmp_path):
    data = global_set(tmp_path / "g.h5", 33)
    alone = start(data, tmp_path / "alone", 6)
    assert alone.communicate(timeout=300)[1] is not None and alone.returncode == 0
    together = start_two(data, tmp_path / "together", 6)
    for process in together:
        assert (process.communicate(timeout=300), process.returncode)[1] == 0
    one = run_files.read_history(tmp_path / "alone" / "history.csv", epoch_loop.HISTORY_COLUMNS)
    two = run_files.read_history(tmp_path / "together" / "history.csv", epoch_loop.HISTORY_COLUMNS)
    for name in epoch_loop.HISTORY_COLUMNS:
        np.testing.assert_allclose(two[name], one[name], rtol=1e-4, err_msg=name)

    chief, other = start_two(data, tmp_path / "killed", 2000)
    for line in chief.stderr:
        if line.startswith("epoch 3/"):
            other.send_signal(signal.SIGKILL)
            break
    said = chief.communicate(timeout=120)[1]
    assert chief.returncode == 1 and "worker of the cluster is lost" in said
    assert "Traceback" not in said
    other.communicate()
    first = run_files.read_history(tmp_path / "killed" / "history.csv", epoch_loop.HISTORY_COLUMNS)
    assert len(first["epoch"]) >= 3
    wanted = len(first["epoch"]) + 2
    for process in start_two(data, tmp_path / "killed", wanted, resume=True):
        assert (process.communicate(timeout=300), process.returncode)[1] == 0
    again = run_files.read_history(tmp_path / "killed" / "history.csv", epoch_loop.HISTORY_COLUMNS)
    assert again["epoch"] == list(range(1, wanted + 1))
    np.testing.assert_allclose(again["loss"][:6], one["loss"][: len(again["loss"][:6])], rtol=1e-4)


def test_addresses_are_checked():
    cluster = Cluster.parse("a:1, b:2", 1)
    assert cluster.workers == ("a:1", "b:2") and not cluster.chief and Cluster.parse("a:1,b:2", 0).chief
    for text, index in (
        ("a:1", 0),
        ("a:1,a:1", 0),
        ("a:1,b", 0),
        ("a:1,b:99999", 0),
        ("a:1,b:2", 2),
        ("a:1,b:2", -1),
    ):
        with pytest.raises(InputError):
            Cluster.parse(text, index)
