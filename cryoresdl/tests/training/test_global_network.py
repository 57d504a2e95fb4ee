"""Training of the default global network: its rows, calibration and history."""

import csv
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest

from cryoresdl.models.base.errors import InputError
from cryoresdl.models.base.runs import output_folder
from cryoresdl.models.datasets.feature_sets import feature_set_file
from cryoresdl.models.features import network_inputs
from cryoresdl.models.networks import band_networks
from cryoresdl.models.networks.model_files import model_store
from cryoresdl.models.training import (
    global_network,
    profile_table,
)
from cryoresdl.models.training.calibration import global_calibration
from cryoresdl.tests.helpers.small_maps import (
    make_item,
    random_global_weights,
    write_items,
)


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


def test_the_global_model_says_which_split_is_empty(tmp_path):
    data = write_items(tmp_path / "few.h5", {"train": [make_item(0, labels="monores")]})
    with pytest.raises(
        InputError, match="few.h5 holds no complete map of the split 'test', only train 1; make"
    ):
        profile_table.make_table(data, "test", None)


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
        told = []
        global_network.train_members(rows, rows, recipe, told.append, tmp_path / "history.csv", members=2)
        # It used to say one line per member, at its end.
        assert [line[:25] for line in told] == [
            f"network {n}/2  epoch {e}/2  l" for n in (1, 2) for e in (1, 2)
        ]
        assert all("validation error" in line and "/epoch  ETA " in line for line in told)
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


def test_a_complete_global_training_is_resumed_to_its_end_and_not_again(tf, data, tmp_path, monkeypatch):
    """Another seed, another number of networks or sets that have changed train as ever."""
    recipe = global_network.GlobalNetworkRecipe(widths=(4,), epochs=2, batch=2)
    trained, told = [], []
    real = global_network.train_members

    def counted(*args, **kwargs):
        trained.append(args)
        return real(*args, **kwargs)

    monkeypatch.setattr(global_network, "train_members", counted)
    own = shutil.copy(data, tmp_path / "set.h5")

    def train(**changes):
        options = {"recipe": recipe, "members": 1, "resume": True, **changes}
        path = global_network.train_global([own], tmp_path / "run", report=told.append, **options)
        output_folder.unlock_folders()
        return len(trained), path.read_bytes()

    first = train(resume=False)
    lines = (tmp_path / "run" / "training.txt").read_text().splitlines()
    assert (
        told[-len(lines) :] == lines
        and lines[1].split() == "error on test maps network best constant".split()
    )
    assert lines[2].startswith("maps in a wrong class")
    assert any("Too few maps to learn from: 5 in all" in line for line in lines)
    assert train() == first and "is complete" in told[-1]
    assert train(recipe=replace(recipe, seed=1))[0] == 2
    assert train(recipe=replace(recipe, seed=1), members=2)[0] == 3
    os.utime(own, (1, 1))
    assert train(recipe=replace(recipe, seed=1), members=2)[0] == 4
    assert train(recipe=replace(recipe, seed=1), members=2)[0] == 4
    assert train(recipe=replace(recipe, seed=1), members=2, resume=False, overwrite=True)[0] == 5


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


def test_the_best_constant_is_the_answer_of_the_least_typical_error():
    resolution = np.array([4.0, 4.0, 4.0, 8.0, 9.0])
    assert global_calibration._constant_error(resolution) == pytest.approx(0.0, abs=0.01)
    assert global_calibration._constant_error(np.array([5.0])) == pytest.approx(0.0)
