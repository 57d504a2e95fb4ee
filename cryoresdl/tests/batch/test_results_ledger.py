"""Rows of a list after any end: resume, kills, pieces."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from cryoresdl.models.base.runs import atomic_files, run_record
from cryoresdl.models.batch import job_list, results_ledger, run_list, validate_map
from cryoresdl.models.cli import command_line
from cryoresdl.models.maps.mrc import mrc_reader
from cryoresdl.models.results import result_files
from cryoresdl.tests.helpers.run_lists import OPTIONS, read_lines, read_rows, run_rows, write_list
from cryoresdl.tests.helpers.written_maps import write_map

pytestmark = pytest.mark.usefixtures("instant_engine")


def killed(*_):
    raise KeyboardInterrupt


class TestResume:
    def rows(self, tmp_path, count=6):
        for number in range(count):
            write_map(tmp_path / f"m{number}.mrc", number)
        return [{"map": f"m{number}.mrc"} for number in range(count)]

    def test_finished_rows_are_kept(self, tmp_path):
        listed = self.rows(tmp_path)
        _, out = run_rows(listed, tmp_path)
        times = {line["map"]: line["seconds"] for line in read_lines(out)}
        before = (out / "m0" / result_files.LOCAL_RESOLUTION).stat().st_mtime_ns
        run_rows(listed, tmp_path, resume=True)
        assert {line["map"]: line["seconds"] for line in read_lines(out)} == times
        assert (out / "m0" / result_files.LOCAL_RESOLUTION).stat().st_mtime_ns == before

    def test_a_changed_map_is_done_again(self, tmp_path):
        listed = self.rows(tmp_path)
        (tmp_path / "m1.mrc").write_bytes(b"broken")
        first, out = run_rows(listed, tmp_path)
        assert first[1]["status"] == "failed"
        write_map(tmp_path / "m1.mrc", 1)
        second, _ = run_rows(listed, tmp_path, resume=True)
        assert second[1]["status"] == "done"
        assert len(read_lines(out)) == len(read_rows(out)) == 6

    def test_other_options_and_lost_folders_are_done_again(self, tmp_path):
        import shutil

        listed = self.rows(tmp_path, 3)
        _, out = run_rows(listed, tmp_path)
        shutil.rmtree(out / "m1")
        run_rows(listed, tmp_path, resume=True)
        assert (out / "m1" / result_files.LOCAL_JSON).is_file()
        run_rows(listed, tmp_path, resume=True, options=replace(OPTIONS, networks="global"))
        assert not (out / "m1" / result_files.LOCAL_JSON).exists()
        assert len(read_rows(out)) == 3

    def test_a_crashed_row_is_tried_again(self, tmp_path):
        listed = self.rows(tmp_path, 2)
        _, out = run_rows(listed, tmp_path)
        lines = read_lines(out)
        lines[0]["status"] = "crashed"
        with run_record.guarding(out, validate_map.LIST_COMMAND):  # as the list itself writes it
            text = "".join(json.dumps(line) + "\n" for line in lines)
            atomic_files.write_text(out / results_ledger.RESULTS_JSONL, text)
        rows, _ = run_rows(listed, tmp_path, resume=True)
        assert rows[0]["status"] == "done"

    @pytest.mark.parametrize(
        "junk", [b'{"key": "torn', b"\xff\xfe\n", b"[]\n\n3\n", b'{"no": "key"}\n', b"[" * 100000 + b"\n"]
    )
    def test_torn_and_foreign_lines_of_a_killed_list_are_dropped(self, tmp_path, junk, monkeypatch):
        listed, out = self.rows(tmp_path, 3), tmp_path / "out"
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(results_ledger.Ledger, "finish", killed)
            run_rows(listed, tmp_path)
        with open(out / results_ledger.RESULTS_JSONL, "ab") as stream:
            stream.write(junk)
        with open(out / result_files.RESULTS_CSV, "ab") as stream:
            stream.write(b'"torn')
        run_rows(listed, tmp_path, resume=True)
        assert [row["map"].rpartition("/")[2] for row in read_rows(out)] == ["m0.mrc", "m1.mrc", "m2.mrc"]
        assert len(read_lines(out)) == 3

    @pytest.mark.parametrize("name", run_list.LIST_FILES)
    def test_rows_appended_to_finished_results_are_refused(self, tmp_path, name, capsys):
        listed = self.rows(tmp_path, 2)
        _, out = run_rows(listed, tmp_path)
        path = out / name
        path.write_bytes(path.read_bytes() + path.read_bytes().splitlines(keepends=True)[-1])
        changed = path.read_bytes()
        capsys.readouterr()
        words = ["validate", str(tmp_path / "list.csv"), "--no-report", "--out", str(out)]
        for more in ("--resume", "--overwrite"):
            assert command_line.main([*words, more]) == 2
            said = capsys.readouterr().err
            assert (
                said.count("\n") == 1
                and f"{path} is not a file that CryoResDL made there, or was changed" in said
            )
        assert path.read_bytes() == changed

    def test_the_same_map_twice_is_two_rows(self, tmp_path):
        write_map(tmp_path / "a.mrc")
        rows, out = run_rows([{"map": "a.mrc"}, {"map": "a.mrc"}], tmp_path)
        assert rows[0]["folder"] != rows[1]["folder"]
        run_rows([{"map": "a.mrc"}, {"map": "a.mrc"}], tmp_path, resume=True)
        assert len(read_rows(out)) == 2

    @pytest.mark.parametrize("seed", [1, 2])
    def test_killed_at_random_and_resumed(self, tmp_path, seed):
        count = 40
        self.rows(tmp_path, count)
        os.rename(tmp_path / "m7.mrc", tmp_path / "slow7.mrc")
        listed = [{"map": f"m{number}.mrc" if number != 7 else "slow7.mrc"} for number in range(count)]
        write_list(tmp_path / "list.csv", listed)
        script = (
            "import sys\n"
            "from cryoresdl.models.base.runs import output_folder\n"
            "from cryoresdl.models.batch import job_list, jobs, run_list\n"
            "if __name__ == '__main__':\n"
            "    o = jobs.ValidationOptions(report=False)\n"
            "    out = output_folder.prepare_out(sys.argv[2], [], resume=True)\n"
            "    run_list.run_list(job_list.read_list(sys.argv[1], o), o, out, 2, True)\n"
        )
        (tmp_path / "go.py").write_text(script)
        words = [sys.executable, str(tmp_path / "go.py"), str(tmp_path / "list.csv"), str(tmp_path / "out")]
        chance = random.Random(seed)
        for _ in range(4):
            process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
            time.sleep(chance.uniform(0.3, 1.6))
            process.send_signal(signal.SIGKILL)
            process.wait()
        subprocess.run(words, check=True, timeout=120)
        out = tmp_path / "out"
        rows = read_rows(out)
        assert [os.path.basename(row["map"]) for row in rows] == [row["map"] for row in listed]
        assert {row["status"] for row in rows} == {"done"}
        assert len({line["key"] for line in read_lines(out)}) == len(read_lines(out)) == count
        assert not list(out.glob("**/.part-*")) or all(p.parent != out for p in out.glob("**/.part-*"))
        for row in rows:
            assert (
                mrc_reader.read_values(out / row["folder"] / result_files.LOCAL_RESOLUTION).data.max() == 4.0
            )


class TestPieces:
    """The tasks of a job array each do a piece; the list's own run gathers them."""

    def jobs(self, tmp_path, count=7):
        for number in range(count):
            write_map(tmp_path / f"m{number}.mrc", number)
        rows = [{"map": f"m{number}.mrc"} for number in range(count)]
        return job_list.read_list(write_list(tmp_path / "list.csv", rows), OPTIONS)

    def piece(self, jobs, out, number, pieces):
        some, name = job_list.piece_of(jobs, number, pieces)
        (out / name).mkdir(parents=True)
        run_list.run_list(some, OPTIONS, out / name)
        return out / name

    def test_pieces_are_gathered_and_what_is_missing_is_done(self, tmp_path):
        jobs, out = self.jobs(tmp_path), tmp_path / "out"
        self.piece(jobs, out, 1, 3)
        second = self.piece(jobs, out, 2, 3)
        # The third task never ran, the second lost a folder, and its table ends in a torn line.
        import shutil

        shutil.rmtree(second / "m4")
        with open(second / results_ledger.RESULTS_JSONL, "a") as stream:
            stream.write('{"key": "to')
        rows = run_list.run_list(jobs, OPTIONS, out, resume=True)
        assert [row["map"] for row in rows] == [job.map for job in jobs]
        assert [row["folder"] for row in rows] == [
            "piece-1-of-3/m0",
            "piece-2-of-3/m1",
            "m2",
            "piece-1-of-3/m3",
            "m4",
            "m5",
            "piece-1-of-3/m6",
        ]
        for row in read_rows(out):
            assert (out / row["folder"] / result_files.LOCAL_RESOLUTION).is_file()
        before = (out / results_ledger.RESULTS_JSONL).read_bytes()
        run_list.run_list(jobs, OPTIONS, out, resume=True)
        assert (out / results_ledger.RESULTS_JSONL).read_bytes() == before

    def test_every_map_is_in_one_piece(self, tmp_path):
        jobs = self.jobs(tmp_path)
        for pieces in (1, 2, 3, 7, 9):
            parts = [job_list.piece_of(jobs, number, pieces) for number in range(1, pieces + 1)]
            assert sorted(job.key for some, _ in parts for job in some) == sorted(job.key for job in jobs)
            assert len({name for _, name in parts}) == pieces
