"""Files that are wrong: refused with a sentence, without allocating what they announce."""

import bz2
import gzip
import os
import resource
import subprocess
import sys

import mrcfile
import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from cryoresdl.models.base.errors import InputError
from cryoresdl.models.maps.mrc import mrc_reader
from cryoresdl.tests.helpers.raw_mrc import density, mrc, refused

PROPERTY = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


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
        # The checksum is behind the map: a reader may stop before it, but then every value must be right.
        try:
            found = mrc_reader.read(path)
        except InputError as error:
            assert "damaged" in str(error)
        else:
            assert np.array_equal(found.data, mrc_reader.read(tmp_path / "a.mrc").data)

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
            "from cryoresdl.models.maps.mrc import mrc_reader\n"
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
