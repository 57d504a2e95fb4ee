"""Resolution by direction: known where signal and noise are, the same for even views, and not told without noise."""

import dataclasses

import numpy as np
import pytest
import scipy.fft as sf

from cryoresdl.models.features import direction_model, direction_sums
from cryoresdl.models.inference import directional_resolution
from cryoresdl.models.maps.fsc import directional_fsc, fourier_shells
from cryoresdl.models.simulation import realistic_map, view_distribution
from cryoresdl.models.simulation.imaging_conditions import ImagingConditions
from cryoresdl.tests.helpers.small_maps import ball

SHAPE = (72, 72, 72)
SSNR = 0.143 / 0.857


def balls(radius):
    z, y, x = np.ogrid[:72, :72, :72]
    return (z - 36) ** 2 + (y - 36) ** 2 + (x - 36) ** 2 < radius**2


def random_halves(views_text, seed=0, crossing=0.28, b=120.0):
    """A random signal in a ball, spectrum A exp(-B f^2 / 2), in noise of uneven views; and what is true along an axis."""
    rng = np.random.default_rng(seed)
    f = fourier_shells.frequency_grid(SHAPE)
    mask = balls(27)
    signal = sf.rfftn(rng.standard_normal(SHAPE, dtype=np.float32))
    signal *= np.sqrt(SSNR * np.exp(-0.5 * b * (f**2 - crossing**2)))
    signal = sf.irfftn(signal, s=SHAPE) * fourier_shells.soft_edge(mask, 3.0)
    views = view_distribution.views_of(views_text)
    _, noise = views.grids(SHAPE)
    halves = [
        signal + sf.irfftn(sf.rfftn(rng.standard_normal(SHAPE, dtype=np.float32)) * np.sqrt(noise), s=SHAPE)
        for _ in range(2)
    ]

    def along(axis):
        density = views.density(tuple(np.asarray(axis, float)))
        return 1 / np.sqrt(crossing**2 + 2 * np.log(density) / b)

    return [half.astype(np.float32) for half in halves], mask, along


def test_half_maps_tell_the_resolution_along_and_across_the_preferred_views():
    halves, mask, along = random_halves("axis:75")
    found = directional_resolution.resolution_by_direction(halves[0], mask, 1.0, tuple(halves))
    assert found.summary["anisotropic"] and found.summary["source"] == "half maps"
    near_axis = np.abs(found.axes[:, 0]) > 0.97
    across = np.abs(found.axes[:, 0]) < 0.15
    assert np.median(found.resolution[near_axis]) == pytest.approx(along((1, 0, 0)), rel=0.08)
    assert np.median(found.resolution[across]) == pytest.approx(along((0, 0, 1)), rel=0.08)
    # Within 30 degrees of the preferred views sections are about equally scarce.
    assert abs(found.summary["worst_axis_zyx"][0]) > np.cos(np.radians(35))
    assert found.summary["sentence"].startswith("The resolution depends on the direction")
    assert (found.low < found.resolution).all() and (found.high > found.resolution).all()


def test_one_map_tells_it_from_its_background():
    halves, mask, along = random_halves("axis:75", seed=2)
    mean = (halves[0] + halves[1]) / 2
    found = directional_resolution.resolution_by_direction(mean, mask, 1.0)
    assert found.summary["anisotropic"] and found.summary["cfar"] is None
    near_axis, across = np.abs(found.axes[:, 0]) > 0.97, np.abs(found.axes[:, 0]) < 0.15
    assert np.median(found.resolution[near_axis]) == pytest.approx(along((1, 0, 0)), rel=0.12)
    assert np.median(found.resolution[across]) == pytest.approx(along((0, 0, 1)), rel=0.12)


def test_even_views_are_not_called_anisotropic():
    called = 0
    for seed in range(6):
        halves, mask, _ = random_halves("uniform", seed)
        found = directional_resolution.resolution_by_direction(halves[0], mask, 1.0, tuple(halves))
        called += found.summary["anisotropic"]
        assert found.summary["sentence"].startswith("The resolution is about the same")
    assert called == 0


def test_any_radial_filter_of_the_map_leaves_the_directions_as_they_are():
    halves, mask, _ = random_halves("axis:70", seed=3)
    f = fourier_shells.frequency_grid(SHAPE)
    sharp = [sf.irfftn(sf.rfftn(half) * np.exp(8 * f**2), s=SHAPE).astype(np.float32) for half in halves]
    plain, filtered = (
        directional_resolution.resolution_by_direction(one[0], mask, 1.0, tuple(one))
        for one in (halves, sharp)
    )
    # What was filtered before the mask is smeared by it a little differently.
    assert np.median(np.abs(filtered.resolution / plain.resolution - 1)) < 0.06


def test_half_maps_on_different_grey_scales_are_the_same():
    halves, mask, _ = random_halves("axis:75", seed=9)
    plain, scaled = (
        directional_resolution.resolution_by_direction(halves[0], mask, 1.0, (halves[0], factor * halves[1]))
        for factor in (np.float32(1.0), np.float32(3.0))
    )
    assert np.allclose(plain.resolution, scaled.resolution, rtol=1e-3)


def test_a_known_global_resolution_sets_the_level_of_the_noise():
    """Noise that is twice as strong inside: the background alone calls the map too fine, the global value mends it."""
    halves, mask, _ = random_halves("uniform", seed=4)
    louder = 1 + fourier_shells.soft_edge(mask, 4.0)
    rng = np.random.default_rng(7)
    noise = rng.standard_normal(SHAPE, dtype=np.float32) * louder
    f = fourier_shells.frequency_grid(SHAPE)
    signal = sf.irfftn(
        sf.rfftn(rng.standard_normal(SHAPE, dtype=np.float32))
        * np.sqrt(4 * 2 * SSNR * np.exp(-125.0 * (f**2 - 0.2**2))),
        s=SHAPE,
    )
    data = (signal * fourier_shells.soft_edge(mask, 3.0) + noise).astype(np.float32)
    blind = directional_resolution.resolution_by_direction(data, mask, 1.0)
    told = directional_resolution.resolution_by_direction(data, mask, 1.0, None, 5.0, (4.5, 5.5))
    assert blind.summary["median_A"] < 4.7
    assert told.summary["median_A"] == pytest.approx(5.0, rel=0.05)
    wider = told.high / told.resolution
    assert (wider > np.sqrt(5.5 / 4.5)).all()  # the doubt of the global value is every direction's


@pytest.mark.parametrize("kind", ["emptied", "whole box"])
def test_without_noise_to_measure_by_it_cannot_tell(kind):
    halves, mask, _ = random_halves("uniform", seed=5)
    if kind == "emptied":
        data = np.where(mask, halves[0], 0.0).astype(np.float32)
    else:
        data, mask = halves[0], np.ones(SHAPE, bool)
    found = directional_resolution.resolution_by_direction(data, mask, 1.0)
    assert found.summary["cannot_tell"] == found.summary["sentence"]
    assert found.resolution.size == 0 and "half maps" in found.summary["cannot_tell"]


def test_the_claim_holds_in_the_share_of_directions_that_reach_it():
    halves, mask, _ = random_halves("axis:80", seed=6)
    found = directional_resolution.resolution_by_direction(halves[0], mask, 1.0, tuple(halves))
    claim = float(np.quantile(found.resolution, 0.3))
    again = directional_resolution.resolution_by_direction(halves[0], mask, 1.0, tuple(halves), claimed=claim)
    assert again.summary["claim_share"] == pytest.approx(0.3, abs=0.01)
    assert "holds in 30 % of all directions" in again.summary["sentence"]


def test_the_factor_that_is_fitted_is_the_density_of_sections():
    halves, mask, _ = random_halves("axis:75", seed=8)
    sums = direction_sums.sums_of_halves(*halves, mask, 1.0)
    fit = direction_model.fit_directions(sums)
    assert fit.evidence > directional_resolution.LEAST_EVIDENCE
    density = view_distribution.views_of("axis:75").density(directional_fsc.cone_axes().T)
    expected = np.log(density) - np.log(density).mean()
    assert np.corrcoef(fit.log_factor, expected)[0, 1] > 0.9
    # With nothing in it no direction differs.
    nothing = dataclasses.replace(sums, common=np.zeros_like(sums.common))
    assert not direction_model.fit_directions(nothing).log_factor.any()


def test_a_simulated_map_of_few_views_is_judged_as_its_truth_says():
    options = ImagingConditions(
        b_base=60.0, b_range=0.0, b_source="none", views="axis:85", view_axis=(0, 1, 0)
    )
    made = realistic_map.simulate(ball(6000, 27.0), 4.0, 84, 1.0, 1, options, 2, directional=True)
    truth = np.asarray(made.info["directional_truth"]["resolution_A"])
    found = directional_resolution.resolution_by_direction(made.map, made.mask, 1.0, (made.half1, made.half2))
    assert np.median(np.abs(found.resolution / truth - 1)) < 0.06
    assert abs(found.summary["worst_axis_zyx"][1]) > np.cos(np.radians(15))
    assert found.summary["cfar"] < 0.8


@pytest.mark.parametrize("source, called", [("half maps", True), ("one map", False)])
def test_one_map_needs_more_evidence_to_be_called_anisotropic(source, called, monkeypatch):
    """A background differs by direction on its own; an evidence that is enough for half maps is said to be chance here."""
    halves, mask, _ = random_halves("axis:75", seed=2)
    fit = direction_model.fit_directions(direction_sums.sums_of_halves(*halves, mask, 1.0))
    monkeypatch.setattr(
        direction_model, "fit_directions", lambda sums: dataclasses.replace(fit, evidence=5.0)
    )
    told = tuple(halves) if source == "half maps" else None
    found = directional_resolution.resolution_by_direction((halves[0] + halves[1]) / 2, mask, 1.0, told)
    assert found.summary["anisotropy"] > 1.3 and found.summary["anisotropic"] is called
    expected = "The resolution depends on" if called else "The resolution may depend on"
    assert found.summary["sentence"].startswith(expected)
