"""No command opens a socket, starts a program, or writes outside ``--out`` and the temporary folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cryoresdl.models.cli.command_line import COMMANDS
from cryoresdl.tests.helpers import pdb_lines
from cryoresdl.tests.helpers.made_folders import labelled_in, structures_in
from cryoresdl.tests.helpers.map_sets import global_set
from cryoresdl.tests.helpers.places import REPOSITORY, sample
from cryoresdl.tests.helpers.scipion_case import needs_models

MAP, MASK, TRUTH = (sample(part) for part in ("map", "mask", "truth"))
AUDITED = Path(__file__).resolve().parents[1] / "helpers" / "audited"
TRAIN = "train dnn --paper --solver keras --data SET --width 0.02 --epochs 1 --batch 6"
CASES = {
    "validate": [f"validate {MAP} --mask {MASK} --claimed 3.6", "validate LIST --workers 2"],
    "classify": [f"classify {MAP} --mask {MASK} --claimed 3"],
    "localres": [f"localres {MAP} --mask {MASK}"],
    "compare": [f"compare {TRUTH}=a {TRUTH}=b --mask {MASK}"],
    "filter": [f"filter {MAP} --locres {TRUTH}"],
    "audit": [f"audit {MAP} --mask {MASK} --claimed 3.6"],
    "residues": [f"residues {TRUTH} STRUCTURE"],
    "report": [f"compare {TRUTH}=a {TRUTH}=b", "report OUT --overwrite"],
    "plot": [f"compare {TRUTH}=a {TRUTH}=b", "plot scatter OUT --out OUT/more"],
    "models": ["models", "models truth"],
    "simulate": ["simulate STRUCTURE --resolution 6 --box 24 --voxel-size 2"],
    "dataset": ["dataset features --labels truth --csv TRIPLES --out OUT/set.h5"],
    "train": [TRAIN],
    "make": ["make monores --structures STRUCTURES --shared LABELLED --scale 0.0005 --workers 1"],
    "evaluate": [TRAIN, "evaluate --data SET --model OUT/model.cryoresdl --out OUT/measured"],
    "reproduce": [TRAIN, "reproduce fig2 --history OUT --out OUT/figure"],
}
"""Command lines of every command; words in capitals stand for files of the test's."""
NO_OUT = ("report", "plot", "models")


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """What the commands read, outside of where they may write."""
    folder = tmp_path_factory.mktemp("given")
    (folder / "list.csv").write_text(f"map,mask\n{MAP},{MASK}\n{MAP},\n")
    rows = "".join(
        f"{MAP},{TRUTH},{MASK},m{n},{split}\n" for n, split in enumerate(("train", "validation", "test"))
    )
    (folder / "triples.csv").write_text("map,label,mask,name,split\n" + rows)
    # In the middle of the sample's box: residues need a local resolution where they are.
    atoms = [pdb_lines.atom(xyz=(n + 50.0, 56.0, 55.0 + n % 3), n=n + 1, number=n + 1) for n in range(12)]
    return {
        "LIST": str(folder / "list.csv"),
        "TRIPLES": str(folder / "triples.csv"),
        "STRUCTURE": str(pdb_lines.write(folder, *atoms)),
        "STRUCTURES": str(structures_in(tmp_path_factory.mktemp("structures"))),
        "LABELLED": str(labelled_in(tmp_path_factory.mktemp("labelled"))),
        "SET": global_set(folder / "set.h5", 30),
    }


def audited(folder, words):
    """Run the command line with the hook in every process; returns what it did, its end, and its error stream."""
    log, temporary = folder / "audit.log", folder / "temporary"
    temporary.mkdir(exist_ok=True)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(AUDITED), str(REPOSITORY)]),
        "CRYORESDL_TEST_AUDIT": str(log),
        "HOME": "/proc/1/no-home",  # nobody can write here, root included
        "TMPDIR": str(temporary),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    for name in ("MPLCONFIGDIR", "KERAS_HOME", "DASK_CONFIG", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-m", "cryoresdl.models", *words],
        env=environment,
        cwd=str(folder),
        capture_output=True,
        text=True,
        timeout=600,
    )
    events = [line.split("\t", 1) for line in log.read_text().splitlines()]
    return events, done.returncode, done.stderr


def outside(events, allowed):
    """Events that are neither writing below the allowed folders nor reading from nowhere."""
    roots = tuple(f"{root}{os.sep}" for root in allowed)
    good = (*map(str, allowed), os.devnull)
    # Missing parents of --out are made, and looked for by making them.
    parents = tuple(str(parent) for root in allowed for parent in Path(root).parents)
    return [
        (event, what)
        for event, what in events
        if what not in good and not what.startswith(roots) and not (event == "os.mkdir" and what in parents)
    ]


def test_every_command_is_audited():
    assert set(CASES) == set(COMMANDS)


@needs_models
@pytest.mark.slow
@pytest.mark.parametrize("command", sorted(CASES))
def test_audit_of_a_command_finds_no_socket_no_program_and_no_file_elsewhere(command, given, tmp_path):
    out = tmp_path / "out"
    for number, line in enumerate(CASES[command]):
        words = [word.replace("OUT", str(out)) for word in line.split()]
        words = [given.get(word, word) for word in words]
        target = out if number == 0 or command == "evaluate" else tmp_path / "out2"
        if "--out" not in words and words[0] not in NO_OUT:
            words += ["--out", str(target)]
        events, code, said = audited(tmp_path, words)
        assert code == 0, said
        assert outside(events, [out, tmp_path / "out2", tmp_path / "temporary"]) == []
        assert "warn" not in said.lower(), said
    assert any(event == "open" for event, _ in events) or command == "models"


def test_the_hook_sees_a_socket_a_program_and_a_file_elsewhere(tmp_path):
    """The measure itself: what must be found is found, in a child too."""
    inner = (
        "import socket, subprocess; socket.socket(); subprocess.run(['true']); open('elsewhere', 'w').close()"
    )
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}], check=True)"
    log = tmp_path / "audit.log"
    environment = {**os.environ, "PYTHONPATH": str(AUDITED), "CRYORESDL_TEST_AUDIT": str(log)}
    subprocess.run([sys.executable, "-c", code], env=environment, cwd=str(tmp_path), check=True)
    events = [line.split("\t", 1) for line in log.read_text().splitlines()]
    found = {event for event, _ in outside(events, [tmp_path / "out"])}
    assert {"socket.__new__", "subprocess.Popen", "open"} <= found
