"""Contradictions between answers, and inputs that do not fit together: named, and no claim is judged."""

import numpy as np
import pytest

from cryoresdl.models.inference import global_resolution, input_doubts, local_resolution
from cryoresdl.models.inference.claim_verdict import verdict
from cryoresdl.models.maps.density_map import DensityMap
from cryoresdl.models.maps.mrc import mrc_reader
from cryoresdl.tests.helpers.places import sample

SHARES = {"high": 0.2, "medium": 0.3, "low": 0.5}


def local(first, third, width):
    return {"quartiles_A": [first, third], "interval_median_A": width}


@pytest.mark.parametrize(
    "estimate, interval, quartiles, width, words",
    [
        (4.95, (3.9, 6.4), (9.4, 10.6), 1.9, ["contradict each other"]),
        (12.0, (10.0, 14.0), (4.0, 5.0), 0.6, ["contradict each other"]),
        (4.95, (3.9, 6.4), (5.5, 7.0), 0.6, []),
        (4.95, (3.9, 6.4), (7.0, 8.0), 0.7, []),
        (61.7, (26.4, 70.0), (29.4, 34.6), 9.6, ["end of its own"]),
        (47.4, (20.7, 51.0), (26.6, 29.0), 6.3, ["end of its own"]),
        (21.0, (20.7, 51.0), (26.6, 29.0), 6.3, ["end of its own"]),
        (2.4, (2.2, 3.3), (2.9, 3.0), 0.4, []),
    ],
)
def test_contradictions_beyond_the_intervals(estimate, interval, quartiles, width, words):
    found = input_doubts._disagreement(estimate, interval, local(*quartiles, width))
    found += input_doubts._at_its_end(estimate, interval)
    assert len(found) == len(words) and all(word in text for word, text in zip(words, found))
    assert input_doubts._disagreement(estimate, interval, {}) == []


@pytest.mark.parametrize("low, high", [(17.0, 49.0), (20.7, 50.95)])
def test_an_interval_of_a_factor_of_six_supports_nothing(low, high):
    told = verdict(29.0, (low * high) ** 0.5, (low, high), SHARES, True, 7.6)
    assert told["verdict"] == "cannot tell" and "too uncertain" in told["reasons"][0]


def test_the_verdict_says_when_the_estimate_is_the_half_maps_fsc():
    summary = {"median_A": 4.0, "quartiles_A": [3.8, 4.2], "half_map_fsc0143_A": 3.7}
    told = verdict(3.7, 3.7, (3.5, 3.9), SHARES, True, 2.5, summary, measured=True)
    assert any(
        "half maps' FSC, corrected for mask and solvent" in text and "3.70 A" in text
        for text in told["reasons"]
    )
    assert sum("0.143" in text for text in told["reasons"]) == 1
    alone = verdict(3.7, 3.7, (3.5, 3.9), SHARES, True, 2.5, {**summary, "half_map_fsc0143_A": None})
    assert not any("half maps" in text for text in alone["reasons"])


@pytest.fixture(scope="module")
def case():
    density = mrc_reader.read(sample("map"))
    mask = mrc_reader.read_values(sample("mask")).data > 0.5
    return density, mask


def asked(density, mask, **options):
    copy = DensityMap(density.data, density.voxel_size, doubts=list(options.pop("doubts", [])))
    return global_resolution.classify(copy, mask, claimed=3.2, **options)


def test_a_doubted_file_is_not_judged(case):
    assert asked(*case)["claim"]["verdict"] != "cannot tell"
    entry = asked(*case, doubts=["The map is of a crystal."])
    assert entry["claim"]["verdict"] == "cannot tell" and not entry["in_distribution"]
    assert entry["warnings"].count("The map is of a crystal.") == 1


@pytest.mark.parametrize("shift, verdict_given", [(40, "cannot tell"), (0, "supported")])
def test_a_mask_that_misses_most_of_the_signal(case, shift, verdict_given):
    density, mask = case
    entry = asked(density, np.roll(mask, (shift, shift), (0, 1)))
    assert entry["claim"]["verdict"] == verdict_given
    assert any("stands out" in text for text in entry["warnings"]) == bool(shift)


def test_a_mask_that_cuts_part_of_the_molecule_is_named(case):
    density, mask = case
    cut = mask.copy()
    cut[:48] = False
    info = local_resolution.localres(density, mask=cut).info
    assert any("not about the rest" in text for text in info["warnings"]) and info["problems"] == []


def test_reasons_come_from_the_chosen_local_model(case):
    density, mask = case
    chosen = local_resolution.localres(density, mask=mask, model="monores")
    entry = asked(density, mask, local=chosen)
    median = f"{chosen.info['median_A']:.1f} A, model monores"
    assert any(median in text for text in entry["claim"]["reasons"])
    default = asked(density, mask)
    assert entry["resolution_A"] == default["resolution_A"]
    assert all("model" not in text for text in default["claim"]["reasons"])


def test_values_held_at_the_coarsest_are_named(case, monkeypatch):
    density, mask = case
    monkeypatch.setattr("cryoresdl.models.base.resolution_terms.COARSEST_A", 3.5)
    found = local_resolution.localres(density, mask=mask)
    held = int((found.resolution == np.float32(3.5)).sum())
    assert held and any(f"{held} voxels came out coarser" in text for text in found.info["warnings"])


def test_an_estimate_moved_to_a_filters_edge_still_contradicts_the_local_answer(shared):
    """EMD-5168: the network says 4.9 A, its spectrum ends at 7.3 A, and the local resolution is 10 A."""
    density = mrc_reader.read(shared / "real_maps" / "emd_5168.map.gz")
    entry = global_resolution.classify(density, claimed=6.6)
    assert entry["claim"]["verdict"] == "cannot tell" and not entry["in_distribution"]
    assert any("contradict each other" in text for text in entry["warnings"])
    assert any("low-pass filter" in text for text in entry["warnings"])
