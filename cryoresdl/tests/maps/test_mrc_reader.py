"""Reading, checking, writing and masking maps; most of it is about files that are wrong."""

import bz2
import gzip
import itertools
import os
import resource
import struct
import subprocess
import sys

import mrcfile
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cryoresdl.models.base.errors import InputError
from cryoresdl.models.maps import automatic_mask, density_map, mask_reader, mrc_reader, mrc_writer
from cryoresdl.tests.helpers.raw_mrc import density, mrc, patch

PROPERTY = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def refused(path, *words, **keywords):
    """The file is refused with one line that holds every word and the file's name."""
    with pytest.raises(InputError) as caught:
        mrc_reader.read(path, **keywords)
    sentence = str(caught.value)
    assert "\n" not in sentence and sentence.endswith(".")
    for word in words:
        assert word in sentence, sentence
    return sentence


class TestBadInput:
    def test_missing(self, tmp_path):
        refused(tmp_path / "nowhere.mrc", "nowhere.mrc", "No such file")

    @pytest.mark.parametrize("body", [b"", b"MAP ", b"x" * 5000, os.urandom(3000), b"\x1f\x8b", b"BZh9junk"])
    def test_not_an_mrc_file(self, tmp_path, body):
        path = tmp_path / "a.mrc"
        path.write_bytes(body)
        refused(path, "a.mrc")

    def test_a_structure_is_not_a_map(self, tmp_path):
        path = tmp_path / "1abc.pdb"
        path.write_text("ATOM      1  N   ALA A   1      11.104   6.134  -6.504  1.00  0.00\n" * 40)
        refused(path, "not an MRC file")

    def test_folder_and_pipe(self, tmp_path):
        refused(tmp_path, "folder")
        os.mkfifo(tmp_path / "pipe")
        refused(tmp_path / "pipe", "not a regular file")

    @pytest.mark.parametrize("keep", [0, 3, 1023, 1024, 1500, -1])
    def test_truncated(self, tmp_path, keep):
        path = mrc(tmp_path / "a.mrc")
        path.write_bytes(path.read_bytes()[:keep])
        refused(path)

    @pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
    @pytest.mark.parametrize("part", [0.1, 0.5, 0.99])
    def test_truncated_archive(self, tmp_path, pack, part):
        packed = pack(mrc(tmp_path / "a.mrc").read_bytes())
        path = tmp_path / "a.mrc.gz"
        path.write_bytes(packed[: int(part * len(packed))])
        refused(path)

    @pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
    def test_truncated_inside_a_whole_archive(self, tmp_path, pack):
        path = tmp_path / "a.mrc.gz"
        path.write_bytes(pack(mrc(tmp_path / "a.mrc").read_bytes()[:2000]))
        refused(path, "truncated")

    def test_flipped_bit_in_an_archive(self, tmp_path):
        packed = bytearray(gzip.compress(mrc(tmp_path / "a.mrc").read_bytes()))
        packed[-5] ^= 1  # inside the checksum
        path = tmp_path / "a.mrc.gz"
        path.write_bytes(packed)
        # The checksum is behind the map: what was read is checked by value, never by luck.
        try:
            mrc_reader.read(path)
        except InputError as error:
            assert "damaged" in str(error)

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_nan_and_infinity(self, tmp_path, value):
        data = density()
        data[3, 4, 5] = value
        refused(mrc(tmp_path / "a.mrc", data), "1 NaN or infinite")

    @pytest.mark.parametrize("value", [0, 3.5])
    def test_constant(self, tmp_path, value):
        refused(mrc(tmp_path / "a.mrc", np.full((8, 8, 8), value, np.float32)), "constant")

    @pytest.mark.parametrize("scale", [1e20, 1e-25])
    def test_absurd_densities(self, tmp_path, scale):
        refused(mrc(tmp_path / "a.mrc", density() * np.float32(scale)))

    def test_voxel_size_zero(self, tmp_path):
        path = mrc(tmp_path / "a.mrc", voxel=0)
        refused(path, "voxel size 0", "--voxel-size")
        assert mrc_reader.read(path, voxel_size=2.5).voxel_size == 2.5

    @pytest.mark.parametrize("given", [0, -1, np.nan, np.inf, 1e9])
    def test_impossible_given_voxel_size(self, tmp_path, given):
        refused(mrc(tmp_path / "a.mrc"), voxel_size=given)

    @pytest.mark.parametrize("cell", [-12.0, np.nan, np.inf, 1e30, 1e-30])
    def test_absurd_cell(self, tmp_path, cell):
        refused(mrc(tmp_path / "a.mrc", cellx=cell), "voxel")

    def test_anisotropic(self, tmp_path):
        path = mrc(tmp_path / "a.mrc", cellz=1.05 * 8 * 1.5)
        refused(path, "cubic")
        assert mrc_reader.read(path, voxel_size=1.5).voxel_size == 1.5
        assert mrc_reader.read(mrc(tmp_path / "b.mrc", cellz=1.005 * 8 * 1.5)).voxel_size == pytest.approx(
            1.5025
        )

    def test_skewed_cell(self, tmp_path):
        refused(mrc(tmp_path / "a.mrc", gamma=120), "skewed")
        assert mrc_reader.read(mrc(tmp_path / "b.mrc", alpha=0, beta=0, gamma=0)).voxel_size == 1.5

    @pytest.mark.parametrize("mode", [3, 4])
    def test_complex(self, tmp_path, mode):
        refused(mrc(tmp_path / "a.mrc", mode=mode), "complex")

    @pytest.mark.parametrize("mode", [5, 7, 16, 101, -1, 2**30])
    def test_unknown_mode(self, tmp_path, mode):
        refused(mrc(tmp_path / "a.mrc", mode=mode))

    def test_stacks_and_images(self, tmp_path):
        images = np.repeat(np.repeat(density((8, 8, 8)), 3, 1), 3, 2)
        refused(mrc(tmp_path / "a.mrc", images, ispg=0, mz=1), "stack of 8 images")
        refused(mrc(tmp_path / "b.mrc", ispg=401, mz=4), "stack of 2 volumes")
        refused(mrc(tmp_path / "c.mrc", nz=1, mz=1), "2-D")
        with mrcfile.new(str(tmp_path / "d.mrcs")) as out:
            out.set_data(density())
        refused(tmp_path / "d.mrcs", "stack")
        refused("000003@stack.mrcs", "stack")

    def test_too_small(self, tmp_path):
        refused(mrc(tmp_path / "a.mrc", density((3, 8, 8))), "small")

    @pytest.mark.parametrize("name", ["nx", "ny", "nz"])
    @pytest.mark.parametrize("value", [0, -8, 2**31 - 1])
    def test_absurd_dimensions(self, tmp_path, name, value):
        refused(mrc(tmp_path / "a.mrc", **{name: value}))

    @pytest.mark.parametrize("value, cut", [(-4, 0), (2**31 - 1, 4), (2**31 - 1, -4)])
    def test_absurd_extended_header(self, tmp_path, value, cut):
        path = mrc(tmp_path / "a.mrc", nsymbt=value)
        raw = path.read_bytes()
        path.write_bytes(raw + bytes(cut) if cut >= 0 else raw[:cut])
        refused(path)
        (tmp_path / "b.mrc.gz").write_bytes(gzip.compress(path.read_bytes()))
        refused(tmp_path / "b.mrc.gz")

    @pytest.mark.parametrize("axes", [(1, 1, 2), (0, 2, 3), (4, 5, 6), (-1, 2, 3)])
    def test_impossible_axes(self, tmp_path, axes):
        refused(mrc(tmp_path / "a.mrc", mapc=axes[0], mapr=axes[1], maps=axes[2]), "axis order")

    def test_nul_in_the_name(self):
        refused("a\0b.mrc", "NUL")

    def test_name_with_a_newline_gives_one_line(self, tmp_path):
        refused(tmp_path / "a\nb.mrc", "a\\nb.mrc")


class TestHugeAnnouncements:
    """A header can announce any box; nothing of that size may be allocated."""

    @pytest.mark.parametrize("packed", [False, True])
    def test_without_allocating(self, tmp_path, packed):
        path = mrc(tmp_path / "a.mrc", nx=30000, ny=30000, nz=30000, mx=30000, my=30000, mz=30000)
        if packed:
            body = gzip.compress(path.read_bytes())
            path.write_bytes(body)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        refused(path)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000

    def test_bzip2_reads_only_what_is_there(self, tmp_path):
        path = mrc(tmp_path / "a.mrc", nx=1000, ny=1000, nz=300)
        path.write_bytes(bz2.compress(path.read_bytes()))
        refused(path, "truncated")

    def test_more_than_the_memory(self, tmp_path, monkeypatch):
        monkeypatch.setattr("cryoresdl.models.base.machine.memory_left", lambda: 1000)
        refused(mrc(tmp_path / "a.mrc"), "memory")

    def test_ulimit_is_seen_before_the_map_is_read(self, tmp_path):
        path = tmp_path / "big.mrc"
        mrc(path, nx=700, ny=700, nz=700, mx=700, my=700, mz=700)
        with open(path, "r+b") as stream:
            stream.truncate(1024 + 4 * 700**3)  # sparse: costs no disk
        script = (
            "import resource, sys\n"
            "from cryoresdl.models.maps import mrc_reader\n"
            "from cryoresdl.models.base.errors import InputError\n"
            "import mrcfile\n"
            "resource.setrlimit(resource.RLIMIT_AS, (1_200_000_000, 1_200_000_000))\n"
            "try:\n    mrc_reader.read(sys.argv[1])\n"
            "except InputError as error:\n    print(error)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, str(path)],
            env=dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1"),
            capture_output=True,
            text=True,
        )
        assert "memory" in done.stdout and "GB are left" in done.stdout, done.stdout + done.stderr


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


class TestWrite:
    def test_round_trip_on_a_grid_of_its_own(self, tmp_path):
        like = density_map.DensityMap(density((6, 7, 8)), 1.234, (10.5, -3.0, 7.0), (-3, 4, 5))
        mrc_writer.write_volume(tmp_path / "a.mrc", like.data, like)
        read = mrc_reader.read(tmp_path / "a.mrc")
        np.testing.assert_array_equal(read.data, like.data)
        assert (read.voxel_size, read.origin, read.nstart) == (1.234, like.origin, like.nstart)
        assert mrcfile.validate(str(tmp_path / "a.mrc"), print_file=open(os.devnull, "w"))

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


class TestMasksAndValues:
    like = density_map.DensityMap(density(), 1.5, (1.0, 2.0, 3.0), (4, 5, 6))

    def test_mask_of_another_box(self, tmp_path):
        path = mrc(tmp_path / "m.mrc", np.ones((8, 8, 8), np.float32))
        with pytest.raises(InputError, match="8 x 8 x 8 .*10 x 9 x 8"):
            mask_reader.read_mask(path, self.like)

    @pytest.mark.parametrize("value", [0.0, -1.0])
    def test_empty_mask(self, tmp_path, value):
        path = mrc(tmp_path / "m.mrc", np.full((8, 9, 10), value, np.float32))
        with pytest.raises(InputError, match="empty"):
            mask_reader.read_mask(path, self.like)

    def test_mask_with_nan(self, tmp_path):
        data = np.ones((8, 9, 10), np.float32)
        data[0, 0, 0] = np.nan
        with pytest.raises(InputError, match="NaN"):
            mask_reader.read_mask(mrc(tmp_path / "m.mrc", data), self.like)

    @pytest.mark.parametrize("scale", [1, 255])
    def test_soft_mask_is_cut_at_half_height(self, tmp_path, scale):
        data = np.zeros((8, 9, 10), np.float32)
        data[2, 2, 2:7] = np.array([0.2, 0.49, 0.5, 0.8, 1.0]) * scale
        mask = mask_reader.read_mask(mrc(tmp_path / "m.mrc", data, voxel=0), self.like)
        assert mask.dtype == bool and mask.sum() == 3

    def test_a_density_map_is_no_mask(self, tmp_path):
        data = np.random.default_rng(0).normal(size=(8, 9, 10)).astype(np.float32)
        with pytest.raises(InputError, match=r"m\.mrc holds values from -.*density map, not a mask"):
            mask_reader.read_mask(mrc(tmp_path / "m.mrc", data), self.like)
        ringing = np.where(np.arange(10) > 4, 1.0, -0.1) * np.ones((8, 9, 1))
        mask = mask_reader.read_mask(mrc(tmp_path / "r.mrc", ringing.astype(np.float32)), self.like)
        assert mask[..., 5:].all() and not mask[..., :5].any()

    def test_full_mask_is_allowed(self, tmp_path):
        mask = mask_reader.read_mask(mrc(tmp_path / "m.mrc", np.ones((8, 9, 10), np.int8)), self.like)
        assert mask.all()

    def test_values_take_the_maps_grid(self, tmp_path):
        data = np.full((8, 9, 10), 100, np.float32)
        data[0, 0, 0] = np.nan
        values = mrc_reader.read_values(mrc(tmp_path / "v.mrc", data, voxel=1.0), self.like)
        assert values.data[0, 0, 0] == 0 and values.data[1, 1, 1] == 100
        assert "NaN" in values.warnings[0]
        assert (values.voxel_size, values.origin, values.nstart) == (1.5, (1.0, 2.0, 3.0), (4, 5, 6))

    def test_values_without_a_map(self, tmp_path):
        zero = np.zeros((8, 9, 10), np.float32)
        assert mrc_reader.read_values(mrc(tmp_path / "v.mrc", zero, voxel=2.0)).voxel_size == 2.0
        assert mrc_reader.read_values(mrc(tmp_path / "v.mrc", zero, voxel=0)).voxel_size == 1.0

    def test_values_of_another_box(self, tmp_path):
        with pytest.raises(InputError, match="another box"):
            mrc_reader.read_values(mrc(tmp_path / "v.mrc", density((8, 8, 8))), self.like)


def blob(shape=(48, 52, 56), noise=0.0, sign=1.0, seed=0):
    """A textured ball of 24 voxels across, off the centre."""
    z, y, x = np.indices(shape)
    inside = (z - 22) ** 2 + (y - 26) ** 2 + (x - 30) ** 2 <= 12**2
    rng = np.random.default_rng(seed)
    data = np.where(inside, 1 + 0.5 * rng.normal(size=shape), 0) + noise * rng.normal(size=shape)
    return (sign * data).astype(np.float32), inside


def dice(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


class TestAutoMask:
    @pytest.mark.parametrize("noise", [0.02, 0.5, 2.0])
    @pytest.mark.parametrize("voxel", [0.6, 1.0, 3.0])
    def test_a_ball_in_noise(self, noise, voxel):
        from scipy import ndimage

        data, inside = blob(noise=noise)
        mask, info = automatic_mask.auto_mask(density_map.DensityMap(data, voxel))
        wide = ndimage.distance_transform_edt(~inside) * voxel <= automatic_mask.MASK_GROW_A
        assert dice(mask, wide) > 0.8
        assert info["voxels"] == mask.sum() and info["source"] == "auto" and not info["warnings"]

    def test_equal_maps_give_equal_masks(self):
        data, _ = blob(noise=1.0)
        first, second = (
            automatic_mask.auto_mask(density_map.DensityMap(data.copy(), 1.0))[0] for _ in range(2)
        )
        np.testing.assert_array_equal(first, second)

    def test_scale_and_offset_do_not_matter(self):
        data, _ = blob(noise=1.0)
        first = automatic_mask.auto_mask(density_map.DensityMap(data, 1.0))[0]
        second = automatic_mask.auto_mask(density_map.DensityMap(1e-3 * data + 5e-3, 1.0))[0]
        assert dice(first, second) > 0.995

    def test_inverted_contrast_is_seen(self):
        data, inside = blob(noise=0.5, sign=-1)
        mask, info = automatic_mask.auto_mask(density_map.DensityMap(data, 1.0))
        assert info["inverted"] and "inverted" in info["warnings"][0]
        assert dice(mask, automatic_mask.auto_mask(density_map.DensityMap(-data, 1.0))[0]) == 1

    @pytest.mark.parametrize("voxel", [0.8, 1.2, 3.0])
    @pytest.mark.parametrize(
        "there, back",
        [
            (lambda v: np.rot90(v, 1, (0, 2)), lambda v: np.rot90(v, -1, (0, 2))),
            (lambda v: np.flip(v, (0, 1)), lambda v: np.flip(v, (0, 1))),
            (lambda v: v.transpose(2, 0, 1), lambda v: v.transpose(1, 2, 0)),
            (lambda v: np.pad(v, ((5, 16), (0, 3), (7, 7))), lambda v: v[5:-16, :-3, 7:-7]),
            (lambda v: np.roll(v, (1, 2, -3), (0, 1, 2)), lambda v: np.roll(v, (-1, -2, 3), (0, 1, 2))),
        ],
    )
    def test_what_carries_no_information_does_not_change_the_mask(self, voxel, there, back):
        data, _ = blob(noise=0.2)
        mask = automatic_mask.auto_mask(density_map.DensityMap(data, voxel))[0]
        moved = np.ascontiguousarray(there(data))
        again = back(automatic_mask.auto_mask(density_map.DensityMap(moved, voxel))[0])
        assert (mask & again).sum() >= 0.99 * (mask | again).sum()

    def test_a_cut_out_keeps_its_region(self):
        data, inside = blob(noise=0.2)
        mask, info = automatic_mask.auto_mask(
            density_map.DensityMap(np.where(inside, data, 0).astype(np.float32), 1.5)
        )
        assert info["method"] == "nonzero"
        assert dice(mask, inside) > 0.95

    def test_a_wide_earlier_mask_is_searched(self):
        data, inside = blob(noise=0.5)
        z, y, x = np.indices(data.shape)
        wide = (z - 24) ** 2 + (y - 26) ** 2 + (x - 28) ** 2 <= 23**2
        mask, info = automatic_mask.auto_mask(
            density_map.DensityMap(np.where(wide, data, 0).astype(np.float32), 1.0)
        )
        assert info["method"] == "threshold" and mask.sum() < 0.6 * wide.sum()

    def test_pure_noise_gives_some_mask(self):
        mask, info = automatic_mask.auto_mask(density_map.DensityMap(density((24, 24, 24)), 1.0))
        assert mask.any() and info["voxels"] == mask.sum()

    @pytest.mark.parametrize("shape", [(4, 4, 4), (4, 30, 7), (33, 5, 64)])
    def test_small_and_odd_boxes(self, shape):
        for voxel in (0.3, 1.0, 20.0):
            mask, _ = automatic_mask.auto_mask(density_map.DensityMap(density(shape), voxel))
            assert mask.shape == shape and mask.any()

    def test_against_the_masks_of_the_shared_maps(self, shared):
        scores = []
        for folder in sorted((shared / "local_resolution").glob("*/"))[::4]:
            read = mrc_reader.read(folder / "map.mrc.gz")
            given = mask_reader.read_mask(folder / "mask.mrc.gz", read)
            scores.append(dice(automatic_mask.auto_mask(read)[0], given))
        assert np.mean(scores) > 0.9 and min(scores) > 0.75, scores


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
