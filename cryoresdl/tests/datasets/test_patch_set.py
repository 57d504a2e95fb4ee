"""Patches with a class per voxel: the paper's, and ours."""

import json

import mrcfile
import numpy as np
import pytest

from cryoresdl.models.cli import command_line
from cryoresdl.models.datasets import input_lists, patch_set, splits
from cryoresdl.models.datasets.map_set_file import DatasetFile
from cryoresdl.models.maps import density_map
from cryoresdl.models.maps.mrc import mrc_writer
from cryoresdl.tests.helpers.set_inputs import triple_volumes, write_triple


def test_every_class_edge_is_closed_on_the_right():
    edges = np.array([2, 3, 4, 5, 6, 7, 8, 9, 10], np.float32)
    assert patch_set.paper_classes(edges).tolist() == list(range(9))
    above = np.nextafter(edges, np.float32(np.inf))
    assert patch_set.paper_classes(above).tolist() == list(range(1, 10))
    assert patch_set.paper_classes(np.array([0.0, 1e-6, 100.0, 1e6])).tolist() == [0, 0, 9, 9]


def test_padding_is_centred_to_a_power_of_two_and_odd_rests_go_both_ways():
    rng = np.random.default_rng(0)
    assert patch_set.paper_padding((64, 64, 64), rng) == [(0, 0)] * 3
    assert patch_set.paper_padding((80, 65, 128), rng)[0] == (24, 24)
    fronts = {tuple(front for front, _ in patch_set.paper_padding((33, 33, 33), rng)) for _ in range(200)}
    assert fronts == {(a, b, c) for a in (15, 16) for b in (15, 16) for c in (15, 16)}
    for shape in ((5, 17, 3), (1, 1, 1), (100, 2, 129)):
        padded = {size + sum(pair) for size, pair in zip(shape, patch_set.paper_padding(shape, rng))}
        assert len(padded) == 1 and bin(padded.pop()).count("1") == 1


def test_paper_patches_rebuild_the_volumes_exactly():
    density, values, mask = triple_volumes()
    arrays, padding = patch_set.paper_patches(density, values, mask, np.random.default_rng(3))
    scaled = (density - density.min()) / (density.max() - density.min()) * mask
    rebuilt = {name: np.zeros([64] * 3, np.float32) for name in ("maps", "labels", "values", "masks")}
    fronts = np.array([front for front, _ in padding])
    for row, corner in enumerate(arrays["positions"] + fronts):
        where = tuple(slice(start, start + 16) for start in corner)
        for name, volume in rebuilt.items():
            volume[where] = arrays[name][row]
    inner = tuple(slice(front, front + size) for front, size in zip(fronts, density.shape))
    np.testing.assert_allclose(rebuilt["maps"][inner], scaled, atol=1e-6)
    np.testing.assert_array_equal(rebuilt["labels"][inner], patch_set.paper_classes(values) * mask)
    np.testing.assert_array_equal(rebuilt["values"][inner], values)
    np.testing.assert_array_equal(rebuilt["masks"][inner], mask)
    assert arrays["maps"].reshape(len(arrays["maps"]), -1).any(axis=1).all()
    assert len(arrays["maps"]) < 64  # the empty corners were dropped
    assert rebuilt["maps"].sum() == pytest.approx(rebuilt["maps"][inner].sum())


def test_paper_scaling_comes_before_masking():
    density, values, mask = triple_volumes()
    density[0, 0, 0] = 1000.0  # noise outside the mask sets the scale
    arrays, _ = patch_set.paper_patches(density, values, mask, np.random.default_rng(0))
    assert arrays["maps"].max() < 0.03


def test_resmap_sentinel_is_class_nine_in_paper_mode_and_ignored_by_default():
    density, values, mask = triple_volumes()
    values[mask] = 100.0
    paper, _ = patch_set.paper_patches(density, values, mask, np.random.default_rng(0))
    assert set(np.unique(paper["labels"])) == {0, 9} and not paper["values"].any()
    assert len(patch_set.default_patches(density, values, mask, 16)["labels"]) == 0


def test_volume_smaller_than_a_patch_is_one_patch():
    density, values, mask = triple_volumes((9, 7, 8))
    arrays, _ = patch_set.paper_patches(density, values, mask, np.random.default_rng(0))
    assert arrays["maps"].shape == (1, 16, 16, 16)
    assert patch_set.default_patches(density, values, mask, 16)["labels"].shape == (1, 16, 16, 16)


def test_default_patches_cover_the_mask_and_ignore_what_is_not_estimated():
    density, values, mask = triple_volumes((70, 60, 50))
    values[:, :, 25] = 0.0
    arrays = patch_set.default_patches(density, values, mask, 24)
    assert set(np.unique(arrays["labels"])) <= set(range(-1, 10))
    covered = np.zeros(mask.shape, bool)
    for row, (z, y, x) in enumerate(arrays["positions"]):
        where = (slice(z, z + 24), slice(y, y + 24), slice(x, x + 24))
        covered[where] = True
        wanted = mask[where] & (values[where] > 0)
        np.testing.assert_array_equal(arrays["labels"][row] >= 0, wanted)
        np.testing.assert_array_equal(arrays["values"][row], np.where(wanted, values[where], 0))
    assert (mask & ~covered).sum() < 0.02 * mask.sum()  # only slivers with too few labels
    assert abs(arrays["maps"].mean()) < 1


@pytest.mark.parametrize(
    "low, high, size", [(0, 50, 50), (3, 47, 50), (20, 30, 50), (0, 1, 50), (49, 50, 50), (5, 12, 16)]
)
def test_fewest_patches_cover_an_interval_inside_the_volume(low, high, size):
    starts = patch_set._starts(low, high, size, 16)
    covered = {voxel for start in starts for voxel in range(start, start + 16)}
    assert covered >= set(range(low, high)) and min(starts) >= 0
    assert max(starts) + 16 <= max(size, 16) and len(starts) <= -(-(high - low) // 16)


def test_local_command_in_paper_mode(triples, tmp_path):
    out = tmp_path / "l.h5"
    words = [
        "dataset",
        "local",
        "--csv",
        str(triples),
        "--labels",
        "monores",
        "--paper",
        "--quiet",
        "--out",
        str(out),
    ]
    assert command_line.main(words) == 0
    with DatasetFile(out) as data:
        assert data.info["mode"] == "paper" and data.info["recipe"]["labels"] == "monores"
        assert data.column("maps").shape[1:] == (16, 16, 16)
        for number, source in enumerate(data.sources()):
            rows = np.flatnonzero(data.column("source") == number)
            evaluation, validation = splits.paper_patch_counts(len(rows))
            assert np.bincount(data.splits[rows], minlength=3).tolist() == [
                len(rows) - evaluation - validation,
                validation,
                evaluation,
            ]
            assert source["voxel_size"] == pytest.approx(1.2) and len(source["sha256"]["map"]) == 64
    card = json.loads((tmp_path / "l.card.json").read_text())
    assert card["sources_in_several_splits"] == 5  # the paper's leak, in plain sight
    before = out.stat().st_mtime_ns
    assert command_line.main([*words, "--resume"]) == 0 and out.stat().st_mtime_ns == before
    assert command_line.main(words) == 2


def test_local_command_by_default_splits_by_map(triples, tmp_path):
    out = tmp_path / "l.h5"
    words = ["dataset", "local", "--csv", str(triples), "--patch", "24", "--quiet", "--out", str(out)]
    assert command_line.main(words) == 0
    card = json.loads((tmp_path / "l.card.json").read_text())
    assert card["sources_in_several_splits"] == 0
    assert [card["splits"][name]["sources"] for name in splits.SPLITS] == [3, 1, 1]
    with DatasetFile(out) as data:
        assert data.column("labels").min() == -1


def test_unreadable_triples_are_skipped_with_the_reason(tmp_path):
    good = write_triple(tmp_path, "m0", 0)
    mrc_writer.write_volume(
        tmp_path / "box.mrc", np.ones((8, 8, 8), np.float32), density_map.DensityMap(np.zeros(1), 1.0)
    )
    table = tmp_path / "t.csv"
    table.write_text(
        f"name,map,label,mask\ngood,{good}\nbox,m0_map.mrc,box.mrc,m0_mask.mrc\nnone,x.mrc,y.mrc,z.mrc\n"
    )
    made = patch_set.build_patch_set(
        input_lists.read_triples(table), tmp_path / "l.h5", patch_set.PatchSetRecipe(patch=16)
    )
    assert set(made["skipped"]) == {"box", "none"} and made["sources"] == 1


def test_shared_maps_with_their_recorded_labels(shared, tmp_path):
    found = input_lists.shared_layout(shared / "local_resolution", "resmap")
    assert len(found) == 32
    recipe = patch_set.PatchSetRecipe(mode="paper", labels="resmap", patch=16)
    arrays, source = patch_set.cut_triple(found[0], recipe)
    mask = mrcfile.read(found[0].mask) > 0
    assert arrays["masks"].sum() == mask.sum()
    assert source["padding_zyx"] == [(24, 24)] * 3
    values = mrcfile.read(found[0].label)
    assert (arrays["labels"] == 9).sum() == np.count_nonzero(values[mask] > 10)
