"""Feature sets: the same content on any number of workers, after a kill, and from users' own triples."""

import dataclasses
import gzip
import json
import os
import shutil
import signal

import h5py
import numpy as np
import pytest

from cryoresdl.models.base.errors import CryoResError, InputError
from cryoresdl.models.base.runs import output_folder
from cryoresdl.models.cli import command_line
from cryoresdl.models.datasets import input_lists
from cryoresdl.models.datasets.feature_sets import feature_set_builder, feature_set_file, feature_set_recipes
from cryoresdl.models.datasets.input_lists import Triple
from cryoresdl.models.features import band_energies, network_inputs
from cryoresdl.models.maps.density_map import DensityMap
from cryoresdl.models.maps.mrc import mrc_reader, mrc_writer
from cryoresdl.models.simulation import imaging_conditions, realistic_map
from cryoresdl.tests.helpers.small_maps import ball

COUNTS = {"train": 2, "validation": 1}


def write_pdb(path, atoms):
    lines = [
        "ATOM  {:5d}  CA  ALA A{:4d}    {:8.3f}{:8.3f}{:8.3f}  1.00{:6.2f}           C  ".format(
            k + 1, k + 1, *xyz, b
        )
        for k, (xyz, b) in enumerate(zip(atoms.xyz, atoms.b_factor))
    ]
    with gzip.open(path, "wt") as handle:
        handle.write("\n".join([*lines, "END", ""]))


@pytest.fixture(scope="module")
def structures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("structures")
    (folder / "pdb").mkdir()
    rows = ["id,split,max_extent_A"]
    for k, split in enumerate(("train", "train", "validation", "test")):
        write_pdb(folder / "pdb" / f"s{k}.pdb.gz", ball(300, 12.0, seed=k))
        rows.append(f"s{k},{split},24.0")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="module", autouse=True)
def small_boxes():
    """At most 40 voxels an edge: the sets of these tests are made in a second."""
    patch = pytest.MonkeyPatch()
    patch.setattr(feature_set_recipes, "LARGEST_BOX", 40)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def built(structures, tmp_path_factory):
    out = tmp_path_factory.mktemp("sets") / "set.h5"
    outcome = feature_set_builder.build_feature_set(structures, out, COUNTS, seed=5)
    return out, outcome


def content(path):
    found = {}
    with h5py.File(path, "r") as handle:
        for split in handle:
            for name, group in handle[split].items():
                for key, values in group.items():
                    found[split, name, key] = values[()].tobytes()
                found[split, name, "info"] = group.attrs["info"]
    return found


def test_a_set_holds_what_it_says(built):
    out, outcome = built
    assert outcome == {"made": 3, "skipped": []}
    items = feature_set_file.read_items(out, "train")
    assert len(items) == 2 and len(feature_set_file.read_items(out, "train", 1)) == 1
    for item in items:
        cells = item.truth.shape
        for variant in feature_set_file.VARIANTS:
            assert item.local[variant].shape == (network_inputs.N_LOCAL,) + cells
            assert item.local[variant].dtype == np.float16 and np.isfinite(item.local[variant]).all()
            assert item.summary[variant].shape == (network_inputs.summary_length(),)
            assert (
                item.rise[variant].shape == (band_energies.N_BANDS,) and np.isfinite(item.rise[variant]).all()
            )
        assert (
            item.rise["single"].any()
            or not network_inputs.noise_source(item.summary["single"]) == "background"
        )
        assert not item.rise["halves"].any() or not item.has_half_maps("halves")
        voxel = item.info["voxel_size_A"]
        inside = item.truth[item.truth > 0]
        assert (inside >= 1.99 * voxel).all() and inside.size > 30
        assert np.array_equal(item.truth > 0, item.local["single"][-1] > 0)
        assert item.info["split"] == "train" and item.info["structure"] in ("s0", "s1")
        assert item.info["global_fsc0143_A"] >= 1.99 * voxel


def kill_oneself(job):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_is_said_and_costs_no_finished_map(built, structures, tmp_path, monkeypatch):
    out = tmp_path / "killed.h5"
    out.write_bytes(built[0].read_bytes())
    monkeypatch.setattr(feature_set_builder, "_make", kill_oneself)
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    before = dict(os.environ)
    with pytest.raises(CryoResError, match="worker was killed.*go on with --resume and fewer --workers"):
        feature_set_builder.build_feature_set(structures, out, {"train": 8}, seed=5)
    assert out.read_bytes() == built[0].read_bytes()
    assert dict(os.environ) == before


def test_another_seed_writes_something_else(built, structures, tmp_path):
    feature_set_builder.build_feature_set(structures, tmp_path / "other.h5", {"validation": 1}, seed=6)
    other, same = content(tmp_path / "other.h5"), content(built[0])
    assert other["validation", "000000", "single"] != same["validation", "000000", "single"]


def test_a_set_is_the_same_bytes_on_two_workers_when_it_grew_and_when_it_was_killed(
    built, structures, tmp_path
):
    whole = built[0].read_bytes()
    feature_set_builder.build_feature_set(structures, tmp_path / "two.h5", COUNTS, seed=5, workers=2)
    assert (tmp_path / "two.h5").read_bytes() == whole
    grown = tmp_path / "grown.h5"
    feature_set_builder.build_feature_set(structures, grown, {"validation": 1}, seed=5)
    assert feature_set_builder.build_feature_set(structures, grown, COUNTS, seed=5)["made"] == 2
    assert grown.read_bytes() == whole
    assert feature_set_builder.build_feature_set(structures, grown, COUNTS, seed=5)["made"] == 0
    assert grown.read_bytes() == whole and not (tmp_path / "grown.h5.parts").exists()


def test_two_sets_in_one_folder_at_once_and_what_others_keep_beside_them(structures, tmp_path):
    (tmp_path / ".part-mine.mrc").write_text("theirs")
    output_folder.lock_folder(tmp_path)  # another set's run, or whoever works there
    output_folder.unlock_folders()
    parts = feature_set_file.FeatureParts(tmp_path / "one.h5", {})
    feature_set_builder.build_feature_set(structures, tmp_path / "two.h5", {"validation": 1}, seed=5)
    parts.leave()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".part-mine.mrc", "two.h5"]


def test_a_folder_of_parts_that_is_not_ours_is_left_alone(structures, tmp_path):
    parts = tmp_path / "set.h5.parts"
    parts.mkdir()
    (parts / "000001.h5").write_text("theirs")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="set.h5.parts holds files that are no parts"):
            feature_set_builder.build_feature_set(
                structures, tmp_path / "set.h5", COUNTS, seed=5, resume=False, overwrite=overwrite
            )
        assert (parts / "000001.h5").read_text() == "theirs"


def remove_the_parts(job):
    shutil.rmtree(job[0])


def test_parts_that_are_removed_while_a_set_is_made_are_missed(structures, tmp_path, monkeypatch):
    monkeypatch.setattr(feature_set_builder, "_make", remove_the_parts)
    with pytest.raises(InputError, match="lost 1 of its parts while the set was made"):
        feature_set_builder.build_feature_set(structures, tmp_path / "set.h5", {"validation": 1}, seed=5)
    assert not (tmp_path / "set.h5").exists()


def test_a_failed_set_does_not_stand_in_the_way_of_the_next(structures, tmp_path, monkeypatch, capsys):
    out = tmp_path / "set.h5"
    words = ["dataset", "features", "--maps", "1", "0", "0", "--quiet", "--out", str(out), "--structures"]
    (tmp_path / "none").mkdir()
    assert command_line.main([*words, str(tmp_path / "none")]) == 2
    assert os.listdir(tmp_path) == ["none"]
    assert command_line.main([*words, str(structures)]) == 0
    assert command_line.main([*words, str(structures)]) == 2 and "already there" in capsys.readouterr().err
    assert command_line.main([*words, str(structures), "--overwrite"]) == 0
    out.write_bytes(out.read_bytes() + b"theirs")
    assert command_line.main([*words, str(structures), "--overwrite"]) == 2
    assert "not a file that CryoResDL made" in capsys.readouterr().err


def test_a_larger_set_begins_with_the_smaller_one(structures, built):
    rows = input_lists.read_manifest(structures, "train")
    recipes = [feature_set_recipes.draw_recipe(rows, "train", 5, k) for k in range(60)]
    assert recipes[:2] == [feature_set_recipes.draw_recipe(rows, "train", 5, k) for k in range(2)]
    for recipe in recipes:
        assert recipe.resolution >= (2.0 if recipe.kind == "realistic" else 1.5) * recipe.voxel_size
        assert 0.5 <= recipe.voxel_size <= 6.0 and 40 <= recipe.box <= 112 and recipe.box % 2 == 0
        assert recipe.structure in ("s0", "s1")
    assert {r.kind for r in recipes} == {"realistic", "clean"}
    assert len({r.seed for r in recipes}) == 60


def test_some_maps_are_plain(structures):
    """White noise that is the same everywhere, background kept: what an interval may be narrow for."""
    rows = input_lists.read_manifest(structures, "train")
    recipes = [feature_set_recipes.draw_recipe(rows, "train", 5, k) for k in range(400)]
    drawn = [r for r in recipes if r.kind == "realistic"]
    plain = []
    for recipe in drawn:
        kept = {
            name: getattr(recipe.options, name)
            for name in ("mask_margin", "copies", "arrangement", "auto_mask", "weighting")
        }
        if recipe.options == dataclasses.replace(imaging_conditions.plain_options(recipe.resolution), **kept):
            plain.append(recipe)
    assert 0.09 < len(plain) / len(drawn) < 0.21
    assert len({r.options.auto_mask for r in plain}) == 2


def test_clean_maps_have_one_truth(structures):
    rows = input_lists.read_manifest(structures, "train")
    options = imaging_conditions.ImagingConditions(mask_margin=3.0)
    recipe = feature_set_recipes.MapRecipe(rows[0]["path"], "s0", "train", 6.0, 1.0, 48, 7, options, "clean")
    item = feature_set_builder.make_item(recipe)
    assert set(np.unique(item["truth"])) == {0.0, 6.0}
    assert item["info"]["global_fsc0143_A"] == 6.0 and item["info"]["kind"] == "clean"
    beyond = feature_set_builder.make_item(
        feature_set_recipes.MapRecipe(rows[0]["path"], "s0", "train", 1.5, 1.0, 48, 7, options, "clean")
    )
    assert beyond["truth"].max() == 2.0  # a map cannot show more than its voxels


def test_maps_that_cannot_be_made_are_skipped_with_a_reason(tmp_path):
    (tmp_path / "pdb").mkdir()
    write_pdb(tmp_path / "pdb" / "tiny.pdb.gz", ball(2, 3.0, seed=0))
    (tmp_path / "manifest.csv").write_text("id,split,max_extent_A\ntiny,train,24.0\n")
    outcome = feature_set_builder.build_feature_set(tmp_path, tmp_path / "none.h5", {"train": 1}, seed=5)
    assert (
        outcome["made"] == 0
        and "tiny: " in outcome["skipped"][0]
        and "3 usable atoms" in outcome["skipped"][0]
    )


def test_sets_and_manifests_that_are_not(tmp_path, structures):
    with pytest.raises(InputError, match=r"manifest\.csv"):
        feature_set_builder.build_feature_set(tmp_path, tmp_path / "x.h5", {"train": 1})
    with pytest.raises(InputError, match="no structure of the split"):
        (tmp_path / "manifest.csv").write_text("id,split\na,train\n")
        input_lists.read_manifest(tmp_path, "test")
    (tmp_path / "text.h5").write_text("not HDF5")
    with pytest.raises(InputError, match="as HDF5"):
        feature_set_file.read_items(tmp_path / "text.h5", "train")
    with h5py.File(tmp_path / "foreign.h5", "w"):
        pass
    with pytest.raises(InputError, match="not a feature set"):
        feature_set_file.read_items(tmp_path / "foreign.h5", "train")


def test_an_empty_split_is_named(built):
    with pytest.raises(InputError, match="no complete map of the split 'test'"):
        feature_set_file.read_items(built[0], "test")


# --- users' own maps ------------------------------------------------------------------------------------------------


def test_labels_are_averaged_over_what_was_estimated():
    label = np.zeros((4, 4, 4), np.float32)
    label[:2, :2, :2] = 4.0
    label[0, 0, 0] = 0.0  # MonoRes: not estimated
    label[0, 0, 1] = 100.0  # ResMap: not estimated
    label[2:, :2, :2] = 6.0
    keep = np.ones((2, 2, 2), bool)
    keep[1] = False
    cells = feature_set_builder.label_cells(label, keep)
    assert cells[0, 0, 0] == pytest.approx(4.0)
    assert (cells[1] == 0).all() and (cells[0, 1] == 0).all()
    odd = feature_set_builder.label_cells(np.full((3, 3, 3), 5.0, np.float32), np.ones((2, 2, 2), bool))
    assert np.allclose(odd, 5.0)  # the voxels beyond an odd edge do not dilute


@pytest.fixture(scope="module")
def triples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("triples")
    found = []
    for k in range(5):
        result = realistic_map.simulate(
            ball(250, 9.0, seed=k), 4.0, 36, 1.2, k, imaging_conditions.ImagingConditions()
        )
        like = DensityMap(result.map, 1.2)
        for name in ("map", "mask", "truth"):
            data = getattr(result, name)
            mrc_writer.write_volume(
                folder / f"{k}_{name}.mrc", data.astype(np.int8) if name == "mask" else data, like
            )
        paths = {
            "map": str(folder / f"{k}_map.mrc"),
            "label": str(folder / f"{k}_truth.mrc"),
            "mask": str(folder / f"{k}_mask.mrc"),
        }
        found.append(Triple(name=f"map {k}", voxel_size=1.2, split="", **paths))
    return found


def test_labels_stay_with_their_voxels_when_a_region_is_cut_out(tmp_path):
    """A molecule far from the corner of its box: every cell has the label of its own voxels."""
    shape = (80, 72, 66)
    z, y, x = np.ogrid[tuple(slice(0, n) for n in shape)]
    label = (3 + 0.04 * z + 0.03 * y + 0.02 * x).astype(np.float32)
    mask = (z - 58) ** 2 + (y - 50) ** 2 + (x - 45) ** 2 < 64
    noise = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    like = DensityMap(noise, 1.2)
    for name, data in (("map", noise), ("label", label), ("mask", mask.astype(np.int8))):
        mrc_writer.write_volume(tmp_path / f"{name}.mrc", data, like)
    paths = {name: str(tmp_path / f"{name}.mrc") for name in ("map", "label", "mask")}
    triple = Triple(name="far", voxel_size=1.2, split="train", **paths)
    cells = band_energies.cells_of_mask(mask)
    expected = feature_set_builder.label_cells(label, cells)[feature_set_builder.crop_window(cells)]
    assert np.array_equal(feature_set_builder.item_of_triple(triple, "truth")["truth"], expected)


def test_a_set_of_another_version_is_not_continued(structures, tmp_path):
    out = tmp_path / "old.h5"
    with h5py.File(out, "w") as handle:
        handle.attrs["format"] = "cryoresdl-feature-set-0"
    with pytest.raises(InputError, match="another version.*delete it"):
        feature_set_builder.build_feature_set(structures, out, COUNTS, seed=5)


def test_triples_become_a_set(triples, tmp_path):
    out = tmp_path / "own.h5"
    steps = []
    outcome = feature_set_builder.build_from_triples(
        triples, out, "monores", 3, lambda *done: steps.append(done)
    )
    assert outcome == {"made": 5, "skipped": []} and steps[-1] == (5, 5)
    counts = [len(feature_set_file.read_items(out, split)) for split in ("train", "validation", "test")]
    assert counts == [3, 1, 1]
    item = feature_set_file.read_items(out, "train")[0]
    assert item.info["labels"] == "monores" and item.info["voxel_size_A"] == pytest.approx(1.2)
    label = mrc_reader.read_values(next(t.label for t in triples if t.name == item.info["structure"])).data
    inside = item.truth[item.truth > 0]
    assert label[label > 0].min() <= inside.min() and inside.max() <= label.max()
    assert inside.mean() == pytest.approx(label[label > 0].mean(), rel=0.1)
    before = content(out)
    assert feature_set_builder.build_from_triples(triples, out, "monores", 3)["skipped"] == []
    assert content(out) == before


@pytest.fixture(scope="module")
def own(triples, tmp_path_factory):
    """A set of three triples without splits."""
    out = tmp_path_factory.mktemp("own") / "own.h5"
    assert feature_set_builder.build_from_triples(triples[:3], out, "monores", 3)["made"] == 3
    return out


def test_a_set_says_what_its_labels_are(own, built, tmp_path):
    assert (
        feature_set_file.labels_in(own) == feature_set_file.describe_feature_set(own)["labels"] == ["monores"]
    )
    assert feature_set_file.labels_in(built[0]) == ["truth"]
    older = tmp_path / "older.h5"
    older.write_bytes(own.read_bytes())
    with h5py.File(older, "a") as handle:
        for split in handle:
            for entry in handle[split].values():
                info = json.loads(entry.attrs["info"])
                del info["kind"], info["labels"]
                entry.attrs["info"] = json.dumps(info)
    assert feature_set_file.labels_in(older) == []
    assert len(feature_set_file.read_items(older, "train")) == 1


def test_three_maps_are_one_for_every_split(own, triples, tmp_path):
    assert [len(feature_set_file.read_items(own, split)) for split in ("train", "validation", "test")] == [
        1
    ] * 3
    splits = [t.split for t in feature_set_builder._with_splits(triples[:3], own, 3)]
    assert splits == [t.split for t in feature_set_builder._with_splits(triples[:3], own, 3)]
    for count in range(3, 30):
        for seed in range(5):
            placed = feature_set_builder._with_splits([triples[0]] * count, own, seed)
            assert {t.split for t in placed} == {"train", "validation", "test"}
    with pytest.raises(InputError, match="two.h5 needs at least three maps.*column 'split'"):
        feature_set_builder.build_from_triples(triples[:2], tmp_path / "two.h5", "monores")
    assert not (tmp_path / "two.h5").exists()


def test_a_set_goes_on_only_with_what_began_it(own, triples, tmp_path):
    out = tmp_path / "own.h5"
    out.write_bytes(own.read_bytes())
    before = content(out)
    stored = next(t for t in feature_set_builder._with_splits(triples[:3], out, 3) if t.split == "train")
    elsewhere = [dataclasses.replace(t, split="test") if t.name == stored.name else t for t in triples[:3]]
    for rows, labels, seed, said in (
        (triples[:3], "truth", 3, "own.h5 holds maps with the labels monores, and truth would be added"),
        (triples[:3], "monores", 4, "was begun with --seed 3, not 4"),
        (
            triples[2::-1],
            "monores",
            3,
            "own.h5 was made from another list: its map 1 is 'map 0', not 'map 2'",
        ),
        (triples[:2], "monores", 3, "needs at least three maps"),
        (elsewhere, "monores", 3, "in the split train, where the list now says test"),
    ):
        with pytest.raises(InputError, match=said):
            feature_set_builder.build_from_triples(rows, out, labels, seed)
        assert content(out) == before
    fewer = [dataclasses.replace(t, split="train") for t in triples[:2]]
    with pytest.raises(InputError, match="another list|where the list now says"):
        feature_set_builder.build_from_triples(fewer, out, "monores", 3)


def test_simulated_maps_are_not_added_to_a_users_set(own, structures):
    with pytest.raises(InputError, match="labels monores, and truth would be added"):
        feature_set_builder.build_feature_set(structures, own, COUNTS, seed=3)


def test_a_longer_list_adds_its_maps_and_moves_none(own, triples, tmp_path):
    out = tmp_path / "longer.h5"
    out.write_bytes(own.read_bytes())
    before = content(out)
    assert feature_set_builder.build_from_triples(triples[:3], out, "monores", 3) == {
        "made": 0,
        "skipped": [],
    }
    assert feature_set_builder.build_from_triples(triples, out, "monores", 3)["made"] == 2
    after = content(out)
    assert {key: after[key] for key in before} == before
    names = [name for _, name, part in after if part == "truth"]
    assert sorted(names) == [f"{k:06d}" for k in range(5)]


def test_an_empty_split_says_what_is_there_and_what_to_do(own, tmp_path):
    out = tmp_path / "own.h5"
    out.write_bytes(own.read_bytes())
    with h5py.File(out, "a") as handle:
        del handle["test"]
    with pytest.raises(feature_set_file.EmptySplitError) as told:
        feature_set_file.read_items(out, "test")
    for words in ("split 'test', only train 1, validation 1", "more maps", "--split validation"):
        assert words in str(told.value)


def test_a_triple_without_estimates_is_left_out(triples, tmp_path):
    like = mrc_reader.read(triples[0].map, 1.2)
    mrc_writer.write_volume(tmp_path / "empty.mrc", np.full(like.data.shape, 100, np.float32), like)
    bad = [t for t in triples[:2]]
    bad[1] = type(bad[1])(**{**vars(bad[1]), "label": str(tmp_path / "empty.mrc"), "split": "train"})
    outcome = feature_set_builder.build_from_triples(bad, tmp_path / "own.h5", "resmap")
    assert outcome["made"] == 1 and "estimates nothing inside the mask" in outcome["skipped"][0]


def test_info_is_json(built):
    for item in feature_set_file.read_items(built[0], "train"):
        json.dumps(item.info)


def test_maps_are_drawn_like_deposited_ones(structures):
    """Filtered, cut out, resampled, freed of negative values, of one chain; large complexes and coarse small boxes."""
    rows = input_lists.read_manifest(structures, "train")
    recipes = [feature_set_recipes.draw_recipe(rows, "train", 5, k) for k in range(400)]
    drawn = [r for r in recipes if r.kind == "realistic"]
    share = {
        "filtered": np.mean([r.options.low_pass > 0 for r in drawn]),
        "no noise outside": np.mean([r.options.background != "noise" for r in drawn]),
        "several copies": np.mean([r.options.copies > 1 for r in drawn]),
        "part": np.mean([r.options.deposition.part for r in drawn]),
        "cut": np.mean([r.options.deposition.cut_margin is not None for r in drawn]),
        "resampled": np.mean([r.options.deposition.resample != 1 for r in drawn]),
    }
    assert share["filtered"] > 0.45 and share["no noise outside"] > 0.35, share
    assert min(share["part"], share["cut"], share["resampled"]) > 0.08, share
    assert {r.options.arrangement for r in drawn} == {"ring", "packed", "helix"}
    assert any(r.resolution > 25 and r.voxel_size > 3 and r.box <= 64 for r in drawn)
    for recipe in drawn:
        resampled = recipe.voxel_size * recipe.options.deposition.resample
        assert recipe.resolution >= min(2.0 * resampled, 2.0 * recipe.voxel_size)


def test_a_filtered_map_is_told_no_finer_than_its_filter_and_its_half_maps_are(structures):
    rows = input_lists.read_manifest(structures, "train")
    options = imaging_conditions.ImagingConditions(low_pass=9.0)
    recipe = feature_set_recipes.MapRecipe(rows[0]["path"], "s0", "train", 5.0, 1.5, 40, 7, options)
    made = feature_set_builder.make_item(recipe)
    item = feature_set_file.FeatureItem({}, {}, {}, made["truth"], made["info"])
    inside = made["truth"] > 0
    assert made["truth"][inside].min() < 8.0
    assert 8.0 < item.truth_of("single")[inside].min() <= 9.0
    assert np.array_equal(item.truth_of("halves"), made["truth"])
    assert not item.truth_of("single")[~inside].any()
