"""The command ``validate``: one map, lists, options that contradict each other."""

import json

import mrcfile
import numpy as np
import pytest

from cryoresdl.models.batch import job_list
from cryoresdl.models.cli import command_line
from cryoresdl.models.maps import density_map, emdb_download
from cryoresdl.models.maps.mrc import mrc_writer
from cryoresdl.models.results import deposition, result_files
from cryoresdl.tests.helpers.download_server import Server, emdb_files, serving
from cryoresdl.tests.helpers.run_lists import OPTIONS, read_rows, run_rows, write_list
from cryoresdl.tests.helpers.written_maps import write_map

pytestmark = pytest.mark.usefixtures("instant_engine")


class TestCommand:
    @pytest.fixture(autouse=True)
    def quick(self, monkeypatch):
        monkeypatch.setattr("cryoresdl.models.cli.commands.validate._digests", lambda options: "")

    def test_one_map(self, tmp_path, capsys):
        path, out = write_map(tmp_path / "a.mrc"), tmp_path / "out"
        words = ["validate", path, "--claimed", "4", "--out", str(out), "--no-report"]
        assert command_line.main(words) == 0
        said = capsys.readouterr().out
        assert "class: high" in said and "claim of 4 A: supported" in said and str(out) in said
        assert command_line.main(words) == 2 and "--overwrite" in capsys.readouterr().err
        assert command_line.main(words + ["--resume"]) == 0 and "already complete" in capsys.readouterr().out
        write_map(tmp_path / "a.mrc", 5)
        assert (
            command_line.main(words + ["--resume"]) == 0 and "already complete" not in capsys.readouterr().out
        )
        assert command_line.main(words + ["--overwrite"]) == 0

    def test_an_audit_is_made_when_asked_for_and_has_a_place_in_the_report(self, tmp_path, capsys):
        path, out = write_map(tmp_path / "a.mrc"), tmp_path / "out"
        words = ["validate", path, "--claimed", "4", "--out", str(out)]
        assert command_line.main(words) == 0 and not (out / result_files.AUDIT_JSON).exists()
        assert "What the answer hangs on" not in (out / result_files.REPORT_HTML).read_text()
        assert command_line.main([*words, "--audit", "--overwrite"]) == 0
        told = json.loads((out / result_files.AUDIT_JSON).read_text())
        assert len(told["cases"]) > 5 and (out / result_files.AUDIT_CSV).is_file()
        page = (out / result_files.REPORT_HTML).read_text()
        assert "What the answer hangs on" in page and told["sentences"][0].replace(" A)", " Å)") in page
        assert command_line.main([*words, "--audit", "--networks", "local", "--overwrite"]) == 2
        assert command_line.main(["plot", "audit", str(out)]) == 0 and (out / "figures/audit.png").is_file()

    def test_the_filtered_map_is_sharpened_when_a_b_factor_is_given(self, tmp_path, capsys):
        path, out = write_map(tmp_path / "a.mrc"), tmp_path / "out"
        words = ["validate", path, "--no-report", "--out", str(out), "--overwrite"]
        spread = {}
        for b_factor in (0.0, -60.0):
            assert command_line.main([*words, "--filtered", "--b-factor", str(b_factor)]) == 0
            assert json.loads((out / result_files.FILTER_JSON).read_text())["b_factor_A2"] == b_factor
            spread[b_factor] = mrcfile.read(out / result_files.FILTERED).std()
        assert spread[-60.0] > spread[0.0]
        capsys.readouterr()
        for wrong, said in (
            (["--b-factor", "-60"], "belongs to --filtered"),
            (["--filtered", "--b-factor", "-2000"], "not between -1000 and 1000 A^2"),
        ):
            assert command_line.main([*words, *wrong]) == 2 and said in capsys.readouterr().err

    def test_bad_input_leaves_no_folder(self, tmp_path, capsys):
        (tmp_path / "a.mrc").write_bytes(b"junk")
        assert command_line.main(["validate", str(tmp_path / "a.mrc"), "--out", str(tmp_path / "out")]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
        assert not (tmp_path / "out").exists()

    def test_several_maps_and_lists(self, tmp_path, capsys):
        a, b = write_map(tmp_path / "a.mrc"), write_map(tmp_path / "b.mrc", 1)
        assert command_line.main(["validate", a, b, "--out", str(tmp_path / "x")]) == 0
        assert "2 of 2 maps" in capsys.readouterr().out
        assert (tmp_path / "x" / result_files.REPORT_HTML).is_file()
        path = write_list(tmp_path / "l.csv", [{"map": "a.mrc"}, {"map": "b.mrc"}])
        words = ["validate", path, "--out", str(tmp_path / "y"), "--workers", "2", "--map-reports"]
        assert command_line.main(words) == 0
        assert (tmp_path / "y" / "a" / result_files.REPORT_HTML).is_file()
        assert command_line.main(words) == 2
        assert command_line.main(words + ["--resume"]) == 0
        assert command_line.main(["validate", path, a, "--out", str(tmp_path / "z")]) == 2
        assert command_line.main(["validate", a, b, "--half1", a, "--out", str(tmp_path / "z")]) == 2

    def test_a_list_of_which_nothing_could_be_validated_ends_with_2(self, tmp_path, capsys):
        write_map(tmp_path / "a.mrc")
        for name in ("bad", "worse"):
            (tmp_path / f"{name}.mrc").write_bytes(b"junk")
        bad = [{"map": "bad.mrc"}, {"map": "worse.mrc"}]
        words = ["validate", write_list(tmp_path / "l.csv", bad), "--out", str(tmp_path / "out")]
        assert command_line.main(words) == 2
        said = capsys.readouterr()
        assert "0 of 2 maps validated, 2 failed" in said.out and "No map of the list" in said.err
        assert (
            len(read_rows(tmp_path / "out")) == 2 and (tmp_path / "out" / result_files.REPORT_HTML).is_file()
        )
        # The progress of a resume counts what failed before.
        write_list(tmp_path / "l.csv", [*bad, {"map": "a.mrc"}])
        assert command_line.main([*words, "--resume"]) == 0
        said = capsys.readouterr()
        assert "1 of 3 maps validated, 2 failed" in said.out and "2 failed" in said.err

    @pytest.mark.real_engine
    def test_remedies_of_a_list_name_its_columns(self, tmp_path):
        path = write_map(tmp_path / "a.mrc")
        bare = np.zeros((12, 12, 12), np.float32)
        bare[3:9, 3:9, 3:9] = 1
        mrc_writer.write_volume(tmp_path / "b.mrc", bare, density_map.DensityMap(bare, 1.0))
        with mrcfile.open(tmp_path / "b.mrc", "r+") as stream:
            stream.voxel_size = 0
        options = OPTIONS
        rows, _ = run_rows([{"map": path, "half1": path}, {"map": "b.mrc"}], tmp_path, options=options)
        assert "give both columns half1 and half2" in rows[0]["error"]
        assert "give --voxel-size or the column voxel_size of a list" in rows[1]["error"]

    def test_pieces(self, tmp_path, capsys):
        for number in range(3):
            write_map(tmp_path / f"m{number}.mrc", number)
        path = write_list(tmp_path / "l.csv", [{"map": f"m{number}.mrc"} for number in range(3)])
        words = ["validate", path, "--out", str(tmp_path / "out"), "--no-report"]
        for number in range(1, 5):  # one task more than there are maps
            assert command_line.main([*words, "--piece", f"{number}/4"]) == 0
        assert command_line.main([*words, "--resume"]) == 0
        assert "3 of 3 maps" in capsys.readouterr().out
        assert {row["folder"][:6] for row in read_rows(tmp_path / "out")} == {job_list.PIECE}
        for wrong in ("0/3", "4/3", "1", "a/b", "1/2/3", "-1/2", "¹/2"):
            assert command_line.main([*words, f"--piece={wrong}"]) == 2, wrong
        assert command_line.main(["validate", str(tmp_path / "m0.mrc"), "--piece", "1/2", "--out", "x"]) == 2


class TestDeposit:
    @pytest.fixture(autouse=True)
    def quick(self, monkeypatch):
        monkeypatch.setattr("cryoresdl.models.cli.commands.validate._digests", lambda options: "")

    def words(self, tmp_path, *more):
        names = ["a.mrc", "h1.mrc", "h2.mrc"]
        path, one, two = (write_map(tmp_path / name, seed) for seed, name in enumerate(names))
        halves = ["--half1", one, "--half2", two]
        return ["validate", path, *halves, "--out", str(tmp_path / "out"), "--no-report", *more]

    def test_a_folder_for_the_emdb_is_written_whole_and_kept(self, tmp_path, capsys):
        folder = tmp_path / "emdb"
        words = self.words(tmp_path, "--deposit", str(folder), "--contour", "2.5")
        assert command_line.main(words) == 0
        said = capsys.readouterr().out
        assert f"for the EMDB: {folder}: everything is in order" in said
        assert {path.name for path in folder.iterdir()} == {*deposition.DEPOSITION_FILES, "run.json"}
        assert "contour level 2.5" in (folder / deposition.README).read_text()
        assert command_line.main([*words, "--resume"]) == 0 and "already complete" in capsys.readouterr().out
        (folder / deposition.MASK).unlink()
        assert command_line.main([*words, "--resume"]) == 0
        assert (folder / deposition.MASK).is_file()

    def test_a_file_of_others_in_the_folder_is_left_and_nothing_is_computed(self, tmp_path, capsys):
        folder = tmp_path / "emdb"
        folder.mkdir()
        (folder / deposition.README).write_text("mine")
        assert command_line.main(self.words(tmp_path, "--deposit", str(folder), "--overwrite")) == 2
        assert "README.txt" in capsys.readouterr().err
        assert (folder / deposition.README).read_text() == "mine"
        assert len(list(folder.iterdir())) == 1 and not (tmp_path / "out").exists()

    def test_what_cannot_be_deposited_is_refused_in_one_sentence(self, tmp_path, capsys):
        words = self.words(tmp_path)
        path, out = words[1], ["--out", str(tmp_path / "out")]
        for wrong, said in (
            (["validate", path, "--deposit", str(tmp_path / "d"), *out], "needs both half maps"),
            ([*words, "--deposit", str(tmp_path / "d"), "--networks", "global"], "local network"),
            ([*words, "--deposit", str(tmp_path / "out")], "one folder"),
            ([*words, "--contour", "1"], "--deposit"),
            (["validate", path, path, "--deposit", str(tmp_path / "d"), *out], "one map"),
        ):
            assert command_line.main(wrong) == 2
            assert said in capsys.readouterr().err
            assert not (tmp_path / "d").exists()


class TestEmdb:
    @pytest.fixture(autouse=True)
    def emdb(self, tmp_path, monkeypatch):
        """Two entries, the first with half maps, on a server of this machine."""
        monkeypatch.setattr("cryoresdl.models.cli.commands.validate._digests", lambda options: "")
        monkeypatch.setenv(emdb_download.CACHE_VARIABLE, str(tmp_path / "cache"))
        monkeypatch.chdir(tmp_path)
        paths = [write_map(tmp_path / f"m{k}.mrc", k) for k in range(3)]
        files = {**emdb_files("11638", paths, 4.0), **emdb_files("4400", paths[:1], 9.0)}
        with serving(files) as address:
            monkeypatch.setenv(emdb_download.ADDRESS_VARIABLE, address)
            yield

    def test_an_entry_is_validated_by_its_name_with_its_half_maps_and_its_claim(self, tmp_path, capsys):
        words = ["validate", "EMD-11638", "--out", "out", "--no-report"]
        assert command_line.main(words) == 0
        assert "claim of 4 A: supported" in capsys.readouterr().out
        out = tmp_path / "out"
        told = json.loads((out / result_files.EMDB_JSON).read_text())
        assert told["contour"] == 0.25 and told["name"] == "EMD-11638"
        assert json.loads((out / result_files.LOCAL_JSON).read_text())["half_maps"] is True
        assert command_line.main([*words, "--resume"]) == 0 and "already complete" in capsys.readouterr().out
        assert command_line.main([*words, "--claimed", "2", "--overwrite"]) == 0
        assert "claim of 2 A: optimistic" in capsys.readouterr().out

    def test_a_column_of_a_list_names_entries_beside_files(self, tmp_path, capsys):
        rows = [{"map": "EMD-11638"}, {"map": "m1.mrc"}, {"map": "emd_4400"}, {"map": "EMD-99999"}]
        words = [
            "validate",
            write_list(tmp_path / "l.csv", rows),
            "--out",
            str(tmp_path / "out"),
            "--no-report",
        ]
        assert command_line.main(words) == 0
        assert "3 of 4 maps" in capsys.readouterr().out
        found = read_rows(tmp_path / "out")
        assert [row["map"] for row in found][::2] == ["EMD-11638", "emd_4400"]
        assert [row["claimed_A"] for row in found] == ["4.0", "", "9.0", ""]
        assert "check the number" in found[3]["error"]
        Server.asked.clear()
        assert command_line.main([*words, "--resume"]) == 0 and Server.asked == []

    def test_a_file_of_that_name_wins(self, tmp_path, capsys):
        write_map(tmp_path / "EMD-11638", 5)
        assert command_line.main(["validate", "EMD-11638", "--out", "out", "--no-report"]) == 0
        assert Server.asked == [] and not (tmp_path / "out" / result_files.EMDB_JSON).exists()

    def test_without_a_network_one_sentence_says_so_and_a_list_tries_again(
        self, tmp_path, capsys, monkeypatch
    ):
        monkeypatch.setattr(emdb_download, "_SMALL", emdb_download.DownloadRules(tries=1))
        good = emdb_download.os.environ[emdb_download.ADDRESS_VARIABLE]
        monkeypatch.setenv(emdb_download.ADDRESS_VARIABLE, "http://127.0.0.1:9")
        assert command_line.main(["validate", "EMD-11638", "--out", "out", "--no-report"]) == 2
        said = capsys.readouterr().err
        assert "No network: 127.0.0.1:9 cannot be reached" in said and len(said.strip().splitlines()) == 1
        path = write_list(tmp_path / "l.csv", [{"map": "EMD-11638"}, {"map": "m1.mrc"}])
        words = ["validate", path, "--out", str(tmp_path / "l"), "--no-report"]
        assert command_line.main(words) == 0 and "1 of 2" in capsys.readouterr().out
        monkeypatch.setenv(emdb_download.ADDRESS_VARIABLE, good)
        assert command_line.main([*words, "--resume"]) == 0 and "2 of 2" in capsys.readouterr().out
