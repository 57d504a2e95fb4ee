"""Factors on the widths of the local network's intervals, from held-out maps."""

import numpy as np
import pytest

from cryoresdl.models.features import network_inputs
from cryoresdl.models.inference.bands import map_corrections
from cryoresdl.models.networks import resolution_bins
from cryoresdl.models.training.calibration import width_calibration
from cryoresdl.tests.helpers.small_maps import make_item


@pytest.fixture
def one_map_is_enough(monkeypatch):
    """Calibration factors rest on any number of maps."""
    monkeypatch.setattr(width_calibration, "LEAST_MAPS", 1)


def test_calibration_makes_the_interval_cover_two_thirds(one_map_is_enough):
    """A model that is always equally wrong and much too sure: the factor is what its errors ask for."""
    rng = np.random.default_rng(0)
    item = make_item(0, (20, 20, 20))
    inside = item.truth > 0
    item.truth[inside] = 2.0 ** rng.normal(3.0, 0.4, inside.sum())
    p = np.exp(-0.5 * ((resolution_bins.centres() - 3.0) / 0.2) ** 2)
    logits = np.log(p / p.sum() + 1e-12).astype(np.float32)

    def model(inputs, training=False):
        return np.broadcast_to(logits, inputs[0].shape[:4] + (resolution_bins.N_BINS,))

    found = width_calibration.calibrate_local(model, [item, item])
    assert found["spread"] == pytest.approx(2.0, rel=0.08)
    assert found["coverage_before"] == pytest.approx(0.38, abs=0.04)  # half a sigma to either side
    assert found["spread_factors"] == [pytest.approx(2.0, rel=0.08)]  # one width: one factor


def test_few_maps_move_the_intervals_part_of_the_way():
    """Errors four times as wide as the model says: 5 maps of 20 move the factor to the fourth root."""
    rng = np.random.default_rng(0)
    item = make_item(0, (20, 20, 20))
    inside = item.truth > 0
    item.truth[inside] = 2.0 ** rng.normal(3.0, 0.4, inside.sum())
    logits = (-0.5 * ((resolution_bins.centres() - 3.0) / 0.1) ** 2).astype(np.float32)

    def model(inputs, training=False):
        return np.broadcast_to(logits, inputs[0].shape[:4] + (resolution_bins.N_BINS,))

    few = width_calibration.calibrate_local(model, [item] * 5)
    enough = width_calibration.calibrate_local(model, [item] * 20)
    assert enough["spread"] == pytest.approx(4.0, rel=0.15) and "spread_factors" not in few
    assert few["spread"] == pytest.approx(enough["spread"] ** 0.25)


def test_half_maps_are_calibrated_apart_where_there_are_any(one_map_is_enough):
    """Half maps twice as certain as the model says; the second item has none, and its copy must not count."""
    rng = np.random.default_rng(2)
    items = [make_item(k, (20, 20, 20)) for k in range(2)]
    for item in items:
        inside = item.truth > 0
        item.truth[inside] = 2.0 ** rng.normal(3.0, 0.4, inside.sum())
    items[0].summary["halves"][network_inputs.HALF_MAPS_FLAG] = 1.0
    centres = resolution_bins.centres()
    narrow, wide = (-0.5 * ((centres - 3.0) / width) ** 2 for width in (0.4, 0.8))

    def model(inputs, training=False):
        flag = inputs[1][:, network_inputs.HALF_MAPS_FLAG, None, None, None, None] > 0.5
        logits = np.where(flag, wide, narrow).astype(np.float32)
        return np.broadcast_to(logits, inputs[0].shape[:4] + (resolution_bins.N_BINS,))

    found = width_calibration.calibrate_local(model, items)
    assert found["spread"] == pytest.approx(1.0, rel=0.08)
    assert found["half_maps"]["spread"] == pytest.approx(0.5, rel=0.08)
    assert "half_maps" not in width_calibration.calibrate_local(model, items[1:])


def test_single_maps_without_background_are_calibrated_apart_where_there_are_enough(monkeypatch):
    """Cut-out maps err twice as far as the model says, the others half as far."""
    monkeypatch.setattr(width_calibration, "LEAST_MAPS", 2)
    rng = np.random.default_rng(4)
    items = [make_item(k, (16, 16, 16)) for k in range(4)]
    for k, item in enumerate(items):
        inside = item.truth > 0
        item.summary["single"][network_inputs.HALF_MAPS_FLAG : network_inputs.NOISE_FLAG + 1] = (
            0.0,
            float(k % 2),
        )
        spread = 0.1 if k % 2 else 0.4
        item.truth[inside] = 2.0 ** rng.normal(3.0, spread, inside.sum()) * item.info["voxel_size_A"]
    logits = (-0.5 * ((resolution_bins.centres() - 3.0) / 0.2) ** 2).astype(np.float32)

    def model(inputs, training=False):
        return np.broadcast_to(logits, inputs[0].shape[:4] + (resolution_bins.N_BINS,))

    found = width_calibration.calibrate_local(model, items)
    assert found["spread"] == pytest.approx(0.5, rel=0.08) and found["maps"] == 2
    assert found["no_background"]["spread"] == pytest.approx(2.0, rel=0.08)
    widths = np.full(2, 0.2, np.float32)
    for item, factor in zip(items, (2.0, 0.5)):
        source = network_inputs.noise_source(item.summary["single"])
        assert map_corrections.calibrated_spread(widths, found, source) == pytest.approx(
            0.2 * factor, rel=0.08
        )
    monkeypatch.setattr(width_calibration, "LEAST_MAPS", 3)
    together = width_calibration.calibrate_local(model, items)
    assert "no_background" not in together and together["maps"] == 4


def test_intervals_are_calibrated_as_plus_and_minus_in_angstroms(one_map_is_enough):
    """What is written is resolution and half-width in A: wide errors on the log scale must be covered to 68 % as such."""
    rng = np.random.default_rng(5)
    item = make_item(0, (20, 20, 20), voxel=1.5)
    inside = item.truth > 0
    item.truth[inside] = 1.5 * 2.0 ** rng.normal(3.0, 0.8, inside.sum())
    logits = (-0.5 * ((resolution_bins.centres() - 3.0) / 0.4) ** 2).astype(np.float32)

    def model(inputs, training=False):
        return np.broadcast_to(logits, inputs[0].shape[:4] + (resolution_bins.N_BINS,))

    found = width_calibration.calibrate_local(model, [item])
    p = np.exp(logits) / np.exp(logits).sum()
    low, middle, high = (float(resolution_bins.quantile(p[None], q)[0]) for q in (0.16, 0.5, 0.84))
    spread = found["spread"] * (high - low) / 2
    half_width = 1.5 * (2.0 ** (middle + spread) - 2.0 ** (middle - spread)) / 2  # as ``inference`` writes it
    hits = np.abs(item.truth[inside] - 1.5 * 2.0**middle) <= half_width
    assert hits.mean() == pytest.approx(0.683, abs=0.002)


def test_narrow_and_wide_intervals_get_factors_of_their_own(one_map_is_enough):
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
        padded = np.zeros((1,) + inputs[0].shape[1:4] + (resolution_bins.N_BINS,), np.float32)
        padded[0, : logits.shape[0], : logits.shape[1], : logits.shape[2]] = logits
        return padded

    found = width_calibration.calibrate_local(model, [item])
    widths = np.array([0.1, 0.4])
    assert map_corrections.calibrated_spread(widths, found) == pytest.approx([0.3, 0.2], rel=0.15)
    assert map_corrections.calibrated_spread(widths, {"spread": 2.0}) == pytest.approx([0.2, 0.8])
