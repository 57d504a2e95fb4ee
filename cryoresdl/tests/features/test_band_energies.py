"""The bands: their energies, grids and windows."""

import numpy as np
import pytest

from cryoresdl.models.features import background_noise, band_energies


def test_trimmed_energy_is_the_variance_of_gaussian_noise():
    values = np.random.default_rng(9).standard_normal(400000) * 3
    assert background_noise._trimmed_energy(values**2) == pytest.approx(9.0, rel=0.03)


def test_a_band_on_its_own_grid_is_the_band_on_the_full_grid(monkeypatch):
    data = np.random.default_rng(10).standard_normal((40, 44, 48)).astype(np.float32)
    spectrum = band_energies.Spectrum(data)
    cells = (20, 22, 24)
    coarse = {c: spectrum.energy(c, cells, 2)[0] for c in (0.08, 0.14, 0.2)}
    assert spectrum.band(0.08).size < 0.1 * data.size
    monkeypatch.setattr(band_energies.Spectrum, "_grid", lambda self, centre, width: self.shape)
    for centre, energy in coarse.items():
        full = spectrum.energy(centre, cells, 2)[0]
        inner = (slice(6, -6),) * 3  # the windows are cut at the edges of the box
        assert np.sqrt(np.square(energy - full)[inner].mean()) < 0.02 * full.mean()


def test_a_wave_passes_its_own_band_only():
    n = 48
    wave = np.cos(2 * np.pi * 12 / n * np.arange(n, dtype=np.float32))[:, None, None] * np.ones(
        (n, n, n), np.float32
    )
    spectrum = band_energies.Spectrum(wave)
    assert (spectrum.band(0.25) ** 2).mean() == pytest.approx(0.5, rel=1e-3)
    one_sigma = (spectrum.band(0.25 / 0.9) ** 2).mean()  # the wave lies one width below that centre
    assert one_sigma == pytest.approx(0.5 * np.exp(-1.0), rel=0.01)
    assert (spectrum.band(0.45) ** 2).mean() < 1e-6


def test_smoothing_keeps_constants_and_centres():
    flat = np.full((20, 24, 28), 3.0, np.float32)
    assert np.allclose(band_energies.smooth_resample(flat, (40, 48, 56), (20, 24, 28), 2, 5.0), 3.0)
    ramp = np.arange(40, dtype=np.float32)[None, None, :] * np.ones((8, 8, 40), np.float32)
    out = band_energies.smooth_resample(ramp, (8, 8, 40), (4, 4, 20), 2, 2.0)
    assert np.allclose(out[0, 0, 5:15], np.arange(5, 15) * 2 + 0.5, atol=1e-3)


def test_bands_reach_from_below_a_fortieth_to_just_below_nyquist():
    assert len(band_energies.BAND_CENTRES) == band_energies.N_BANDS
    assert band_energies.BAND_CENTRES[-1] == 0.46 and band_energies.BAND_CENTRES[0] < 1 / 40
    assert np.allclose(np.diff(np.log(band_energies.BAND_CENTRES)), np.log(1.2))
    assert band_energies.cell_count(7) == 4 and band_energies.cell_count(8) == 4
