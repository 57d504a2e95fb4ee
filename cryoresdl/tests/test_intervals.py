"""Widths of the local network's intervals: factors by width and noise source, and one more for every map."""

import numpy as np
import pytest

from cryoresdl.models import feature_networks as fn
from cryoresdl.models import (
    feature_sets,
    feature_training,
    features,
    inference,
    interval_training,
    intervals,
    model_file,
    resolution_bins,
)
from cryoresdl.models.interval_training import Residuals
from cryoresdl.models.maps import DensityMap

from .small_maps import make_item, save_local_model, write_items


def test_calibration_makes_the_interval_cover_two_thirds():
    """A model that is always equally wrong and much too sure: the factor is what its errors ask for."""
    rng = np.random.default_rng(0)
    item = make_item(0, (20, 20, 20))
    inside = item.truth > 0
    item.truth[inside] = 2.0 ** rng.normal(3.0, 0.4, inside.sum())
    p = np.exp(-0.5 * ((resolution_bins.centres() - 3.0) / 0.2) ** 2)
    logits = np.log(p / p.sum() + 1e-12).astype(np.float32)

    def model(inputs, training=False):
        return np.broadcast_to(logits, inputs[0].shape[:4] + (fn.N_BINS,))

    found = interval_training.calibrate_local(model, [item, item])
    assert found["spread"] == pytest.approx(2.0, rel=0.08)
    assert found["coverage_before"] == pytest.approx(0.38, abs=0.04)  # half a sigma to either side
    assert found["spread_factors"] == [pytest.approx(2.0, rel=0.08)]  # one width: one factor


def test_half_maps_are_calibrated_apart_where_there_are_any():
    """Half maps twice as certain as the model says; the second item has none, and its copy must not count."""
    rng = np.random.default_rng(2)
    items = [make_item(k, (20, 20, 20)) for k in range(2)]
    for item in items:
        inside = item.truth > 0
        item.truth[inside] = 2.0 ** rng.normal(3.0, 0.4, inside.sum())
    items[0].summary["halves"][features.HALF_MAPS_FLAG] = 1.0
    centres = resolution_bins.centres()
    narrow, wide = (-0.5 * ((centres - 3.0) / width) ** 2 for width in (0.4, 0.8))

    def model(inputs, training=False):
        flag = inputs[1][:, features.HALF_MAPS_FLAG, None, None, None, None] > 0.5
        logits = np.where(flag, wide, narrow).astype(np.float32)
        return np.broadcast_to(logits, inputs[0].shape[:4] + (fn.N_BINS,))

    found = interval_training.calibrate_local(model, items)
    assert found["spread"] == pytest.approx(1.0, rel=0.08)
    assert found["half_maps"]["spread"] == pytest.approx(0.5, rel=0.08)
    assert "half_maps" not in interval_training.calibrate_local(model, items[1:])


def test_single_maps_without_background_are_calibrated_apart_where_there_are_enough(monkeypatch):
    """Cut-out maps err twice as far as the model says, the others half as far."""
    monkeypatch.setattr(interval_training, "LEAST_MAPS", 2)
    rng = np.random.default_rng(4)
    items = [make_item(k, (16, 16, 16)) for k in range(4)]
    for k, item in enumerate(items):
        inside = item.truth > 0
        item.summary["single"][features.HALF_MAPS_FLAG : features.NOISE_FLAG + 1] = 0.0, float(k % 2)
        spread = 0.2 if k % 2 else 0.8
        item.truth[inside] = 2.0 ** rng.normal(3.0, spread, inside.sum()) * item.info["voxel_size_A"]
    logits = (-0.5 * ((resolution_bins.centres() - 3.0) / 0.4) ** 2).astype(np.float32)

    def model(inputs, training=False):
        return np.broadcast_to(logits, inputs[0].shape[:4] + (fn.N_BINS,))

    found = interval_training.calibrate_local(model, items)
    assert found["spread"] == pytest.approx(0.5, rel=0.08) and found["maps"] == 2
    assert found["no_background"]["spread"] == pytest.approx(2.0, rel=0.08)
    widths = np.full(2, 0.4, np.float32)
    for item, factor in zip(items, (2.0, 0.5)):
        source = features.noise_source(item.summary["single"])
        assert intervals.calibrated_spread(widths, found, source) == pytest.approx(0.4 * factor, rel=0.08)
    monkeypatch.setattr(interval_training, "LEAST_MAPS", 3)
    together = interval_training.calibrate_local(model, items)
    assert "no_background" not in together and together["maps"] == 4


def test_narrow_and_wide_intervals_get_factors_of_their_own():
    """Half of the cells too sure by 3, half too cautious by 2: each kind is covered by two thirds afterwards."""

    rng = np.random.default_rng(1)
    item = make_item(0, (20, 20, 20))
    inside = item.truth > 0
    narrow = rng.random(item.truth.shape) < 0.5
    error = np.where(narrow, 0.3, 0.2) * rng.normal(size=item.truth.shape)
    item.truth[inside] = 2.0 ** (3.0 + error[inside]) * item.info["voxel_size_A"]
    centres = resolution_bins.centres()
    logits = np.where(
        narrow[..., None],
        -0.5 * ((centres - 3.0) / 0.1) ** 2,
        -0.5 * ((centres - 3.0) / 0.4) ** 2,
    ).astype(np.float32)

    def model(inputs, training=False):
        padded = np.zeros((1,) + inputs[0].shape[1:4] + (fn.N_BINS,), np.float32)
        padded[0, : logits.shape[0], : logits.shape[1], : logits.shape[2]] = logits
        return padded

    found = interval_training.calibrate_local(model, [item])
    widths = np.array([0.1, 0.4])
    assert intervals.calibrated_spread(widths, found) == pytest.approx([0.3, 0.2], rel=0.15)
    assert intervals.calibrated_spread(widths, {"spread": 2.0}) == pytest.approx([0.2, 0.8])


def test_a_model_without_the_network_has_factor_one():
    model = model_file.Model({"calibration": {"spread": 2.0}}, {}, "", "")
    summary = np.zeros(features.summary_length(), np.float32)
    widths = np.array([0.1, 0.2], np.float32)
    assert intervals.map_factor(model, summary, np.array([1.0, 2.0]), widths) == 1.0
    assert intervals.halfwidths(model, summary, np.array([1.0, 2.0]), widths) == pytest.approx(2 * widths)


def constant_network(log_factor, inputs):
    """Arrays and configuration of a network that always gives that logarithm."""
    config = {"widths": [], "inputs": inputs, "bins": 1, "members": 1}
    arrays = {
        "input/mean": np.zeros(inputs),
        "input/scale": np.ones(inputs),
        "logits/kernel": np.zeros((inputs, 1)),
        "logits/bias": np.array([log_factor]),
    }
    return config, {name: value.astype(np.float32) for name, value in arrays.items()}


@pytest.mark.parametrize(("log_factor", "expected"), [(0.5, np.exp(0.5) * 1.1), (9.0, 4.0 * 1.1)])
def test_the_factor_of_a_map_is_the_networks_times_the_held_out_one_within_limits(log_factor, expected):
    summary = np.zeros(features.summary_length(), np.float32)
    summary[features.NOISE_FLAG] = 1.0
    config, arrays = constant_network(log_factor, summary.size + 3)
    entry = {"config": config, "factors": {"background": 1.1, "half_maps": 7.0}, "maps": 5}
    weights = {intervals.WEIGHTS + name: value for name, value in arrays.items()}
    model = model_file.Model({"calibration": {"spread": 2.0, "by_map": entry}}, weights, "", "")
    found = intervals.halfwidths(model, summary, np.array([2.0, 3.0]), np.array([0.1, 0.3], np.float32))
    assert found == pytest.approx(2 * expected * np.array([0.1, 0.3]), rel=1e-5)


def test_maps_are_told_apart_by_their_profile():
    """The first number of the profile tells whether the width is right or three times too large."""
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 2, 400)
    rows = rng.normal(0, 0.3, (400, 6)).astype(np.float32)
    rows[:, 0] = kind
    spread = np.where(kind == 1, 1.0, 1 / 3)[:, None]
    ratios = np.log(np.maximum(np.abs(rng.normal(0, spread, (400, 50))), 1e-3)).astype(np.float32)
    left = Residuals(rows, ratios, np.where(rng.random(400) < 0.97, "background", "half_maps"))
    recipe = interval_training.IntervalRecipe(widths=(16,), epochs=40, batch=8, noise=0.0, dropout=0.0)
    config, arrays = interval_training.fit_map_factors(left, recipe, members=2)
    found = intervals.log_factors(config, arrays, rows)
    for chosen in (kind == 0, kind == 1):
        assert (ratios[chosen] <= found[chosen, None]).mean() == pytest.approx(0.683, abs=0.05)
    shifted = Residuals(rows, ratios + np.float32(np.log(2.0)), left.sources)
    factors = interval_training.scale_by_source(config, arrays, shifted)
    assert set(factors) == {"background"}  # fewer than LEAST_MAPS rows of the other
    chosen = left.sources == "background"
    covered = shifted.ratios[chosen] <= found[chosen, None] + np.log(factors["background"])
    assert covered.mean() == pytest.approx(0.683, abs=0.002)


def test_parts_of_training_maps_hold_the_middle_of_the_molecule():
    item = make_item(3, (20, 12, 16))
    part = interval_training._central_part(item, 8)
    assert part.truth.shape == (8, 8, 8) and (part.truth > 0).all()
    for variant in feature_sets.VARIANTS:
        level = part.local[variant][0].astype(np.float32)
        assert part.truth == pytest.approx(2.0 ** (1 + 3 * level), rel=2e-3)
    whole = interval_training._central_part(item, 40)
    assert np.array_equal(whole.truth, item.truth)


SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def model_with_factors(tmp_path_factory):
    """A tiny untrained model, calibrated on a set with enough training maps for a factor per map."""
    folder = tmp_path_factory.mktemp("intervals")
    items = {split: [make_item(k + n, split=split) for k in range(4)] for n, split in enumerate(SPLITS)}
    data = write_items(folder / "set.h5", items)
    plain = save_local_model(folder / "plain.cryoresdl", (4, 6, 8))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(interval_training, "LEAST_TRAINING_MAPS", 4)
        patch.setattr(interval_training, "LEAST_MAPS", 2)
        once = feature_training.calibrate_again(data, str(plain), folder / "once")
        twice = feature_training.calibrate_again(data, str(once), folder / "twice")
    few = feature_training.calibrate_again(data, str(once), folder / "few")
    return {name: model_file.load(path) for name, path in zip(("once", "twice", "few"), (once, twice, few))}


def test_calibrating_fits_the_factors_anew_and_leaves_none_behind(model_with_factors):
    once, twice, few = (model_with_factors[name] for name in ("once", "twice", "few"))
    entry = once.card["calibration"]["by_map"]
    assert entry["maps"] == 4 and entry["factors"]["no_background"] > 0
    own = {k for k in once.weights if k.startswith(intervals.WEIGHTS)}
    assert {intervals.WEIGHTS + "input/mean", intervals.WEIGHTS + "member1-logits/bias"} <= own
    assert twice.card["calibration"]["by_map"] == entry
    assert all(np.array_equal(once.weights[k], twice.weights[k]) for k in once.weights)
    assert "by_map" not in few.card["calibration"]  # too few training maps for the default
    assert not any(k.startswith(intervals.WEIGHTS) for k in few.weights)


def test_the_factor_changes_the_interval_only(model_with_factors, tmp_path):
    once = model_with_factors["once"]
    entry = dict(once.card["calibration"]["by_map"])
    assert "background" not in entry["factors"]  # as the map below has it: its held-out factor is 1
    entry["factors"] = {"background": 2.0}
    card = {**once.card, "calibration": {**once.card["calibration"], "by_map": entry}}
    wide = model_file.save(tmp_path / "wide.cryoresdl", card, once.weights)
    mask = np.zeros((24, 24, 24), bool)
    mask[6:18, 6:18, 6:18] = True
    data = np.random.default_rng(2).standard_normal(mask.shape).astype(np.float32) + 3 * mask
    results = [inference.localres(DensityMap(data, 1.5), mask=mask, model=path) for path in (once.path, wide)]
    assert np.array_equal(results[0].resolution, results[1].resolution)
    assert np.array_equal(results[0].profile, results[1].profile)  # the global network sees no change
    spreads = [np.arcsinh(r.halfwidth[mask] / r.resolution[mask]) for r in results]
    assert np.allclose(spreads[1], 2 * spreads[0], rtol=1e-3)
