"""What others put into a results folder is never replaced or removed; what the record names is."""

import json
import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryoresdl.models.base.errors import InputError
from cryoresdl.models.base.runs import atomic_files, output_folder, run_record

NAMES = ["a.json", "b.json", "figures/a.png", "run.json", "notes.txt", ".part-cryoresdl-x.json"]


@pytest.fixture(autouse=True)
def unlocked():
    yield
    output_folder.unlock_folders()
    assert not atomic_files.GUARDS


def content(folder):
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def write(folder, command="one", text="ours", names=("a.json", "figures/a.png"), **flags):
    """What a command does: prepare its folder, write its files, record them."""
    try:
        output_folder.prepare_out(folder, names[:1], command=command, may_remain=names[1:], **flags)
        made = run_record.Run(folder, {"command": command, "text": text}, {})
        with made.writing():
            for name in names:
                (folder / name).parent.mkdir(exist_ok=True)
                with atomic_files.atomic_path(folder / name) as temporary:
                    temporary.write_text(text)
        return made
    finally:
        output_folder.unlock_folders()


def test_own_results_are_kept_and_replaced_when_asked(tmp_path):
    made = write(tmp_path)
    assert made.complete()
    with pytest.raises(InputError, match="already holds a.json; give --overwrite"):
        write(tmp_path)
    write(tmp_path, text="new", overwrite=True)
    assert (tmp_path / "a.json").read_text() == "new" and not made.complete()


def test_a_file_of_others_is_refused_with_and_without_overwrite(tmp_path):
    (tmp_path / "a.json").write_text("mine")
    before = content(tmp_path)
    for flags in ({}, {"overwrite": True}, {"resume": True}):
        with pytest.raises(InputError, match="a.json is not a file that CryoResDL made there") as caught:
            write(tmp_path, **flags)
        assert "\n" not in str(caught.value)
        assert content(tmp_path) == before


def test_a_result_that_somebody_changed_is_theirs_now(tmp_path):
    write(tmp_path)
    (tmp_path / "a.json").write_text("edited by hand")
    with pytest.raises(InputError, match="was changed since"):
        write(tmp_path, overwrite=True)
    assert (tmp_path / "a.json").read_text() == "edited by hand"


@pytest.mark.parametrize("text", ["", "{", '{"format": "other"}', "[]"])
def test_a_record_of_others_is_never_touched(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    for flags in ({}, {"overwrite": True}, {"resume": True}):
        with pytest.raises(InputError, match="run.json is not a record of CryoResDL"):
            write(tmp_path, **flags)
    assert content(tmp_path) == {str(tmp_path / "run.json"): text.encode()}


def test_links_do_not_lead_out_of_the_guard(tmp_path):
    theirs, out = tmp_path / "theirs", tmp_path / "out"
    theirs.mkdir()
    out.mkdir()
    (theirs / "a.png").write_text("picture")
    (out / "figures").symlink_to(theirs)
    with pytest.raises(InputError, match="figures/a.png"):
        write(out, overwrite=True)
    (out / "figures").unlink()
    (out / "a.json").symlink_to(theirs / "a.png")
    with pytest.raises(InputError, match="a.json"):
        write(out, overwrite=True)
    assert (theirs / "a.png").read_text() == "picture" and (out / "a.json").is_symlink()


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path):
    (tmp_path / "figures").write_text("mine")
    with pytest.raises(InputError, match="figures is in the way"):
        write(tmp_path)


def test_what_another_command_made_is_replaced_with_overwrite_only(tmp_path):
    write(tmp_path, "one")
    with pytest.raises(InputError, match="is a result of 'one'; give --overwrite"):
        write(tmp_path, "two", resume=True)
    write(tmp_path, "two", overwrite=True)
    assert not run_record.Run(tmp_path, {"command": "one", "text": "ours"}, {}).complete()


def test_a_deleted_shortened_or_changed_result_is_not_complete_and_a_shortened_one_is_made_again(tmp_path):
    long = "x" * 100_000
    for change in (
        lambda path: path.unlink(),
        lambda path: os.truncate(path, 50_000),
        lambda path: os.truncate(path, 0),
    ):
        made = write(tmp_path, text=long, overwrite=True)
        assert made.complete()
        change(tmp_path / "figures/a.png")
        assert not made.complete()
        assert write(tmp_path, text=long, resume=True).complete()
    status = os.stat(tmp_path / "a.json")
    (tmp_path / "a.json").write_text("y" * 100_000)
    os.utime(tmp_path / "a.json", ns=(0, status.st_mtime_ns + 1))
    assert not made.complete()


def test_a_run_killed_before_its_end_owns_what_it_wrote(tmp_path):
    script = (
        "import os, sys\n"
        "from cryoresdl.models.base.runs import atomic_files, output_folder\n"
        "out = output_folder.prepare_out(sys.argv[1], ['a.json'], resume=True, command='one')\n"
        "atomic_files.write_json(out / 'a.json', [sys.argv[2]])\n"
        "os.kill(os.getpid(), 9)\n"
    )
    for text in ("1", "2"):
        subprocess.run([sys.executable, "-c", script, str(tmp_path), text])
        assert json.loads((tmp_path / "a.json").read_text()) == [text]
    assert write(tmp_path, resume=True).complete()


def test_a_file_that_grows_is_known_by_its_beginning(tmp_path):
    output_folder.prepare_out(tmp_path, [], command="one")
    with atomic_files.atomic_path(tmp_path / "rows", grows=True) as temporary:
        temporary.write_text("first\n")
    with open(tmp_path / "rows", "a") as stream:
        stream.write("second\n")
    record = run_record.FolderRecord(tmp_path)
    assert record.owns("rows")
    (tmp_path / "rows").write_text("other\nsecond\n")
    assert not record.owns("rows")


def test_results_of_changed_inputs_are_removed(tmp_path):
    (tmp_path / "map").write_text("one")
    out = tmp_path / "out"
    output_folder.prepare_out(out, [], command="one")
    made = run_record.Run(out, {"command": "one"}, {"map": tmp_path / "map"})
    with pytest.raises(InputError, match="was changed while it was read"):
        with made.writing():
            atomic_files.write_json(out / "a.json", [])
            (tmp_path / "map").write_text("other")
    output_folder.unlock_folders()
    assert not out.exists()


def test_beginning_anew_removes_what_was_made_and_nothing_else(tmp_path):
    write(tmp_path / "sub", names=("a.json",))
    (tmp_path / "sub" / "mine.txt").write_text("mine")
    (tmp_path / "other" / "deep").mkdir(parents=True)
    write(tmp_path / "other" / "deep", names=("a.json",))
    output_folder.prepare_out(tmp_path, [], command="all")
    atomic_files.write_json(tmp_path / "sub" / "b.json", [])
    for folder in ("sub", "other"):
        run_record.remove_made(tmp_path / folder)
    assert {path.name for path in tmp_path.rglob("*")} == {"sub", "mine.txt"}


@settings(max_examples=150, deadline=None)
@given(
    theirs=st.dictionaries(st.sampled_from(NAMES), st.binary(max_size=20), max_size=4),
    earlier=st.booleans(),
    flags=st.fixed_dictionaries({"overwrite": st.booleans(), "resume": st.booleans()}),
)
def test_no_file_of_others_is_lost_or_changed_in_any_folder(theirs, earlier, flags, tmp_path_factory):
    folder = tmp_path_factory.mktemp("any")
    if earlier:
        write(folder, text="earlier")
    for name, body in theirs.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"theirs " + body)
    before = content(folder)
    mine = {str(folder / name) for name in theirs}
    try:
        write(folder, **flags)
    except InputError as error:
        assert "\n" not in str(error)
    after = content(folder)
    assert {name: after.get(name) for name in mine} == {name: before[name] for name in mine}
