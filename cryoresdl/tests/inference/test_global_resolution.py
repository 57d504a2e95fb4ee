"""The class of a map, its estimate, and claims on maps that hold less than they seem to."""

import dataclasses
import json

import numpy as np
import pytest

from cryoresdl.models.base.errors import InputError
from cryoresdl.models.inference import global_resolution, local_resolution
from cryoresdl.models.inference.bands import band_estimates
from cryoresdl.models.maps.fsc import fourier_shells
from cryoresdl.models.networks import network_runners
from cryoresdl.tests.helpers.local_case import (
    PROFILE_LENGTH,
    SHAPE,
    VOXEL,
    density,
    low_passed,
    shipped,
)
from cryoresdl.tests.helpers.small_maps import (
    save_global_model,
)

pytestmark = pytest.mark.usefixtures("without_tensorflow")


def test_classification_has_the_contract_s_keys(result, simulated, models):
    entry = global_resolution.classify(density(simulated.map), simulated.mask, 5.0, models["global"], result)
    for key in "map voxel_size_A class probabilities resolution_A interval_A in_distribution warnings claim model".split():
        assert key in entry
    assert set(entry["probabilities"]) == {"high", "medium", "low"}
    assert sum(entry["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert entry["class"] == max(entry["probabilities"], key=entry["probabilities"].get)
    low, high = entry["interval_A"]
    assert 2 * VOXEL <= low <= entry["resolution_A"] <= high
    assert {"claimed_A", "verdict", "reasons"} <= set(entry["claim"])
    assert entry["claim"]["claimed_A"] == 5.0
    assert entry["claim"]["verdict"] in ("supported", "optimistic", "pessimistic", "cannot tell")
    json.dumps(entry)
    assert (
        global_resolution.classify(density(simulated.map), simulated.mask, None, models["global"], result)[
            "claim"
        ]
        is None
    )


def test_a_map_unlike_the_training_maps_is_flagged(result, simulated, tmp_path):
    calibration = {"spread": 1.0, "temperature": 1.0, "distance_limit": 0.01}
    strict = save_global_model(tmp_path / "strict.cryoresdl", PROFILE_LENGTH, calibration=calibration)
    entry = global_resolution.classify(density(simulated.map), simulated.mask, 5.0, strict, result)
    assert not entry["in_distribution"]
    assert any("unlike every training map" in w for w in entry["warnings"])


@pytest.mark.parametrize("claimed", [0, -3.0, float("nan"), "three"])
def test_a_claim_must_be_a_positive_number(claimed, result, simulated, models):
    with pytest.raises(InputError, match="claimed resolution"):
        global_resolution.classify(density(simulated.map), simulated.mask, claimed, models["global"], result)


def test_models_of_the_other_kind_or_none(simulated, models):
    with pytest.raises(InputError, match="choose one for local resolution"):
        local_resolution.localres(density(simulated.map), mask=simulated.mask, model=models["global"])
    with pytest.raises(InputError, match="choose one for whole maps"):
        global_resolution.classify(density(simulated.map), simulated.mask, model=models["local"])
    with pytest.raises(InputError):
        network_runners.load_model("no such model", "local")


def test_the_shipped_global_model_knows_the_class(simulated):
    path = shipped("default")
    local = local_resolution.localres(density(simulated.map), mask=simulated.mask, model=shipped("truth"))
    entry = global_resolution.classify(density(simulated.map), simulated.mask, None, path, local)
    target = simulated.info["global_fsc0143_A"]
    assert 0.6 * target < entry["resolution_A"] < 1.6 * target


def test_a_low_passed_map_resolves_nothing_finer(simulated, models):
    filtered = density(low_passed(simulated.map, 9.0))
    found = local_resolution.localres(filtered, mask=simulated.mask)
    assert np.median(found.resolution[simulated.mask]) >= 9.0 / band_estimates.FILTER_MARGIN * 0.95
    entry = global_resolution.classify(filtered, mask=simulated.mask)
    assert entry["class"] != "high" and entry["resolution_A"] >= 9.0 / band_estimates.FILTER_MARGIN * 0.95


def test_a_global_answer_finer_than_the_filter_is_held_at_its_edge(result):
    """The local network may see the filter where the global one does not."""
    edge = 9.0
    local = dataclasses.replace(result, info={**result.info, "filter_edge_A": edge, "filtered_to_A": None})
    assert global_resolution._finest_shown(local, 4.0, 2.0) == edge
    assert global_resolution._finest_shown(local, edge / 1.05, 2.0) == 2.0
    assert global_resolution._finest_shown(result, 4.0, 2.0) == 2.0


def test_a_claim_at_the_filters_edge_is_neither_too_good_nor_too_coarse():
    """The estimate held at the edge used to be the upper end of its own interval, too."""
    estimate, (low, high) = global_resolution._bounded(2.4, (2.2, 2.7), 3.0, 1.0)
    assert estimate == 3.0 and low < 2.9 and high > 3.1
    assert global_resolution._bounded(2.4, (2.2, 2.7), 2.0, 1.0) == (2.4, [2.2, 2.7])
    assert global_resolution._bounded(3.4, (3.2, 3.7), 3.0, 1.0) == (3.4, [3.2, 3.7])


@pytest.mark.parametrize("b_factor, lost", [(-60.0, False), (-250.0, True)])
def test_a_map_drowned_by_sharpening_is_not_judged(simulated, models, b_factor, lost):
    f = fourier_shells.frequency_grid(SHAPE)
    data = np.fft.irfftn(np.fft.rfftn(simulated.map) * np.exp(-0.25 * b_factor * f**2), SHAPE)
    entry = global_resolution.classify(density(data), simulated.mask, 5.0, models["global"])
    assert any("lost in rounding" in warning for warning in entry["warnings"]) == lost
    if lost:
        assert not entry["in_distribution"] and entry["claim"]["verdict"] == "cannot tell"


@pytest.mark.parametrize("masked", [True, False])
def test_pure_noise_is_flagged_and_no_claim_on_it_is_judged(simulated, masked):
    noise = density(np.random.default_rng(5).normal(size=SHAPE).astype(np.float32))
    entry = global_resolution.classify(noise, mask=simulated.mask if masked else None, claimed=4.0)
    assert not entry["in_distribution"] and entry["claim"]["verdict"] == "cannot tell"
    assert any("hardly stronger" in warning for warning in entry["warnings"])
