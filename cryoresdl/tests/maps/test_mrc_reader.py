"""Maps as they come: modes, byte orders, axes, archives, voxel sizes, any bytes at all."""

import bz2
import gzip
import itertools
import os
import struct

import mrcfile
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cryoresdl.models.base.errors import InputError
from cryoresdl.models.maps import density_map
from cryoresdl.models.maps.mrc import mrc_reader, mrc_writer
from cryoresdl.tests.helpers.raw_mrc import density, mrc, patch, refused

PROPERTY = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


class TestGoodInput:
    @pytest.mark.parametrize("kind", ["i1", "i2", "u2", "f2", "f4"])
    def test_modes(self, tmp_path, kind):
        data = np.arange(720).reshape(8, 9, 10) % 100
        read = mrc_reader.read(mrc(tmp_path / "a.mrc", data.astype(kind)))
        assert read.data.dtype == np.float32 and read.data.flags.c_contiguous
        np.testing.assert_array_equal(read.data, data)
        assert read.voxel_size == 1.5 and read.nyquist == 3.0

    @pytest.mark.parametrize("kind", ["i2", "u2", "f2", "f4"])
    def test_big_endian(self, tmp_path, kind):
        data = (np.arange(720).reshape(8, 9, 10) % 100).astype(kind)
        little = mrcfile.new(str(tmp_path / "a.mrc"), data)
        little.voxel_size = 2
        little.close()
        with mrcfile.open(str(tmp_path / "a.mrc")) as source:
            header = source.header.astype(source.header.dtype.newbyteorder(">"))
            header.machst = (0x11, 0x11, 0, 0)
            body = data.astype(data.dtype.newbyteorder(">"))
        (tmp_path / "b.mrc").write_bytes(header.tobytes() + body.tobytes())
        read = mrc_reader.read(tmp_path / "b.mrc")
        np.testing.assert_array_equal(read.data, data)
        # A wrong or missing machine stamp does not matter: the numbers say which order it is.
        for stamp in (b"DA\0\0", b"\0\0\0\0"):
            raw = bytearray((tmp_path / "b.mrc").read_bytes())
            raw[212:216] = stamp
            (tmp_path / "c.mrc").write_bytes(raw)
            np.testing.assert_array_equal(mrc_reader.read(tmp_path / "c.mrc").data, data)

    def test_imods_unsigned_bytes(self, tmp_path):
        data = (np.arange(720).reshape(8, 9, 10) % 256).astype(np.uint8)
        path = mrc(tmp_path / "a.mrc", data.view(np.int8))
        raw = bytearray(path.read_bytes())
        raw[152:160] = struct.pack("<ii", 1146047817, 0)
        path.write_bytes(raw)
        np.testing.assert_array_equal(mrc_reader.read(path).data, data)

    @pytest.mark.parametrize("axes", list(itertools.permutations((1, 2, 3))))
    def test_permuted_axes(self, tmp_path, axes):
        truth = density((6, 7, 8))  # z, y, x
        # Axis number n (x = 1) is array axis 3 - n; the file holds sections, rows, columns.
        held = truth.transpose([3 - axes[2], 3 - axes[1], 3 - axes[0]])
        nstart = {1: 10, 2: 20, 3: 30}
        path = mrc(
            tmp_path / "a.mrc",
            np.ascontiguousarray(held),
            mapc=axes[0],
            mapr=axes[1],
            maps=axes[2],
            mx=8,
            my=7,
            mz=6,
            cellx=16.0,
            celly=14.0,
            cellz=12.0,
        )
        for word, axis in zip(("nxstart", "nystart", "nzstart"), axes):
            patch(path, word, nstart[axis])
        for name, value in zip(("ox", "oy", "oz"), (1.0, 2.0, 3.0)):
            patch(path, name, value)
        read = mrc_reader.read(path)
        np.testing.assert_array_equal(read.data, truth)
        assert read.voxel_size == 2.0
        assert read.nstart == (10, 20, 30)
        assert read.origin == (1.0, 2.0, 3.0)

    def test_axes_all_zero_are_the_usual_ones(self, tmp_path):
        read = mrc_reader.read(mrc(tmp_path / "a.mrc", mapc=0, mapr=0, maps=0))
        np.testing.assert_array_equal(read.data, density())
        assert any("axis order" in text for text in read.warnings)

    @pytest.mark.parametrize(
        "pack,suffix", [(gzip.compress, ".gz"), (bz2.compress, ".bz2"), (gzip.compress, "")]
    )
    def test_archives_by_content(self, tmp_path, pack, suffix):
        path = mrc(tmp_path / "a.mrc")
        packed = tmp_path / ("packed.map" + suffix)
        packed.write_bytes(pack(path.read_bytes()))
        np.testing.assert_array_equal(mrc_reader.read(packed).data, density())

    @pytest.mark.parametrize("packed", [False, True])
    def test_extended_header(self, tmp_path, packed):
        path = mrc(tmp_path / "a.mrc")
        raw = bytearray(path.read_bytes())
        raw[92:96] = struct.pack("<i", 160)
        raw[104:108] = b"FEI1"
        raw[1024:1024] = os.urandom(160)
        path.write_bytes(gzip.compress(raw) if packed else raw)
        np.testing.assert_array_equal(mrc_reader.read(path).data, density())

    def test_bytes_behind_the_map_are_ignored_with_a_warning(self, tmp_path):
        path = mrc(tmp_path / "a.mrc")
        path.write_bytes(path.read_bytes() + b"12345")
        read = mrc_reader.read(path)
        np.testing.assert_array_equal(read.data, density())
        assert "5 bytes after the map" in read.warnings[0]

    def test_no_sampling_in_the_header(self, tmp_path):
        read = mrc_reader.read(mrc(tmp_path / "a.mrc", mx=0, my=0, mz=0))
        assert read.voxel_size == 1.5 and read.warnings

    def test_old_header_without_map(self, tmp_path):
        path = mrc(tmp_path / "a.mrc")
        raw = bytearray(path.read_bytes())
        raw[208:216] = bytes(8)
        path.write_bytes(raw)
        read = mrc_reader.read(path)
        np.testing.assert_array_equal(read.data, density())
        assert "without the word MAP" in read.warnings[0]
        for changed in (bytes(raw[:64]) + struct.pack("<i", 7) + bytes(raw[68:]), bytes(raw[:-1])):
            path.write_bytes(changed)
            refused(path, "not an MRC file")

    def _blob(self, shape=(16, 18, 20)):
        z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
        return np.exp(-((z - 8) ** 2 + (y - 9) ** 2 + (x - 10) ** 2) / 40.0)

    @pytest.mark.parametrize("low, high", [(0, 255), (10, 240), (0, 200), (0, 0), (0, 127), (0, -1)])
    def test_unsigned_bytes_without_a_stamp(self, tmp_path, low, high):
        data = np.clip(np.round(255 * self._blob()), low, high if high > low else 255).astype(np.uint8)
        path = mrc(tmp_path / "a.mrc", data.view(np.int8), dmin=low, dmax=high)
        np.testing.assert_array_equal(mrc_reader.read(path).data, data)

    @pytest.mark.parametrize("low, high", [(-128, 127), (0, 0), (0, -1)])
    def test_signed_bytes_stay_signed(self, tmp_path, low, high):
        data = (np.round(255 * self._blob()) - 128).astype(np.int8)
        path = mrc(tmp_path / "a.mrc", data, dmin=low, dmax=high)
        np.testing.assert_array_equal(mrc_reader.read(path).data, data)

    @pytest.mark.parametrize(
        "header", [{"ispg": 0}, {"ispg": 401}, {"ispg": 0, "cellz": 1.5}, {"ispg": 0, "cellz": 0}]
    )
    def test_a_volume_flagged_as_a_stack_is_read(self, tmp_path, header):
        data = self._blob().astype(np.float32)
        read = mrc_reader.read(mrc(tmp_path / "a.mrc", data, mz=1, **header))
        np.testing.assert_array_equal(read.data, data)
        assert read.voxel_size == 1.5 and "flagged as a stack" in read.warnings[0]

    @pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress])
    @pytest.mark.parametrize("named", [True, False])
    @pytest.mark.parametrize("what", ["extended header that is not there", "12 bytes after the map", ""])
    def test_same_answer_with_and_without_an_archive(self, tmp_path, pack, named, what):
        raw = bytearray(mrc(tmp_path / "a.mrc").read_bytes())
        if not named:
            raw[208:216] = bytes(8)
        if "extended" in what:
            raw[92:96] = struct.pack("<i", 1024)
        if "after" in what:
            raw += bytes(12)
        (tmp_path / "b.mrc").write_bytes(pack(bytes(raw)))
        read = mrc_reader.read(tmp_path / "b.mrc")
        np.testing.assert_array_equal(read.data, density())
        assert len(read.warnings) == (not named) + bool(what)
        assert any("without the word MAP" in text for text in read.warnings) != named
        assert not what or any(what in text for text in read.warnings)

    @pytest.mark.parametrize("voxel, meant", [(0.125, "1.25 A"), (0.29, "2.9 A"), (0.06, "0.6 A")])
    def test_voxels_finer_than_any_are_doubted(self, tmp_path, voxel, meant):
        read = mrc_reader.read(mrc(tmp_path / "a.mrc", voxel=voxel))
        assert len(read.doubts) == 1 and "finer than any" in read.doubts[0] and meant in read.doubts[0]
        assert mrc_reader.read(mrc(tmp_path / "a.mrc", voxel=voxel), voxel_size=1.5).doubts == []
        assert mrc_reader.read(mrc(tmp_path / "a.mrc"), voxel_size=0.2).doubts

    def test_a_voxel_size_of_exactly_one_is_named(self, tmp_path):
        path = mrc(tmp_path / "a.mrc", voxel=1.0)
        assert "exactly 1 A" in mrc_reader.read(path).warnings[0]
        assert mrc_reader.read(path, voxel_size=1.0).warnings == []
        assert mrc_reader.read(path, role="half map").warnings == []

    @pytest.mark.parametrize(
        "header, why",
        [({"ispg": 19}, "space group is 19"), ({"mx": 40, "cellx": 40 * 1.51}, "not cubes")],
    )
    def test_maps_of_crystals_are_doubted(self, tmp_path, header, why):
        read = mrc_reader.read(mrc(tmp_path / "a.mrc", **header))
        assert len(read.doubts) == 1 and why in read.doubts[0]
        assert mrc_reader.read(mrc(tmp_path / "b.mrc", ispg=0)).doubts == []
        assert mrc_reader.read(mrc(tmp_path / "b.mrc", mx=20, cellx=30.0)).doubts == []

    def test_voxels_that_are_not_quite_cubes_are_named(self, tmp_path):
        read = mrc_reader.read(mrc(tmp_path / "a.mrc", cellz=8 * 1.5 * 1.003))
        assert "not cubes" in read.warnings[0]

    def test_meaningless_origin(self, tmp_path):
        read = mrc_reader.read(mrc(tmp_path / "a.mrc", ox=np.nan))
        assert read.origin == (0, 0, 0) and "origin" in read.warnings[0]

    def test_given_voxel_size_overrides_with_a_warning(self, tmp_path):
        read = mrc_reader.read(mrc(tmp_path / "a.mrc"), voxel_size=3.0)
        assert read.voxel_size == 3.0 and "1.5" in read.warnings[0]
        assert mrc_reader.read(mrc(tmp_path / "a.mrc"), voxel_size=1.5).warnings == []

    def test_rounded_voxel_size(self, tmp_path):
        assert mrc_reader.read(mrc(tmp_path / "a.mrc", density((9, 9, 9)), voxel=1.32)).voxel_size == 1.32

    def test_scipions_suffix(self, tmp_path):
        path = mrc(tmp_path / "a.vol")
        assert mrc_reader.read(f"{path}:mrc").path == str(path)
        real = mrc(tmp_path / "b:mrc", density(seed=1))
        np.testing.assert_array_equal(mrc_reader.read(real).data, density(seed=1))

    @pytest.mark.parametrize(
        "name", ["a b.mrc", "a'b\".mrc", "a;b.mrc", "100%.mrc", "a\nb.mrc", "größe_ü_蛋白.mrc", "-x.mrc"]
    )
    def test_names(self, tmp_path, name):
        path = mrc(tmp_path / name)
        read = mrc_reader.read(path)
        mrc_writer.write_volume(tmp_path / ("out " + name), read.data, read)
        np.testing.assert_array_equal(mrc_reader.read(tmp_path / ("out " + name)).data, density())

    def test_position_of_the_first_voxel(self):
        data = density()
        assert density_map.DensityMap(data, 2.0, nstart=(-4, 0, 1)).offset() == (-8.0, 0.0, 2.0)
        assert density_map.DensityMap(data, 2.0, origin=(1.0, 0, 0), nstart=(-4, 0, 1)).offset() == (
            1.0,
            0,
            0,
        )


class TestSharedMaps:
    def test_every_real_map_is_read(self, shared):
        for path in sorted((shared / "maps").glob("*.map.gz")):
            given = 6.1 if "aspire" in path.name else None
            if "locres" in path.name or "resmap" in path.name:
                assert mrc_reader.read_values(path).data.max() > 0
            else:
                assert np.isfinite(mrc_reader.read(path, given).data).all()

    def test_the_one_without_voxel_size(self, shared):
        refused(shared / "maps" / "aspire_70S_65.map.gz", "--voxel-size")


class TestProperties:
    @PROPERTY
    @given(place=st.integers(0, 1023), bits=st.integers(1, 255), packed=st.booleans())
    def test_any_changed_header_byte(self, tmp_path, place, bits, packed):
        raw = bytearray(mrc(tmp_path / "a.mrc").read_bytes())
        raw[place] ^= bits
        (tmp_path / "b.mrc").write_bytes(gzip.compress(raw, 1) if packed else raw)
        try:
            read = mrc_reader.read(tmp_path / "b.mrc")
        except InputError as error:
            assert "b.mrc" in str(error) and "\n" not in str(error)
        else:
            assert read.data.size <= 720 and np.isfinite(read.data).all() and read.voxel_size > 0

    @PROPERTY
    @given(words=st.binary(min_size=0, max_size=1100))
    def test_any_bytes(self, tmp_path, words):
        (tmp_path / "b.mrc").write_bytes(words)
        with pytest.raises(InputError):
            mrc_reader.read(tmp_path / "b.mrc")

    @PROPERTY
    @given(
        shape=st.tuples(*[st.integers(4, 9)] * 3),
        kind=st.sampled_from(["i1", "i2", "u2", "f2", "f4"]),
        voxel=st.floats(0.125, 44, width=32),
        nstart=st.tuples(*[st.integers(-1000, 1000)] * 3),
        origin=st.tuples(*[st.floats(-1e5, 1e5, width=32, allow_subnormal=False)] * 3),
        seed=st.integers(0, 99),
    )
    def test_any_map_comes_back(self, tmp_path, shape, kind, voxel, nstart, origin, seed):
        data = np.random.default_rng(seed).integers(0, 100, shape).astype(kind)
        data[0, 0, 0], data[-1, -1, -1] = 0, 100
        path = mrc(tmp_path / "a.mrc", data, voxel=voxel)
        for names, values in ((("nxstart", "nystart", "nzstart"), nstart), (("ox", "oy", "oz"), origin)):
            for name, value in zip(names, values):
                patch(path, name, value)
        first = mrc_reader.read(path)
        np.testing.assert_array_equal(first.data, data)
        mrc_writer.write_volume(tmp_path / "b.mrc", first.data, first)
        again = mrc_reader.read(tmp_path / "b.mrc")
        np.testing.assert_array_equal(again.data, first.data)
        assert again.voxel_size == pytest.approx(voxel, rel=1e-5)
        assert (again.nstart, again.origin) == (nstart, origin)
