"""Killed at any moment and gone on with, commands that need no TensorFlow leave what a whole run leaves, byte for byte.

CRYORESDL_KILLS sets how often each is killed (3).
"""

import csv
import io
import json
import os
import random
import re
import time
import zipfile

import pytest

from cryoresdl.models.base.runs import run_record
from cryoresdl.models.cli import command_line
from cryoresdl.models.results import result_files, results_folder
from cryoresdl.models.training.recipes import set_makers
from cryoresdl.tests.helpers.map_sets import global_set
from cryoresdl.tests.helpers.raced import killed_after, raced_inputs
from cryoresdl.tests.helpers.run_lists import write_list
from cryoresdl.tests.helpers.written_maps import check_whole, write_map

KILLS = int(os.environ.get("CRYORESDL_KILLS", "3"))
COMMANDS = {
    "train": "train dnn --paper --data {set} --width 0.02 --epochs 12 --checkpoint-every 3 --batch 6 --out OUT",
    "dataset": "dataset global --structures {structures} --box 32 --voxel-size 2 --kda 0.1 200 --out OUT/set.h5",
    "features": "dataset features --structures {structures} --maps 2 1 0 --seed 5 --workers 2 --out OUT/set.h5",
    "make": "make {recipe} --structures {structures} --workers 1 --out OUT",
    "validate": "validate {list} --networks local --model-local {model} --no-report --workers 2 --out OUT",
    "localres": "localres {map} --model {model} --out OUT",
    "simulate": "simulate {structures}/pdb/s0.pdb.gz --resolution 6 --box 32 --voxel-size 2 --mode realistic --out OUT",
}
RECIPE = """
name = "tiny"
about = "A dense network of three epochs."
selection = "least validation loss"
[[sets]]
name = "many"
maker = "whole_maps"
options = { box = 32, voxel_size = 2.0, kda = [0.1, 200.0] }
[training]
trainer = "paper"
sets = ["many"]
options = { kind = "dnn", width = 0.01, orientations = 1, epochs = 3, batch = 3, seed = 1 }
[evaluation]
sets = ["many"]
"""
TIMES = (
    "timings_s",
    "peak_memory_mb",
    "seconds",
    "inference_seconds",
    "seconds_of_last_run",
    "created",
    "digest",
)


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    folder = tmp_path_factory.mktemp("given")
    (folder / "tiny.toml").write_text(RECIPE)
    rows = [{"map": write_map(folder / f"m{number}.mrc", number)} for number in range(3)]
    return {
        "recipe": folder / "tiny.toml",
        "list": write_list(folder / "list.csv", [*rows, {"map": "none.mrc"}]),
        **raced_inputs(folder),
        "set": global_set(folder / "set.h5", 30),
    }


def without_times(value):
    """JSON without how long it took and when."""
    if isinstance(value, list):
        return [without_times(each) for each in value]
    if isinstance(value, dict):
        return {name: without_times(each) for name, each in value.items() if name not in TIMES}
    return value


def told(name, raw, folder=""):
    """What a file says, whatever its folder is called."""
    if name.endswith(".json"):
        return without_times(json.loads(raw.replace(str(folder).encode(), b"OUT") if folder else raw))
    if name.endswith(".jsonl"):
        return [without_times(json.loads(line)) for line in raw.splitlines()]
    if name == result_files.RESULTS_CSV:
        return [without_times(row) for row in csv.DictReader(io.StringIO(raw.decode()))]
    if name.endswith(results_folder.OUTCOME_TXT):
        return re.sub(rb"(?m)^(epochs: [^,]+), .* each$", rb"\1", raw)
    return raw


def content(folder):
    """Every file below a folder, without how long it took, the record, which has times, and what was being written."""
    found = {}
    for path in folder.rglob("*"):
        left_out = path.name.endswith(run_record.RUN_JSON) or path.name.startswith(".part-")
        if path.is_file() and not left_out:
            name = str(path.relative_to(folder))
            if path.suffix == ".cryoresdl":
                with zipfile.ZipFile(path) as archive:
                    for member in set(archive.namelist()) - {"manifest.json"}:  # digests of the card
                        found[f"{name}/{member}"] = told(member, archive.read(member))
            elif name == "sets/many.h5":
                found[name] = set_makers.content_digest(
                    path
                )  # what the card holds; HDF5 may lay the same out anew
            else:
                found[name] = told(name, path.read_bytes(), folder)
    return found


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_killed_at_any_moment_and_gone_on_with(given, tmp_path, monkeypatch, name):
    monkeypatch.setenv("CRYORESDL_BACKEND", "numpy")
    line = COMMANDS[name].format(**given)
    words = {place: line.replace("OUT", str(tmp_path / place)).split() for place in ("whole", "killed")}
    words = {place: [*each, "--quiet", "--resume"] for place, each in words.items()}
    assert command_line.main(words["whole"]) == 0
    expected = content(tmp_path / "whole")
    begun = time.monotonic()
    out, said, chance = tmp_path / "killed", tmp_path / "said.txt", random.Random(name)
    assert not killed_after(words["killed"], 0, said) or command_line.main(words["killed"]) == 0
    lasted = max(0.05, time.monotonic() - begun)
    assert content(out) == expected
    kills = 0
    for _ in range(KILLS):
        # What is there is as a rule half done: a run that came to its end begins anew.
        if content(out) == expected:
            for path in sorted(out.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
        kills += killed_after(words["killed"], chance.uniform(0, lasted), said)
        check_whole(out)
    assert kills or KILLS < 3
    assert command_line.main(words["killed"]) == 0
    assert content(out) == expected
    assert not list(out.rglob(".part-*"))
