"""Two and three runs that begin at once in one folder, new or old: exactly one wins, and its results are whole.

CRYORESDL_RACES sets how often every case is run (2).
"""

import os
import shutil

import pytest

from cryoresdl.models.cli import command_line
from cryoresdl.tests.helpers.raced import race, raced_inputs
from cryoresdl.tests.helpers.written_maps import check_whole

RACES = int(os.environ.get("CRYORESDL_RACES", "2"))
COMMANDS = {
    "simulate": "simulate {structures}/pdb/s0.pdb.gz --resolution 6 --box 32 --voxel-size 2 --out OUT",
    "localres": "localres {map} --model {model} --out OUT",
    "dataset": "dataset global --structures {structures} --box 32 --voxel-size 2 --kda 0.1 200 --out OUT/set.h5",
}
FOLDERS = {"new": "", "below a new one": "", "empty": "", "with a file of others": "", "full": "--overwrite"}
REFUSALS = ("Another run is writing", "already holds", "give --overwrite")


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    return raced_inputs(tmp_path_factory.mktemp("given"))


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def in_folder(words, out):
    return [word.replace("OUT", str(out)) for word in words] + ["--quiet"]


@pytest.mark.parametrize("runs", [2, 3])
@pytest.mark.parametrize("kind", sorted(FOLDERS))
@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_one_of_the_runs_wins(given, tmp_path, monkeypatch, name, kind, runs):
    monkeypatch.setenv("CRYORESDL_BACKEND", "numpy")
    words = COMMANDS[name].format(**given).split()
    alone = tmp_path / "alone"
    assert command_line.main(in_folder(words, alone)) == 0
    expected = files(alone)
    for number in range(RACES):
        out = tmp_path / f"out{number}"
        if kind == "below a new one":
            out = out / "more"
        elif kind == "full":
            shutil.copytree(alone, out)
        elif kind != "new":
            out.mkdir()
        foreign = ["notes.txt"] if kind == "with a file of others" else []
        for other in foreign:
            (out / other).write_text("mine")
        said = race([*in_folder(words, out), *FOLDERS[kind].split()], runs, tmp_path)
        won = [code for code, _ in said if code == 0]
        # One that begins when another has ended may overwrite its results.
        assert len(won) == 1 or (kind == "full" and won), said
        for code, text in said:
            assert code in (0, 2), text
            assert code == 0 or any(refusal in text for refusal in REFUSALS), text
        assert files(out) == sorted([*expected, *foreign])
        check_whole(out)
        shutil.rmtree(tmp_path / f"out{number}")
