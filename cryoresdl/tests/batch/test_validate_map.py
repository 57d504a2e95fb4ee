"""One map through ``validate``: files, failures, repetition."""

import inspect
import json
import os
from dataclasses import replace

import numpy as np
import pytest

from cryoresdl.models.base.errors import InputError
from cryoresdl.models.batch import job_list, validate_map
from cryoresdl.models.inference import global_resolution, local_resolution
from cryoresdl.models.maps import automatic_mask, density_map
from cryoresdl.models.maps.mrc import mrc_reader, mrc_writer
from cryoresdl.models.results import result_files
from cryoresdl.tests.helpers import fake_engine
from cryoresdl.tests.helpers.run_lists import OPTIONS
from cryoresdl.tests.helpers.written_maps import write_map

pytestmark = pytest.mark.usefixtures("instant_engine")


class TestOneMap:
    def test_everything_is_written_and_marked(self, tmp_path):
        job = job_list.jobs_of([write_map(tmp_path / "a.mrc")], OPTIONS)[0]
        out = tmp_path / "out"
        out.mkdir()
        row = validate_map.validate_map(replace(job, claimed=4.0), OPTIONS, out)
        assert row["status"] == "done" and row["class"] == "high" and row["verdict"] == "supported"
        assert row["local_median_A"] == 4.0 and row["voxel_size_A"] == 1.5
        for name in (
            result_files.CLASSIFICATION_JSON,
            result_files.LOCAL_RESOLUTION,
            result_files.LOCAL_CLASS,
            result_files.LOCAL_INTERVAL,
            result_files.MASK_USED,
            result_files.LOCAL_JSON,
            result_files.VALIDATION_JSON,
        ):
            assert (out / name).is_file()
        volume = mrc_reader.read_values(out / result_files.LOCAL_RESOLUTION)
        assert volume.voxel_size == 1.5 and volume.origin == (1.0, 2.0, 3.0)

    @pytest.mark.parametrize(
        "networks,absent", [("global", result_files.LOCAL_JSON), ("local", result_files.CLASSIFICATION_JSON)]
    )
    def test_one_network(self, tmp_path, networks, absent):
        job = job_list.jobs_of([write_map(tmp_path / "a.mrc")], OPTIONS)[0]
        out = tmp_path / "out"
        out.mkdir()
        validate_map.validate_map(job, OPTIONS, out)
        row = validate_map.validate_map(job, replace(OPTIONS, networks=networks), out)
        # What the earlier run left and this one does not make is gone.
        assert not (out / absent).exists()
        assert (row["class"] is None) == (networks == "local")
        assert (row["local_median_A"] is None) == (networks == "global")

    def test_upstream_volumes_are_compared(self, tmp_path):
        path = write_map(tmp_path / "a.mrc")
        values = np.where(automatic_mask.auto_mask(mrc_reader.read(path))[0], 5.5, 0).astype(np.float32)
        for name in ("mono.mrc", "res.mrc"):
            mrc_writer.write_volume(tmp_path / name, values, density_map.DensityMap(values, 1.0))
        job = replace(
            job_list.jobs_of([path], OPTIONS)[0],
            monores=str(tmp_path / "mono.mrc"),
            resmap=str(tmp_path / "res.mrc"),
        )
        out = tmp_path / "out"
        out.mkdir()
        validate_map.validate_map(job, OPTIONS, out)
        found = json.loads((out / result_files.COMPARISON_JSON).read_text())
        assert [volume["name"] for volume in found["volumes"]] == ["CryoResDL", "MonoRes", "ResMap"]
        pair = found["pairs"][0]
        assert pair["names"] == ["CryoResDL", "MonoRes"] and pair["bias_A"] == pytest.approx(1.5)
        assert found["pairs"][2]["exact_class"] == 1.0
        assert (out / result_files.DISAGREEMENT).is_file()

    def test_every_other_program_has_its_name_and_those_by_fsc_half_say_so(self, tmp_path):
        path = write_map(tmp_path / "a.mrc")
        values = np.where(automatic_mask.auto_mask(mrc_reader.read(path))[0], 5.5, 0).astype(np.float32)
        mrc_writer.write_volume(tmp_path / "other.mrc", values, density_map.DensityMap(values, 1.0))
        programs = {"cryosparc": "cryoSPARC", "blocres": "blocres", "phenix": "Phenix", "deepres": "DeepRes"}
        given = dict.fromkeys(programs, str(tmp_path / "other.mrc"))
        out = tmp_path / "out"
        out.mkdir()
        row = validate_map.validate_map(replace(job_list.jobs_of([path], OPTIONS)[0], **given), OPTIONS, out)
        found = json.loads((out / result_files.COMPARISON_JSON).read_text())
        assert [volume["name"] for volume in found["volumes"]] == ["CryoResDL", *programs.values()]
        said = [
            program for program in programs.values() if f"{program} estimates by FSC 0.5" in row["warnings"]
        ]
        assert said == ["cryoSPARC", "blocres"]

    def test_bad_input_writes_nothing(self, tmp_path):
        job = replace(job_list.jobs_of([write_map(tmp_path / "a.mrc")], OPTIONS)[0], resmap="nowhere.mrc")
        out = tmp_path / "out"
        out.mkdir()
        with pytest.raises(InputError, match="ResMap volume nowhere.mrc"):
            validate_map.validate_map(job, OPTIONS, out)
        assert not os.listdir(out)

    def test_a_report_is_made_without_a_pdf(self, tmp_path):
        job = job_list.jobs_of([write_map(tmp_path / "a.mrc")], OPTIONS)[0]
        out = tmp_path / "out"
        out.mkdir()
        validate_map.validate_map(job, replace(OPTIONS, report=True), out)
        assert (out / result_files.REPORT_HTML).is_file() and not (out / result_files.REPORT_PDF).exists()


@pytest.mark.parametrize("name", ["localres", "classify"])
def test_the_instant_engine_takes_what_the_engine_takes(name, monkeypatch):
    stand_in = inspect.signature(getattr(fake_engine, name))
    monkeypatch.undo()
    engine = {"localres": local_resolution, "classify": global_resolution}[name]
    assert list(stand_in.parameters) == list(inspect.signature(getattr(engine, name)).parameters)
