"""Results whole or not at all, one run per folder, and what the machine can bear."""

import errno
import json
import os
import stat
import subprocess
import sys

import pytest

from cryoresdl.models.base import machine, progress
from cryoresdl.models.base.errors import InputError
from cryoresdl.models.base.runs import atomic_files, output_folder


class TestAtomic:
    def test_appears_whole_with_the_users_permissions(self, tmp_path):
        old = os.umask(0o027)
        try:
            with atomic_files.atomic_path(tmp_path / "a.txt") as temporary:
                temporary.write_text("x")
                assert temporary.parent == tmp_path and not (tmp_path / "a.txt").exists()
        finally:
            os.umask(old)
        assert (tmp_path / "a.txt").read_text() == "x"
        assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640

    def test_a_failure_changes_nothing(self, tmp_path):
        (tmp_path / "a.txt").write_text("old")
        with pytest.raises(RuntimeError):
            with atomic_files.atomic_path(tmp_path / "a.txt") as temporary:
                temporary.write_text("new")
                raise RuntimeError
        assert os.listdir(tmp_path) == ["a.txt"] and (tmp_path / "a.txt").read_text() == "old"

    def test_full_disk(self, tmp_path):
        with pytest.raises(InputError, match="No space left"):
            with atomic_files.atomic_path(tmp_path / "a.txt"):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        assert os.listdir(tmp_path) == []

    def test_missing_folder(self, tmp_path):
        with pytest.raises(InputError, match="Cannot write in"):
            with atomic_files.atomic_path(tmp_path / "none" / "a.txt"):
                pass

    def test_json(self, tmp_path):
        atomic_files.write_json(tmp_path / "a.json", {"ü": [1, None]})
        assert atomic_files.read_json(tmp_path / "a.json") == {"ü": [1, None]}
        with pytest.raises(ValueError):
            atomic_files.write_json(tmp_path / "a.json", float("nan"))
        assert atomic_files.read_json(tmp_path / "a.json") == {"ü": [1, None]}
        (tmp_path / "b.json").write_text("{")
        for name in ("b.json", "c.json"):
            with pytest.raises(InputError, match=name):
                atomic_files.read_json(tmp_path / name)


class TestFolders:
    def test_results_are_protected(self, tmp_path):
        out = output_folder.prepare_out(tmp_path / "x" / "y", ["a"])
        atomic_files.write_json(out / "a", [])
        with pytest.raises(InputError, match="--overwrite"):
            output_folder.prepare_out(out, ["a"])
        assert output_folder.prepare_out(out, ["a"], overwrite=True) == out
        assert output_folder.prepare_out(out, ["a"], resume=True) == out
        output_folder.unlock_folders()

    def test_a_run_that_wrote_nothing_leaves_no_folder(self, tmp_path):
        empty, full, old = (tmp_path / name for name in ("empty", "full", "old"))
        old.mkdir()
        for folder in (empty, full, old):
            output_folder.prepare_out(folder, [])
        (full / "a").write_text("")
        output_folder.unlock_folders()
        assert not empty.exists() and (full / "a").exists() and old.exists()

    def test_of_two_runs_in_a_new_folder_the_one_that_comes_late_leaves_it_alone(self, tmp_path):
        """Both made it, as far as they know; a lock on a folder that was removed keeps nobody out."""
        script = (
            "import sys\nfrom cryoresdl.models.base.runs import output_folder\n"
            "print('ready', flush=True)\n"
            "sys.stdin.readline()\n"
            "try:\n"
            "    output_folder.prepare_out(sys.argv[1], [])\n"
            "    print('won', flush=True)\n"
            "    sys.stdin.readline()\n"
            "    open(sys.argv[1] + '/result', 'x').close()\n"
            "except Exception as error:\n"
            "    print('Another run' in str(error) and 'lost' or repr(error))\n"
            "finally:\n"
            "    output_folder.unlock_folders()\n"
        )
        for number in range(5):
            words = [sys.executable, "-c", script, str(tmp_path / str(number))]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            runs = [subprocess.Popen(words, **pipes) for _ in "123"]
            assert [run.stdout.readline() for run in runs] == ["ready\n"] * 3
            for run in runs:
                run.stdin.write("\n")
                run.stdin.flush()
            assert sorted(run.stdout.readline() for run in runs) == ["lost\n", "lost\n", "won\n"]
            for run in runs:
                run.communicate("\n")
            assert os.listdir(tmp_path / str(number)) == ["result"]

    def test_a_folder_that_is_removed_while_it_is_locked_is_locked_anew(self, tmp_path, monkeypatch):
        import fcntl

        out = tmp_path / "out"
        flock, calls = fcntl.flock, []

        def removed(handle, how):
            calls.append(handle)
            if len(calls) == 1:
                os.rmdir(out)
            flock(handle, how)

        monkeypatch.setattr(fcntl, "flock", removed)
        output_folder.prepare_out(out, [])
        assert len(calls) == 2 and out.is_dir()
        output_folder.unlock_folders()

    def test_a_file_system_without_locks_is_used_without(self, tmp_path, monkeypatch):
        import fcntl

        def refuse(handle, how):
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

        monkeypatch.setattr(fcntl, "flock", refuse)
        assert output_folder.prepare_out(tmp_path / "out", []).is_dir()
        output_folder.unlock_folders()

    def test_not_a_folder_and_read_only(self, tmp_path, monkeypatch):
        (tmp_path / "file").write_text("")
        with pytest.raises(InputError, match="Cannot create"):
            output_folder.prepare_out(tmp_path / "file", [])
        monkeypatch.setattr(os, "access", lambda *_: False)
        with pytest.raises(InputError, match="read-only"):
            output_folder.prepare_out(tmp_path, [])

    def test_a_second_run_is_kept_out_and_leftovers_are_removed(self, tmp_path):
        out = tmp_path / "out"
        out.mkdir()
        (out / f"{atomic_files.PART}abcd1234.mrc").write_text("torn")
        output_folder.prepare_out(out, [])
        assert os.listdir(out) == []
        script = (
            "import sys\nfrom cryoresdl.models.base.runs import output_folder\n"
            "try:\n    output_folder.prepare_out(sys.argv[1], [])\n    print('in')\n"
            "except Exception as error:\n    print(error)\n"
        )
        words = [sys.executable, "-c", script, str(out)]
        assert "Another run" in subprocess.run(words, capture_output=True, text=True).stdout
        output_folder.prepare_out(out, [])  # the same run may come again
        output_folder.unlock_folders()
        assert subprocess.run(words, capture_output=True, text=True).stdout == "in\n"

    @pytest.mark.parametrize(
        "path,text",
        [("a b", "a b"), ("a\nb\x1b[31m", "a\\nb\\x1b[31m"), (b"a\xff", "a\\udcff"), ("蛋", "蛋")],
    )
    def test_names_are_shown_in_one_line(self, path, text):
        assert atomic_files.shown(path) == text

    def test_digest(self, tmp_path):
        (tmp_path / "a").write_bytes(b"abc")
        assert atomic_files.sha256(tmp_path / "a").startswith("ba7816bf8f01cfea")
        with pytest.raises(InputError):
            atomic_files.sha256(tmp_path / "b")


class TestMachine:
    def test_the_least_limit_counts(self, tmp_path, monkeypatch):
        (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    1000 kB\n")
        (tmp_path / "max").write_text("900000\n")
        (tmp_path / "current").write_text("400000\n")
        monkeypatch.setattr(machine, "_MEMINFO", str(tmp_path / "meminfo"))
        monkeypatch.setattr(machine, "_CGROUP_V1", ("/none", "/none"))
        monkeypatch.setattr(machine, "_CGROUP_V2", (str(tmp_path / "max"), str(tmp_path / "current")))
        monkeypatch.setattr(machine, "_from_ulimit", lambda: None)
        assert machine.memory_left() == 500000
        (tmp_path / "max").write_text("max\n")
        assert machine.memory_left() == 1024000
        monkeypatch.setattr(machine, "_MEMINFO", "/none")
        assert machine.memory_left() is None
        machine.require_memory(10**18, "anything")
        monkeypatch.setattr(machine, "_from_ulimit", lambda: 10)
        with pytest.raises(InputError, match="The map needs 1e\\+09 GB|needs"):
            machine.require_memory(10**18, "The map")

    def test_here(self):
        assert machine.memory_left() > 0 and machine.processors() >= 1


class TestProgress:
    def test_line_and_eta(self):
        counter = progress.Progress("maps", total=10, done=2)
        counter._count = 4
        assert counter.line(10) == "4/10 maps (40 %), 10 s, ETA 30 s"
        assert progress.Progress("maps", total=4).line(1).endswith("ETA unknown")
        assert progress.Progress("maps").line(61) == "0 maps, 1 min 01 s"
        assert progress.duration(7500) == "2 h 05 min"

    def test_quiet(self, capsys):
        for quiet, expected in ((False, "3/3 tiles"), (True, "")):
            progress.set_quiet(quiet)
            try:
                assert list(progress.track([1, 2, 3], "tiles")) == [1, 2, 3]
                progress.note("")
            finally:
                progress.set_quiet(False)
            assert expected in capsys.readouterr().err

    def test_terminal(self, monkeypatch, capsys):
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
        list(progress.track([1, 2], "tiles"))
        with progress.Progress("maps", 1) as counter:
            counter.step(detail="1 failed")
        assert "\r1/1 maps" in capsys.readouterr().err


def test_json_results_survive_a_kill_between_write_and_rename(tmp_path):
    """Killed before the rename: the old file is whole; the next run removes the rest."""
    atomic_files.write_json(tmp_path / "a.json", {"old": 1})
    script = (
        "import os, signal, sys\nfrom cryoresdl.models.base.runs import atomic_files\n"
        "with atomic_files.atomic_path(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half')\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "a.json")])
    assert json.loads((tmp_path / "a.json").read_text()) == {"old": 1}
    assert len(os.listdir(tmp_path)) == 2
    output_folder.prepare_out(tmp_path, [])
    output_folder.unlock_folders()
    assert os.listdir(tmp_path) == ["a.json"]
