"""What half maps add to the answers about a map, and half maps that cannot be of it."""

import numpy as np
import pytest

from cryoresdl.models.base import resolution_terms
from cryoresdl.models.base.errors import InputError
from cryoresdl.models.features import network_inputs
from cryoresdl.models.inference import global_resolution, input_doubts, local_resolution
from cryoresdl.models.maps.fsc import fourier_shells
from cryoresdl.models.networks import band_networks
from cryoresdl.tests.helpers.local_case import PROFILE_LENGTH, SHAPE, VOXEL, check_conventions, density
from cryoresdl.tests.helpers.small_maps import (
    cutoff_in_mask,
    random_global_weights,
    save_local_model,
)

pytestmark = pytest.mark.usefixtures("without_tensorflow")


def test_half_maps_tell_their_fsc(simulated, models):
    one, two = density(simulated.half1), density(simulated.half2)
    found = local_resolution.localres(density(simulated.map), one, two, simulated.mask, models["local"])
    whole = cutoff_in_mask(simulated.half1, simulated.half2, simulated.mask, VOXEL)
    # Measured on the mask's region, whose shells differ a little from the whole box's.
    assert found.info["half_map_fsc0143_A"] == pytest.approx(whole, rel=0.12)
    size = network_inputs.summary_length()
    assert found.profile[size + 8] == 1.0
    assert found.profile[size + 9] == pytest.approx(
        np.log2(found.info["half_map_fsc0143_A"] / VOXEL) - 2, abs=1e-3
    )
    entry = global_resolution.classify(
        density(simulated.map), simulated.mask, 6.0, models["global"], half1=one, half2=two
    )
    assert any("FSC of the half maps" in reason for reason in entry["claim"]["reasons"])


def test_half_maps_have_a_calibration_of_their_own(simulated, models, tmp_path):
    factors = {"spread": 1.0, "half_maps": {"spread": 3.0}}
    own = save_local_model(tmp_path / "own.cryoresdl", calibration=factors)
    one, two = density(simulated.half1), density(simulated.half2)
    inside = simulated.mask
    spreads = {}
    for name, model in (("plain", models["local"]), ("own", own)):
        for count, given in ((1, ()), (2, (one, two))):
            found = local_resolution.localres(density(simulated.map), *given, mask=inside, model=model)
            spreads[name, count] = np.arcsinh(found.halfwidth[inside] / found.resolution[inside])
    assert np.allclose(spreads["own", 1], spreads["plain", 1], rtol=1e-4)
    assert np.allclose(spreads["own", 2], 3 * spreads["plain", 2], rtol=1e-4)


def test_half_maps_are_used(result, simulated, models):
    halves = [density(h) for h in (simulated.half1, simulated.half2)]
    found = local_resolution.localres(
        density(simulated.map), *halves, mask=simulated.mask, model=models["local"]
    )
    check_conventions(found, simulated.mask, VOXEL)
    assert found.info["half_maps"] and found.info["noise_from"] == "half maps"
    assert not np.array_equal(found.resolution, result.resolution)
    # They stand for the map: what was done to it does not matter.
    other = local_resolution.localres(
        density(simulated.map**3), *halves, mask=simulated.mask, model=models["local"]
    )
    assert np.array_equal(other.resolution, found.resolution)


def test_bad_half_maps(simulated, models):
    whole, one, two = (density(v) for v in (simulated.map, simulated.half1, simulated.half2))
    other_box = density(simulated.half2[:40])
    other_voxel = density(simulated.half2, 3.0)
    for halves, words in (
        ((one, None), "come in pairs"),
        ((None, two), "come in pairs"),
        ((one, one), "identical"),
        ((one, other_box), "same reconstruction"),
        ((one, other_voxel), "voxels of 3.000 A"),
    ):
        with pytest.raises(InputError, match=words):
            local_resolution.localres(whole, *halves, mask=simulated.mask, model=models["local"])


def test_half_maps_of_another_map_are_noticed(simulated, models):
    halves = density(simulated.half1), density(simulated.half2)
    own = local_resolution.localres(
        density(simulated.map), *halves, mask=simulated.mask, model=models["local"]
    )
    assert own.info["half_maps_likeness"] > 0.9
    assert not any("mean of the half maps" in text for text in own.info["warnings"])
    noise = np.random.default_rng(6).normal(size=SHAPE)
    turned = np.rot90(simulated.map, axes=(0, 1))
    for other in (noise, turned, simulated.half1[::-1]):
        found = local_resolution.localres(density(other), *halves, mask=simulated.mask, model=models["local"])
        assert any("mean of the half maps" in text for text in found.info["problems"])
    blurred = np.fft.irfftn(np.fft.rfftn(simulated.map) * (fourier_shells.frequency_grid(SHAPE) < 0.2), SHAPE)
    found = local_resolution.localres(density(blurred), *halves, mask=simulated.mask, model=models["local"])
    assert found.info["half_maps_likeness"] > 0.9


def test_what_half_maps_measure_lies_where_it_is_looked_for():
    summary, cells = np.zeros(network_inputs.summary_length()), np.ones(2)
    alone = network_inputs.global_profile(summary, cells, cells)
    measured = network_inputs.global_profile(summary, cells, cells, (8.0, 16.0))
    assert alone[network_inputs.MEASURED_INPUTS].tolist() == [0.0, 0.0]
    assert measured[network_inputs.MEASURED_INPUTS].tolist() == [1.0, 1.0]
    assert [network_inputs.measured_at(measured[None], one)[0] for one in ("0.143", "0.5")] == [3.0, 4.0]
    places = [*range(alone.size)[network_inputs.MEASURED_INPUTS], alone.size - 1]
    assert np.flatnonzero(alone != measured).tolist() == places


def test_half_maps_have_the_last_word_unless_the_map_contradicts_them():
    network, inputs = band_networks.global_network(PROFILE_LENGTH, (16, 8)), PROFILE_LENGTH
    weights = random_global_weights(inputs)
    rows = np.zeros((4, inputs))
    # The network is blind to what half maps measure here, so that its own answer stays.
    weights["dense0/kernel"][network_inputs.MEASURED_INPUTS] = 0
    own = global_resolution.global_answers(network, weights, rows, np.full(4, 1.5), {}).own[0]
    rows[1:, network_inputs.MEASURED_INPUTS.start] = 1
    rows[1:, network_inputs.MEASURED_INPUTS.start + 1] = own - 2 + np.array([0.1, -0.25, 0.5])
    told = global_resolution.global_answers(network, weights, rows, np.full(4, 1.5), {"doubt": 0.1})
    assert told.own == pytest.approx(np.full(4, own), abs=1e-5)
    assert told.middle - own == pytest.approx([0.0, 0.1, -0.25, 0.0], abs=1e-5)
    assert told.high - told.middle == pytest.approx(np.full(4, told.high[0] - own), abs=1e-5)
    assert told.probabilities.sum(1) == pytest.approx(np.ones(4), abs=1e-5)
    measured = resolution_terms.global_class_of(2.0 ** told.middle[1:3] * 1.5)
    assert (told.probabilities[[1, 2], measured] >= 0.9).all()
    assert told.probabilities[3] == pytest.approx(told.probabilities[0], abs=1e-5)
    assert told.contradicted.tolist() == [False, False, False, True]


def test_contradicting_half_maps_are_named():
    said = input_doubts._contradiction(2.9, 4.0)
    assert "2.9 A" in said and "4.0 A" in said and "mask" in said


def test_half_maps_that_share_their_noise_are_found():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(3, 40, 40, 40)).astype(np.float32)
    mask = np.zeros((40, 40, 40), bool)
    mask[12:28, 12:28, 12:28] = True
    signal = np.where(mask, 50.0, 0.0).astype(np.float32)
    assert abs(fourier_shells.background_correlation(signal + noise[0], signal + noise[1], mask)) < 0.05
    shared = signal + noise[0] * 0.9 + noise[1] * 0.1
    assert fourier_shells.background_correlation(signal + noise[0], shared, mask) > 0.9
    # Ice is in both half maps and varies slowly.
    ice = 3 * np.sin(np.linspace(0, 6, 40, dtype=np.float32))[:, None, None]
    assert abs(fourier_shells.background_correlation(noise[0] + ice, noise[1] + ice, mask)) < 0.2
    assert (
        fourier_shells.background_correlation((signal + noise[0]) * mask, (signal + noise[1]) * mask, mask)
        is None
    )
    assert fourier_shells.background_correlation(noise[0], noise[1], np.ones_like(mask)) is None


def test_suspect_inputs_make_the_verdict_cannot_tell(models, simulated):
    mask = np.ones((8, 8, 8), bool)
    found = input_doubts._suspect_inputs(mask, 0.97, 0.99)
    assert len(found) == 2 and "100 %" in found[0] and "0.97" in found[1] and "independent" in found[1]
    mask[:4] = False
    assert input_doubts._suspect_inputs(mask, 0.1, 1.0) == []
    assert input_doubts._suspect_inputs(mask, None, None) == []
    shared = 0.95 * simulated.half1 + 0.05 * simulated.half2
    first, second = density(simulated.half1), density(shared)
    entry = global_resolution.classify(
        first, mask=simulated.mask, claimed=6.0, model=models["global"], half1=first, half2=second
    )
    assert entry["claim"]["verdict"] == "cannot tell" and not entry["in_distribution"]
    assert sum("alike outside" in warning for warning in entry["warnings"]) == 1
