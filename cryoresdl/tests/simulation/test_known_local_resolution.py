"""The true local resolution against cases whose answer is known by hand."""

import numpy as np
import pytest
import scipy.fft as sf
from scipy import ndimage
from scipy.integrate import trapezoid

from cryoresdl.models.features import band_energies
from cryoresdl.models.maps.fsc import fourier_shells
from cryoresdl.models.simulation import molecule_signal, realistic_map
from cryoresdl.models.simulation.imaging_conditions import ImagingConditions
from cryoresdl.models.simulation.truth import known_local_resolution
from cryoresdl.tests.helpers.small_maps import ball, quick_map

BAND = known_local_resolution.TRUTH_RATIO

WHITE = np.ones_like


def point_energy(centre, amplitude):
    """Windowed band energy at a point source of radial transform ``amplitude(f)``, by two radial integrals."""
    width = max(band_energies.RELATIVE_WIDTH * centre, band_energies.MIN_WIDTH)
    f = np.linspace(1e-4, centre + 5 * width, 800)
    r = np.linspace(0.0, 3.5 / centre, 500)
    band = f**2 * amplitude(f) * np.exp(-0.5 * ((f - centre) / width) ** 2)
    wave = 4 * np.pi * trapezoid(band * np.sinc(2 * r[:, None] * f), f, axis=1)
    sigma = band_energies.WINDOW / centre
    window = np.exp(-0.5 * (r / sigma) ** 2) / (2 * np.pi * sigma**2) ** 1.5
    return trapezoid(4 * np.pi * r**2 * window * wave**2, r)


def steep(f):
    """Radial transform of a point whose energy falls faster with frequency than a point's share of a band grows."""
    return (f**2 + 0.03**2) ** -1.5


@pytest.mark.parametrize("expected_at", [0.12, 0.2, 0.3])
def test_a_point_in_white_noise_is_resolved_where_theory_says(expected_at):
    noise = known_local_resolution.band_power(WHITE, expected_at, band_energies.RELATIVE_WIDTH * expected_at)
    strength = np.sqrt(known_local_resolution.SSNR_THRESHOLD * noise / point_energy(expected_at, steep))
    axes = np.meshgrid(sf.fftfreq(40), sf.fftfreq(40), sf.rfftfreq(40), indexing="ij")
    phase = np.exp(-2j * np.pi * 20 * sum(axes))
    f = fourier_shells.frequency_grid((40, 40, 40))
    signal = sf.irfftn(strength * steep(f) * phase, s=(40, 40, 40)).astype(np.float32)
    truth = known_local_resolution.local_truth(signal, WHITE, None)
    found = 1 / truth[20, 20, 20]
    assert expected_at / BAND < found < expected_at * BAND
    assert abs(found / expected_at - 1) < 0.03  # linear interpolation between bands, no more
    assert truth[20, 20, 20] == truth.min()  # nowhere is more signal than at the point itself


def test_signal_on_white_noise_crosses_where_its_spectrum_does():
    """A stationary random signal of power A exp(-B f^2 / 2): SSNR is 1/6 at one frequency, on average everywhere."""
    crossing, b = 0.22, 150.0
    power = lambda f: known_local_resolution.SSNR_THRESHOLD * np.exp(-0.5 * b * (f**2 - crossing**2))  # noqa: E731
    shape = (48, 48, 48)
    f = fourier_shells.frequency_grid(shape)
    white = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    signal = sf.irfftn(sf.rfftn(white) * np.sqrt(power(f)), s=shape)
    spectrum = band_energies.Spectrum(signal)
    frequencies = known_local_resolution.truth_frequencies(shape)
    fsc = []
    for centre in frequencies:
        energy = spectrum.energy(centre, (24, 24, 24), 2)[0].mean()
        noise = known_local_resolution.band_power(WHITE, centre, max(0.1 * centre, band_energies.MIN_WIDTH))
        fsc.append(energy / (energy + noise))
    found = fourier_shells.first_crossing(frequencies, np.asarray(fsc))
    assert crossing / BAND < found < crossing * BAND
    # Voxel by voxel the energy of a random signal fluctuates about that.
    truth = known_local_resolution.local_truth(signal, WHITE, None, 2)
    assert crossing / 1.25 < 1 / np.median(truth) < crossing * 1.25


@pytest.mark.parametrize("resolution", [3.0, 4.0, 5.0])
def test_a_homogeneous_map_has_the_global_resolution_everywhere(resolution):
    result = realistic_map.simulate(
        ball(2000, 17.0),
        resolution,
        56,
        1.0,
        1,
        ImagingConditions(60.0, b_source="none", solvent=0.0, mask_margin=2.0),
    )
    core = (
        ndimage.distance_transform_edt(result.mask) > 4
    )  # at the border half of the window sees no molecule
    shell = 1 / 56
    assert abs(1 / np.median(result.truth[core]) - 1 / result.info["global_fsc0143_A"]) <= shell
    assert result.info["global_fsc0143_A"] == pytest.approx(resolution, rel=0.02)


def test_two_halves_with_different_b_factors_keep_their_own_resolution():
    box = (32, 32, 96)
    xyz = np.random.default_rng(5).uniform(
        0, [96, 32, 32], (4000, 3)
    )  # x, y, z; the left half is better ordered
    left = xyz[:, 0] < 48

    def truth_for(b):
        signal = molecule_signal.signal_volume(xyz, np.full(len(xyz), 6.0), b, box, 1.0, 0.0)
        return known_local_resolution.local_truth(signal, lambda f: 0.02 + 0 * f, None, 2)

    mixed = truth_for(np.where(left, 20.0, 100.0))
    ordered, flexible = truth_for(np.full(len(xyz), 20.0)), truth_for(np.full(len(xyz), 100.0))
    for chosen, alone in (
        (slice(10, 14), ordered),
        (slice(34, 38), flexible),
    ):  # 20 voxels from either border
        ratio = mixed[:, :, chosen] / alone[:, :, chosen]
        assert abs(np.median(ratio) - 1) < 0.01
        assert np.quantile(np.abs(ratio - 1), 0.9) < BAND - 1
    assert np.median(mixed[:, :, 34:38]) > 1.3 * np.median(mixed[:, :, 10:14])


def test_noise_twice_as_high_in_one_half_costs_what_four_times_the_power_costs():
    signal = molecule_signal.signal_volume(
        np.random.default_rng(6).uniform(0, 48, (2600, 3)),
        np.full(2600, 6.0),
        np.full(2600, 100.0),
        (48,) * 3,
        1.0,
        0.0,
    )
    profile = np.ones(signal.shape, np.float32)
    profile[:, :, 24:] = 2.0
    power = lambda f: 0.01 + 0 * f  # noqa: E731
    mixed = known_local_resolution.local_truth(signal, power, profile, 2)
    plain = known_local_resolution.local_truth(signal, power, None, 2)
    noisier = known_local_resolution.local_truth(signal, lambda f: 4 * power(f), None, 2)
    # Noise reaches over 0.8 of a wavelength of at most 6 voxels; the border of the noise is 10 voxels away.
    fine = (plain < 6) & (noisier < 6)
    assert fine[:, :, 5:7].sum() > 300 and fine[:, :, 17:19].sum() > 300
    assert np.allclose(mixed[:, :, 5:7][fine[:, :, 5:7]], plain[:, :, 5:7][fine[:, :, 5:7]], rtol=0.01)
    assert np.allclose(
        mixed[:, :, 17:19][fine[:, :, 17:19]], noisier[:, :, 17:19][fine[:, :, 17:19]], rtol=0.01
    )
    assert np.median(noisier) > 1.1 * np.median(plain)


def test_truth_stays_between_nyquist_and_the_lowest_band():
    signal = np.random.default_rng(0).standard_normal((36, 40, 44)).astype(np.float32)
    finest = known_local_resolution.local_truth(signal, lambda f: 1e-9 + 0 * f, None, 2)
    assert finest.shape == (18, 20, 22)
    assert np.allclose(finest, 1 / 0.49)
    coarsest = known_local_resolution.local_truth(signal, lambda f: 1e9 + 0 * f, None, 2)
    lowest = known_local_resolution.truth_frequencies(signal.shape)[0]
    assert np.allclose(coarsest, 1 / lowest)
    assert (
        1.5 / 36 <= lowest < 1.5 / 36 * BAND
    )  # the wave of the lowest band fits the shortest edge 1.5 times


def test_nothing_is_resolved_beyond_the_band_limit():
    result = quick_map(resolution=2.2, band_limit=0.33, b_base=10.0)
    inside = result.truth[result.truth > 0]
    assert inside.min() == pytest.approx(1 / 0.33, rel=1e-5)
    assert result.info["global_fsc0143_A"] >= 0.97 / 0.33
    assert result.info["target_A"] == 2.2


def test_truth_frequencies_are_spaced_by_eight_percent_up_to_the_cap():
    f = known_local_resolution.truth_frequencies((64, 64, 64))
    assert f[-1] == pytest.approx(0.49)
    assert np.allclose(f[1:] / f[:-1], 1.08)
    assert known_local_resolution.truth_frequencies((400, 400, 400))[0] >= 0.02


def test_half_maps_agree_with_the_truth_that_was_not_made_from_them():
    """At voxels of truth t the SSNR measured between half maps in the band at 1/t is 0.143 / 0.857."""
    signal = molecule_signal.signal_volume(
        np.random.default_rng(6).uniform(0, 40, (1500, 3)),
        np.full(1500, 6.0),
        np.full(1500, 80.0),
        (40,) * 3,
        1.0,
        0.0,
    )
    truth = known_local_resolution.local_truth(signal, lambda f: 0.02 + 0 * f, None, 2)
    rng = np.random.default_rng(0)
    halves = [
        signal + np.sqrt(np.float32(0.02)) * rng.standard_normal(signal.shape, dtype=np.float32)
        for _ in range(2)
    ]
    cross, noise = 0.0, 0.0
    for centre in known_local_resolution.truth_frequencies(signal.shape)[4:-1]:
        at = np.abs(np.log(truth * centre)) < np.log(BAND) / 2
        mean, difference = ((halves[0] + s * halves[1]) / 2 for s in (1, -1))
        total = band_energies.Spectrum(mean).energy(centre, truth.shape, 2)[0][at].sum()
        gap = band_energies.Spectrum(difference).energy(centre, truth.shape, 2)[0][at].sum()
        cross, noise = cross + total - gap, noise + 2 * gap  # <h1 h2> = E, <(h1 - h2)^2> / 2 = N
    assert cross / noise == pytest.approx(known_local_resolution.SSNR_THRESHOLD, rel=0.1)


@pytest.mark.parametrize(
    "power", [WHITE, lambda f: 1 / (f + 0.05), lambda f: f**2], ids=["white", "red", "blue"]
)
def test_band_power_is_the_noise_that_a_band_really_holds(power):
    shape = (48, 40, 44)
    f = fourier_shells.frequency_grid(shape)
    noise = sf.rfftn(np.random.default_rng(1).standard_normal(shape, dtype=np.float32)) * np.sqrt(power(f))
    spectrum = band_energies.Spectrum(sf.irfftn(noise, s=shape))
    for centre in (0.15, 0.3, 0.45):
        measured = float((spectrum.band(centre) ** 2).mean())
        assert measured == pytest.approx(
            known_local_resolution.band_power(power, centre, 0.1 * centre), rel=0.08
        )


@pytest.mark.parametrize("centre", [0.08, 0.15, 0.3])
def test_noise_inside_the_molecule_is_as_high_as_the_truth_assumes(centre, monkeypatch):
    """Levels averaged over realisations, where the profile changes within a wavelength."""
    shape, cells = (40, 40, 40), (20, 20, 20)
    grid = np.ogrid[:40, :40, :40]
    mask = sum((g - 19.5) ** 2 for g in grid) < 11**2
    profile = 1 + 1.5 * ndimage.gaussian_filter(mask.astype(np.float32), 4.0)
    rng = np.random.default_rng(2)
    found, runs = np.zeros(cells), 12
    for _ in range(runs):
        noise = rng.standard_normal(shape, dtype=np.float32) * profile
        found += band_energies.Spectrum(noise).energy(centre, cells, 2)[0] / runs
    assumed = []
    monkeypatch.setattr(
        known_local_resolution,
        "smooth_resample",
        lambda *a: assumed.append(band_energies.smooth_resample(*a)) or assumed[-1],
    )
    monkeypatch.setattr(known_local_resolution, "truth_frequencies", lambda _: np.array([centre]))
    known_local_resolution.local_truth(np.zeros(shape, np.float32), WHITE, profile, 2)
    width = max(band_energies.RELATIVE_WIDTH * centre, band_energies.MIN_WIDTH)
    expected = assumed[0] * known_local_resolution.band_power(WHITE, centre, width)
    inside = band_energies.cells_of_mask(mask, 2)
    assert found[inside].sum() / expected[inside].sum() == pytest.approx(1, abs=0.12)
    outside = ~ndimage.binary_dilation(inside, iterations=3)
    assert found[outside].sum() / expected[outside].sum() == pytest.approx(1, abs=0.12)
