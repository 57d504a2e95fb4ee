"""A claim may mean FSC 0.143 or FSC 0.5: the model answers for both, and the verdict says which."""

import json

import numpy as np
import pytest

from cryoresdl.models.base.errors import InputError
from cryoresdl.models.cli import main
from cryoresdl.models.features import network_inputs
from cryoresdl.models.inference import claim_verdict, global_resolution, local_resolution
from cryoresdl.models.maps.density_map import DensityMap
from cryoresdl.models.maps.mrc.mrc_writer import write_volume
from cryoresdl.models.networks import band_networks, network_runners
from cryoresdl.tests.helpers.small_maps import random_global_weights, save_global_model, save_local_model

PROFILE = network_inputs.global_profile(
    np.zeros(network_inputs.summary_length()), np.ones(2), np.ones(2)
).size
BOTH = ("0.143", "0.5")


def density():
    noise = np.random.default_rng(0).normal(size=(24, 24, 24)).astype(np.float32)
    noise[8:16, 8:16, 8:16] += 3
    return DensityMap(noise, 1.5, path="emd_1024.map")


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    model = save_local_model(tmp_path_factory.mktemp("models") / "local.cryoresdl")
    mask = np.zeros((24, 24, 24), bool)
    mask[7:17, 7:17, 7:17] = True
    found = local_resolution.localres(density(), mask=mask, model=model)
    found.info["model"]["name"] = "truth"  # so that it is taken for the default one
    return found


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return str(save_global_model(folder / "both.cryoresdl", PROFILE, criteria=BOTH))


def test_each_criterion_has_a_distribution_and_factors_of_its_own():
    network = band_networks.global_network(PROFILE, (16, 8), criteria=BOTH)
    weights = random_global_weights(PROFILE, outputs=2)
    rows = np.random.default_rng(1).normal(size=(3, PROFILE))
    first, half = (network_runners.profile_distribution(network, weights, rows, 1.0, one) for one in BOTH)
    assert first.shape == half.shape and np.abs(first - half).max() > 1e-3
    assert half.sum(1) == pytest.approx(np.ones(3), abs=1e-5)
    size = np.full(3, 1.5)
    calibration = {"spread": 1.0, "criteria": {"0.5": {"spread": 2.0}}}
    narrow, wide = (
        global_resolution.global_answers(network, weights, rows, size, one, "0.5")
        for one in ({"spread": 1.0}, calibration)
    )
    assert wide.high - wide.middle == pytest.approx(2 * (narrow.high - narrow.middle), rel=1e-4)


def test_with_half_maps_each_criterion_has_its_own_crossing():
    network = band_networks.global_network(PROFILE, (16, 8), criteria=BOTH)
    weights = random_global_weights(PROFILE, outputs=2)
    rows = np.zeros((1, PROFILE))
    weights["dense0/kernel"][[*range(PROFILE)[network_inputs.MEASURED_INPUTS], PROFILE - 1]] = 0
    own = [
        global_resolution.global_answers(network, weights, rows, np.ones(1), {}, one).own[0] for one in BOTH
    ]
    rows[0, network_inputs.MEASURED_INPUTS] = (1.0, own[0] - 2.0 + 0.1)
    rows[0, -1] = own[1] - 2.0 + 0.2
    told = [global_resolution.global_answers(network, weights, rows, np.ones(1), {}, one) for one in BOTH]
    assert [one.middle[0] for one in told] == pytest.approx([own[0] + 0.1, own[1] + 0.2], abs=1e-5)


def test_the_answer_of_a_network_for_one_criterion_is_converted_to_the_other():
    network, weights = band_networks.global_network(PROFILE, (16, 8)), random_global_weights(PROFILE)
    rows = np.zeros((2, PROFILE))
    weights["dense0/kernel"][[*range(PROFILE)[network_inputs.MEASURED_INPUTS], PROFILE - 1]] = 0
    own = global_resolution.global_answers(network, weights, rows, np.ones(2), {}).own[0]
    rows[1, network_inputs.MEASURED_INPUTS] = (1.0, own - 2.0)
    rows[1, -1] = own - 2.0 + 0.9
    first, half = (
        global_resolution.global_answers(network, weights, rows, np.ones(2), {}, one) for one in BOTH
    )
    low, middle, high = np.log2(global_resolution.HALF_OVER_FIRST)
    assert half.middle - first.middle == pytest.approx([middle, 0.9], abs=1e-5)
    for arm, more in (("low", middle - low), ("high", high - middle)):
        wider = np.abs(getattr(half, arm) - half.middle) - np.abs(getattr(first, arm) - first.middle)
        assert wider == pytest.approx([more, 0.0], abs=1e-5)
    with pytest.raises(InputError, match=r"answers for FSC 0\.143 only"):
        network_runners.profile_distribution(network, weights, rows, 1.0, "0.5")


def test_the_entry_holds_both_and_the_claim_is_judged_by_the_one_asked_for(local, model):
    told = {
        one: global_resolution.classify(density(), None, 20.0, model, local, criterion=one) for one in BOTH
    }
    for one, entry in told.items():
        assert entry["criterion"] == one and set(entry["by_criterion"]) == set(BOTH)
        assert entry["resolution_A"] == entry["by_criterion"][one]["resolution_A"]
        assert entry["claim"]["criterion"] == one
        assert entry["claim"]["estimate_A"] == pytest.approx(entry["resolution_A"], abs=1e-3)
    assert told["0.143"]["by_criterion"] == told["0.5"]["by_criterion"]
    assert told["0.143"]["in_distribution"] == told["0.5"]["in_distribution"]
    # The name says that it is an old entry: one asks what the claim means, unless that was said.
    assert "EMD-1024 is from before about 2013" in " ".join(told["0.143"]["claim"]["reasons"])
    assert "2013" not in " ".join(told["0.5"]["claim"]["reasons"])


@pytest.mark.parametrize(
    ("first", "half", "path", "said"),
    [
        ("supported", "pessimistic", "map.mrc", ""),
        ("pessimistic", "supported", "map.mrc", "If the claim means FSC 0.5"),
        ("pessimistic", "cannot tell", "map.mrc", ""),
        ("supported", "supported", "emd_11638.map", ""),
        ("supported", "supported", "x/EMD-1186.map.gz", "EMD-1186 is from before"),
        ("supported", "supported", "emd_5168.map", "EMD-5168 is from before"),
        ("supported", "supported", "emd_10220.map", ""),
        ("supported", "supported", None, ""),
    ],
)
def test_one_asks_what_a_claim_means_where_it_matters(first, half, path, said):
    found = claim_verdict.other_meaning({"verdict": first}, {"verdict": half, "estimate_A": 12.0}, path)
    assert bool(found) == bool(said) and said in " ".join(found)


def test_the_command_line_asks_by_criterion(model, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CRYORESDL_BACKEND", "numpy")
    write_volume(tmp_path / "map.mrc", density().data, density())
    words = ["classify", str(tmp_path / "map.mrc"), "--model", model, "--claimed", "20"]
    assert main([*words, "--criterion", "0.5", "--out", str(tmp_path / "out")]) == 0
    entry = json.loads((tmp_path / "out" / "classification.json").read_text())[0]
    assert entry["criterion"] == "0.5" and "by FSC 0.5" in capsys.readouterr().out
    assert main([*words, "--criterion", "0.3", "--out", str(tmp_path / "other")]) == 2
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("asked", [["--criterion", "0.5"], ["--claimed", "9"]])
def test_what_needs_an_answer_for_the_whole_map_is_refused_without_one(asked, tmp_path, capsys):
    write_volume(tmp_path / "map.mrc", density().data, density())
    words = ["validate", str(tmp_path / "map.mrc"), "--networks", "local", *asked]
    assert main([*words, "--out", str(tmp_path / "out")]) == 2
    assert "leave out --networks local" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
