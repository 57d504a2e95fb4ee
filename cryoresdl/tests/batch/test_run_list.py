"""Many maps through ``validate``: order, workers, memory, files of others."""

import os
import time
from dataclasses import replace

import numpy as np
import pytest

from cryoresdl.models.batch import job_list, jobs, results_ledger, validate_map
from cryoresdl.models.maps import density_map
from cryoresdl.models.maps.mrc import mrc_writer
from cryoresdl.models.results import result_files
from cryoresdl.tests.helpers.run_lists import OPTIONS, read_lines, read_rows, run_rows
from cryoresdl.tests.helpers.scipion_free import needs_shipped_models
from cryoresdl.tests.helpers.written_maps import write_map

pytestmark = pytest.mark.usefixtures("instant_engine")


class TestList:
    def test_rows_in_order_with_extra_columns_and_failures(self, tmp_path):
        write_map(tmp_path / "b.mrc", 1)
        write_map(tmp_path / "a.mrc", 2)
        (tmp_path / "c.mrc").write_bytes(b"not a map")
        inside = np.zeros((24, 24, 24), np.float32)
        inside[6:18, 6:18, 6:18] = 1
        mrc_writer.write_volume(tmp_path / "mask.mrc", inside, density_map.DensityMap(inside, 1.5))
        listed = [
            {"map": "b.mrc", "claimed": "4.0", "lab": "north", "class": "mine"},
            {"map": "c.mrc", "lab": "so,uth"},
            {"map": "a.mrc", "claimed": "1.0"},
            {"map": "gone.mrc"},
            {"map": "a.mrc", "voxel_size": "two"},
            {"map": "", "lab": "x"},
            {"map": "a.mrc", "mask": "mask.mrc", "lab": 'quo"te'},
        ]
        rows, out = run_rows(listed, tmp_path)
        written = read_rows(out)
        assert [row["status"] for row in written] == ["done", "failed", "done"] + 3 * ["failed"] + ["done"]
        assert written[0]["verdict"] == "supported" and written[2]["verdict"] == "optimistic"
        assert "not an MRC file" in written[1]["error"] and "gone.mrc" in written[3]["error"]
        assert "voxel_size" in written[4]["error"] and "Line 6" in written[4]["error"]
        assert "Line 7" in written[5]["error"]
        assert [row["lab"] for row in written] == ["north", "so,uth", "", "", "", "x", 'quo"te']
        assert written[0]["list_class"] == "mine" and written[0]["class"] == "high"
        assert [line["map"] for line in read_lines(out)] == [row["map"] for row in rows]
        for row in written:
            if row["status"] == "done":
                assert (out / row["folder"] / result_files.LOCAL_RESOLUTION).is_file()
        assert not (out / written[1]["folder"]).exists()

    def test_workers_that_die_are_reported_and_replaced(self, tmp_path):
        names = ["a", "crash1", "b", "boom", "hungry", "crash2", "c"]
        for number, name in enumerate(names):
            write_map(tmp_path / f"{name}.mrc", number)
        rows, out = run_rows([{"map": f"{name}.mrc"} for name in names], tmp_path, workers=2)
        found = {name: row for name, row in zip(names, rows)}
        assert [found[name]["status"] for name in "abc"] == ["done"] * 3
        for name in ("crash1", "crash2"):
            assert found[name]["status"] == "crashed" and "signal 9" in found[name]["error"]
        assert "RuntimeError: boom second line" in found["boom"]["error"]
        assert "boom" in (out / found["boom"]["folder"] / validate_map.ERROR_LOG).read_text()
        assert "memory" in found["hungry"]["error"]

    def test_a_worker_that_cannot_start(self, tmp_path, monkeypatch):
        monkeypatch.setenv("CRYORESDL_TEST_BROKEN_ENGINE", "1")
        write_map(tmp_path / "a.mrc")
        with pytest.raises(Exception, match="cannot start"):
            run_rows([{"map": "a.mrc"}], tmp_path)


class TestFilesOfOthers:
    def test_a_list_leaves_what_lies_in_its_sub_folders_and_says_so(self, tmp_path):
        for number in range(3):
            write_map(tmp_path / f"m{number}.mrc", number)
        out = tmp_path / "out"
        (out / "m0" / "figures").mkdir(parents=True)
        (out / "m0" / "comparison.json").write_text("mine")
        (out / "m0" / "figures" / "paper.png").write_text("mine")
        (out / "m1").mkdir()
        (out / "m1" / "run.json").write_text("mine")
        listed = [{"map": f"m{number}.mrc"} for number in range(3)]
        rows, _ = run_rows(listed, tmp_path)
        assert [row["status"] for row in rows] == ["crashed", "crashed", "done"]
        assert "comparison.json is not a file that CryoResDL made" in rows[0]["error"]
        assert "run.json is not a record" in rows[1]["error"]
        theirs = ("m0/comparison.json", "m0/figures/paper.png", "m1/run.json")
        assert all((out / name).read_text() == "mine" for name in theirs)
        (out / "m0" / "comparison.json").unlink()
        (out / "m1" / "run.json").unlink()
        rows, _ = run_rows(listed, tmp_path, resume=True)
        assert [row["status"] for row in rows] == ["done"] * 3
        assert (out / "m0" / "figures" / "paper.png").read_text() == "mine"

    def test_a_list_does_not_replace_the_results_of_a_single_map(self, tmp_path):
        path, out = write_map(tmp_path / "m0.mrc"), tmp_path / "out"
        (out / "m0").mkdir(parents=True)
        job = replace(job_list.jobs_of([path], OPTIONS)[0], folder="")
        validate_map.validate_map(job, OPTIONS, out / "m0")
        before = (out / "m0" / result_files.LOCAL_RESOLUTION).stat().st_ino
        rows, _ = run_rows([{"map": "m0.mrc"}], tmp_path)
        assert "is a result of 'validate'; give --overwrite" in rows[0]["error"]
        assert (out / "m0" / result_files.LOCAL_RESOLUTION).stat().st_ino == before

    def test_a_sub_folder_with_another_map_or_without_a_volume_is_not_trusted(self, tmp_path):
        for number in range(3):
            write_map(tmp_path / f"m{number}.mrc", number)
        listed = [{"map": f"m{number}.mrc"} for number in range(3)]
        _, out = run_rows(listed, tmp_path)
        (out / "m0" / result_files.LOCAL_RESOLUTION).unlink()
        os.rename(out / "m1", out / "moved")
        os.rename(out / "m2", out / "m1")
        os.rename(out / "moved", out / "m2")
        assert (
            len(results_ledger.Ledger(out, job_list.read_list(tmp_path / "list.csv", OPTIONS), True).left)
            == 3
        )


class TestScale:
    @pytest.mark.real_engine
    @needs_shipped_models
    def test_models_are_loaded_once_per_process(self, tmp_path, monkeypatch):
        """`run_job` is what a worker does for every map."""
        from cryoresdl.models.networks import network_runners
        from cryoresdl.models.networks.model_files import model_store

        loaded, built = [], []
        load, runner = model_store.load_named, network_runners.runner
        monkeypatch.setattr(model_store, "load_named", lambda name: loaded.append(name) or load(name))
        monkeypatch.setattr(network_runners, "runner", lambda *words: built.append(1) or runner(*words))
        for cache in ("_LOADED", "_RUNNERS"):
            monkeypatch.setattr(network_runners, cache, {})
        options = jobs.ValidationOptions(report=False)
        for number in range(3):
            job = job_list.jobs_of([write_map(tmp_path / f"m{number}.mrc", number, 24)], options)[0]
            assert validate_map.run_job(job, options, tmp_path)["status"] == "done"
        assert len(loaded) == len(set(loaded)) == 2 and len(built) <= 2

    def test_overhead_and_memory_of_many_maps(self, tmp_path):
        import psutil

        path = write_map(tmp_path / "a.mrc")
        job = job_list.jobs_of([path], OPTIONS)[0]
        process = psutil.Process()
        for number in range(60):
            if number == 20:
                before, start = process.memory_info().rss, time.process_time()
            row = validate_map.run_job(replace(job, folder=f"m{number}"), OPTIONS, tmp_path)
            assert row["status"] == "done"
        assert process.memory_info().rss - before < 8e6
        # Processor time, because the machine may be busy; the limit is 50 ms.
        assert (time.process_time() - start) / 40 < 0.25
