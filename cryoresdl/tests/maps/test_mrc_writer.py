"""Volumes on the disk: whole or not at all, on the grid of the map."""

import os

import mrcfile
import numpy as np
import pytest

from cryoresdl.models.base.errors import InputError
from cryoresdl.models.maps import density_map
from cryoresdl.models.maps.mrc import mrc_reader, mrc_writer
from cryoresdl.tests.helpers.raw_mrc import density


class TestWrite:
    def test_round_trip_on_a_grid_of_its_own(self, tmp_path):
        like = density_map.DensityMap(density((6, 7, 8)), 1.234, (10.5, -3.0, 7.0), (-3, 4, 5))
        mrc_writer.write_volume(tmp_path / "a.mrc", like.data, like)
        read = mrc_reader.read(tmp_path / "a.mrc")
        np.testing.assert_array_equal(read.data, like.data)
        assert (read.voxel_size, read.origin, read.nstart) == (1.234, like.origin, like.nstart)
        assert mrcfile.validate(str(tmp_path / "a.mrc"), print_file=open(os.devnull, "w"))

    @pytest.mark.parametrize("offset", [0.0, 50.0])
    @pytest.mark.parametrize("kind", [np.float32, np.int8])
    def test_the_header_tells_the_statistics_of_a_volume_of_several_blocks(self, tmp_path, kind, offset):
        data = np.random.default_rng(3).normal(offset, 9.0, (50, 60, 70))
        data = (data + np.linspace(-20, 20, 50)[:, None, None]).astype(kind)
        mrc_writer.write_volume(tmp_path / "a.mrc", data, density_map.DensityMap(data, 1.0))
        with mrcfile.open(str(tmp_path / "a.mrc")) as out:
            told = out.header
            assert (told.dmin, told.dmax) == (data.min(), data.max())
            np.testing.assert_allclose(told.dmean, data.mean(dtype=np.float64), rtol=1e-5, atol=1e-5)
            np.testing.assert_allclose(told.rms, data.std(dtype=np.float64), rtol=1e-6)

    @pytest.mark.parametrize(
        "kind,mode", [(bool, 0), (np.int8, 0), (np.float32, 2), (np.float64, 2), (int, 2)]
    )
    def test_modes(self, tmp_path, kind, mode):
        like = density_map.DensityMap(density(), 1.0)
        mrc_writer.write_volume(tmp_path / "a.mrc", (density() > 0).astype(kind), like)
        with mrcfile.open(str(tmp_path / "a.mrc")) as out:
            assert out.header.mode == mode
            assert out.header.ispg == 1

    def test_same_input_same_bytes(self, tmp_path):
        like = density_map.DensityMap(density(), 1.0)
        mrc_writer.write_volume(tmp_path / "a.mrc", like.data, like)
        mrc_writer.write_volume(tmp_path / "b.mrc", like.data, like)
        assert (tmp_path / "a.mrc").read_bytes() == (tmp_path / "b.mrc").read_bytes()

    def test_a_failed_write_leaves_the_old_file_and_no_rest(self, tmp_path):
        like = density_map.DensityMap(density(), 1.0)
        mrc_writer.write_volume(tmp_path / "a.mrc", like.data, like)
        old = (tmp_path / "a.mrc").read_bytes()
        with pytest.raises(ValueError):
            mrc_writer.write_volume(tmp_path / "a.mrc", np.array([["x"]]), like)
        assert (tmp_path / "a.mrc").read_bytes() == old
        assert os.listdir(tmp_path) == ["a.mrc"]

    def test_no_folder(self, tmp_path):
        like = density_map.DensityMap(density(), 1.0)
        with pytest.raises(InputError, match="Cannot write"):
            mrc_writer.write_volume(tmp_path / "none" / "a.mrc", like.data, like)
