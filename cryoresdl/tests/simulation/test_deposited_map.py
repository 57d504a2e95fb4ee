"""Maps as they are deposited and handed on: assemblies, filters, cut boxes, other voxels."""

import dataclasses

import numpy as np
import pytest
import scipy.fft as sf

from cryoresdl.models.maps.fsc import fourier_shells
from cryoresdl.models.simulation import assemblies, deposited_map, imaging_conditions, realistic_map
from cryoresdl.models.simulation.imaging_conditions import Deposition, ImagingConditions
from cryoresdl.tests.helpers.small_maps import ball


def simulated(deposition=None, *, box=40, resolution=4.0, **options):
    conditions = ImagingConditions(deposition=deposition or Deposition(), **options)
    return realistic_map.simulate(
        ball(400, 11.0), resolution, box, 1.0, 1, conditions, truth_stride=2, crop=True
    )


@pytest.mark.parametrize("arrangement", [assemblies.PACKED, assemblies.HELIX])
def test_copies_touch_and_do_not_overlap(arrangement):
    xyz = ball(300, 12.0).xyz
    placed = assemblies.placements(xyz, 6, arrangement, np.random.default_rng(0))
    bodies = [xyz @ turn.T + shift for turn, shift in placed]
    centres = np.stack([body.mean(0) for body in bodies])
    apart = np.linalg.norm(centres[:, None] - centres[None], axis=-1)[np.triu_indices(6, 1)]
    assert apart.min() > 12.0  # balls of radius 12 may mesh a little, but no copy stands in another
    assert np.sort(apart)[:5].max() < 40.0
    for turn, _ in placed:
        assert np.allclose(turn @ turn.T, np.eye(3)) and np.linalg.det(turn) == pytest.approx(1)


def test_a_helix_goes_through_both_faces_along_its_axis():
    made = simulated(copies=12, arrangement=assemblies.HELIX, box=48)
    assert made.mask[0].any() and made.mask[-1].any()
    assert not made.mask[:, 0].any() and not made.mask[:, :, -1].any()


@pytest.mark.parametrize("shape", ["cosine", "gaussian", "butterworth"])
def test_filters_pass_a_half_where_they_are_said_to(shape):
    gain = deposited_map.low_pass_gain(np.array([0.0, 0.2, 0.45]), 0.2, Deposition(filter_shape=shape))
    assert (
        gain[0] == pytest.approx(1, abs=1e-3) and gain[1] == pytest.approx(0.5, abs=1e-3) and gain[2] < 0.05
    )


def test_what_a_filter_or_coarse_voxels_hide_is_known():
    plain = ImagingConditions()
    assert deposited_map.finest_shown(plain, 1.0) == 0.0
    filtered = dataclasses.replace(plain, low_pass=8.0)
    assert deposited_map.finest_shown(filtered, 1.0) == pytest.approx(8.0, rel=0.12)
    coarse = dataclasses.replace(filtered, deposition=Deposition(resample=5.0))
    assert deposited_map.finest_shown(coarse, 1.0) == 10.0


def test_the_noise_outside_falls_where_the_map_was_filtered():
    open_map, filtered = simulated(), simulated(low_pass=6.0)
    powers = []
    for made in (open_map, filtered):
        outside = np.where(made.mask, 0, made.map).astype(np.float32)
        f = fourier_shells.frequency_grid(outside.shape)
        powers.append(fourier_shells.shell_power(sf.rfftn(outside), f, 20))
    ratio = powers[1] / powers[0]
    assert ratio[14:].max() < 0.02 * ratio[3:6].mean()
    assert np.array_equal(open_map.half1, filtered.half1)


def test_a_chain_that_is_cut_out_leaves_zeros_and_only_its_own_mask():
    whole = simulated(copies=4, arrangement=assemblies.PACKED, box=64)
    part = simulated(
        Deposition(part=True), copies=4, arrangement=assemblies.PACKED, box=64, background="zone"
    )
    assert 0.1 < part.mask.sum() / whole.mask.sum() < 0.6
    assert (part.map == 0).mean() > 0.8
    assert part.info["measured_fsc0143_masked_A"] == whole.info["measured_fsc0143_masked_A"]


def test_a_box_that_is_cut_out_keeps_its_truth_voxel_by_voxel():
    whole = simulated()
    cut = simulated(Deposition(cut_margin=3))
    window = deposited_map.window_around(whole.mask, 3)
    assert cut.map.shape == tuple(w.stop - w.start for w in window)
    assert np.array_equal(cut.map, whole.map[window]) and np.array_equal(cut.half2, whole.half2[window])
    known = cut.truth[cut.truth > 0]
    assert np.allclose(np.sort(known), np.sort(whole.truth[whole.truth > 0]), rtol=1e-5)


def test_a_resampled_map_says_its_new_voxels_and_its_truth_stays_where_it_was():
    whole, other = simulated(), simulated(Deposition(resample=1.3, resample_order=3))
    assert other.info["voxel_size_A"] == pytest.approx(1.3)
    assert other.map.shape == (31, 31, 31) and other.truth.shape == (16, 16, 16)
    assert other.mask.sum() * 1.3**3 == pytest.approx(whole.mask.sum(), rel=0.1)
    middle = [np.median(made.truth[made.truth > 0]) for made in (whole, other)]
    assert middle[1] == pytest.approx(middle[0], rel=0.05)


def test_a_locally_filtered_map_loses_most_where_it_is_worst():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(40, 40, 40)).astype(np.float32)
    truth = np.full((20, 20, 20), 3.0, np.float32)
    truth[10:] = 9.0
    filtered = deposited_map.locally_filtered(noise, truth)
    assert filtered[24:].std() < 0.35 * filtered[:16].std()


def test_negative_densities_can_be_removed_from_any_background():
    made = simulated(Deposition(positive=True), background="soft")
    assert made.map.min() == 0.0 and made.map.max() > 0


def test_drawn_depositions_never_resample_beyond_the_resolution():
    for k in range(200):
        drawn = imaging_conditions.random_deposition(np.random.default_rng(k), 3.0, 1.3)
        assert drawn.resample <= max(1.0, 3.0 / (2.1 * 1.3)) + 1e-9
