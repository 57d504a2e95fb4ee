"""From a map and a model to volumes: conventions, files, filters, and what is refused."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from cryoresdl.models.base import resolution_terms
from cryoresdl.models.base.errors import InputError
from cryoresdl.models.features import band_energies, map_features, network_inputs
from cryoresdl.models.inference import input_doubts, local_resolution
from cryoresdl.models.inference.bands import band_estimates, cell_estimates, map_frame
from cryoresdl.models.maps import automatic_mask
from cryoresdl.models.maps.density_map import DensityMap
from cryoresdl.models.maps.mrc import mrc_reader
from cryoresdl.models.networks import network_runners, resolution_bins
from cryoresdl.models.results import result_files
from cryoresdl.tests.helpers.local_case import (
    SHAPE,
    VOXEL,
    check_conventions,
    density,
    low_passed,
    shipped,
)
from cryoresdl.tests.helpers.places import sample
from cryoresdl.tests.helpers.small_maps import save_local_model

pytestmark = pytest.mark.usefixtures("without_tensorflow")


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


def test_the_automatic_mask_is_used_and_named(simulated, models):
    found = local_resolution.localres(density(simulated.map), model=models["local"])
    assert found.info["mask"]["source"] == "auto"
    assert np.array_equal(found.mask, automatic_mask.auto_mask(density(simulated.map))[0])
    check_conventions(found, found.mask, VOXEL)


def test_a_masked_map_says_that_it_cannot_see_noise(simulated, models):
    emptied = np.where(simulated.mask, simulated.map, 0)
    found = local_resolution.localres(density(emptied), mask=simulated.mask, model=models["local"])
    assert found.info["noise_from"] == "inside the mask" and found.info["constant_background"] == 1.0
    assert any("no noise outside the mask" in w for w in found.info["warnings"])


def test_the_files_lie_on_the_input_grid(result, simulated, tmp_path):
    result_files.write_local(result, density(simulated.map), tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == set(result_files.LOCAL_FILES)
    volume = mrc_reader.read_values(tmp_path / result_files.LOCAL_RESOLUTION)
    assert np.array_equal(volume.data, result.resolution)
    assert volume.voxel_size == pytest.approx(VOXEL) and np.allclose(volume.origin, (10, 20, 30))
    classes = mrc_reader.read_values(tmp_path / result_files.LOCAL_CLASS).data
    assert np.array_equal(classes, result.classes)
    assert json.loads((tmp_path / result_files.LOCAL_JSON).read_text())["n_voxels"] == result.info["n_voxels"]


def test_the_region_holds_the_mask_with_a_margin():
    mask = np.zeros((100, 60, 40), bool)
    mask[50:60, 5:20, 0:40] = True
    z, y, x = map_features.region_of(mask)
    assert z.start <= 34 and z.stop >= 76 and z.stop - z.start < 60
    assert y.start == 0 and y.stop >= 36 and (x.start, x.stop) == (0, 40)
    assert mask[z, y, x].sum() == mask.sum()


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


def test_an_unfiltered_map_has_no_filter_edge(result):
    assert (
        result.info["filtered_to_A"] is None and result.info["signal_over_noise"] > input_doubts.LEAST_SIGNAL
    )


def test_local_resolution_of_noise_is_flagged_as_its_class_is():
    noise = density(np.random.default_rng(5).normal(size=SHAPE).astype(np.float32))
    info = local_resolution.localres(noise).info
    assert any("hardly stronger" in text for text in info["problems"])
    assert set(info["problems"]) <= set(info["warnings"])


def test_what_the_automatic_mask_warns_of_is_told(simulated, models):
    info = local_resolution.localres(density(-simulated.map), model=models["local"]).info
    assert any("inverted" in text for text in info["warnings"])


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
    path = sample("map")
    answers = [
        subprocess.run(
            [sys.executable, "-c", _ON_SO_MANY, number, path], capture_output=True, text=True, check=True
        ).stdout.strip()
        for number in "12"
    ]
    assert answers[0] == answers[1] and len(answers[0]) == 64
