"""From a map and a model to volumes: conventions, tiles, half maps, and what is refused."""

import dataclasses
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from cryoresdl.models.base import resolution_terms
from cryoresdl.models.base.errors import InputError
from cryoresdl.models.features import band_energies, map_features, network_inputs
from cryoresdl.models.inference import global_resolution, input_doubts, local_resolution
from cryoresdl.models.inference.bands import band_estimates, cell_estimates, map_frame
from cryoresdl.models.maps import automatic_mask
from cryoresdl.models.maps.density_map import DensityMap
from cryoresdl.models.maps.fsc import fourier_shells
from cryoresdl.models.maps.mrc import mrc_reader
from cryoresdl.models.networks import band_networks, network_runners, resolution_bins
from cryoresdl.models.networks.model_files import model_archive, model_store
from cryoresdl.models.results import result_files
from cryoresdl.models.simulation import imaging_conditions, realistic_map
from cryoresdl.tests.helpers.places import PACKAGE
from cryoresdl.tests.helpers.small_maps import (
    ball,
    cutoff_in_mask,
    random_global_weights,
    save_global_model,
    save_local_model,
)

VOXEL = 1.5
SHAPE = (48, 48, 48)
PROFILE_LENGTH = network_inputs.global_profile(
    np.zeros(network_inputs.summary_length()), np.ones(2), np.ones(2)
).size


@pytest.fixture(scope="module", autouse=True)
def without_tensorflow():
    """Inference by numpy: no backend to start, the same numbers (see ``test_backend``)."""
    patch = pytest.MonkeyPatch()
    patch.setenv("CRYORESDL_BACKEND", "numpy")
    patch.setattr(network_runners, "_RUNNERS", {})
    yield
    patch.undo()


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {
        "local": save_local_model(folder / "tiny.cryoresdl"),
        "global": save_global_model(folder / "tiny-global.cryoresdl", PROFILE_LENGTH),
    }


@pytest.fixture(scope="module")
def simulated():
    return realistic_map.simulate(
        ball(500, 16.0), 5.0, 48, VOXEL, 1, imaging_conditions.ImagingConditions(b_base=40.0)
    )


def density(data, voxel=VOXEL):
    return DensityMap(
        np.ascontiguousarray(data, np.float32), voxel, (10.0, 20.0, 30.0), (1, 2, 3), "a map.mrc"
    )


@pytest.fixture(scope="module")
def result(simulated, models):
    return local_resolution.localres(density(simulated.map), mask=simulated.mask, model=models["local"])


# --- the answer -----------------------------------------------------------------------------------------------------


def check_conventions(found, mask, voxel):
    assert found.resolution.shape == found.classes.shape == found.halfwidth.shape == mask.shape
    assert found.resolution.dtype == np.float32 and found.classes.dtype == np.int8
    assert (found.resolution[~mask] == 0).all() and (found.classes[~mask] == -1).all()
    assert (found.halfwidth[~mask] == 0).all()
    inside = found.resolution[mask]
    assert np.isfinite(inside).all() and (inside >= 2 * voxel).all()
    assert (found.halfwidth[mask] > 0).all()
    edges = np.asarray(resolution_terms.LOCAL_EDGES_A)
    expected = np.where(inside < 100, np.searchsorted(edges, inside, side="left"), -1)
    assert np.array_equal(found.classes[mask], expected)


def test_conventions(result, simulated):
    check_conventions(result, simulated.mask, VOXEL)
    assert np.array_equal(result.mask, simulated.mask)
    info = result.info
    for key in (
        "median_A quartiles_A fractions n_voxels voxel_size_A box_zyx mask timings_s peak_memory_mb warnings "
        "model map half_maps seed version nyquist_A"
    ).split():
        assert key in info, key
    assert info["nyquist_A"] == 2 * VOXEL and info["box_zyx"] == list(SHAPE)
    assert info["median_A"] == pytest.approx(float(np.median(result.resolution[simulated.mask])), rel=1e-5)
    assert sum(info["fractions"].values()) == pytest.approx(1)
    assert info["model"]["name"] == "tiny" and not info["half_maps"]
    assert sum(info["mean_class_probabilities"].values()) == pytest.approx(1, abs=1e-3)
    json.dumps(info)


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


def test_one_map_has_no_fsc(result):
    assert result.info["half_map_fsc0143_A"] is None
    assert (result.profile[network_inputs.summary_length() + 8 :][:2] == 0).all()


def test_the_network_is_really_asked(result, simulated, models):
    """The median volume is the quantile of what the network says, cell by cell, spread over the voxels."""
    frame = map_frame.frame_of([simulated.map], simulated.mask)
    feats = map_features.compute(frame.view(simulated.map), frame.view(simulated.mask), VOXEL)
    model = network_runners.load_model(models["local"], "local")
    median, spread, mean = cell_estimates.cell_estimates(model, feats)
    assert mean.sum() == pytest.approx(1, abs=1e-4)
    lowest, highest = (
        np.exp2(median[feats.mask_cells].min()) * VOXEL,
        np.exp2(median[feats.mask_cells].max()) * VOXEL,
    )
    inside = result.resolution[simulated.mask]
    assert lowest * 0.999 <= inside.min() and inside.max() <= highest * 1.001
    assert np.ptp(inside) > 0.05
    assert (spread[feats.mask_cells] > 0).all()


def test_equal_input_gives_equal_bytes(result, simulated, models):
    again = local_resolution.localres(density(simulated.map), mask=simulated.mask, model=models["local"])
    assert again.resolution.tobytes() == result.resolution.tobytes()
    assert again.halfwidth.tobytes() == result.halfwidth.tobytes()


def test_scale_and_offset_of_the_map_do_not_matter(result, simulated, models):
    again = local_resolution.localres(
        density(simulated.map * 250 + 40), mask=simulated.mask, model=models["local"]
    )
    inside = simulated.mask
    assert np.abs(again.resolution[inside] / result.resolution[inside] - 1).max() < 0.02


def test_a_wider_calibrated_spread_widens_the_interval_only(result, simulated, tmp_path):
    wide = save_local_model(tmp_path / "wide.cryoresdl", calibration={"spread": 2.0})
    again = local_resolution.localres(density(simulated.map), mask=simulated.mask, model=wide)
    inside = simulated.mask
    assert np.array_equal(again.resolution, result.resolution)
    # Half of 2^(u + s) - 2^(u - s) is 2^u sinh(s ln 2).
    spreads = [np.arcsinh(r.halfwidth[inside] / r.resolution[inside]) for r in (again, result)]
    assert np.allclose(spreads[0], 2 * spreads[1], rtol=1e-4)


def test_an_oblong_odd_box_with_the_molecule_at_its_edge(simulated, models):
    data = np.random.default_rng(0).standard_normal((41, 60, 53)).astype(np.float32)
    mask = np.zeros(data.shape, bool)
    mask[:20, 30:60, 20:45] = True
    found = local_resolution.localres(density(data), mask=mask, model=models["local"])
    check_conventions(found, mask, VOXEL)


def test_time_goes_to_the_mask_not_to_the_box(simulated, models, monkeypatch):
    seen = []
    original = band_energies.Spectrum
    monkeypatch.setattr(map_features, "Spectrum", lambda data: seen.append(data.shape) or original(data))
    data = np.random.default_rng(1).standard_normal((96, 96, 96)).astype(np.float32)
    mask = np.zeros(data.shape, bool)
    mask[40:50, 40:50, 40:50] = True
    found = local_resolution.localres(density(data), mask=mask, model=models["local"])
    assert max(seen[0]) <= 10 + 2 * map_features.REGION_MARGIN + 4
    check_conventions(found, mask, VOXEL)


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


def test_the_automatic_mask_is_used_and_named(simulated, models):
    found = local_resolution.localres(density(simulated.map), model=models["local"])
    assert found.info["mask"]["source"] == "auto"
    assert np.array_equal(found.mask, automatic_mask.auto_mask(density(simulated.map))[0])
    check_conventions(found, found.mask, VOXEL)


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


def test_a_masked_map_says_that_it_cannot_see_noise(simulated, models):
    emptied = np.where(simulated.mask, simulated.map, 0)
    found = local_resolution.localres(density(emptied), mask=simulated.mask, model=models["local"])
    assert found.info["noise_from"] == "inside the mask" and found.info["constant_background"] == 1.0
    assert any("no noise outside the mask" in w for w in found.info["warnings"])


# --- files ----------------------------------------------------------------------------------------------------------


def test_the_files_lie_on_the_input_grid(result, simulated, tmp_path):
    result_files.write_local(result, density(simulated.map), tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == set(result_files.LOCAL_FILES)
    volume = mrc_reader.read_values(tmp_path / result_files.LOCAL_RESOLUTION)
    assert np.array_equal(volume.data, result.resolution)
    assert volume.voxel_size == pytest.approx(VOXEL) and np.allclose(volume.origin, (10, 20, 30))
    classes = mrc_reader.read_values(tmp_path / result_files.LOCAL_CLASS).data
    assert np.array_equal(classes, result.classes)
    assert json.loads((tmp_path / result_files.LOCAL_JSON).read_text())["n_voxels"] == result.info["n_voxels"]


# --- tiles ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 40, 88, 89, 150, 400])
def test_tiles_cover_an_axis(length):
    pieces = cell_estimates.axis_tiles(length)
    assert pieces[0][0] == 0 and pieces[-1][1] == length
    for (_, stop), (start, _) in zip(pieces, pieces[1:]):
        assert stop - start >= 2 * cell_estimates.TILE_HALO
    assert max(stop - start for start, stop in pieces) <= 88


def small_tiles(monkeypatch, core, halo):
    original = cell_estimates.axis_tiles
    monkeypatch.setattr(cell_estimates, "TILE_HALO", halo)
    monkeypatch.setattr(cell_estimates, "axis_tiles", lambda length: original(length, core, halo))


def test_tiles_without_mask_are_left_out_and_all_cells_are_covered(monkeypatch):
    small_tiles(monkeypatch, 8, 4)
    mask = np.zeros((40, 30, 20), bool)
    mask[2:6, 3:9, 4:8] = True
    mask[36, 28, 18] = True
    chosen = list(cell_estimates.tiles(mask))
    covered = np.zeros(mask.shape, bool)
    for tile in chosen:
        assert mask[tile].any()
        covered[tile] = True
    assert covered[mask].all() and not covered.all()


def test_blending_weights_never_vanish_and_fall_to_inner_borders_only():
    whole = (100, 88, 88)
    tile = (slice(0, 88), slice(0, 88), slice(0, 88))
    weight = cell_estimates._blend_weights((88, 88, 88), tile, whole)
    assert weight.min() > 0 and (weight[: -cell_estimates.TILE_HALO] == 1).all()
    assert np.all(np.diff(weight[-cell_estimates.TILE_HALO :, 0, 0]) < 0)


def features_of(shape, seed=0):
    rng = np.random.default_rng(seed)
    local = rng.normal(size=(network_inputs.N_LOCAL,) + shape).astype(np.float32) * 0.3
    mask = np.zeros(shape, bool)
    mask[3:-3, 3:-3, 3:-3] = True
    summary = rng.normal(size=network_inputs.summary_length()).astype(np.float32) * 0.3
    return map_features.Features(local, summary, mask, True, 0.0)


def test_tiled_equals_untiled(models, monkeypatch):
    """Far-sighted enough halos, tiles that start on the pooling grid: the same answer but for the blended borders."""
    model = network_runners.load_model(models["local"], "local")
    feats = features_of((60, 20, 20))
    whole = cell_estimates.cell_estimates(model, feats)
    small_tiles(monkeypatch, 20, 10)
    assert len(list(cell_estimates.tiles(feats.mask_cells))) == 2
    tiled = cell_estimates.cell_estimates(model, feats)
    inside = feats.mask_cells
    for a, b in zip(tiled[:2], whole[:2]):
        assert (a[~inside] == 0).all()
        gap = np.abs(a - b)[inside] / b[inside].mean()
        assert np.quantile(gap, 0.95) < 0.01 and gap.max() < 0.1
    assert np.allclose(tiled[2], whole[2], atol=2e-3)


def test_a_constant_network_shows_no_seams(models, monkeypatch):
    """Weights of the overlaps sum to one whatever the tiles: a network that always says the same is seen to."""
    model = network_runners.load_model(models["local"], "local")
    logits = np.random.default_rng(3).normal(size=resolution_bins.N_BINS).astype(np.float32)
    monkeypatch.setattr(
        cell_estimates,
        "_run",
        lambda _: lambda v: np.broadcast_to(logits, v["x"].shape[:4] + (resolution_bins.N_BINS,)).copy(),
    )
    small_tiles(monkeypatch, 8, 4)
    feats = features_of((37, 30, 21))
    median, spread, mean = cell_estimates.cell_estimates(model, feats)
    p = np.exp(logits) / np.exp(logits).sum()
    low, middle, high = (resolution_bins.quantile(p[None], q)[0] for q in (0.16, 0.5, 0.84))
    assert np.allclose(median[feats.mask_cells], middle, atol=1e-5)
    assert np.allclose(spread[feats.mask_cells], (high - low) / 2, atol=1e-5)
    assert np.allclose(mean, p, atol=1e-5)


def test_cells_become_voxels_by_linear_interpolation():
    ramp = np.arange(10, dtype=np.float32)[:, None, None] * np.ones((10, 4, 4), np.float32)
    voxels = cell_estimates._expand(ramp, np.ones(ramp.shape, bool), (20, 7, 8))
    assert voxels.shape == (20, 7, 8)
    expected = np.clip((np.arange(20) - 0.5) / 2, 0, 9)  # a cell sits between its two voxels
    assert np.allclose(voxels[:, 3, 3], expected, atol=1e-5)
    # Cells outside the mask hold no estimate and lend none.
    mask = np.ones((10, 4, 4), bool)
    mask[5:] = False
    emptied = np.where(mask, 3.0, 0.0).astype(np.float32)
    assert np.allclose(cell_estimates._expand(emptied, mask, (20, 8, 8)), 3.0)


def test_the_region_holds_the_mask_with_a_margin():
    mask = np.zeros((100, 60, 40), bool)
    mask[50:60, 5:20, 0:40] = True
    z, y, x = map_features.region_of(mask)
    assert z.start <= 34 and z.stop >= 76 and z.stop - z.start < 60
    assert y.start == 0 and y.stop >= 36 and (x.start, x.stop) == (0, 40)
    assert mask[z, y, x].sum() == mask.sum()


# --- the global answer ----------------------------------------------------------------------------------------------


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


# --- what is refused ------------------------------------------------------------------------------------------------


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


def test_bad_masks(simulated, models):
    whole = density(simulated.map)
    tiny = np.zeros(SHAPE, bool)
    tiny[20:24, 20:24, 20:24] = True
    for mask, words in (
        (np.zeros(SHAPE, bool), "holds 0 voxels"),
        (tiny, "holds 64 voxels, fewer than 100"),
        (np.ones((40, 40, 40), bool), "mask has the box"),
    ):
        with pytest.raises(InputError, match=words):
            local_resolution.localres(whole, mask=mask, model=models["local"])


def test_models_of_the_other_kind_or_none(simulated, models):
    with pytest.raises(InputError, match="choose one for local resolution"):
        local_resolution.localres(density(simulated.map), mask=simulated.mask, model=models["global"])
    with pytest.raises(InputError, match="choose one for whole maps"):
        global_resolution.classify(density(simulated.map), simulated.mask, model=models["local"])
    with pytest.raises(InputError):
        network_runners.load_model("no such model", "local")


# --- the shipped models ---------------------------------------------------------------------------------------------


def shipped(name):
    path = model_store.shipped_folder() / (name + model_archive.MODEL_SUFFIX)
    if not path.is_file():
        pytest.skip(f"the model {name} is not in the package yet")
    return path


def test_the_shipped_local_model_follows_the_truth(simulated):
    pytest.importorskip("openvino")
    patch = pytest.MonkeyPatch()
    patch.delenv("CRYORESDL_BACKEND", raising=False)
    try:
        found = local_resolution.localres(density(simulated.map), mask=simulated.mask, model=shipped("truth"))
    finally:
        patch.undo()
    check_conventions(found, simulated.mask, VOXEL)
    truth, inside = simulated.truth, simulated.mask
    error = np.abs(found.resolution - truth)[inside]
    constant = np.abs(np.median(truth[inside]) - truth[inside]).mean()
    # Atoms at random, unlike any protein that it has seen, and still nearer than the map's own median.
    assert error.mean() < max(1.2, 1.2 * constant)
    assert np.corrcoef(found.resolution[inside], truth[inside])[0, 1] > 0.5
    covered = (error <= found.halfwidth[inside]).mean()
    assert covered > 0.3


def test_the_shipped_global_model_knows_the_class(simulated):
    path = shipped("default")
    local = local_resolution.localres(density(simulated.map), mask=simulated.mask, model=shipped("truth"))
    entry = global_resolution.classify(density(simulated.map), simulated.mask, None, path, local)
    target = simulated.info["global_fsc0143_A"]
    assert 0.6 * target < entry["resolution_A"] < 1.6 * target


# --- maps that hold less than they seem to ---------------------------------------------------------------------------


def low_passed(data, angstroms):
    axes = [np.fft.fftfreq(n, VOXEL) for n in data.shape[:2]] + [np.fft.rfftfreq(data.shape[2], VOXEL)]
    f = np.sqrt(sum(a**2 for a in np.meshgrid(*axes, indexing="ij", sparse=True)))
    return np.fft.irfftn(np.fft.rfftn(data) * (f < 1 / angstroms), data.shape).astype(np.float32)


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


def test_a_filters_edge_bounds_what_the_network_says():
    """A network that promises 3 voxels everywhere in a map that ends at 8, and one that agrees with the filter."""
    feats = map_features.compute(low_passed(simulated_noise(), 8 * VOXEL), np.ones(SHAPE, bool), VOXEL)
    assert feats.finest == pytest.approx(8.0, rel=0.15)
    assert band_estimates._filtered_to(feats, np.full(10, np.log2(3.0))) == feats.finest
    assert band_estimates._filtered_to(feats, np.full(10, np.log2(9.0))) is None
    whole = map_features.compute(simulated_noise(), np.ones(SHAPE, bool), VOXEL)
    assert whole.finest == 2.0 and band_estimates._filtered_to(whole, np.full(10, 1.1)) is None


def simulated_noise():
    return np.random.default_rng(2).normal(size=SHAPE).astype(np.float32)


@pytest.mark.parametrize("b_factor, lost", [(-60.0, False), (-250.0, True)])
def test_a_map_drowned_by_sharpening_is_not_judged(simulated, models, b_factor, lost):
    f = fourier_shells.frequency_grid(SHAPE)
    data = np.fft.irfftn(np.fft.rfftn(simulated.map) * np.exp(-0.25 * b_factor * f**2), SHAPE)
    entry = global_resolution.classify(density(data), simulated.mask, 5.0, models["global"])
    assert any("lost in rounding" in warning for warning in entry["warnings"]) == lost
    if lost:
        assert not entry["in_distribution"] and entry["claim"]["verdict"] == "cannot tell"


def test_an_unfiltered_map_has_no_filter_edge(result):
    assert (
        result.info["filtered_to_A"] is None and result.info["signal_over_noise"] > input_doubts.LEAST_SIGNAL
    )


@pytest.mark.parametrize("masked", [True, False])
def test_pure_noise_is_flagged_and_no_claim_on_it_is_judged(simulated, masked):
    noise = density(np.random.default_rng(5).normal(size=SHAPE).astype(np.float32))
    entry = global_resolution.classify(noise, mask=simulated.mask if masked else None, claimed=4.0)
    assert not entry["in_distribution"] and entry["claim"]["verdict"] == "cannot tell"
    assert any("hardly stronger" in warning for warning in entry["warnings"])


def test_local_resolution_of_noise_is_flagged_as_its_class_is():
    noise = density(np.random.default_rng(5).normal(size=SHAPE).astype(np.float32))
    info = local_resolution.localres(noise).info
    assert any("hardly stronger" in text for text in info["problems"])
    assert set(info["problems"]) <= set(info["warnings"])


def test_what_the_automatic_mask_warns_of_is_told(simulated, models):
    info = local_resolution.localres(density(-simulated.map), model=models["local"]).info
    assert any("inverted" in text for text in info["warnings"])


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


def test_coarse_answers_stay_below_what_means_not_estimated(models):
    noise = DensityMap(np.random.default_rng(3).normal(size=SHAPE).astype(np.float32), 44.0)
    mask = np.ones(SHAPE, bool)
    mask[0] = False
    found = local_resolution.localres(noise, mask=mask, model=models["local"])
    assert (
        found.info["n_voxels"] == mask.sum() and found.resolution[mask].max() <= resolution_terms.COARSEST_A
    )
    assert (found.classes[mask] == 9).all()


def test_a_filtered_map_has_no_probability_beyond_its_edge():
    p = np.full(10, 0.1)
    cut = resolution_bins._not_finer_than(p, 4.5, resolution_terms.LOCAL_EDGES_A)
    assert cut[:3].sum() == 0 and cut[3] == pytest.approx(0.4) and cut.sum() == pytest.approx(1)


def test_overlaps_of_tiles_count_once_in_the_mean_distribution(monkeypatch):
    """One answer left of the overlap's middle, another right of it: half of the cells each."""
    cells = np.zeros((4, 4, 128), bool)
    cells[..., 52:76] = True
    feats = map_features.Features(
        np.zeros((network_inputs.N_LOCAL, *cells.shape), np.float32),
        np.zeros(1, np.float32),
        cells,
        True,
        0.0,
    )
    feats.local[0, ..., 64:] = 1.0

    def run(inputs):
        right = inputs["x"][..., :1] > 0.5
        return np.where(
            right,
            20.0 * (np.arange(resolution_bins.N_BINS) == 9),
            20.0 * (np.arange(resolution_bins.N_BINS) == 4),
        )[None][0]

    monkeypatch.setattr(cell_estimates, "_run", lambda model: run)
    _, _, mean = cell_estimates.cell_estimates(None, feats)
    assert mean[4] == pytest.approx(0.5, abs=0.01) and mean[9] == pytest.approx(0.5, abs=0.01)


def test_tiles_of_a_large_map_are_counted_where_someone_watches(monkeypatch, capsys):
    cells = np.ones((4, 4, 128), bool)
    feats = map_features.Features(
        np.zeros((network_inputs.N_LOCAL, *cells.shape), np.float32),
        np.zeros(1, np.float32),
        cells,
        True,
        0.0,
    )
    monkeypatch.setattr(
        cell_estimates,
        "_run",
        lambda model: lambda inputs: np.zeros((1, *inputs["x"].shape[1:4], resolution_bins.N_BINS)),
    )
    cell_estimates.cell_estimates(None, feats)
    assert capsys.readouterr().err == ""
    cell_estimates.cell_estimates(None, feats, watched=True)
    assert "2/2 tiles (100 %)" in capsys.readouterr().err


def test_tiles_of_an_axis_share_it_evenly():
    for length in (30, 88, 89, 100, 152, 153, 400):
        pieces = cell_estimates.axis_tiles(length)
        assert pieces[0][0] == 0 and pieces[-1][1] == length
        sizes = {stop - start for start, stop in pieces}
        assert len(sizes) == 1 and sizes.pop() <= cell_estimates.TILE_CELLS + 2 * cell_estimates.TILE_HALO
        overlaps = [before[1] - after[0] for before, after in zip(pieces, pieces[1:])]
        assert all(overlap >= 2 * cell_estimates.TILE_HALO - 1 for overlap in overlaps)
    assert sum(stop - start for start, stop in cell_estimates.axis_tiles(89)) <= 120


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


_ON_SO_MANY = """
import hashlib, os, sys
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(sys.argv[1])])
from cryoresdl.models.inference import local_resolution
from cryoresdl.models.maps.mrc import mrc_reader
found = local_resolution.localres(mrc_reader.read(sys.argv[2]))
print(hashlib.sha256(found.resolution.tobytes() + found.halfwidth.tobytes() + found.profile.tobytes()).hexdigest())
"""


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2, reason="needs two processors"
)
def test_the_number_of_processors_does_not_change_a_byte():
    path = str(PACKAGE / "data" / "sample_map.mrc")
    answers = [
        subprocess.run(
            [sys.executable, "-c", _ON_SO_MANY, number, path], capture_output=True, text=True, check=True
        ).stdout.strip()
        for number in "12"
    ]
    assert answers[0] == answers[1] and len(answers[0]) == 64
