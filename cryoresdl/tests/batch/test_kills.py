"""Killed at random moments and started again: the same final results byte for byte, nothing torn, nothing left over.

The commands run as a user runs them, with the shipped networks. CRYORESDL_KILLS sets how often each is killed (3).
Lists, data sets and trainings are killed in the tests of those.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from cryoresdl.models.base.runs import run_record
from cryoresdl.models.cli import command_line
from cryoresdl.models.maps.mrc import mrc_reader
from cryoresdl.models.results import result_files
from cryoresdl.tests.helpers.scipion_free import needs_shipped_models
from cryoresdl.tests.helpers.written_maps import check_whole, write_map

ENGINE = [sys.executable, "-m", "cryoresdl.models"]
KILLS = int(os.environ.get("CRYORESDL_KILLS", "3"))
COMMANDS = {
    "simulate": "simulate {pdb} --resolution 5 --box 64 --voxel-size 1.2",
    "realistic": "simulate {pdb} --resolution 5 --box 48 --voxel-size 1.5 --mode realistic --seed 4",
    "localres": "localres {map}",
    "classify": "classify {map} {other} --claimed 4",
}
TIMES = ("timings_s", "peak_memory_mb", "inputs", "runs", "made")


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Two maps and a structure."""
    folder = tmp_path_factory.mktemp("given")
    rng = np.random.default_rng(5)
    line = "ATOM  {:5d}  CA  ALA A{:4d}    {:8.3f}{:8.3f}{:8.3f}  1.00 20.00           C  \n"
    places = np.cumsum(rng.normal(0, 1.2, (80, 3)), axis=0)
    places -= places.mean(0)
    (folder / "a.pdb").write_text("".join(line.format(n, n, *xyz) for n, xyz in enumerate(places, 1)))
    return {
        "pdb": str(folder / "a.pdb"),
        "map": write_map(folder / "a.mrc", 1, 64),
        "other": write_map(folder / "b.mrc", 2, 40),
    }


def content(folder):
    """Every file below ``folder`` and what is in it, without how long it took."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".json":
            value = json.loads(path.read_text())
            value = {k: v for k, v in value.items() if k not in TIMES} if isinstance(value, dict) else value
            found[path.name] = value
        elif path.is_file():
            found[path.name] = path.read_bytes()
    return found


def kill_when(process, out, wanted):
    """Kill the process once ``wanted`` files (finished or not) are in its folder; tell whether it came to that."""
    while process.poll() is None:
        if out.is_dir() and len(os.listdir(out)) >= wanted:
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.0005)
    return process.wait() == -signal.SIGKILL


@needs_shipped_models
@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_killed_and_continued(name, given, tmp_path):
    words = [*ENGINE, *(word.format(**given) for word in COMMANDS[name].split()), "--quiet", "--resume"]
    subprocess.run([*words, "--out", str(tmp_path / "alone")], check=True, capture_output=True)
    expected = content(tmp_path / "alone")
    assert run_record.RUN_JSON in expected
    out = tmp_path / "killed"
    chance = random.Random(name)
    killed = 0
    for number in range(KILLS):
        process = subprocess.Popen(
            [*words, "--out", str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        if number == 0:  # while it still reads and computes
            time.sleep(chance.uniform(0, 0.5))
            process.kill()
            process.wait()
            killed += 1
        else:
            killed += kill_when(process, out, chance.randint(1, len(expected)))
        if out.exists():
            check_whole(out)
    assert killed >= 1
    done = subprocess.run([*words, "--out", str(out)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert content(out) == expected
    again = subprocess.run([*words, "--out", str(out)], capture_output=True, text=True)
    assert "already complete" in again.stdout


@needs_shipped_models
class TestResume:
    """What counts as the same: the bytes of the inputs, the options and the model; not the clock."""

    def words(self, path, out, *more):
        code = command_line.main(["localres", str(path), "--out", str(out), "--resume", "--quiet", *more])
        assert code == 0
        return (out / result_files.LOCAL_RESOLUTION).stat().st_ino

    def test_clocks_may_jump_but_bytes_and_options_count(self, tmp_path, capsys):
        path, out = tmp_path / "a.mrc", tmp_path / "out"
        write_map(path)
        first = self.words(path, out)
        for when in (1, 4_000_000_000):  # 1970 and 2096
            os.utime(path, (when, when))
            for made in out.iterdir():
                os.utime(made, (when, when))
            assert self.words(path, out) == first
            assert "already complete" in capsys.readouterr().out
        # Another map of the same size with the old map's time of change.
        status = os.stat(path)
        write_map(path, seed=1)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        second = self.words(path, out)
        assert second != first
        third = self.words(path, out, "--voxel-size", "2")
        assert third != second and mrc_reader.read_values(out / result_files.LOCAL_RESOLUTION).voxel_size == 2
        (out / run_record.RUN_JSON).write_text('{"torn')
        words = ["localres", str(path), "--out", str(out), "--resume", "--quiet", "--voxel-size", "2"]
        assert command_line.main(words) == 2
        assert "is not a record of CryoResDL" in capsys.readouterr().err
        assert (out / result_files.LOCAL_RESOLUTION).stat().st_ino == third

    def test_a_map_that_changes_while_it_is_read_is_refused(self, tmp_path, monkeypatch, capsys):
        from cryoresdl.models.inference import local_resolution

        path, out = tmp_path / "a.mrc", tmp_path / "out"
        write_map(path)
        localres = local_resolution.localres

        def change(*args, **options):
            write_map(path, seed=1)
            return localres(*args, **options)

        monkeypatch.setattr(local_resolution, "localres", change)
        assert command_line.main(["localres", str(path), "--out", str(out), "--quiet"]) == 2
        assert "changed while it was read" in capsys.readouterr().err
        assert not out.exists()
