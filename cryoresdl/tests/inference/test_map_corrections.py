"""Corrections of the local network: factors on widths, and shift, tilt and width of every map by its profile."""

from dataclasses import replace

import h5py
import numpy as np
import pytest

from cryoresdl.models.base.errors import InputError
from cryoresdl.models.datasets.feature_sets import feature_set_file
from cryoresdl.models.features import band_energies, network_inputs
from cryoresdl.models.inference import local_resolution
from cryoresdl.models.inference.bands import map_corrections
from cryoresdl.models.maps.density_map import DensityMap
from cryoresdl.models.networks.model_files import model_archive, model_store
from cryoresdl.models.training import held_out_answers, local_network
from cryoresdl.models.training.calibration import correction_networks, width_calibration
from cryoresdl.models.training.calibration.correction_networks import Residuals
from cryoresdl.tests.helpers.small_maps import make_item, save_local_model, write_items

LEVEL = np.zeros(band_energies.N_BANDS, np.float32)
"""Noise that is the same near the molecule and far from it."""


def summary_of(source, seed=0):
    """A summary whose noise comes from there."""
    summary = np.random.default_rng(seed).normal(0, 0.3, network_inputs.summary_length()).astype(np.float32)
    summary[network_inputs.HALF_MAPS_FLAG] = source == network_inputs.HALF_MAPS
    summary[network_inputs.NOISE_FLAG] = source != network_inputs.NO_BACKGROUND
    return summary


def test_a_model_without_the_network_answers_as_it_is():
    known = map_corrections.Corrections({"spread": 2.0})
    u, s = np.array([1.0, 2.0], np.float32), np.array([0.1, 0.2], np.float32)
    median, spread = map_corrections.corrected(known, summary_of(network_inputs.BACKGROUND), LEVEL, u, s)
    assert np.array_equal(median, u) and spread == pytest.approx(2 * s)


def test_the_profile_is_read_around_the_answer():
    """A profile that is the frequency in octaves reads, at every octave from the answer, minus the answer less that."""
    summary = summary_of(network_inputs.BACKGROUND)
    summary[: band_energies.N_BANDS] = np.log2(band_energies.BAND_CENTRES)
    for middle in (2.2, 3.0):
        median = np.full(5, middle, np.float32)
        row = network_inputs.map_inputs(summary, LEVEL, median, np.full(5, 0.1, np.float32))
        near = row[: -band_energies.N_BANDS][
            -network_inputs.RATIO_BLOCKS * network_inputs.NEAR_OCTAVES.size :
        ][: network_inputs.NEAR_OCTAVES.size]
        expected = np.clip(
            -(middle + network_inputs.NEAR_OCTAVES), *np.log2(band_energies.BAND_CENTRES)[[0, -1]]
        )
        assert near == pytest.approx(expected, abs=1e-5)


def test_slopes_of_the_spectrum_do_not_enter():
    """Sharpening changes them and must not move an answer."""
    summary = summary_of(network_inputs.BACKGROUND)
    u, s = np.array([2.0, 3.0]), np.array([0.1, 0.2])
    first = network_inputs.map_inputs(summary, LEVEL, u, s)
    slopes = slice(
        network_inputs.RATIO_BLOCKS * band_energies.N_BANDS,
        network_inputs.SUMMARY_BLOCKS * band_energies.N_BANDS,
    )
    summary[slopes] += 1.0
    assert np.array_equal(network_inputs.map_inputs(summary, LEVEL, u, s), first)
    summary[0] += 1.0
    assert not np.array_equal(network_inputs.map_inputs(summary, LEVEL, u, s), first)


def test_noise_that_rises_towards_the_molecule_is_an_input():
    summary = summary_of(network_inputs.BACKGROUND)
    u, s = np.array([2.0, 3.0]), np.array([0.1, 0.2])
    flat, rising = (network_inputs.map_inputs(summary, LEVEL + rise, u, s) for rise in (0.0, 0.5))
    assert np.flatnonzero(flat != rising).size == band_energies.N_BANDS


def constant_networks(*answers):
    """Arrays and configurations of two networks that always answer that: shift, tilt and log factor."""
    inputs = network_inputs.map_inputs(
        summary_of(network_inputs.BACKGROUND), LEVEL, np.ones(2), np.ones(2)
    ).size
    config, arrays, start = {}, {}, 0
    for name, count in map_corrections.OUTPUTS.items():
        config[name] = {"widths": [], "inputs": inputs, "bins": count, "members": 1}
        layer = {
            "input/mean": np.zeros(inputs),
            "input/scale": np.ones(inputs),
            "logits/kernel": np.zeros((inputs, count)),
            "logits/bias": np.asarray(answers[start : start + count], float),
        }
        arrays.update({f"{name}/{key}": value.astype(np.float32) for key, value in layer.items()})
        start += count
    return config, arrays


@pytest.mark.parametrize(
    ("source", "outputs", "answers", "factor"),
    [
        (
            "background",
            (0.5, 0.2, 0.3),
            (2.4, 3.6),
            1.1 * np.exp(0.3),
        ),  # 2 and 3: half an octave off their mean
        ("half_maps", (0.0, 0.0, 0.3), (2.0, 3.0), 7.0 * np.exp(0.3)),
        ("no_background", (-1.5, 0.0, 9.0), (1.0, 2.0), 4.0),  # within limits; never beyond Nyquist
    ],
)
def test_a_map_is_shifted_tilted_and_widened(source, outputs, answers, factor):
    config, arrays = constant_networks(*outputs)
    entry = {"config": config, "factors": {"background": 1.1, "half_maps": 7.0}, "maps": 5}
    known = map_corrections.Corrections({"spread": 2.0, "by_map": entry}, arrays)
    u, s = np.array([2.0, 3.0], np.float32), np.array([0.1, 0.3], np.float32)
    median, spread = map_corrections.corrected(known, summary_of(source), LEVEL, u, s)
    assert median == pytest.approx(answers, abs=1e-5)
    assert spread == pytest.approx(2 * factor * s, rel=1e-5)


def test_corrections_for_other_numbers_are_refused():
    config, arrays = constant_networks(0.0, 0.0, 0.0)
    config["shift"]["inputs"] -= 1
    known = map_corrections.Corrections({"by_map": {"config": config, "factors": {}}}, arrays)
    u = np.array([2.0, 3.0], np.float32)
    with pytest.raises(InputError, match="calibrate it again"):
        map_corrections.corrected(known, summary_of(network_inputs.BACKGROUND), LEVEL, u, u)


def residuals_of(kind, rng, count=60):
    """Maps whose first input tells their kind: of kind 1 the answers are 0.4 octaves too fine, and half as scattered."""
    rows = rng.normal(0, 0.3, (kind.size, 6)).astype(np.float32)
    rows[:, 0] = kind
    middle = rng.uniform(2.0, 3.0, (kind.size, count))
    scatter = np.where(kind == 1, 0.1, 0.2)[:, None]
    truth = middle + 0.4 * kind[:, None] + rng.normal(0, scatter, middle.shape)
    cells = np.stack([truth, middle, np.full(middle.shape, 0.2)], 1).astype(np.float32)
    sources = np.where(np.arange(kind.size) % 50, "background", "half_maps")
    return Residuals(rows, cells, sources, np.arange(kind.size) // 2, np.full(kind.size, "realistic"))


def test_maps_are_told_apart_by_their_profile():
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 2, 400)
    recipe = correction_networks.CorrectionRecipe(
        widths=(16,), epochs=25, batch=8, rate=5e-3, noise=0.0, dropout=0.0, decay=0.0
    )
    config, arrays = correction_networks.fit_corrections(residuals_of(kind, rng), recipe, recipe, members=2)
    check = residuals_of(kind, rng)
    shift, tilt, log_factor = map_corrections.outputs(config, arrays, check.rows).T
    for number, expected in ((0, 0.0), (1, 0.4)):
        chosen = kind == number
        assert np.median(shift[chosen]) == pytest.approx(expected, abs=0.03)
        assert np.median(tilt[chosen]) == pytest.approx(0, abs=0.08)
        assert np.median(np.exp(log_factor[chosen])) == pytest.approx(0.5 if number else 1.0, rel=0.12)
    wider = replace(check, cells=check.cells * np.float32([1, 1, 0.5])[:, None])
    factors = correction_networks.scale_by_source(config, arrays, wider)
    assert set(factors) == {"all", "background"}  # fewer than LEAST_MAPS rows of the other
    assert factors["background"] == pytest.approx(2.0, rel=0.1)
    outputs = map_corrections.outputs(config, arrays, wider.rows)
    ratios = correction_networks.log_ratios(wider.cells, outputs) - outputs[:, 2:]
    assert (ratios[check.sources == "background"] <= np.log(factors["background"])).mean() == pytest.approx(
        0.683, abs=0.002
    )

    other = np.where(np.arange(kind.size) < 40, "truth", "realistic")
    easier = np.where(other[:, None, None] == "truth", np.float32([1, 1, 4])[:, None], np.float32(1))
    pooled = correction_networks.scale_by_source(
        config, arrays, replace(wider, cells=wider.cells * easier, kinds=other)
    )
    covered = [
        np.mean(ratios[chosen] - np.log(width) <= np.log(pooled["background"]))
        for chosen, width in ((other == "realistic", 1.0), (other == "truth", 4.0))
    ]
    assert np.mean(covered) == pytest.approx(0.683, abs=0.02)  # of a tenth of the maps and of the rest alike


def test_few_maps_of_another_generator_do_not_outweigh_ours():
    weights = correction_networks._map_weights(np.array(["realistic"] * 100 + ["truth"] * 8))
    assert weights[:100].sum() == pytest.approx(weights[100:].sum())
    weights = correction_networks._map_weights(np.array(["realistic"] * 100 + ["truth"] * 3))
    assert weights[0] == weights[-1]


def test_parts_of_training_maps_hold_the_middle_of_the_molecule():
    item = make_item(3, (20, 12, 16))
    part = correction_networks._central_part(item, 8)
    assert part.truth.shape == (8, 8, 8) and (part.truth > 0).all()
    for variant in feature_set_file.VARIANTS:
        level = part.local[variant][0].astype(np.float32)
        assert part.truth == pytest.approx(2.0 ** (1 + 3 * level), rel=2e-3)
    whole = correction_networks._central_part(item, 40)
    assert np.array_equal(whole.truth, item.truth)


SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory):
    """A tiny untrained model, calibrated on a set with enough training maps for a correcting network."""
    folder = tmp_path_factory.mktemp("corrections")
    items = {split: [make_item(k + n, split=split) for k in range(4)] for n, split in enumerate(SPLITS)}
    data, other = (write_items(folder / name, items) for name in ("set.h5", "other.h5"))
    plain = save_local_model(folder / "plain.cryoresdl", (4, 6, 8))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(correction_networks, "LEAST_TRAINING_MAPS", 4)
        for module in (width_calibration, correction_networks):
            patch.setattr(module, "LEAST_MAPS", 2)
        patch.setattr(correction_networks, "CORRECTION_MEMBERS", 2)
        for recipe in (correction_networks.SHIFT_RECIPE, correction_networks.WIDTH_RECIPE):
            patch.setattr(recipe, "epochs", 20)
        once = local_network.calibrate_again(data, str(plain), folder / "once")
        twice = local_network.calibrate_again(data, str(once), folder / "twice")
    few = local_network.calibrate_again(other, str(once), folder / "few")
    none = local_network.calibrate_again(data, str(plain), folder / "none")
    made = {"once": once, "twice": twice, "few": few, "none": none}
    return {name: model_store.load_named(path) for name, path in made.items()}


def test_calibrating_fits_the_corrections_to_enough_new_maps(calibrated):
    once, twice, none = (calibrated[name] for name in ("once", "twice", "none"))
    entry = once.card["calibration"]["by_map"]
    assert entry["maps"] == 4 and entry["factors"]["no_background"] > 0
    own = {k for k in once.weights if k.startswith(map_corrections.WEIGHTS + "/")}
    assert {"correction/shift/input/mean", "correction/width/member1-logits/bias"} <= own
    assert twice.card["calibration"]["by_map"] == entry
    assert all(np.array_equal(once.weights[k], twice.weights[k]) for k in once.weights)
    assert "by_map" not in none.card["calibration"]  # too few training maps for the default
    assert not any(k.startswith(map_corrections.WEIGHTS + "/") for k in none.weights)
    # measured as users will get it
    assert once.card["metrics"]["single_log2"] < none.card["metrics"]["single_log2"]


def test_with_few_maps_the_correcting_networks_stay_and_only_widths_are_scaled(calibrated):
    once, few = calibrated["once"], calibrated["few"]
    was, now = (m.card["calibration"] for m in (once, few))
    assert all(np.array_equal(once.weights[k], few.weights[k]) for k in once.weights)
    assert now["by_map"]["config"] == was["by_map"]["config"] and now["spread"] == was["spread"]
    assert set(now["by_map"]["factors"]) == {"all"}  # four maps are fewer than LEAST_MAPS
    assert now["by_map"]["factors"]["all"] == was["by_map"]["factors"]["all"]  # the same validation maps


def test_noiseless_maps_do_not_scale_the_widths(calibrated, tmp_path):
    once = calibrated["once"]
    network = held_out_answers.inference_model(once.weights, once.card["network"]["config"]["channels"])
    items = [make_item(k + 1, split="validation") for k in range(4)]  # as in ``calibrated``
    far_off = [make_item(k, split="validation") for k in range(5, 9)]
    for item in far_off:
        item.truth[item.truth > 0] *= 4
    found = {}
    for kind in ("realistic", feature_set_file.CLEAN):
        for item in far_off:
            item.info["kind"] = kind
        data = write_items(tmp_path / f"{kind}.h5", {"validation": items + far_off})
        known = correction_networks.calibrate_corrections(
            network, data, before=map_corrections.Corrections.of(once)
        )
        found[kind] = known.calibration["by_map"]["factors"]["all"]
    assert (
        found["realistic"]
        > found[feature_set_file.CLEAN]
        == once.card["calibration"]["by_map"]["factors"]["all"]
    )


def test_a_network_is_not_corrected_by_maps_that_it_learned_from(tmp_path):
    paths = {}
    users = {"labels": "monores"}
    given = (
        ("drawn.h5", 7, {}),
        ("new.h5", 8, {}),
        ("given.h5", -1, {}),
        ("given.h5", 7, users),
        ("own.h5", 7, users),
    )
    for name, seed, how in given:
        paths[name] = write_items(tmp_path / name, {"train": [make_item(0, **how)]})
        with h5py.File(paths[name], "a") as handle:
            handle.attrs["seed"] = seed
    card = {"data": {"seeds": [7, -1], "sets": ["renamed.h5", "given.h5"]}}
    assert feature_set_file.fresh_sets(list(paths.values()), card) == [paths["new.h5"], paths["own.h5"]]


def test_corrections_need_a_volume_per_map(tmp_path, monkeypatch):
    monkeypatch.setattr(correction_networks, "LEAST_TRAINING_MAPS", 1)
    items = [make_item(k) for k in range(2)]
    items[1].info["kind"] = feature_set_file.KNOWN
    data = write_items(tmp_path / "known.h5", {"train": items})
    with pytest.raises(InputError, match="known.h5 knows one resolution per map"):
        list(correction_networks._fresh_items([data]))
    with pytest.raises(ValueError, match="at least two"):
        correction_networks.fit_corrections(residuals_of(np.zeros(4), np.random.default_rng(0)), members=1)


def test_users_get_the_corrected_answer_and_the_global_network_the_first_one(calibrated, tmp_path):
    once, few = calibrated["once"], calibrated["none"]
    config, arrays = constant_networks(0.5, 0.0, np.log(2.0))
    entry = {"config": config, "factors": {map_corrections.ALL_SOURCES: 1.0}, "maps": 4}
    card = {**few.card, "calibration": {**few.card["calibration"], "by_map": entry}}
    arrays = {f"{map_corrections.WEIGHTS}/{name}": value for name, value in arrays.items()}
    moved = model_archive.save_model(tmp_path / "moved.cryoresdl", card, {**few.weights, **arrays})
    mask = np.zeros((24, 24, 24), bool)
    mask[6:18, 6:18, 6:18] = True
    data = np.random.default_rng(2).standard_normal(mask.shape).astype(np.float32) + 3 * mask
    before, after, learned = (
        local_resolution.localres(DensityMap(data, 1.5), mask=mask, model=path)
        for path in (few.path, moved, once.path)
    )
    assert after.resolution[mask] == pytest.approx(np.sqrt(2) * before.resolution[mask], rel=1e-3)
    spreads = [np.arcsinh(r.halfwidth[mask] / r.resolution[mask]) for r in (before, after)]
    assert np.allclose(spreads[1], 2 * spreads[0], rtol=1e-3)
    assert np.array_equal(before.profile, after.profile) and np.array_equal(before.profile, learned.profile)
    coarser = [[*r.info["mean_class_probabilities"].values()][-1] for r in (before, after)]
    assert coarser[1] > coarser[0]
