"""Noise of the half maps: its power under a mask, at a band limit, towards the faces."""

import numpy as np
import pytest
import scipy.fft as sf

from cryoresdl.models.maps.fsc import fourier_shells
from cryoresdl.models.simulation import realistic_map, reconstruction_noise
from cryoresdl.models.simulation.imaging_conditions import ImagingConditions
from cryoresdl.tests.helpers.small_maps import ball, quick_map


@pytest.mark.parametrize("slope,limit", [(0.0, 0.87), (1.2, 0.87), (-0.6, 0.3)])
def test_masked_noise_has_the_power_that_the_fsc_assumes(slope, limit):
    shape = (32, 32, 32)
    options = ImagingConditions(noise_slope=slope, band_limit=limit)
    f = fourier_shells.frequency_grid(shape)
    edge = reconstruction_noise.band_limit_filter(f, limit)
    z, y, x = np.indices(shape) - 16
    weight = np.exp(-(z**2 + y**2 + x**2) / 60.0).astype(np.float32)
    power = reconstruction_noise._masked_noise_power(weight, f, edge, options)
    expected = fourier_shells.shell_power(np.sqrt(power), f, 16)
    rng = np.random.default_rng(3)
    drawn = np.zeros(17)
    for _ in range(60):
        noise = reconstruction_noise._noise(shape, f, edge, options, None, 1.0, rng)
        drawn += fourier_shells.shell_power(sf.rfftn(noise * weight), f, 16) / 60
    assert np.allclose(drawn[2:], expected[2:], rtol=0.12, atol=1e-3 * expected.max())
    if slope == 0:
        assert np.allclose(expected, (weight**2).sum(), rtol=1e-3)


@pytest.mark.parametrize("asked", [3.0, 3.5])
def test_the_fsc_at_the_band_limit_is_what_is_expected_there(asked):
    atoms = ball(1200, 15.0)
    made = [
        realistic_map.simulate(atoms, asked, 48, 1.0, k, ImagingConditions(band_limit=0.3, b_base=20.0))
        for k in range(6)
    ]
    for one in made:
        assert one.info["global_fsc0143_A"] >= 1 / 0.3 - 0.01
    there = [
        np.interp(
            1 / one.info["global_fsc0143_A"], one.info["fsc"]["frequency_per_A"], one.info["fsc"]["masked"]
        )
        for one in made
    ]
    assert np.mean(there) == pytest.approx(0.143, abs=0.04)


def test_noise_falls_towards_the_faces():
    """Amplitude exp(-fall) in the middle of a face: the energies of the halves' difference are squares of it."""
    result = quick_map(noise_fall=1.0, noise_slope=0.0)
    difference = (result.half1 - result.half2).astype(np.float64) ** 2
    n = difference.shape[0]
    grid = np.ogrid[:n, :n, :n]
    square = sum(((g - n // 2) / (n / 2)) ** 2 for g in grid)
    middle, far = difference[square < 0.15].mean(), difference[(square > 0.9) & (square < 1.1)].mean()
    assert np.log(far / middle) == pytest.approx(-2 * (1.0 - 0.09), abs=0.2)
