"""Feature sets of users' own maps with the local resolution of another program."""

import dataclasses
import json

import h5py
import numpy as np
import pytest

from cryoresdl.models.base.errors import InputError
from cryoresdl.models.datasets.feature_sets import feature_set_builder, feature_set_file
from cryoresdl.models.datasets.input_lists import Triple
from cryoresdl.models.features import band_energies
from cryoresdl.models.maps.density_map import DensityMap
from cryoresdl.models.maps.mrc import mrc_reader, mrc_writer
from cryoresdl.models.simulation import imaging_conditions, realistic_map
from cryoresdl.tests.helpers.feature_sets import COUNTS, content
from cryoresdl.tests.helpers.small_maps import ball

pytestmark = pytest.mark.usefixtures("small_boxes")


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


def test_a_set_is_the_same_on_two_workers(own, triples, tmp_path):
    out = tmp_path / "own.h5"
    made = feature_set_builder.build_from_triples(triples[:3], out, "monores", 3, workers=2)
    assert made == {"made": 3, "skipped": []} and content(out) == content(own)


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
