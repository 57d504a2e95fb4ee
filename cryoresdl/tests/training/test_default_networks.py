"""Training of the default local network: sets, resuming, calibration, the saved model."""

import csv
import json
import re
import shutil
from dataclasses import replace
from functools import partial

import h5py
import numpy as np
import pytest

from cryoresdl.models.base.errors import InputError
from cryoresdl.models.datasets.feature_sets import feature_set_file
from cryoresdl.models.features import network_inputs
from cryoresdl.models.inference.bands import map_corrections
from cryoresdl.models.networks import band_networks, network_runners
from cryoresdl.models.networks.model_files import model_archive, model_store
from cryoresdl.models.training import (
    crop_batches,
    held_out_answers,
    local_fit,
    local_network,
    run_files,
)
from cryoresdl.models.training.crop_batches import LocalNetworkRecipe
from cryoresdl.tests.helpers.small_maps import (
    make_item,
    random_local_weights,
    write_items,
)
from cryoresdl.tests.helpers.small_training import TINY


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


def test_a_training_is_called_like_its_folder(tmp_path):
    assert run_files._run_name(tmp_path / "my-network", "truth") == "my-network"
    assert run_files._run_name(tmp_path / "with blanks", "truth") == "truth"


def test_a_bad_name_is_said_before_anything_is_trained(data, tmp_path, capsys):
    from cryoresdl.models.cli import command_line

    for network in ("unet", "cnn"):
        words = ["train", network, "--data", str(data), "--name", "a/b", "--out", str(tmp_path / network)]
        assert command_line.main(words) == 2
        assert "'a/b' cannot name a model" in capsys.readouterr().err and not (tmp_path / network).exists()


@pytest.fixture(scope="module")
def uninterrupted(tf, data, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    weights = local_fit.fit_local(data, out, TINY, report=lambda _: None, validate_every=2)
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
    monkeypatch.setattr(local_fit, "save_checkpoint", kill_after)
    with pytest.raises(Killed):
        local_fit.fit_local(data, tmp_path, TINY, report=lambda _: None, validate_every=2)
    monkeypatch.setattr(local_fit, "save_checkpoint", original)
    weights = local_fit.fit_local(data, tmp_path, TINY, True, report=lines.append, validate_every=2)
    assert lines[0] == "resumed at step 2"
    # Three maps of six crops, two a step: an epoch is nine steps. This used to be a row of JSON.
    assert re.fullmatch(
        r"epoch 0.444/0.444  loss [\d.]+  validation error [\d.]+ A  best 0.[24]+  .+/epoch  ETA 0 s",
        lines[1],
    )
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
        local_fit.fit_local(data, tmp_path, TINY, report=lambda _: None, validate_every=2)


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
        local_fit.fit_local(how["data"], tmp_path, how["recipe"], True, how["start"], report=lambda _: None)


def test_a_training_leaves_the_precision_of_the_process_alone(tf, data, tmp_path):
    import keras

    recipe = replace(TINY, bfloat16=True, steps=1)
    before = keras.mixed_precision.global_policy().name
    local_fit.fit_local(data, tmp_path, recipe, report=lambda _: None)
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
    assert local_fit.selection_score({"val_single_log2": 0.2}) == 0.2


def test_training_learns(tf, data, tmp_path):
    """The truth lies in the first feature: fifty steps must find some of it."""
    recipe = LocalNetworkRecipe((8, 8), crop=8, batch=4, steps=50, rate=1e-2, seed=0, bfloat16=False)
    local_fit.fit_local(data, tmp_path, recipe, report=lambda _: None, validate_every=25)
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
    with pytest.MonkeyPatch.context() as patch:  # crops of the usual size take a minute
        patch.setattr(local_network, "LocalNetworkRecipe", partial(LocalNetworkRecipe, crop=8))
        local_network.train_local(monores, out, epochs=1, batch=2, report=lambda _: None)
    return out


def test_a_training_leaves_card_and_curves(tuned_folder, monores):
    names = {path.name for path in tuned_folder.iterdir()}
    assert names >= {"model.cryoresdl", "card.json", "history.csv", "training.png"}
    card = json.loads((tuned_folder / "card.json").read_text())
    assert card["training"]["labels"] == "monores" and card["training"]["start"] == "truth"
    assert card["name"] == "tuned" and card["metrics"]["split"] == "test, whole maps never trained on"
    assert card["metrics"] == model_store.read_card(tuned_folder / "model.cryoresdl")["metrics"]


def test_a_training_ends_with_its_test_error_beside_the_best_constant(tuned_folder, monores):
    lines = (tuned_folder / "training.txt").read_text().splitlines()
    (item,) = feature_set_file.load_split(monores, "test")
    known = item.truth_of("single")[item.truth > 0]
    metrics = json.loads((tuned_folder / "card.json").read_text())["metrics"]
    assert metrics["single_constant_mae_A"] == pytest.approx(
        np.abs(known - np.median(known)).mean(), abs=1e-4
    )
    numbers = [f"{metrics[f'single_{kind}mae_A']:.2f} A" for kind in ("", "constant_")]
    assert lines[0] == "tuned: maps 1 to learn from, 1 to stop by, 1 to test with"
    assert [line.split("  ")[-2:] for line in lines if line.startswith("mean error, one map")]
    assert all(number in lines[2] for number in numbers) and lines[3].startswith("epochs: 1")
    assert any("Too few maps to learn from: 3 in all" in line for line in lines)


def test_epochs_that_were_asked_for_are_said_whole():
    """Validations every 200 steps used to fall anywhere in an epoch."""
    assert local_network._whole_epochs(200, 75) == 225 and local_network._whole_epochs(1, 0.75) == 1
    assert local_network._whole_epochs(200, 2400) == 200 and local_network._whole_epochs(200, 500) == 250


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
