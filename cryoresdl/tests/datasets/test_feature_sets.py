"""Feature sets: the same content on any number of workers, after a kill, and from users' own triples."""

import dataclasses
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
from cryoresdl.models.features import band_energies, network_inputs
from cryoresdl.models.simulation import imaging_conditions
from cryoresdl.tests.helpers.feature_sets import COUNTS, content, write_pdb
from cryoresdl.tests.helpers.small_maps import ball

pytestmark = pytest.mark.usefixtures("small_boxes")


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


def test_a_set_of_another_version_is_not_continued(structures, tmp_path):
    out = tmp_path / "old.h5"
    with h5py.File(out, "w") as handle:
        handle.attrs["format"] = "cryoresdl-feature-set-0"
    with pytest.raises(InputError, match="another version.*delete it"):
        feature_set_builder.build_feature_set(structures, out, COUNTS, seed=5)


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
