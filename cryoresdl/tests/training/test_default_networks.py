"""Training of the default local network: batches, the score, resuming, calibration, the saved model."""

import csv
import json
import shutil
from dataclasses import replace

import h5py
import numpy as np
import pytest

from cryoresdl.models.base.errors import InputError
from cryoresdl.models.datasets.feature_sets import feature_set_file
from cryoresdl.models.features import network_inputs
from cryoresdl.models.inference.bands import map_corrections
from cryoresdl.models.networks import band_networks, network_runners, resolution_bins
from cryoresdl.models.networks.model_files import model_archive, model_store
from cryoresdl.models.training import (
    crop_batches,
    global_network,
    held_out_answers,
    local_network,
    probability_score,
    profile_table,
    run_files,
)
from cryoresdl.models.training.calibration import global_calibration
from cryoresdl.models.training.crop_batches import LocalNetworkRecipe
from cryoresdl.tests.helpers.small_maps import (
    make_item,
    random_global_weights,
    random_local_weights,
    write_items,
)

TINY = LocalNetworkRecipe(channels=(4, 6), crop=8, batch=2, steps=4, seed=1, bfloat16=False)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    counts = {"train": 3, "validation": 1, "test": 1}
    splits = {
        split: [make_item(index + 10 * len(split), split=split) for index in range(count)]
        for split, count in counts.items()
    }
    return write_items(tmp_path_factory.mktemp("features") / "set.h5", splits)


@pytest.fixture(scope="module")
def monores(tmp_path_factory):
    """A user's set: three maps with the labels of MonoRes."""
    splits = {
        split: [make_item(index, split=split, labels="monores")]
        for index, split in enumerate(("train", "validation", "test"))
    }
    return write_items(tmp_path_factory.mktemp("features") / "monores.h5", splits)


# --- without TensorFlow ---------------------------------------------------------------------------------------------


def test_the_global_model_learns_what_the_half_maps_measure():
    item = make_item(0)
    assert profile_table._known_resolution(item, "single") == 4.0
    item.info["measured_fsc0143_masked_A"] = 4.4
    assert profile_table._known_resolution(item, "single") == 4.4


def test_a_map_has_a_resolution_by_each_criterion_and_no_finer_than_its_filter():
    item = make_item(0)
    assert np.isnan(profile_table._known_resolution(item, "single", "0.5"))
    item.info.update(measured_fsc05_masked_A=6.1, global_fsc05_A=6.0)
    assert profile_table._known_resolution(item, "single", "0.5") == 6.1
    item.info["finest_shown_A"] = 7.0
    assert profile_table._known_resolution(item, "single", "0.5") == 7.0
    assert profile_table._known_resolution(item, "halves", "0.5") == 6.1
    assert profile_table._expected_resolution(item, "0.5") == 6.0
    item.info["kind"] = "clean"
    assert profile_table._expected_resolution(item, "0.5") == item.info["global_fsc0143_A"]


def test_rows_are_taken_by_criterion_where_it_is_known():
    profile, known = np.zeros((3, 4), np.float32), np.array([1.0, 2.0, 3.0])
    table = profile_table.ProfileTable(profile, known, np.ones(3), ["a", "b", "c"], known)
    assert table.criteria() == ["0.143"] and table.by("0.143") is table
    with pytest.raises(InputError, match="no resolution by FSC 0.5"):
        table.by("0.5")
    table = replace(table, at_half=np.array([[1.5, 1.4], [np.nan, np.nan], [3.5, 3.4]]))
    half = table.by("0.5")
    assert table.criteria() == ["0.143", "0.5"] and half.kind == ["a", "c"]
    assert half.log2_voxels.tolist() == [1.5, 3.5] and half.expected.tolist() == [1.4, 3.4]


@pytest.mark.parametrize(
    ("info", "expected"),
    [({}, 4.4), ({"options": {"auto_mask": True}}, 0.0), ({"measured_fsc0143_given_mask_A": 5.0}, 5.0)],
)
def test_half_maps_enter_with_the_correlation_in_the_mask_of_the_map(info, expected):
    item = make_item(0)
    item.info.update({"measured_fsc0143_masked_A": 4.4, **info})
    assert profile_table._measured_in_mask(item) == expected


def profile_rows(count, seed, halves):
    """An untrained global network and rows of either kind, whose truth scatters more from one map."""
    rng = np.random.default_rng(seed)
    inputs = network_inputs.MEASURED_INPUTS.stop
    profile = rng.normal(size=(count, inputs)).astype(np.float32)
    profile[:, network_inputs.MEASURED_INPUTS] = np.where(halves, 1.0, 0.0)[:, None] * (1.0, 99.0)
    model = global_network.Ensemble(
        band_networks.global_network(inputs, (4,)), random_global_weights(inputs, (4,), 3)
    )
    rows = profile_table.ProfileTable(profile, np.zeros(count), np.ones(count), ["x"] * count)
    middle = global_calibration.calibrated(model, rows, {}).middle
    return model, replace(rows, log2_voxels=middle + rng.normal(0, np.where(halves, 0.1, 0.8), count))


def test_half_maps_are_calibrated_apart_from_single_maps():
    halves = np.arange(200) % 2 == 0
    model, rows = profile_rows(200, 5, halves)
    found = global_calibration.calibrate_global(model, rows)
    assert found["half_maps"]["spread"] < found["spread"] / 2
    for kind in (halves, ~halves):
        measured = global_calibration.measure_global(model, rows.rows(kind), found)
        assert measured["coverage68"] == pytest.approx(0.683, abs=0.02)
    few = global_calibration.calibrate_global(model, rows.rows(np.arange(200) < 40))
    assert "half_maps" not in few and few["spread"] > 0


def test_models_of_one_calibration_serve_both_kinds():
    model, rows = profile_rows(2, 1, np.array([False, True]))
    plain, wide, apart = (
        global_calibration.calibrated(model, rows, calibration)
        for calibration in ({}, {"spread": 2.0}, {"spread": 2.0, "half_maps": {"spread": 0.5}})
    )
    width = plain.high - plain.low
    assert wide.high - wide.low == pytest.approx(2 * width)
    assert apart.high - apart.low == pytest.approx(width * (2.0, 0.5))


def test_half_maps_that_are_always_right_leave_no_doubt():
    model, rows = profile_rows(60, 2, np.ones(60, bool))
    # Blind to what half maps measure, the network's own answer stays while the measurement is moved.
    model.weights["dense0/kernel"][network_inputs.MEASURED_INPUTS] = 0
    own = global_calibration.calibrated(model, rows, {}).own
    rows.profile[:, network_inputs.MEASURED_INPUTS.stop - 1] = own - 2.0 + 0.2
    right = replace(rows, log2_voxels=own + 0.2)
    assert global_calibration._doubt(model, right, {}) == pytest.approx(0.02)
    other = np.where(global_calibration.true_classes(right) == 2, 2.0, 4.5)
    wrong = replace(rows, log2_voxels=np.where(np.arange(60) % 3, own + 0.2, other))
    assert global_calibration._doubt(model, wrong, {}) > 0.2


def test_crops_keep_features_and_truth_together():
    item = make_item(0)
    rng = np.random.default_rng(0)
    for size in (8, 16):  # 16 is larger than the item: padded
        for _ in range(10):
            x, t, _, voxel = crop_batches.draw_crop(item, "single", size, rng)
            assert x.shape == (size, size, size, network_inputs.N_LOCAL) and t.shape == (size,) * 3
            inside = t > 0
            assert inside.any() and voxel == 1.0
            assert np.array_equal(x[..., -1] > 0, inside)
            assert np.allclose(np.log2(t[inside]), 1 + 3 * x[..., 0][inside], atol=5e-3)


def test_batches_do_not_depend_on_where_a_run_began():
    items = [make_item(k) for k in range(3)]
    first, again, other = (crop_batches.crop_batch(items, TINY, step) for step in (2, 2, 0))
    assert all(np.array_equal(u, v) for u, v in zip(first, again))
    assert not np.array_equal(first[0], other[0])
    x, t, s, v = first
    assert x.shape == (2, 8, 8, 8, network_inputs.N_LOCAL) and t.shape == (2, 8, 8, 8)
    assert s.shape == (2, network_inputs.summary_length()) and v.shape == (2,)
    assert {a.dtype for a in (x, t, s, v)} == {np.dtype(np.float32)}


def test_both_variants_are_drawn_by_their_share():
    item = make_item(0)
    item.local["halves"] = item.local["halves"] + np.float16(0)
    item.local["halves"][1] = 7
    item.local["single"][1] = -7
    always = crop_batches.crop_batch([item], LocalNetworkRecipe(crop=8, batch=4, halves_share=1.0), 0)
    never = crop_batches.crop_batch([item], LocalNetworkRecipe(crop=8, batch=4, halves_share=0.0), 0)
    assert always[0][..., 1].max() == 7 and never[0][..., 1].min() == -7


def test_padding_to_four():
    x = held_out_answers.pad_to_four(np.ones((3, 5, 8, 9), np.float16))
    assert x.shape == (1, 8, 8, 12, 3) and x.dtype == np.float32
    assert x.sum() == 3 * 5 * 8 * 9


def test_a_missing_split_is_said_but_other_sets_may_hold_it(data, tmp_path):
    assert len(feature_set_file.load_split(data, "train", 2)) == 2
    assert len(feature_set_file.load_split([data, data], "test")) == 2
    with pytest.raises(InputError):
        feature_set_file.load_split(tmp_path / "none.h5", "train")


def test_a_set_that_cannot_be_read_is_not_passed_over(data, tmp_path):
    """A mistyped name beside a good one used to be ignored."""
    (tmp_path / "text.h5").write_text("not HDF5")
    with pytest.raises(InputError, match="text.h5"):
        feature_set_file.load_split([data, tmp_path / "text.h5"], "train")


def test_the_sets_say_what_is_learned(data, monores, tmp_path):
    known = tmp_path / "known.h5"
    older = write_items(tmp_path / "older.h5", {"train": [make_item(0, labels="")]})
    with h5py.File(older, "a") as handle:
        info = json.loads(handle["train/000000"].attrs["info"])
        del info["kind"]
        handle["train/000000"].attrs["info"] = json.dumps(info)
    users = write_items(tmp_path / "users.h5", {"train": [make_item(0, labels="truth")]})
    write_items(known, {"train": [make_item(0, labels="known")]})
    agreed = feature_set_file.agreed_labels
    assert agreed(data) == agreed([data, users]) == agreed(older) == agreed(known) == "truth"
    assert agreed(monores) == agreed(monores, "monores") == agreed([monores, older]) == "monores"
    assert agreed(older, "resmap") == "resmap"
    with pytest.raises(InputError, match="monores.h5 has monores labels, not truth; leave --labels out"):
        agreed([data, monores], "truth")
    with pytest.raises(InputError, match="labels of the sets differ .*monores.h5: monores"):
        agreed([data, monores])


def test_a_card_says_how_the_test_maps_were_kept_apart(data, monores):
    cluster, whole = "test, structures of clusters never trained on", "test, whole maps never trained on"
    assert feature_set_file.kept_apart(["realistic", "clean"]) == cluster
    assert feature_set_file.kept_apart(["realistic", "monores"]) == whole
    assert feature_set_file.kept_apart(["truth"]) == feature_set_file.kept_apart(["known"]) == whole
    model, rows = profile_rows(2, 1, np.array([False, True]))
    assert (
        global_calibration._kept_apart(replace(rows, kind=["clean single", "realistic halves"]), data)
        == cluster
    )
    assert (
        global_calibration._kept_apart(replace(rows, kind=["clean single", "monores single"]), monores)
        == whole
    )


def test_the_global_model_says_which_split_is_empty(tmp_path):
    data = write_items(tmp_path / "few.h5", {"train": [make_item(0, labels="monores")]})
    with pytest.raises(
        InputError, match="few.h5 holds no complete map of the split 'test', only train 1; make"
    ):
        profile_table.make_table(data, "test", None)


def test_a_training_is_called_like_its_folder(tmp_path):
    assert run_files._run_name(tmp_path / "my-network", "truth") == "my-network"
    assert run_files._run_name(tmp_path / "with blanks", "truth") == "truth"


def test_a_bad_name_is_said_before_anything_is_trained(data, tmp_path, capsys):
    from cryoresdl.models.cli import command_line

    for network in ("unet", "cnn"):
        words = ["train", network, "--data", str(data), "--name", "a/b", "--out", str(tmp_path / network)]
        assert command_line.main(words) == 2
        assert "'a/b' cannot name a model" in capsys.readouterr().err and not (tmp_path / network).exists()


# --- with TensorFlow ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tf():
    tensorflow = pytest.importorskip("tensorflow")
    import keras

    policy = keras.mixed_precision.global_policy()
    yield tensorflow
    keras.mixed_precision.set_global_policy(policy)


def logits_of(p):
    return np.log(np.maximum(p, 1e-12)).astype(np.float32)


def test_the_score_is_the_ranked_probability_score(tf):
    """A sure and right answer scores near 0, a wrong one its distance; worse in between."""
    edges = resolution_bins.bin_edges()
    k = 15
    u = np.float32((edges[k] + edges[k + 1]) / 2)
    scores = []
    for shift in (0, 1, 2, 8):
        p = np.zeros((1, resolution_bins.N_BINS))
        p[0, k + shift] = 1
        scores.append(
            float(probability_score._loss_of(tf, logits_of(p), tf.constant([u]), tf.constant([1.0]), 0.0)[0])
        )
    assert scores[0] == pytest.approx(0, abs=1e-6)
    assert np.allclose(scores[1:], np.array([1, 2, 8]) * resolution_bins.BIN_STEP, rtol=1e-3)
    # In angstroms the same miss costs more where bins are wider.
    p = np.zeros((1, resolution_bins.N_BINS))
    p[0, k + 1] = 1
    args = (tf, logits_of(p), tf.constant([u]), tf.constant([1.0]))
    extra = float(probability_score._loss_of(*args, 1.0)[0]) - scores[1]
    width = np.log(2) * resolution_bins.BIN_STEP * 2 ** edges[k + 1]
    assert extra == pytest.approx(width / np.sqrt(1 + (2**u / 10) ** 2), rel=1e-3)


def test_the_score_prefers_honest_spreads(tf):
    """Proper: averaged over truths drawn from a distribution, that distribution itself scores best."""
    rng = np.random.default_rng(0)
    centres = resolution_bins.centres()

    def gaussian(sigma):
        p = np.exp(-0.5 * ((centres - 3.0) / sigma) ** 2)
        return p / p.sum()

    u = tf.constant(rng.normal(3.0, 0.4, 4000).astype(np.float32))
    mean = {
        sigma: float(
            np.mean(
                probability_score._loss_of(
                    tf, np.tile(logits_of(gaussian(sigma)), (4000, 1)), u, tf.ones(4000), 0.0
                )
            )
        )
        for sigma in (0.15, 0.4, 1.0)
    }
    assert mean[0.4] < mean[0.15] and mean[0.4] < mean[1.0]


def test_only_estimated_cells_count(tf):
    truth = np.zeros((1, 4, 4, 4), np.float32)
    truth[0, :2] = 4.0
    logits = np.random.default_rng(0).normal(size=(1, 4, 4, 4, resolution_bins.N_BINS)).astype(np.float32)
    voxel = tf.constant([1.0])
    loss, error = probability_score._loss(tf, tf.constant(logits), tf.constant(truth), voxel, 0.3)
    logits[0, 2:] = 99.0
    again, same = probability_score._loss(tf, tf.constant(logits), tf.constant(truth), voxel, 0.3)
    assert float(loss) == float(again) and float(error) == float(same)
    # The error is that of the median.
    p = np.exp(logits[0, :2].reshape(-1, resolution_bins.N_BINS).astype(np.float64))
    exact = np.abs(resolution_bins.quantile(p / p.sum(-1, keepdims=True), 0.5) - 2.0).mean()
    assert float(error) == pytest.approx(exact, abs=0.06)


def test_a_small_molecule_is_heard_beside_a_large_one(tf):
    truth = np.zeros((2, 8, 8, 8), np.float32)
    truth[0], truth[1, :1, :1] = 4.0, 4.0
    right = np.full((2, 8, 8, 8, resolution_bins.N_BINS), -20.0, np.float32)
    right[..., int((2.0 - resolution_bins.BIN_LOW) / resolution_bins.BIN_STEP)] = 20.0
    wrong = right.copy()
    wrong[1] = wrong[1, ..., ::-1]
    voxels = tf.constant([1.0, 1.0])

    def error(logits):
        return float(probability_score._loss(tf, tf.constant(logits), tf.constant(truth), voxels, 0.3)[1])

    every = error(np.ascontiguousarray(wrong[1:].repeat(2, 0)))
    share = (error(wrong) - error(right)) / (every - error(right))
    assert share == pytest.approx(np.sqrt(8) / (np.sqrt(8) + np.sqrt(512)), rel=0.05)


@pytest.fixture(scope="module")
def uninterrupted(tf, data, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    weights = local_network.fit_local(data, out, TINY, report=lambda _: None, validate_every=2)
    return out, weights


def test_a_run_leaves_its_history_and_best_weights(uninterrupted):
    out, weights = uninterrupted
    with open(out / "history.csv", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [int(r["step"]) for r in rows] == [2, 4]
    for row in rows:
        assert float(row["loss"]) > 0 and 0 < float(row["val_single_mae_A"]) < 100
    assert all(np.isfinite(v).all() and v.dtype == np.float32 for v in weights.values())


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(uninterrupted, data, tmp_path, monkeypatch):
    """Stopped after the first checkpoint, then resumed: the same weights and moments at the end."""

    class Killed(Exception):
        pass

    original = run_files.save_checkpoint

    def kill_after(*args):
        original(*args)
        raise Killed

    lines = []
    monkeypatch.setattr(local_network, "save_checkpoint", kill_after)
    with pytest.raises(Killed):
        local_network.fit_local(data, tmp_path, TINY, report=lambda _: None, validate_every=2)
    monkeypatch.setattr(local_network, "save_checkpoint", original)
    weights = local_network.fit_local(data, tmp_path, TINY, True, report=lines.append, validate_every=2)
    assert lines[0] == "resumed at step 2"
    whole, resumed = (np.load(folder / "checkpoint.npz") for folder in (uninterrupted[0], tmp_path))
    assert set(whole.files) == set(resumed.files)
    steps = [[row["step"] for row in json.loads(str(one["facts"]))["history"]] for one in (whole, resumed)]
    assert steps == [[2, 4], [2, 4]]
    for name in whole.files:
        if name == "facts":  # holds the seconds that each took
            continue
        if whole[name].dtype.kind == "f":
            assert np.allclose(whole[name], resumed[name], rtol=1e-4, atol=1e-6), name
        else:
            assert np.array_equal(whole[name], resumed[name]), name
    for name, values in uninterrupted[1].items():
        assert np.allclose(weights[name], values, rtol=1e-4, atol=1e-6), name


def test_an_error_while_batches_are_made_ends_the_training(tf, data, tmp_path, monkeypatch):
    """The thread that makes them used to die alone, and the training waited for ever."""

    def broken(*args):
        raise MemoryError("no room for a crop")

    monkeypatch.setattr(crop_batches, "draw_crop", broken)
    with pytest.raises(MemoryError, match="no room for a crop"):
        local_network.fit_local(data, tmp_path, TINY, report=lambda _: None, validate_every=2)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"recipe": replace(TINY, seed=2)}, "begun with seed 1, not 2"),
        ({"recipe": replace(TINY, rate=0.5)}, "begun with rate 0.0008, not 0.5"),
        ({"start": "weights"}, "begun with another start|begun with start"),
        ({"data": "more"}, "begun with other sets .other maps .train 3, not 1..; give the same as before"),
    ],
    ids=["seed", "rate", "start", "sets"],
)
def test_a_run_goes_on_only_as_it_was_begun(uninterrupted, data, tmp_path, changes, words):
    folder, weights = uninterrupted
    shutil.copy(folder / "checkpoint.npz", tmp_path)
    how = {"data": data, "recipe": TINY, "start": None, **changes}
    if how["start"]:
        how["start"] = weights
    if how["data"] == "more":
        splits = {split: [make_item(0, split=split)] for split in ("train", "validation", "test")}
        how["data"] = write_items(tmp_path / "set.h5", splits)
    with pytest.raises(InputError, match=words):
        local_network.fit_local(
            how["data"], tmp_path, how["recipe"], True, how["start"], report=lambda _: None
        )


def test_a_training_leaves_the_precision_of_the_process_alone(tf, data, tmp_path):
    import keras

    recipe = replace(TINY, bfloat16=True, steps=1)
    before = keras.mixed_precision.global_policy().name
    local_network.fit_local(data, tmp_path, recipe, report=lambda _: None)
    assert keras.mixed_precision.global_policy().name == before


def test_maps_without_half_maps_have_no_part_in_the_figures_of_half_maps():
    """Their "halves" repeat the single map; they used to count in cards and in the choice of the best weights."""
    items = [make_item(k) for k in range(2)]
    network = held_out_answers.inference_model(random_local_weights((4, 6), 0), (4, 6))
    assert not any("halves" in name for name in held_out_answers.validate_local(network, items))
    items[0].summary["halves"][network_inputs.HALF_MAPS_FLAG] = 1.0
    found = held_out_answers.validate_local(network, items)
    alone = held_out_answers.validate_local(network, items[:1])
    assert found["val_halves_mae_A"] == alone["val_halves_mae_A"]
    assert local_network.selection_score({"val_single_log2": 0.2}) == 0.2


def test_training_learns(tf, data, tmp_path):
    """The truth lies in the first feature: fifty steps must find some of it."""
    recipe = LocalNetworkRecipe((8, 8), crop=8, batch=4, steps=50, rate=1e-2, seed=0, bfloat16=False)
    local_network.fit_local(data, tmp_path, recipe, report=lambda _: None, validate_every=25)
    with open(tmp_path / "history.csv", newline="") as handle:
        errors = [float(r["log2_error"]) for r in csv.DictReader(handle)]
    assert errors[-1] < 0.75 * errors[0]


def test_a_model_for_other_features_is_no_start(data, tmp_path):
    card = {
        "kind": "local",
        "name": "old",
        "network": band_networks.local_network((4, 6)),
        "calibration": {"spread": 1.0},
    }
    card["network"]["config"]["features"] = 0
    path = model_archive.save_model(
        tmp_path / "old.cryoresdl", card, {"logits/bias": np.zeros(2, np.float32)}
    )
    with pytest.raises(InputError, match="version 0.*train it again"):
        local_network.train_local(data, tmp_path / "out", start=str(path))
    with pytest.raises(InputError, match="old.cryoresdl was trained on features of version 0"):
        network_runners.load_model(path, "local")


def test_the_saved_model_answers_as_the_trained_one(uninterrupted, data, tmp_path):
    _, weights = uninterrupted
    path = tmp_path / "model.cryoresdl"
    card = local_network.save_local(weights, data, path, "mine", TINY, {"labels": "truth"})
    model = model_store.load_named(path)
    assert model.card["name"] == "mine" and model.card["kind"] == "local"
    assert card["metrics"]["maps"] == 1 and card["calibration"]["spread"] > 0
    assert card["data"]["maps"] == {"train": 3, "validation": 1, "test": 1}
    json.dumps(model.card)
    from cryoresdl.models.networks import network_runners

    item = feature_set_file.load_split(data, "test")[0]
    expected = held_out_answers.predict_item(
        held_out_answers.inference_model(weights, TINY.channels), item, "single"
    )
    run, _ = network_runners.runner(model.card["network"], model.weights, "numpy")
    x = held_out_answers.pad_to_four(item.local["single"])
    z, y, w = item.truth.shape
    logits = run({"x": x, "summary": item.summary["single"][None]})[0][:z, :y, :w][item.truth > 0]
    p = np.exp(logits - logits.max(-1, keepdims=True))
    assert np.allclose(
        p / p.sum(-1, keepdims=True), expected, atol=2e-3
    )  # weights are kept in half precision
    assert network_runners.load_model(path, "local").card["name"] == "mine"


def test_calibrating_again_keeps_the_weights(tf, uninterrupted, data, tmp_path):
    from cryoresdl.models.networks.model_files import model_store

    _, weights = uninterrupted
    first = tmp_path / "first.cryoresdl"
    local_network.save_local(weights, data, first, "mine", TINY, {"labels": "truth"})
    path = local_network.calibrate_again(data, str(first), tmp_path / "again")
    again, before = model_store.load_named(path), model_store.load_named(first)
    assert again.card["calibration"]["data"]["sets"] == [data.name]
    was = before.card["calibration"]
    assert again.card["calibration"]["profile"] == {k: v for k, v in was.items() if k.startswith("spread")}
    widths = np.linspace(0.05, 0.6, 9).astype(np.float32)  # what the global network reads stays as it was
    profiles = [
        map_corrections.calibrated_spread(widths, m.card["calibration"], map_corrections.PROFILE)
        for m in (before, again)
    ]
    assert np.array_equal(*profiles)
    for part in ("name", "network", "training", "data", "metrics"):
        assert again.card[part] == before.card[part]
    for name, values in before.weights.items():
        assert values.dtype == again.weights[name].dtype and np.array_equal(values, again.weights[name])
    with pytest.raises(InputError, match="no default local model"):
        local_network.calibrate_again(data, "paper-cnn", tmp_path / "other")


@pytest.mark.parametrize("words", [["unet", "--epochs", "3"], ["cnn"], ["unet", "--start", "none"]])
def test_calibrating_refuses_what_belongs_to_training(data, tmp_path, capsys, words):
    from cryoresdl.models.cli import command_line

    out = tmp_path / "none"
    assert (
        command_line.main(["train", *words, "--calibrate-only", "--data", str(data), "--out", str(out)]) == 2
    )
    assert "--calibrate-only takes 'unet'" in capsys.readouterr().err and not out.exists()


@pytest.fixture(scope="module")
def tuned_folder(tf, monores, tmp_path_factory):
    """A network fine-tuned from the shipped one, as it is done with the few maps of a user."""
    out = tmp_path_factory.mktemp("runs") / "tuned"
    local_network.train_local(monores, out, epochs=1, batch=2, report=lambda _: None)
    return out


def test_a_training_leaves_card_and_curves(tuned_folder, monores):
    names = {path.name for path in tuned_folder.iterdir()}
    assert names >= {"model.cryoresdl", "card.json", "history.csv", "training.png"}
    card = json.loads((tuned_folder / "card.json").read_text())
    assert card["training"]["labels"] == "monores" and card["training"]["start"] == "truth"
    assert card["name"] == "tuned" and card["metrics"]["split"] == "test, whole maps never trained on"
    assert card["metrics"] == model_store.read_card(tuned_folder / "model.cryoresdl")["metrics"]


def test_a_run_keeps_its_labels_when_it_is_resumed(tuned_folder, tmp_path):
    other = write_items(
        tmp_path / "resmap.h5",
        {split: [make_item(0, split=split, labels="resmap")] for split in ("train", "validation", "test")},
    )
    with pytest.raises(InputError, match="checkpoint.npz was begun with labels monores, not resmap"):
        local_network.train_local(other, tuned_folder, "resmap", resume=True, report=lambda _: None)
    with pytest.raises(InputError, match="resmap.h5 has resmap labels, not monores"):
        local_network.train_local(other, tuned_folder, "monores", resume=True)


def test_fine_tuning_takes_the_width_of_its_start(tuned_folder, data, tmp_path):
    """The shipped model is wider than the recipe's default."""
    path = tuned_folder / "model.cryoresdl"
    tuned, start = model_store.load_named(path), model_store.load_named("truth")
    channels = [model.card["network"]["config"]["channels"] for model in (tuned, start)]
    assert channels[0] == channels[1] != list(crop_batches.LocalNetworkRecipe.channels)
    with pytest.raises(InputError, match="no default local model"):
        local_network.train_local(data, tmp_path / "other", start="paper-cnn")


def test_the_history_of_the_members_begins_anew_whatever_the_seed(tf, tmp_path):
    """A second training with a seed above 0 used to go on in the file of the first."""
    from cryoresdl.models.training import global_network, profile_table

    rng = np.random.default_rng(0)
    rows = profile_table.ProfileTable(
        rng.normal(size=(12, 5)).astype(np.float32),
        rng.uniform(1.5, 3, 12).astype(np.float32),
        np.ones(12, np.float32),
        ["realistic single"] * 12,
    )
    recipe = global_network.GlobalNetworkRecipe(widths=(4,), epochs=2, batch=6, seed=5)
    for _ in range(2):
        global_network.train_members(rows, rows, recipe, lambda _: None, tmp_path / "history.csv", members=2)
        with open(tmp_path / "history.csv", newline="") as handle:
            assert [row["epoch"] for row in csv.DictReader(handle)] == ["0", "1", "0", "1"]


def test_noise_spares_what_half_maps_measure(tf):
    import keras

    size = network_inputs.MEASURED_INPUTS.stop + 3
    model = keras.Sequential([keras.Input((size,)), keras.layers.Identity()])
    rows = np.ones((50, size), np.float32)
    noisy = np.asarray(global_network._with_noise(keras, model, 0.5)(rows, training=True))
    spread = noisy.std(0)
    measured = [*range(size)[network_inputs.MEASURED_INPUTS], size - 1]
    assert (spread[measured] == 0).all() and (np.delete(spread, measured) > 0.2).all()
    assert np.array_equal(global_network._with_noise(keras, model, 0.5)(rows, training=False), rows)


def test_a_resumed_global_training_reads_its_table_of_the_same_data_only(tmp_path, monkeypatch):
    monkeypatch.setattr(model_store, "digest", lambda model: "local")
    made = []

    def table(data, *_, **__):
        made.append(data)
        return profile_table.ProfileTable(np.zeros((2, 4)), np.ones(2), np.ones(2), ["realistic single"] * 2)

    monkeypatch.setattr(profile_table, "make_table", table)
    sets = [write_items(tmp_path / f"{count}.h5", {"train": [make_item(count)] * count}) for count in (1, 2)]
    for data, resume, times in (
        (sets[0], False, 1),
        (sets[0], True, 1),
        (sets[1], True, 2),
        (sets[0], True, 3),
    ):
        profile_table.cached_table(tmp_path / "table.npz", [data], "train", None, resume)
        assert len(made) == times
