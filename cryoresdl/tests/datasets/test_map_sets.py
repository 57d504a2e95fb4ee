"""Sets of maps with a global class: what they hold, seeds, resume, damage."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from cryoresdl.models.base.errors import InputError
from cryoresdl.models.cli import command_line
from cryoresdl.models.datasets import global_map_set, input_lists, map_set_card, map_set_file
from cryoresdl.models.datasets.map_set_file import DatasetFile
from cryoresdl.models.structures import structure_reader
from cryoresdl.models.structures.atoms import molecular_weight_kda, protein_chains
from cryoresdl.tests.helpers.pdb_lines import atom
from cryoresdl.tests.helpers.set_inputs import protein

RECIPE = global_map_set.GlobalSetRecipe(box=48, orientations=2)


def test_global_set_has_every_map_scaled_centred_and_labelled(structures_folder, tmp_path):
    entries = input_lists.find_structures(structures_folder)
    made = global_map_set.build_global_set(entries, tmp_path / "g.h5", RECIPE)
    # Training structures in two orientations, the others in one, at three resolutions each.
    assert made["items"] == (3 * 2 + 3) * 3 and made["sources"] == 6
    assert set(made["skipped"]) == {"small", "wide", "broken"}
    assert "kDa" in made["skipped"]["small"] and "does not fit" in made["skipped"]["wide"]
    with DatasetFile(tmp_path / "g.h5") as data:
        assert len(data) == 27 and data.skipped() == made["skipped"]
        assert str(structures_folder) not in json.dumps(data.skipped())
        maps_ = data.column("maps")
        assert (
            maps_.min(axis=(1, 2, 3)).tolist() == [0.0] * 27
            and maps_.max(axis=(1, 2, 3)).tolist() == [1.0] * 27
        )
        assert data.column("labels").tolist() == [0, 1, 2] * 9
        assert data.column("resolution").tolist() == [2.5, 7.5, 12.5] * 9
        sources = data.sources()
        assert [source["id"] for source in sources] == ["p0", "p1", "p2", "p3", "p4", "pair"]
        assert data.info["seed"] == 0 and data.info["recipe"]["box"] == 48 and data.info["version"]
        for name, wanted in (("train", {0, 1, 2}), ("validation", {3}), ("test", {4, 5})):
            assert set(data.column("source")[data.rows(name)]) == wanted
        grid = np.arange(48) - 24.0
        for density in maps_[[2, 5]]:  # 12.5 A: the scaling keeps the centre within a fraction of a voxel
            for axis in range(3):
                profile = density.sum(axis=tuple(other for other in range(3) if other != axis), dtype=float)
                assert abs((profile * grid).sum() / profile.sum()) < 0.6
        np.testing.assert_allclose(data.column("rotation")[0], np.eye(3))
        assert not np.allclose(data.column("rotation")[3], np.eye(3))
    assert not (tmp_path / "g.h5.parts").exists()


def test_fragments_of_training_structures_are_further_training_structures(structures_folder, tmp_path):
    entries = input_lists.find_structures(structures_folder)
    recipe = global_map_set.dataclasses.replace(RECIPE, orientations=1, fragments=2, kda=(5.0, 200.0))
    made = global_map_set.build_global_set(entries, tmp_path / "f.h5", recipe)
    pieces = {f"p{n}-part{k}" for n in range(3) for k in (1, 2)} | {"wide-part1", "wide-part2"}
    with DatasetFile(tmp_path / "f.h5") as data:
        sources = {source["id"]: source for source in data.sources()}
        there = {name for name in sources if "-part" in name}
        # Fragments of a structure too wide for the box may fit; nothing comes from validation and test structures.
        assert there == pieces - set(made["skipped"]) and len(there) >= 6
        for name in there:
            whole = sources.get(name.split("-")[0], {"residues": 180})
            assert 95 <= sources[name]["residues"] <= whole["residues"]
        assert {sources[name]["residues"] for name in there} != {180}
        names = [source["id"] for source in data.sources()]
        for row in data.rows("validation").tolist() + data.rows("test").tolist():
            assert "-part" not in names[data.column("source")[row]]
    with pytest.raises(InputError, match="--split cluster"):
        global_map_set.build_global_set(
            entries, tmp_path / "p.h5", global_map_set.dataclasses.replace(recipe, split="paper")
        )


def test_a_fragment_needs_a_chain_long_enough(structures_folder):
    entry = input_lists.Entry("small", str(structures_folder / "pdb" / "small.pdb.gz"), "small", fragment=1)
    with pytest.raises(InputError, match="95 residues"):
        global_map_set.simulate_entry(entry, RECIPE)


def test_same_seed_same_bytes_on_one_and_two_workers_and_another_seed_not(structures_folder, tmp_path):
    entries = input_lists.find_structures(structures_folder)
    digests = []
    for number, (workers, seed) in enumerate([(1, 0), (2, 0), (1, 1)]):
        recipe = global_map_set.GlobalSetRecipe(box=48, orientations=2, seed=seed, split="paper")
        global_map_set.build_global_set(
            list(reversed(entries))[:: 1 - 2 * (number % 2)], tmp_path / f"{number}.h5", recipe, workers
        )
        digests.append(hashlib.sha256((tmp_path / f"{number}.h5").read_bytes()).hexdigest())
    assert digests[0] == digests[1] != digests[2]


def test_paper_filters_take_single_chains_as_deposited(structures_folder, tmp_path):
    entries = input_lists.find_structures(structures_folder)
    recipe = global_map_set.GlobalSetRecipe(box=48, chain="single", split="paper", turn_to_fit=False)
    made = global_map_set.build_global_set(entries, tmp_path / "p.h5", recipe)
    assert made["items"] == 15 and "single-chain" in made["skipped"]["pair"]
    with DatasetFile(tmp_path / "p.h5") as data:
        assert np.bincount(data.splits).tolist() == [9, 3, 3]
        assert data.info["mode"] == "paper"


def test_turning_makes_a_rod_fit(tmp_path):
    lines = [atom(xyz=(row * 0.09, 0, 0), n=row % 99999, number=row // 5 + 1) for row in range(700)]
    (tmp_path / "rod.pdb").write_text("\n".join(lines) + "\nEND\n")
    entry = input_lists.Entry("rod", str(tmp_path / "rod.pdb"), "rod", "train")
    recipe = global_map_set.GlobalSetRecipe(box=58, resolutions=(2.5,), kda=(1.0, 100.0))
    arrays, _ = global_map_set.simulate_entry(entry, recipe)
    assert not np.allclose(arrays["rotation"][0], np.eye(3))
    with pytest.raises(InputError, match="does not fit"):
        global_map_set.simulate_entry(entry, global_map_set.dataclasses.replace(recipe, turn_to_fit=False))


def test_half_precision_is_close(structures_folder):
    entry = next(entry for entry in input_lists.find_structures(structures_folder) if entry.name == "p1")
    full, _ = global_map_set.simulate_entry(entry, RECIPE)
    half, _ = global_map_set.simulate_entry(entry, global_map_set.dataclasses.replace(RECIPE, half=True))
    assert half["maps"].dtype == np.float16
    assert np.abs(full["maps"] - half["maps"]).max() <= 0.00025


def dataset_command(folder, out, *more):
    return [
        "dataset",
        "global",
        "--structures",
        str(folder),
        "--box",
        "48",
        "--quiet",
        "--out",
        str(out),
        *more,
    ]


@pytest.mark.slow
def test_a_killed_build_resumes_to_the_same_bytes(structures_folder, tmp_path):
    for number in range(5, 24):
        protein(structures_folder / "pdb" / f"p{number}.pdb.gz", residues=150 + number, seed=number)
    (structures_folder / "manifest.csv").unlink()
    whole, torn = tmp_path / "whole.h5", tmp_path / "torn.h5"
    assert command_line.main(dataset_command(structures_folder, whole, "--workers", "2")) == 0
    words = [sys.executable, "-m", "cryoresdl.models", *dataset_command(structures_folder, torn, "--resume")]
    parts = tmp_path / "torn.h5.parts"
    killed = 0
    for wanted in (2, 7, 13):
        process = subprocess.Popen(words, start_new_session=True, stderr=subprocess.PIPE, text=True)
        limit = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < limit:
            if len(list(parts.glob("p*.h5"))) >= wanted:
                break
            time.sleep(0.005)
        if process.poll() is None:
            # Once its worker, then twice the command itself: then the worker has to end by itself.
            os.kill(_worker_of(process.pid) if wanted == 2 else process.pid, signal.SIGKILL)
            killed += 1
        _, said = process.communicate(timeout=60)
        assert process.returncode == (1 if wanted == 2 else -signal.SIGKILL)
        assert wanted != 2 or "--resume" in said
        _wait_for_end_of(process.pid)
        assert not torn.exists()
    assert killed == 3
    assert subprocess.run(words, check=False).returncode == 0
    assert torn.read_bytes() == whole.read_bytes()
    assert not parts.exists()


def _worker_of(parent):
    """The process id of the command's worker."""
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = place.read_text().rsplit(")", 1)[1].split()
            if int(fields[1]) == parent and b"spawn_main" in (place.parent / "cmdline").read_bytes():
                return int(place.parent.name)
        except OSError:
            continue
    raise AssertionError("the command has no worker")


def _wait_for_end_of(session):
    """No process of the session is left within a few seconds."""
    limit = time.monotonic() + 20
    while time.monotonic() < limit:
        alive = []
        for place in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = place.read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(fields[3]) == session and fields[0] != "Z":
                alive.append(place)
        if not alive:
            return
        time.sleep(0.1)
    raise AssertionError(f"workers outlive their killed parent: {alive}")


def test_existing_results_other_options_and_locked_folders(structures_folder, tmp_path):
    entries = input_lists.find_structures(structures_folder)[1:2]
    out = tmp_path / "g.h5"
    out.write_bytes(b"old")
    with pytest.raises(InputError, match="already there"):
        global_map_set.build_global_set(entries, out, RECIPE)
    global_map_set.build_global_set(entries, out, RECIPE, overwrite=True)
    assert len(DatasetFile(out)) == 6
    parts = map_set_file.Parts(tmp_path / "h.h5", {"a": 1})
    parts.skip("one", "because")
    with pytest.raises(InputError, match="already there"):
        map_set_file.Parts(tmp_path / "h.h5", {"a": 1})
    with pytest.raises(InputError, match="other options"):
        map_set_file.Parts(tmp_path / "h.h5", {"a": 2}, resume=True)
    (parts.folder / ".part-leftover.h5").write_bytes(b"torn")
    assert parts.done() == {"one": "because"}
    with pytest.raises(InputError, match="does not exist"):
        map_set_file.Parts(tmp_path / "missing" / "h.h5", {})


def test_files_that_are_not_data_sets(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        DatasetFile(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("text")
    with pytest.raises(InputError, match="not a readable HDF5"):
        DatasetFile(tmp_path / "text.h5")
    with h5py.File(tmp_path / "other.h5", "w") as handle:
        handle["x"] = [1]
    with pytest.raises(InputError, match="not a CryoResDL data set"):
        DatasetFile(tmp_path / "other.h5")
    with h5py.File(tmp_path / "newer.h5", "w") as handle:
        handle["maps"] = [1]
        handle.attrs["format"], handle.attrs["format_version"] = map_set_file.MAP_SET_FORMAT, 99
    with pytest.raises(InputError, match="newer"):
        DatasetFile(tmp_path / "newer.h5")


@pytest.fixture(scope="module")
def global_file(all_structures, tmp_path_factory):
    place = tmp_path_factory.mktemp("global") / "g.h5"
    global_map_set.build_global_set(input_lists.find_structures(all_structures), place, RECIPE)
    return place


def test_batches_visit_every_item_once_in_a_seeded_order(global_file):
    with DatasetFile(global_file) as data:
        subset = data.subset("train")
        assert len(subset) == 18
        every, labels = subset.take(np.arange(18))
        assert every.dtype == np.float32 and every.shape == (18, 48, 48, 48)
        first = list(data.batches("train", 5, seed=1))
        assert [len(batch) for _, batch in first] == [5, 5, 5, 3]
        again = np.concatenate([batch for batch, _ in data.batches("train", 5, seed=1)])
        np.testing.assert_array_equal(np.concatenate([batch for batch, _ in first]), again)
        other = np.concatenate([batch for batch, _ in data.batches("train", 5, seed=1, epoch=1)])
        assert not np.array_equal(again, other)
        np.testing.assert_allclose(np.sort(again.sum(axis=(1, 2, 3))), np.sort(every.sum(axis=(1, 2, 3))))
        in_order = np.concatenate([batch for batch, _ in data.batches("train", 5)])
        np.testing.assert_array_equal(in_order, every)


def test_card_counts_what_is_there(global_file):
    card = map_set_card.write_card(global_file)
    stored = json.loads((global_file.with_name("g.card.json")).read_text())
    assert stored == card
    assert card["splits"]["train"] == {
        "items": 18,
        "sources": 3,
        "labels": {"high": 6, "medium": 6, "low": 6},
    }
    assert card["sources_in_several_splits"] == 0 and card["item_shape_zyx"] == [48, 48, 48]
    assert card["sha256"] == hashlib.sha256(global_file.read_bytes()).hexdigest()
    assert sum(card["density_histogram"]["counts"]) == 27 * 48**3
    assert (global_file.with_name("g.card.png")).read_bytes()[:4] == b"\x89PNG"
    left, middle, right = map_set_card.draw_map_set(card).axes
    assert [text.get_text() for text in left.get_xticklabels()] == ["high", "medium", "low"]
    assert [bar.get_height() for bar in left.patches][:3] == [6, 6, 6]
    assert middle.get_xlabel() == "density" and right.get_xlabel() == "mass (kDa)"


@pytest.mark.parametrize(
    "words, says",
    [
        (["features"], "one of the arguments --csv --shared-layout --structures is required"),
        (["global"], "one of the arguments --structures --pdb-list is required"),
        (["global", "--structures", "a", "--pdb-list", "b"], "not allowed with argument --structures"),
        (["global", "--structures", "a", "--cache", "b"], "belong to --pdb-list"),
        (["global", "--structures", "a", "--csv", "b"], "unrecognized arguments: --csv"),
        (["local", "--box", "3", "--csv", "b"], "unrecognized arguments: --box"),
        (["local"], "one of the arguments --csv --shared-layout is required"),
        (["features", "--csv", "b", "--paper"], "unrecognized arguments: --paper"),
        (["features", "--csv", "b", "--maps", "1", "1", "1"], "belong together"),
        (
            ["features", "--structures", "b", "--maps", "1", "1", "1", "--labels", "truth"],
            "the truth is known",
        ),
        (["global", "--pdb-list", "ids.txt"], "needs --cache"),
        (["global", "--structures", "/nonexistent"], "Cannot read the list"),
        (["local", "--csv", "/nonexistent.csv"], "Cannot read the table"),
    ],
)
def test_command_answers_bad_options_with_one_sentence(tmp_path, capsys, words, says):
    assert command_line.main(["dataset", *words, "--out", str(tmp_path / "x.h5")]) == 2
    error = capsys.readouterr().err.strip()
    assert says in error and "\n" not in error
    assert not list(tmp_path.iterdir())


def test_paper_wants_proof_of_non_redundancy(structures_folder, tmp_path, capsys):
    (structures_folder / "manifest.csv").unlink()
    assert command_line.main(dataset_command(structures_folder, tmp_path / "x.h5", "--paper")) == 2
    assert "40 % identity" in capsys.readouterr().err
    clusters = tmp_path / "clusters.txt"
    clusters.write_text("p0 p1\np2\np3\np4\n")
    words = dataset_command(structures_folder, tmp_path / "x.h5", "--paper", "--clusters", str(clusters))
    assert command_line.main(words) == 0
    with DatasetFile(tmp_path / "x.h5") as data:
        assert [source["id"] for source in data.sources()] == ["p0", "p2", "p3", "p4"]


def test_nothing_left_says_so(structures_folder, tmp_path, capsys):
    words = dataset_command(structures_folder, tmp_path / "x.h5", "--kda", "150", "200")
    assert command_line.main(words) == 2
    assert "No item is left" in capsys.readouterr().err
    assert not (tmp_path / "x.h5").exists()


def test_structures_module_knows_the_test_protein(structures_folder):
    atoms = structure_reader.read_structure(structures_folder / "pdb" / "pair.pdb.gz")
    assert protein_chains(atoms) == {"A": 180, "B": 180}
    assert molecular_weight_kda(atoms) == pytest.approx(2 * 180 * 0.07108, rel=0.01)
