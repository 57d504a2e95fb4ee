"""A list of maps through a Dask cluster of two local workers."""

import csv
import sys

import pytest

from cryoresdl.models.base.errors import InputError
from cryoresdl.models.batch import job_list, jobs, run_list
from cryoresdl.models.results import result_files
from cryoresdl.tests.helpers.written_maps import write_map

pytestmark = pytest.mark.usefixtures("instant_engine")
OPTIONS = jobs.ValidationOptions(report=False)


def test_without_dask_the_remedy_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "distributed", None)
    jobs = job_list.jobs_of([write_map(tmp_path / "a.mrc")], OPTIONS)
    with pytest.raises(InputError, match="pip install distributed"):
        run_list.run_list(jobs, OPTIONS, tmp_path, dask="local:2")


def test_no_scheduler(monkeypatch, tmp_path):
    pytest.importorskip("distributed", reason="Dask is an extra")
    from cryoresdl.models.batch import dask_workers

    monkeypatch.setattr(dask_workers, "_CONNECT_S", 1)
    jobs = job_list.jobs_of([write_map(tmp_path / "a.mrc")], OPTIONS)
    with pytest.raises(InputError, match="No Dask scheduler"):
        run_list.run_list(jobs, OPTIONS, tmp_path, dask="tcp://127.0.0.1:9")


def test_jobs_of_a_queue_need_their_package(monkeypatch, tmp_path):
    pytest.importorskip("distributed", reason="Dask is an extra")
    monkeypatch.setitem(sys.modules, "dask_jobqueue", None)
    jobs = job_list.jobs_of([write_map(tmp_path / "a.mrc")], OPTIONS)
    with pytest.raises(InputError, match="pip install dask-jobqueue"):
        run_list.run_list(jobs, OPTIONS, tmp_path, dask="slurm:2")


def test_jobs_of_a_queue_must_be_described(tmp_path):
    pytest.importorskip("distributed", reason="Dask is an extra")
    pytest.importorskip("dask_jobqueue", reason="Dask is an extra")
    jobs = job_list.jobs_of([write_map(tmp_path / "a.mrc")], OPTIONS)
    with pytest.raises(InputError, match="jobqueue.yaml"):
        run_list.run_list(jobs, OPTIONS, tmp_path, dask="slurm:2")


def test_two_local_workers(tmp_path):
    pytest.importorskip("distributed", reason="Dask is an extra")
    names = ["a", "b", "boom", "c", "gone", "d"]
    for number, name in enumerate(names):
        if name != "gone":
            write_map(tmp_path / f"{name}.mrc", number)
    jobs = job_list.jobs_of([str(tmp_path / f"{name}.mrc") for name in names], OPTIONS)
    out = tmp_path / "out"
    out.mkdir()
    rows = run_list.run_list(jobs, OPTIONS, out, dask="local:2")
    assert [row["status"] for row in rows] == ["done", "done", "crashed", "done", "failed", "done"]
    with open(out / result_files.RESULTS_CSV, newline="", encoding="utf-8") as stream:
        assert [row["map"] for row in csv.DictReader(stream)] == [job.map for job in jobs]
    again = run_list.run_list(jobs, OPTIONS, out, resume=True, dask="local:2")
    assert [row["status"] for row in again] == [row["status"] for row in rows]
