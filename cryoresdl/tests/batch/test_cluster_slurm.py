"""A real SLURM on loopback: the job array of the guide, Dask's workers as jobs, and Scipion's queue with our hosts.conf.

SLURM comes from the distribution's packages (``apt-get install slurm-wlm munge``); the daemons are started and
stopped here, with their own configuration. Without them, or where they cannot run, these tests say so and are skipped.
"""

import csv
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

pytest.importorskip("pwem")

import pyworkflow as pw

from cryoresdl.models.batch import job_list, jobs, results_ledger
from cryoresdl.models.results import result_files
from cryoresdl.objects import getVerdict
from cryoresdl.protocols import ProtCryoResValidate
from cryoresdl.tests.helpers.needs import missing
from cryoresdl.tests.helpers.places import REPOSITORY as ROOT
from cryoresdl.tests.helpers.quick_engine import PROGRAM
from cryoresdl.tests.helpers.scipion_case import ScipionCase, blob, needs_models
from cryoresdl.tests.helpers.slurm_here import CannotStart, SlurmHere, absent
from cryoresdl.tests.helpers.written_maps import write_map

EXAMPLES = ROOT / "docs" / "examples"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not EXAMPLES.is_dir(), reason="the examples of the guide are only in the checkout"),
]


def start():
    """A cluster; without its programs or where they cannot run, the test is skipped (see `needs.missing`)."""
    if absent():
        missing("needs SLURM (apt-get install slurm-wlm munge): there is no %s" % ", ".join(absent()))
    try:
        return SlurmHere()
    except CannotStart as error:
        pytest.skip("SLURM cannot run here: %s" % error)


@pytest.fixture(scope="module")
def slurm():
    cluster = start()
    yield cluster
    cluster.stop()


@pytest.fixture
def program(tmp_path, monkeypatch):
    """``cryoresdl`` on the PATH, with the instant engine."""
    (tmp_path / "quick.py").write_text(PROGRAM)
    command = tmp_path / "bin" / "cryoresdl"
    command.parent.mkdir()
    command.write_text('#!/bin/sh\nexec "%s" "%s" "$@"\n' % (sys.executable, tmp_path / "quick.py"))
    command.chmod(0o755)
    monkeypatch.setenv("PATH", "%s:%s" % (command.parent, os.environ["PATH"]))
    monkeypatch.chdir(tmp_path)
    return str(command)


def write_list(folder, count, stem="m"):
    names = ["%s%d.mrc" % (stem, number) for number in range(count)]
    for number, name in enumerate(names):
        write_map(folder / name, number)
    (folder / "maps.csv").write_text("map\n" + "".join(name + "\n" for name in names))
    return names


def read_rows(out):
    with open(str(out / result_files.RESULTS_CSV), newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def check_rows(out, names):
    rows = read_rows(out)
    assert [os.path.basename(row["map"]) for row in rows] == names
    assert {row["status"] for row in rows} == {jobs.DONE}
    for row in rows:
        assert (out / row["folder"] / result_files.LOCAL_RESOLUTION).is_file()
    return rows


def test_the_job_array_of_the_guide(slurm, program, tmp_path):
    """Cancelled in the middle, submitted again, gathered: every map once."""
    names = write_list(tmp_path, 24, "slow")
    out = tmp_path / "results"
    submit = ["sbatch", "--parsable", "--array=1-3", "--cpus-per-task=1", "--mem=1G"]
    words = [str(EXAMPLES / "slurm_array.sh"), "maps.csv", "results"]
    job = slurm.ask(*submit, *words).strip()
    assert job.isdigit()
    end = time.monotonic() + 120
    while not any(path.stat().st_size for path in out.glob("piece-*/" + results_ledger.RESULTS_JSONL)):
        assert time.monotonic() < end, log_of(tmp_path)
        time.sleep(0.1)
    slurm.ask("scancel", job)
    wait_for(slurm, job)
    before = sum(len(p.read_text().splitlines()) for p in out.glob("piece-*/" + results_ledger.RESULTS_JSONL))
    assert 0 < before < len(names)
    wait_for(slurm, slurm.ask(*submit, *words).strip())
    assert len(list(out.glob("piece-*"))) == 3, log_of(tmp_path)
    gathered = subprocess.run(
        [program, "validate", "maps.csv", "--out", "results", "--resume", "--no-report"],
        capture_output=True,
        text=True,
    )
    assert "24 of 24 maps" in gathered.stdout, gathered.stderr
    rows = check_rows(out, names)
    # The tasks did them all: gathering left nothing to do.
    assert all(row["folder"].startswith(job_list.PIECE) for row in rows)


def wait_for(slurm, job):
    end = time.monotonic() + 120
    while slurm.ask("squeue", "--noheader", "--jobs=" + job):
        assert time.monotonic() < end, slurm.complaint()
        time.sleep(0.1)


def log_of(folder):
    return "\n".join(path.read_text() for path in folder.glob("cryoresdl-*.log"))


def test_dask_workers_as_jobs_of_slurm(slurm, program, tmp_path, monkeypatch):
    pytest.importorskip("distributed", reason="Dask is an extra")
    pytest.importorskip("dask_jobqueue", reason="Dask is an extra")
    names = write_list(tmp_path, 6)
    settings = {
        "jobqueue": {
            "slurm": {
                "cores": 1,
                "processes": 1,
                "memory": "1GB",
                "queue": "main",
                "walltime": "00:10:00",
                "interface": "lo",
                "local-directory": str(tmp_path),
                "log-directory": str(tmp_path),
            }
        }
    }
    # What the guide puts into ~/.config/dask/jobqueue.yaml; JSON is YAML.
    (tmp_path / "dask").mkdir()
    (tmp_path / "dask" / "jobqueue.yaml").write_text(json.dumps(settings))
    done = subprocess.run(
        [program, "validate", "maps.csv", "--out", "results", "--no-report", "--dask", "slurm:2"],
        capture_output=True,
        text=True,
        env=dict(os.environ, DASK_CONFIG=str(tmp_path / "dask")),
        timeout=200,
    )
    assert done.returncode == 0 and "6 of 6 maps" in done.stdout, done.stderr
    check_rows(tmp_path / "results", names)


@needs_models
class TestScipionQueue(ScipionCase):
    """Scipion submits the protocol, or each of its programs, with the hosts.conf of the guide."""

    @classmethod
    def setUpClass(cls):
        cls.slurm = start()
        hosts = str(EXAMPLES / "hosts_slurm.conf")
        cls.patches = [
            mock.patch.dict(os.environ, {"SCIPION_HOSTS": hosts}),
            mock.patch.object(pw.Config, "SCIPION_HOSTS", hosts),
        ]
        for patch in cls.patches:
            patch.start()
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        for patch in cls.patches:
            patch.stop()
        cls.slurm.stop()

    def queued(self, steps, data=None, **options):
        """A validation sent to the queue, once it has ended."""
        imported = self.importVolume(self.write("m%s.mrc" % steps, blob() if data is None else data))
        protocol = self.newProtocol(ProtCryoResValidate, networks=2, **options)
        self.point(protocol.inputVolumes, imported, "outputVolume")
        parameters = {"JOB_TIME": "1", "JOB_MEMORY": "2000", "QUEUE_FOR_JOBS": steps}
        protocol._useQueue.set(True)
        protocol.setQueueParams(("main", parameters))
        if data is not None:  # what the form would refuse
            with mock.patch.object(type(protocol), "validate", return_value=[]):
                self.proj.launchProtocol(protocol, wait=False)
        else:
            self.proj.launchProtocol(protocol, wait=False)
        end = time.monotonic() + 120
        while protocol.isActive() or self.proj._updateProtocol(protocol) is None:
            assert time.monotonic() < end, self.slurm.complaint()
            time.sleep(0.5)
            self.proj._updateProtocol(protocol)
        return protocol

    def script(self, protocol):
        (path, *_) = sorted(Path(protocol._getLogsPath()).glob("*.job"))
        return path.read_text()

    def test_the_protocol_is_one_job(self):
        protocol = self.queued("N", numberOfThreads=2)
        assert protocol.isFinished(), protocol.getErrorMessage()
        assert getVerdict(protocol.outputResolution)["median"] > 0
        script = self.script(protocol)
        assert re.search(r"^#SBATCH --partition=main$", script, re.M)
        assert re.search(r"^#SBATCH --cpus-per-task=2$", script, re.M) and "%" not in script

    def test_every_program_is_a_job(self):
        protocol = self.queued("Y")
        assert protocol.isFinished(), protocol.getErrorMessage()
        assert getVerdict(protocol.outputResolution)["median"] > 0
        assert "cryoresdl.models validate" in self.script(protocol)

    def test_an_error_of_a_job_is_the_engines_sentence(self):
        protocol = self.queued("Y", np.ones((20, 20, 20), np.float32))
        assert protocol.isFailed()
        assert "constant" in protocol.getErrorMessage()
