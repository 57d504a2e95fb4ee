"""Lists of maps: columns, names, encodings, bad rows."""

import os
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryoresdl.models.base import worker_processes
from cryoresdl.models.base.errors import InputError
from cryoresdl.models.batch import job_list, results_ledger, validate_map
from cryoresdl.tests.helpers.run_lists import OPTIONS, read_lines, read_rows, run_rows, write_list
from cryoresdl.tests.helpers.written_maps import write_map

pytestmark = pytest.mark.usefixtures("instant_engine")


def job_of_a_key(job):
    return job.key


class TestLists:
    def refused(self, tmp_path, body, words):
        path = tmp_path / "list.csv"
        path.write_bytes(body)
        with pytest.raises(InputError, match=words) as caught:
            job_list.read_list(path, OPTIONS)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        "body,words",
        [
            (b"", "no column named map"),
            (b"volume,mask\na,b\n", "no column named map"),
            (b"map\n", "no rows"),
            (b"map\n\n  \n,\n", "no rows"),
            (b"map,map\na,b\n", "twice"),
            (b"map\n\xff\xfe\n", "UTF-8"),
            (b'map\n"a\n', "CSV"),
            (b"map\na\0b\n", "CSV|no such|Line|list"),
        ],
    )
    def test_bad_lists(self, tmp_path, body, words):
        if b"\0" in body and sys.version_info >= (3, 11):
            path = tmp_path / "list.csv"
            path.write_bytes(body)
            assert (
                validate_map.run_job(job_list.read_list(path, OPTIONS)[0], OPTIONS, tmp_path)["status"]
                == "failed"
            )
            return
        self.refused(tmp_path, body, words)

    def test_missing_list_and_folder(self, tmp_path):
        for path in (tmp_path / "none.csv", tmp_path):
            with pytest.raises(InputError, match="cannot be read"):
                job_list.read_list(path, OPTIONS)

    def test_bom_blanks_case_and_relative_paths(self, tmp_path, monkeypatch):
        (tmp_path / "deep").mkdir()
        write_map(tmp_path / "deep" / "a.mrc")
        write_map(tmp_path / "b.mrc")
        (tmp_path / "deep" / "list.csv").write_bytes(b"\xef\xbb\xbf Map ,Claimed\na.mrc, 3.5\nb.mrc,\n")
        monkeypatch.chdir(tmp_path)
        jobs = job_list.read_list(tmp_path / "deep" / "list.csv", OPTIONS, {"claimed": 9.0})
        assert [job.map for job in jobs] == [str(tmp_path / "deep" / "a.mrc"), str(tmp_path / "b.mrc")]
        assert [job.claimed for job in jobs] == [3.5, 9.0]

    def test_too_many_cells(self, tmp_path):
        (tmp_path / "list.csv").write_text("map,mask\na.mrc,,3\n")
        assert "quote" in job_list.read_list(tmp_path / "list.csv", OPTIONS)[0].problem

    @pytest.mark.parametrize(
        "name",
        [
            "a b.mrc",
            "a'b\".mrc",
            "a;rm -rf b.mrc",
            "100%s.mrc",
            "a\nb.mrc",
            "蛋白 ü.mrc",
            "-a.mrc",
            "...mrc",
            "=1+1.mrc",
        ],
    )
    def test_hostile_names(self, tmp_path, name):
        write_map(tmp_path / name)
        rows, out = run_rows([{"map": name}, {"map": name, "note": name}], tmp_path)
        assert [row["status"] for row in rows] == ["done", "done"], [row["error"] for row in rows]
        written = read_rows(out)
        assert written[1]["note"] == ("'" + name if name[0] in "-=" else name)
        assert os.path.basename(written[0]["map"]) == name
        assert read_lines(out)[1]["note"] == name
        for row in written:
            folder = row["folder"]
            assert (
                folder and os.sep not in folder and not folder.startswith((".", "-")) and "\n" not in folder
            )
            assert os.path.dirname(os.path.realpath(out / folder)) == os.path.realpath(out)

    def test_cells_and_headers_that_a_spreadsheet_would_run_are_told_apart_from_numbers(self, tmp_path):
        write_map(tmp_path / "a.mrc")
        cells = {
            "=head()": "=1+1",
            "b": "+x",
            "c": "@y",
            "d": "-z",
            "e": "\tq",
            "f": "\rq",
            "g": "-1.5",
            "h": "+2",
        }
        _, out = run_rows([{"map": "a.mrc", **cells}], tmp_path)
        (row,) = read_rows(out)
        assert row["'=head()"] == "'=1+1" and [row[name] for name in "gh"] == ["-1.5", "+2"]
        assert all(row[name] == "'" + cells[name] for name in "bcdef")
        assert {name: read_lines(out)[0][name] for name in cells} == cells

    @pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
    def test_a_list_that_has_no_end_is_refused_at_once(self, tmp_path, make):
        make(tmp_path / "list.csv")
        with pytest.raises(InputError, match="cannot be read: it is a"):
            job_list.read_list(tmp_path / "list.csv", OPTIONS)

    def test_a_long_list_is_named_in_a_time_that_grows_like_its_length(self, tmp_path):
        took = {}
        for count in (4000, 32000):
            write_list(tmp_path / "l.csv", [{"map": f"maps/EMD_{n // 2}.map.gz"} for n in range(count)])
            start = time.process_time()
            found = list(job_list.read_list(tmp_path / "l.csv", OPTIONS))
            took[count] = time.process_time() - start
            assert len({job.folder for job in found}) == len({job.key for job in found}) == count
        assert took[32000] < 24 * took[4000]

    def test_a_job_is_made_when_it_is_asked_for_and_not_before(self, tmp_path, monkeypatch):
        asked = []
        arguments = job_list._Row.arguments
        monkeypatch.setattr(
            job_list._Row, "arguments", lambda row, *words: asked.append(words[0]) or arguments(row, *words)
        )
        write_list(tmp_path / "l.csv", [{"map": f"j{n % 500}/map.mrc"} for n in range(1000)])
        found = job_list.read_list(tmp_path / "l.csv", OPTIONS)
        assert len(found) == 1000 and not asked
        left = results_ledger.Ledger(tmp_path, found, False).left
        outcome = next(iter(worker_processes.outcomes(job_of_a_key, left, 1)))
        assert outcome.result == found[0].key and len(asked) < 30

    def test_the_same_map_twice_has_two_folders_in_any_spelling_and_in_a_piece(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        write_map(tmp_path / "a.mrc")
        names = ["a.mrc", f"{tmp_path}/a.mrc", "a.mrc:mrc", "a.mrc", "b/a.mrc", "b/../a.mrc"]
        write_list(tmp_path / "l.csv", [{"map": name} for name in names])
        found = job_list.read_list(tmp_path / "l.csv", OPTIONS)
        assert len({job.key for job in found}) == len({job.folder for job in found}) == 6
        assert len({job.map for job in found}) == 3
        backwards = [found[place] for place in range(5, -1, -1)]
        assert backwards[::-1] == list(found)
        assert list(job_list.piece_of(found, 2, 3)[0]) == [found[1], found[4]]

    def test_a_map_cannot_leave_the_folder(self, tmp_path):
        for name in ("../../etc/passwd", "/", "..", "a/../..", ""):
            assert job_list.safe_name(name) not in ("", ".", "..") and "/" not in job_list.safe_name(name)

    @settings(max_examples=200, deadline=None)
    @given(st.text(max_size=300))
    def test_any_name_is_safe(self, text):
        name = job_list.safe_name(text)
        assert (
            0 < len(name) <= 80 and "/" not in name and not name.startswith((".", "-")) and name.isprintable()
        )
        name.encode("utf-8")

    @settings(max_examples=200, deadline=None)
    @given(body=st.binary(max_size=400))
    def test_any_list(self, body, tmp_path_factory):
        path = tmp_path_factory.getbasetemp() / "any.csv"
        path.write_bytes(b"map,voxel_size,x\n" + body)
        try:
            jobs = job_list.read_list(path, OPTIONS)
        except InputError as error:
            assert "\n" not in str(error)
        else:
            assert jobs and len({job.key for job in jobs}) == len({job.folder for job in jobs}) == len(jobs)


class TestCriterion:
    def test_a_cell_says_which_fsc_a_claim_means_and_the_command_line_the_rest(self, tmp_path):
        path = tmp_path / "list.csv"
        path.write_text("map,claimed,criterion\na.mrc,3,0.5\nb.mrc,3,.50\nc.mrc,3,\nd.mrc,3,0.3\n")
        jobs = job_list.read_list(path, OPTIONS, {"criterion": "0.143"})
        assert [job.criterion for job in jobs[:3]] == ["0.5", "0.5", "0.143"]
        assert "neither 0.143 nor 0.5" in jobs[3].problem
        assert jobs[0].key != job_list.read_list(path, OPTIONS, {})[2].key
