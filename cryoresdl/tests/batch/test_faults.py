"""Faults survived, each by doing it: kills, full disks, read-only folders, changed inputs, two runs, bad names."""

import io
import json
import os
import pickle
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from cryoresdl.models.base.runs import output_folder
from cryoresdl.models.batch import jobs, results_ledger
from cryoresdl.models.cli import command_line
from cryoresdl.models.maps.mrc import mrc_reader
from cryoresdl.models.networks.model_files import model_store
from cryoresdl.models.results import result_files
from cryoresdl.tests.helpers.quick_engine import PROGRAM
from cryoresdl.tests.helpers.scipion_free import needs_shipped_models
from cryoresdl.tests.helpers.written_maps import check_whole, write_map

ENGINE = [sys.executable, "-m", "cryoresdl.models"]
VOLUMES = (
    result_files.LOCAL_RESOLUTION,
    result_files.LOCAL_CLASS,
    result_files.LOCAL_INTERVAL,
    result_files.MASK_USED,
)


@pytest.fixture
def small_disk(tmp_path):
    """Makes a file system of its own with mount's options; skips where that is not allowed."""
    disk = tmp_path / "disk"
    disk.mkdir()

    def make(options):
        if os.geteuid() != 0 or not sys.platform.startswith("linux"):
            pytest.skip("only root on Linux may mount a small file system")
        if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(disk)]).returncode:
            pytest.skip("mounting is not allowed here")
        return disk

    yield make
    subprocess.run(["umount", str(disk)], stderr=subprocess.DEVNULL)


@pytest.fixture
def quick(tmp_path):
    """Words that start the command line with the instant engine."""
    (tmp_path / "quick.py").write_text(PROGRAM)
    return [sys.executable, str(tmp_path / "quick.py")]


class TestKills:
    def test_one_map_killed_at_random(self, quick, tmp_path):
        path = write_map(tmp_path / "a.mrc")
        out = tmp_path / "out"
        words = [*quick, "validate", path, "--out", str(out), "--resume", "--no-report"]
        chance = random.Random(3)
        for _ in range(6):
            process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(chance.uniform(0.05, 1.0))
            process.kill()
            process.wait()
            if out.exists():
                check_whole(out)
        subprocess.run(words, check=True, capture_output=True, timeout=60)
        assert (out / result_files.VALIDATION_JSON).exists()
        for name in VOLUMES:
            assert mrc_reader.read_values(out / name).data.shape == (24, 24, 24)
        assert not list(out.glob(".part-*"))

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_stopped_list_can_be_resumed(self, quick, tmp_path, number):
        for index in range(12):
            write_map(tmp_path / f"slow{index}.mrc", index)
        (tmp_path / "l.csv").write_text("map\n" + "".join(f"slow{index}.mrc\n" for index in range(12)))
        words = [
            *quick,
            "validate",
            str(tmp_path / "l.csv"),
            "--out",
            str(tmp_path / "out"),
            "--resume",
            "--no-report",
        ]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        lines = tmp_path / "out" / results_ledger.RESULTS_JSONL
        end = time.monotonic() + 60
        while time.monotonic() < end and not (lines.exists() and lines.stat().st_size):
            time.sleep(0.05)
        process.send_signal(number)
        start = time.monotonic()
        _, said = process.communicate(timeout=30)
        assert time.monotonic() - start < 8
        assert process.returncode == 128 + number
        assert said.splitlines()[-1].startswith("cryoresdl: stopped") and "Traceback" not in said
        kept = len(lines.read_text().splitlines())
        assert 1 <= kept < 12
        done = subprocess.run(words, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0 and "12 of 12 maps" in done.stdout, done.stderr
        assert len(lines.read_text().splitlines()) == 12

    def test_workers_end_with_a_killed_parent(self, quick, tmp_path):
        import psutil

        for index in range(40):
            write_map(tmp_path / f"slow{index}.mrc", index)
        (tmp_path / "l.csv").write_text("map\n" + "".join(f"slow{index}.mrc\n" for index in range(40)))
        words = [
            *quick,
            "validate",
            str(tmp_path / "l.csv"),
            "--out",
            str(tmp_path / "out"),
            "--workers",
            "2",
        ]
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        children = []
        while time.monotonic() < end and len(children) < 3:  # two workers and multiprocessing's tracker
            time.sleep(0.1)
            children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
        gone, alive = psutil.wait_procs(children, timeout=15)
        assert children and not alive


class TestDisks:
    def test_a_quota_ends_in_one_sentence_and_nothing_torn(self, quick, tmp_path):
        """A file-size limit stands in for a full disk: the write fails in the middle of a volume."""
        path = write_map(tmp_path / "a.mrc")

        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

        out = tmp_path / "out"
        done = subprocess.run(
            [*quick, "validate", path, "--out", str(out), "--no-report"],
            capture_output=True,
            text=True,
            preexec_fn=limit,
        )
        assert done.returncode == 2, done.stderr
        assert (
            len(done.stderr.splitlines()) == 1
            and "too large" in done.stderr
            and "Traceback" not in done.stderr
        )
        assert not list(out.glob("*.mrc")) and not (out / result_files.VALIDATION_JSON).exists()
        assert not list(out.glob(".part-*"))

    def test_a_full_file_system(self, quick, tmp_path, small_disk):
        disk = small_disk("size=100k")
        path = write_map(tmp_path / "a.mrc")
        words = [*quick, "validate", path, "--out", str(disk / "out"), "--no-report"]
        done = subprocess.run(words, capture_output=True, text=True)
        assert done.returncode == 2 and "No space left" in done.stderr, done.stderr
        check_whole(disk / "out")
        subprocess.run(["mount", "-o", "remount,size=9m", str(disk)], check=True)
        again = subprocess.run([*words, "--resume"], capture_output=True, text=True)
        assert again.returncode == 0, again.stderr
        assert (disk / "out" / result_files.VALIDATION_JSON).exists()

    def test_a_disk_that_fills_up_stops_a_list_which_then_goes_on(self, quick, tmp_path, small_disk):
        """The rest of the list is not burned through as failed rows that a resume would keep."""
        disk = small_disk("size=800k")
        for index in range(12):
            write_map(tmp_path / f"m{index}.mrc", index)
        (tmp_path / "l.csv").write_text("map\n" + "".join(f"m{index}.mrc\n" for index in range(12)))
        words = [*quick, "validate", str(tmp_path / "l.csv"), "--out", str(disk / "out"), "--no-report"]
        done = subprocess.run([*words, "--quiet"], capture_output=True, text=True)
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
        assert "No space left" in done.stderr and "--resume" in done.stderr
        lines = (disk / "out" / results_ledger.RESULTS_JSONL).read_text().splitlines()
        assert 0 < len(lines) < 12 and {json.loads(line)["status"] for line in lines} == {jobs.DONE}
        check_whole(disk / "out")
        subprocess.run(["mount", "-o", "remount,size=9m", str(disk)], check=True)
        again = subprocess.run([*words, "--resume"], capture_output=True, text=True)
        assert again.returncode == 0 and "12 of 12 maps" in again.stdout, again.stderr
        assert not list((disk / "out").rglob(".part-*"))

    def test_a_read_only_disk(self, quick, tmp_path, small_disk):
        disk = small_disk("size=1m")
        (disk / "out").mkdir()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        path = write_map(tmp_path / "a.mrc")
        for out in (disk / "out", disk / "new"):
            words = [*quick, "validate", path, "--out", str(out), "--no-report"]
            done = subprocess.run(words, capture_output=True, text=True)
            assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
            assert "ead-only" in done.stderr and "Traceback" not in done.stderr

    def test_a_folder_that_one_may_not_write_in(self, quick, tmp_path):
        # pytest's own folders are closed to the other user that root has to become for this.
        with tempfile.TemporaryDirectory() as open_folder:
            base = Path(open_folder)
            base.chmod(0o755)
            out = base / "out"
            out.mkdir(mode=0o555)
            (base / "quick.py").write_text(PROGRAM)
            words = [sys.executable, str(base / "quick.py"), "validate", write_map(base / "a.mrc")]
            words += ["--out", str(out)]
            if os.geteuid() == 0:  # root may write anywhere: give the rights away
                words = ["setpriv", "--reuid", "65534", "--clear-groups", *words]
                if subprocess.run([*words[:4], sys.executable, "-c", "import cryoresdl"]).returncode:
                    pytest.skip("another user cannot start this interpreter")
            done = subprocess.run(words, capture_output=True, text=True)
            assert done.returncode == 2 and "read-only" in done.stderr, done.stderr
            assert len(done.stderr.splitlines()) == 1


@needs_shipped_models
class TestModelFiles:
    """A damaged or foreign model is one sentence at once, for one map and for a list, and nothing is written."""

    def damaged(self, kind):
        data = bytearray(model_store.resolve(model_store.DEFAULT_LOCAL_MODEL).read_bytes())
        if kind == "truncated":
            return bytes(data[: len(data) // 2])
        if kind == "flipped":
            data[len(data) // 2] ^= 4
            return bytes(data)
        if kind == "newer":
            return self.rewritten(bytes(data))
        return pickle.dumps({"weights": 1})

    def rewritten(self, data):
        """The same file as a later version of the format would begin."""
        out = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
            for item in old.infolist():
                content = old.read(item)
                if item.filename.endswith(".json"):
                    value = json.loads(content)
                    for key in [key for key in value if key in ("format", "format_version", "version")]:
                        value[key] = 999
                    content = json.dumps(value).encode()
                new.writestr(item, content)
        return out.getvalue()

    @pytest.mark.parametrize("kind", ["truncated", "flipped", "newer", "foreign"])
    def test_one_sentence(self, tmp_path, capsys, kind):
        path = write_map(tmp_path / "a.mrc")
        (tmp_path / "l.csv").write_text("map\na.mrc\n")
        model = tmp_path / "bad.cryoresdl"
        model.write_bytes(self.damaged(kind))
        for words in (
            ["localres", path, "--model", str(model)],
            ["validate", path, "--model-local", str(model)],
            ["validate", str(tmp_path / "l.csv"), "--model-local", str(model)],
        ):
            assert command_line.main([*words, "--out", str(tmp_path / "out")]) == 2
            said = capsys.readouterr().err
            assert len(said.splitlines()) == 1 and "bad.cryoresdl" in said, said
            assert not list(tmp_path.glob("out/*"))


class TestRuns:
    def test_two_runs_in_one_folder(self, quick, tmp_path):
        out = tmp_path / "out"
        out.mkdir()
        output_folder.lock_folder(out)
        try:
            words = [*quick, "validate", write_map(tmp_path / "a.mrc"), "--out", str(out), "--no-report"]
            done = subprocess.run(words, capture_output=True, text=True)
        finally:
            output_folder.unlock_folders()
        assert done.returncode == 2 and "Another run" in done.stderr
        assert subprocess.run(words, capture_output=True).returncode == 0

    def test_a_map_changed_between_two_runs_is_validated_again(self, quick, tmp_path):
        path, out = write_map(tmp_path / "a.mrc"), tmp_path / "out"
        words = [*quick, "validate", path, "--out", str(out), "--resume", "--no-report"]
        assert subprocess.run(words, capture_output=True).returncode == 0
        again = subprocess.run(words, capture_output=True, text=True)
        assert "already complete" in again.stdout
        # An older time of change, as after a clock that jumped or a restored backup, counts as a change too.
        write_map(tmp_path / "a.mrc", 1)
        os.utime(path, (1, 1))
        again = subprocess.run(words, capture_output=True, text=True)
        assert again.returncode == 0 and "already complete" not in again.stdout

    def limited(self, *words):
        """Run under ``ulimit -v`` of 2.5 GB."""
        return subprocess.run(
            ["bash", "-c", 'ulimit -v 2500000; exec "$@"', "-", *map(str, words)],
            capture_output=True,
            text=True,
            env=dict(os.environ, OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1"),
        )

    def huge(self, path):
        """A map of 900^3 that takes no room on the disk."""
        write_map(path)
        with open(path, "r+b") as stream:
            stream.write(np.array([900, 900, 900], "<i4").tobytes())
            stream.seek(28)
            stream.write(np.array([900, 900, 900], "<i4").tobytes())
            stream.truncate(1024 + 4 * 900**3)
        return path

    def test_memory_limit_is_a_sentence(self, tmp_path):
        done = self.limited(*ENGINE, "localres", self.huge(tmp_path / "big.mrc"), "--out", tmp_path / "out")
        assert done.returncode == 2 and "memory" in done.stderr and "Traceback" not in done.stderr, (
            done.stderr
        )
        assert len(done.stderr.splitlines()) == 1 and not (tmp_path / "out").exists()

    def test_memory_limit_in_a_list_is_a_row_that_another_machine_may_do(self, quick, tmp_path):
        self.huge(tmp_path / "big.mrc")
        write_map(tmp_path / "small.mrc")
        (tmp_path / "l.csv").write_text("map\nbig.mrc\nsmall.mrc\n")
        words = [*quick, "validate", tmp_path / "l.csv", "--out", tmp_path / "out", "--no-report"]
        done = self.limited(*words)
        assert done.returncode == 0 and "1 of 2 maps" in done.stdout, done.stderr
        lines = (tmp_path / "out" / results_ledger.RESULTS_JSONL).read_text().splitlines()
        big, small = map(json.loads, lines)
        assert small["status"] == jobs.DONE
        assert big["status"] == jobs.CRASHED and "GB of memory" in big["error"]


@pytest.mark.parametrize("name", ["--out", "100%d", "a b'\";$(touch owned) 蛋白-ü\n<script>alert(1)<"])
def test_names_go_through_the_command_line(quick, tmp_path, name):
    path = write_map(tmp_path / f"{name.replace('/', '')}.mrc")
    out = tmp_path / f"out {name}"
    words = [*quick, "validate", path, "--claimed", "4", "--out", str(out)]
    page = "<script>" in name  # a report takes seconds: once, with the worst name
    done = subprocess.run(
        words + ([] if page else ["--no-report"]), capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((out / result_files.CLASSIFICATION_JSON).read_text())[0]["map"] == path
    assert not (tmp_path / "owned").exists()
    if page:
        assert "<script>alert(1)" not in (out / result_files.REPORT_HTML).read_text()
