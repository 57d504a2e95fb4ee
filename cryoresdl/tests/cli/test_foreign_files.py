"""No command loses or changes a file that it did not make; results of other commands are replaced only with --overwrite.

Random folders: files of others under names that commands use and under others, one or two commands after them, and files
of ours that somebody edits in between. CRYORESDL_FOLDERS sets how many are tried for each command (3).
"""

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cryoresdl.models.cli import command_line
from cryoresdl.models.cli.command_line import COMMANDS, OBEYED
from cryoresdl.models.maps.density_map import DensityMap
from cryoresdl.models.maps.mrc import mrc_writer
from cryoresdl.tests.helpers import pdb_lines, quick_engine
from cryoresdl.tests.helpers.made_folders import labelled_in, structures_in
from cryoresdl.tests.helpers.map_sets import global_set
from cryoresdl.tests.helpers.written_maps import write_map

EXAMPLES = int(os.environ.get("CRYORESDL_FOLDERS", "3"))
LINES = {
    "validate": "validate MAP --claimed 4 --no-report --out OUT",
    "list": "validate MAP OTHER --no-report --out OUT",
    "classify": "classify MAP --claimed 4 --out OUT",
    "localres": "localres MAP --out OUT",
    "compare": "compare VOLUME=a VOLUME=b --out OUT",
    "filter": "filter MAP --locres VOLUME --out OUT",
    "audit": "audit MAP --claimed 4 --out OUT",
    "residues": "residues VOLUME ATOMS --out OUT",
    "report": "report OUT",
    "plot": "plot histogram OUT --out OUT/figures",
    "simulate": "simulate ATOMS --resolution 8 --box 24 --voxel-size 2 --out OUT",
    "dataset": "dataset global --structures STRUCTURES --box 32 --voxel-size 2 --kda 0.1 200 --out OUT/set.h5",
}
SLOW = {
    "train": "train dnn --paper --solver keras --data SET --width 0.02 --epochs 1 --batch 6 --out OUT",
    "evaluate": "evaluate --data SET --model paper-dnn --out OUT",
    "make": "make monores --structures STRUCTURES --shared LABELLED --scale 0.0005 --workers 1 --out OUT",
    "reproduce": "reproduce table5 --matrix MATRIX --out OUT",
}
WITHOUT_FILES = {"models"}
NAMES = (
    *(
        "notes.txt",
        "a/notes.txt",
        "figures/notes.png",
        "figures/local.png",
        "run.json",
        "report.html",
        "report.pdf",
    ),
    *(
        "report.json",
        "results.csv",
        "results.jsonl",
        "history.csv",
        "card.json",
        "training.png",
        "model.cryoresdl",
    ),
    *(
        "checkpoint.npz",
        "best.npz",
        "metrics.json",
        "metrics.csv",
        "confusion.png",
        "table5.csv",
        "table5.png",
    ),
    *(
        "local_resolution.mrc",
        "local_resolution.json",
        "local_class.mrc",
        "local_interval.mrc",
        "mask_used.mrc",
    ),
    *(
        "classification.json",
        "comparison.json",
        "comparison.png",
        "local_filtered.mrc",
        "filter.json",
        "audit.json",
    ),
    *("audit.csv", "audit.png", "residues.csv", "chains.csv", "residues.defattr", "model_resolution.cif"),
    *(
        "simulated.mrc",
        "simulated_half1.mrc",
        "directional.csv",
        "directional.json",
        "fsc.json",
        "verdict.txt",
    ),
    *("set.h5", "set.json", "set.card.json", "set.card.png", "set.h5.run.json", "set.h5.parts/recipe.json"),
    *("a/local_resolution.mrc", "a/run.json", "b/classification.json", "figures/surface.png", "map.mrc"),
)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """What the commands read."""
    folder = tmp_path_factory.mktemp("given")
    volume = np.zeros((24, 24, 24), np.float32)
    volume[6:18, 6:18, 6:18] = 4 + np.random.default_rng(0).random((12, 12, 12))
    path = write_map(folder / "a.mrc")
    mrc_writer.write_volume(folder / "volume.mrc", volume, DensityMap(volume, 1.5, (1.0, 2.0, 3.0)))
    atoms = [pdb_lines.atom(xyz=(15 + n % 7, 16.0, 17 + n % 3), n=n + 1, number=n + 1) for n in range(40)]
    (folder / "matrix.csv").write_text(",high,medium,low\nhigh,3,1,0\nmedium,1,3,0\nlow,0,1,3\n")
    return {
        "MAP": path,
        "OTHER": write_map(folder / "b.mrc", 1),
        "VOLUME": str(folder / "volume.mrc"),
        "ATOMS": str(pdb_lines.write(folder, *atoms)),
        "STRUCTURES": str(structures_in(tmp_path_factory.mktemp("structures"))),
        "LABELLED": str(labelled_in(tmp_path_factory.mktemp("labelled"))),
        "MATRIX": str(folder / "matrix.csv"),
        "SET": global_set(folder / "set.h5", 30),
    }


def contents(folder):
    """Every file and link below a folder by its name."""
    return {
        str(path.relative_to(folder)): os.readlink(path) if path.is_symlink() else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def place(folder, foreign):
    """Put files of others there, as many as have room beside each other."""
    for name, content in foreign.items():
        path = folder / name
        if not any(parent.is_file() for parent in path.parents) and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def words_of(name, flag, out, inputs):
    """A command line, with the flag where the command has it."""
    words = {**LINES, **SLOW}[name].split()
    words = [inputs.get(word, word.replace("OUT", str(out))) for word in words]
    words = [inputs[word.split("=")[0]] + word[-2:] if word[-2:-1] == "=" else word for word in words]
    return [*words, "--quiet", *([f"--{flag}"] if flag in OBEYED[words[0]] else [])]


def run_and_look(words, out, foreign, makers):
    """Run a command; nothing that it may not touch may have changed. Returns its exit code."""
    before = contents(out)
    code = command_line.main(words)
    after = contents(out)
    assert code in (0, 2), words
    kept = set(foreign)
    if "--overwrite" not in words:
        kept |= {name for name, maker in makers.items() if maker != words[0]}
    changed = [name for name in kept if name in before and after.get(name) != before[name]]
    assert not changed, (words, changed)
    for name in after.keys() - before.keys():
        makers.setdefault(name, words[0])
    return code


def try_folders(commands, inputs, examples):
    """Random folders for random commands out of these."""

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        before=st.dictionaries(st.sampled_from(NAMES), st.binary(max_size=12), max_size=4),
        between=st.dictionaries(st.sampled_from(NAMES), st.binary(max_size=12), max_size=2),
        steps=st.lists(
            st.tuples(
                st.sampled_from(commands), st.sampled_from(["", "overwrite", "resume"]), st.integers(0, 99)
            ),
            min_size=1,
            max_size=3,
        ),
    )
    def tried(before, between, steps):
        out = Path(tempfile.mkdtemp(prefix="cryoresdl-folders-")) / "out"
        out.mkdir()
        try:
            place(out, before)
            foreign, makers = set(contents(out)), {}
            for name, flag, edited in steps:
                run_and_look(words_of(name, flag, out, inputs), out, foreign, makers)
                ours = sorted(name for name in makers if not name.endswith("run.json"))
                if ours and edited < 30:  # somebody writes into a result, so that it is theirs
                    chosen = ours[edited % len(ours)]
                    (out / chosen).write_bytes(b"mine")
                    foreign.add(chosen)
                place(out, between)
                foreign |= contents(out).keys() - makers.keys()
        finally:
            shutil.rmtree(out.parent)

    tried()


def test_every_command_is_tried():
    assert {line.split()[0] for line in (*LINES.values(), *SLOW.values())} == set(COMMANDS) - WITHOUT_FILES


@pytest.fixture
def quick(monkeypatch):
    from cryoresdl.models.cli.commands import validate

    quick_engine.instant(monkeypatch)
    monkeypatch.setattr(validate, "_digests", lambda options: "")


@pytest.mark.parametrize("name", sorted(LINES))
def test_what_a_command_did_not_make_stays(name, inputs, quick):
    try_folders([name, *sorted(LINES)], inputs, EXAMPLES)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SLOW))
def test_what_a_slow_command_did_not_make_stays(name, inputs, quick):
    try_folders([name], inputs, 2)


@pytest.mark.parametrize("name", sorted(LINES))
def test_the_commands_of_these_folders_work(name, inputs, quick, tmp_path):
    """Without files of others they succeed, or nothing would be tried."""
    out = tmp_path / "out"
    if name in ("report", "plot"):
        assert command_line.main(words_of("validate", "", out, inputs)) == 0
    assert run_and_look(words_of(name, "overwrite", out, inputs), out, set(), {}) == 0
