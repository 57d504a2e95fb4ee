"""Realistic maps: their truth against cases whose answer is known by hand, and every option."""

import dataclasses
import json

import numpy as np
import pytest
import scipy.fft as sf
from scipy import ndimage
from scipy.integrate import trapezoid

from cryoresdl.models.base.errors import InputError
from cryoresdl.models.features import band_energies
from cryoresdl.models.maps import fourier_shells
from cryoresdl.models.simulation import (
    imaging_conditions,
    known_local_resolution,
    molecule_signal,
    realistic_map,
    reconstruction_noise,
)
from cryoresdl.models.simulation.imaging_conditions import ImagingConditions
from cryoresdl.models.structures import atoms
from cryoresdl.tests.helpers.small_maps import atoms_at, ball

BAND = known_local_resolution.TRUTH_RATIO
WHITE = np.ones_like


def quick(atoms=None, resolution=4.0, box=40, voxel_size=1.0, seed=1, **options):
    atoms = ball(400, 11.0) if atoms is None else atoms
    return realistic_map.simulate(atoms, resolution, box, voxel_size, seed, ImagingConditions(**options))


@pytest.fixture(scope="module")
def simulated():
    return quick(b_base=30.0, b_range=40.0)


# --- the definition -------------------------------------------------------------------------------------------------


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
    result = quick(resolution=2.2, band_limit=0.33, b_base=10.0)
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


# --- its parts ------------------------------------------------------------------------------------------------------


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
    assert known_local_resolution.band_power(WHITE, 0.3, 0.03) == pytest.approx(
        band_energies.band_noise_gain(0.3), rel=1e-3
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
    result = quick(noise_fall=1.0, noise_slope=0.0)
    difference = (result.half1 - result.half2).astype(np.float64) ** 2
    n = difference.shape[0]
    grid = np.ogrid[:n, :n, :n]
    square = sum(((g - n // 2) / (n / 2)) ** 2 for g in grid)
    middle, far = difference[square < 0.15].mean(), difference[(square > 0.9) & (square < 1.1)].mean()
    assert np.log(far / middle) == pytest.approx(-2 * (1.0 - 0.09), abs=0.2)


def test_spline_deposit_keeps_weight_and_centre():
    rng = np.random.default_rng(0)
    positions = rng.uniform(6, 14, (50, 3))
    weights = rng.uniform(1, 8, 50)
    grid = molecule_signal.spline_deposit(positions, weights, (20, 22, 24))
    assert grid.shape == (20, 22, 24)
    assert grid.sum() == pytest.approx(weights.sum())
    for axis, n in enumerate(grid.shape):
        profile = grid.sum(tuple(a for a in range(3) if a != axis))
        centre = (np.arange(n) * profile).sum() / grid.sum()
        assert centre == pytest.approx((weights * positions[:, axis]).sum() / weights.sum())
    # A cubic B-spline at a grid point is (1, 4, 1) / 6 along every axis; the box is periodic.
    one = molecule_signal.spline_deposit(np.array([[0.0, 5.0, 5.0]]), np.array([216.0]), (20, 20, 20))
    assert np.allclose(one[[19, 0, 1], 5, 5], [16, 64, 16])


def test_signal_is_a_sum_of_gaussians():
    """One atom against the same Gaussians summed in real space."""
    b = 150.0  # coarser than the grid: what lies beyond Nyquist cannot be drawn
    volume = molecule_signal.signal_volume(
        np.array([[15.3, 16.1, 16.9]]), np.array([6.0]), np.array([b]), (32,) * 3, 1.0, 0.0
    )
    z, y, x = np.mgrid[:32, :32, :32]
    r2 = (x - 15.3) ** 2 + (y - 16.1) ** 2 + (z - 16.9) ** 2
    expected = sum(
        6.0 * share * (4 * np.pi / (b + width)) ** 1.5 * np.exp(-4 * np.pi**2 * r2 / (b + width))
        for share, width in ((0.45, 30.0), (0.35, 8.0), (0.2, 1.5))
    )
    assert np.abs(volume - expected).max() < 5e-3 * expected.max()


def test_solvent_lowers_the_contrast_of_a_molecule_but_not_its_detail():
    atoms = ball(600, 12.0)
    xyz = atoms.xyz + 20

    def make(solvent):
        ones = np.ones(len(xyz))
        return molecule_signal.signal_volume(xyz, 6 * ones, 30 * ones, (40, 40, 40), 1.0, solvent)

    vacuum, solvent = make(0.0), make(0.5)
    assert solvent.sum() == pytest.approx(0.5 * vacuum.sum(), rel=0.02)
    f = fourier_shells.frequency_grid(vacuum.shape)
    power = [fourier_shells.shell_power(sf.rfftn(v), f, 20) for v in (vacuum, solvent)]
    assert power[1][1] < 0.5 * power[0][1]
    assert power[1][12:18].mean() == pytest.approx(power[0][12:18].mean(), rel=0.1)


def test_half_map_fsc_of_known_maps():
    rng = np.random.default_rng(4)
    shape = (32, 32, 32)
    common, one, two = (rng.standard_normal(shape).astype(np.float32) for _ in range(3))
    f, same = fourier_shells.half_map_fsc(common, 3 * common)
    assert len(f) == 17 and f[-1] == 0.5
    assert np.allclose(same, 1)
    assert np.allclose(fourier_shells.half_map_fsc(common, -common)[1], -1)
    assert abs(fourier_shells.half_map_fsc(one, two)[1][5:].mean()) < 0.03
    noisy = fourier_shells.half_map_fsc(common + one, common + two)[1]
    assert noisy[5:].mean() == pytest.approx(0.5, abs=0.03)  # S / (S + N) with S = N
    assert np.allclose(fourier_shells.half_map_fsc(common, common + 5, np.ones(shape))[1][1:], 1)


def test_first_crossing_interpolates_and_takes_the_first():
    f = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    assert fourier_shells.first_crossing(f, np.array([1, 0.343, 0.0, 0.9, 0.0])) == pytest.approx(
        0.2 + 0.1 * 0.2 / 0.343
    )
    assert fourier_shells.first_crossing(f, np.full(5, 0.9)) == 0.5
    assert fourier_shells.first_crossing(f, np.zeros(5)) == 0.1
    assert fourier_shells.first_crossing(f, np.array([1, 1, 0, 0, 0.0]), 0.5) == pytest.approx(0.25)


def test_mask_follows_the_atoms_and_has_no_holes():
    xyz = np.array([[10.0, 12.0, 14.0]])
    mask = molecule_signal.mask_around(xyz, (24, 24, 24), 1.0, 4.0)
    assert mask[14, 12, 10] and mask[14, 12, 14] and not mask[14, 12, 15]
    assert (
        mask.sum()
        == (np.add.outer(np.add.outer(*[np.arange(-4, 5) ** 2] * 2), np.arange(-4, 5) ** 2) <= 16).sum()
    )
    shell = ball(900, 10.0).xyz
    shell = shell[np.linalg.norm(shell, axis=1) > 7] + 12
    assert molecule_signal.mask_around(shell, (24, 24, 24), 1.0, 3.0)[12, 12, 12]


def test_soft_edge_falls_from_one_to_zero():
    mask = np.zeros((20, 20, 20), bool)
    mask[8:12, 8:12, 8:12] = True
    edge = fourier_shells.soft_edge(mask, 4.0)
    line = edge[10, 10, 10:]
    assert (edge[mask] == 1).all() and np.all(np.diff(line) <= 0) and line[-1] == 0
    assert line[3] == pytest.approx(0.5)  # two voxels outside, half of the width


# --- whole maps -----------------------------------------------------------------------------------------------------


def test_a_simulated_map_keeps_its_promises(simulated):
    info = simulated.info
    for volume in (simulated.map, simulated.half1, simulated.half2, simulated.truth):
        assert volume.shape == (40, 40, 40) and volume.dtype == np.float32 and np.isfinite(volume).all()
    assert (simulated.truth[~simulated.mask] == 0).all() and (simulated.truth[simulated.mask] >= 2).all()
    assert info["global_fsc0143_A"] == pytest.approx(4.0, rel=0.02)
    assert info["measured_fsc0143_masked_A"] == pytest.approx(4.0, rel=0.2)
    # The mask given out is the molecule's own here.
    assert info["measured_fsc0143_given_mask_A"] == info["measured_fsc0143_masked_A"]
    assert info["truth_quartiles_A"][0] <= info["truth_median_A"] <= info["truth_quartiles_A"][1]
    assert info["mask_voxels"] == simulated.mask.sum()
    json.dumps(info)
    # The final map is the mean of the halves but for scale.
    mean = (simulated.half1 + simulated.half2) / 2
    assert np.corrcoef(simulated.map.ravel(), mean.ravel())[0, 1] > 0.999999
    assert simulated.map.std() == pytest.approx(1, abs=1e-3)


def test_noise_of_the_halves_is_independent_and_as_strong_as_stated(simulated):
    outside = ~ndimage.binary_dilation(simulated.mask, iterations=4)
    one, two = simulated.half1[outside], simulated.half2[outside]
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.05
    level = (simulated.half1 - simulated.half2).var() / 2
    assert level == pytest.approx(simulated.info["noise_power_per_voxel"], rel=0.03)


def test_the_same_seed_gives_the_same_bytes(simulated):
    again = quick(b_base=30.0, b_range=40.0)
    other = quick(b_base=30.0, b_range=40.0, seed=2)
    for name in ("map", "half1", "half2", "mask", "truth"):
        assert getattr(again, name).tobytes() == getattr(simulated, name).tobytes()
        assert getattr(other, name).tobytes() != getattr(simulated, name).tobytes()
    assert again.info == simulated.info


@pytest.mark.parametrize(
    "options",
    [
        {"b_source": "none"},
        {"b_source": "radial"},
        {"b_source": "file"},
        {"noise_slope": 1.0, "noise_bump": (0.8, 0.2)},
        {"noise_profile": 0.3},
        {"noise_inside": 2.0},
        {"noise_fall": 0.8},
        {"weighting": True, "b_sharpen": -60.0},
        {"low_pass": 8.0},
        {"copies": 3, "mask_margin": 3.0},
        {"auto_mask": True},
    ],
    ids=str,
)
def test_every_option_changes_the_map_and_leaves_a_valid_truth(options, simulated):
    atoms = ball(300, 9.0, b_factor=30.0)
    atoms.b_factor[:] = 20 + 3 * atoms.xyz[:, 0]
    box = 56 if "copies" in options else 40
    result = quick(atoms, box=box, **options)
    plain = quick(atoms, box=box)
    changed = "mask" if "auto_mask" in options else "map"
    assert not np.array_equal(getattr(result, changed), getattr(plain, changed))
    inside = result.truth[result.mask]
    assert (inside >= 2).all() and np.isfinite(inside).all()


def test_backgrounds():
    maps = {name: quick(background=name) for name in ("noise", "soft", "hard", "zone", "clipped")}
    mask = maps["noise"].mask
    assert (maps["noise"].map[~mask] != 0).all()
    assert (maps["hard"].map[~mask] == 0).all() and (maps["hard"].map[mask] != 0).all()
    soft = maps["soft"].map
    far = ndimage.distance_transform_edt(~mask) > 4.5
    assert (soft[far] == 0).all() and (soft[mask] != 0).all() and (soft[~mask & ~far] != 0).any()
    assert maps["clipped"].map.min() == 0
    zone = maps["zone"].map
    assert 0.02 < (zone != 0).mean() < 0.9 and (zone[far] == 0).all()
    # What a user does to the map changes neither the halves nor the truth.
    for result in maps.values():
        assert np.array_equal(result.half1, maps["noise"].half1)
        assert np.array_equal(result.truth, maps["noise"].truth)


def test_sharpening_is_the_filter_that_it_says():
    plain, sharp = quick(), quick(b_sharpen=-100.0)
    f = fourier_shells.frequency_grid(plain.map.shape)
    ratio = np.sqrt(
        fourier_shells.shell_power(sf.rfftn(sharp.map), f, 20)
        / fourier_shells.shell_power(sf.rfftn(plain.map), f, 20)
    )
    shell = np.arange(21) / 40.0
    slope = np.polyfit(shell[3:18] ** 2, np.log(ratio[3:18]), 1)[0]
    assert slope == pytest.approx(25.0, rel=0.05)


def test_file_b_factors_order_the_truth():
    atoms = ball(900, 13.0)
    atoms.b_factor[:] = np.where(atoms.xyz[:, 0] > 0, 10.0, 200.0)
    rigid = molecule_signal.flexibility(
        atoms.xyz, atoms.b_factor, atoms.chain, ImagingConditions(b_source="file"), np.random.default_rng(0)
    )
    assert rigid[atoms.xyz[:, 0] > 0].max() < rigid[atoms.xyz[:, 0] < 0].min()
    field = molecule_signal.flexibility(
        atoms.xyz, atoms.b_factor, atoms.chain, ImagingConditions(), np.random.default_rng(0)
    )
    assert (field >= ImagingConditions().b_base).all() and np.ptp(field) > 30
    # Smooth: neighbours differ far less than strangers.
    distance = np.linalg.norm(atoms.xyz[:, None] - atoms.xyz[None], axis=-1)
    gap = np.abs(field[:, None] - field[None])
    assert gap[(distance > 0) & (distance < 3)].mean() < 0.4 * gap[distance > 18].mean()


def test_stride_gives_the_same_truth_on_a_coarser_grid():
    fine = quick()
    coarse = realistic_map.simulate(ball(400, 11.0), 4.0, 40, 1.0, 1, ImagingConditions(), truth_stride=2)
    assert coarse.truth.shape == (20, 20, 20)
    assert np.array_equal(coarse.truth > 0, band_energies.cells_of_mask(fine.mask, 2))
    blocks = fine.truth.reshape(20, 2, 20, 2, 20, 2)
    full = (blocks > 0).all((1, 3, 5))
    assert np.quantile(np.abs(blocks.mean((1, 3, 5))[full] / coarse.truth[full] - 1), 0.9) < 0.05


def test_random_rotation_is_a_rotation():
    turns = [atoms.random_rotation(np.random.default_rng(k)) for k in range(200)]
    for turn in turns[:5]:
        assert np.allclose(turn @ turn.T, np.eye(3)) and np.linalg.det(turn) == pytest.approx(1)
    assert np.abs(np.mean(turns, axis=0)).max() < 0.15


def test_b_factors_of_plain_maps_grow_with_the_square_of_the_resolution():
    assert imaging_conditions.plain_options(3.0) == ImagingConditions()
    coarse = imaging_conditions.plain_options(9.0)
    assert coarse == ImagingConditions(
        b_base=9 * ImagingConditions.b_base, b_range=9 * ImagingConditions.b_range
    )
    assert imaging_conditions.plain_options(1.0) == imaging_conditions.plain_options(
        2.0
    )  # nothing is sharper than this
    made = realistic_map.simulate(ball(400, 11.0), 6.0, 40, 1.5, 1)
    assert made.info["options"]["b_base"] == 4 * ImagingConditions.b_base


def test_drawn_options_are_valid_and_varied():
    drawn = [imaging_conditions.random_options(np.random.default_rng(k), 4.0) for k in range(200)]
    for options in drawn:
        assert options.b_base > 0 and options.b_range > 0 and 8 <= options.field_length <= 35
        assert options.mask_margin > 0 and 0.2 <= options.band_limit <= 0.87
        assert options.background in ("noise", "soft", "hard", "zone", "clipped")
        assert options.b_source in ("field", "file", "radial", "none")
        json.dumps(dataclasses.asdict(options))
    for name in ("background", "b_source", "copies", "weighting", "auto_mask"):
        assert len({getattr(o, name) for o in drawn}) > 1
    assert imaging_conditions.random_options(np.random.default_rng(1), 4.0) == drawn[1]
    coarse = np.mean(
        [imaging_conditions.random_options(np.random.default_rng(k), 12.0).b_base for k in range(50)]
    )
    assert coarse > 4 * np.mean(
        [o.b_base for o in drawn[:50]]
    )  # flexibility grows with the resolution asked for


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"resolution": 1.9}, "A resolution of 1.9 A needs voxels of at most 0.95 A"),
        ({"resolution": float("nan")}, "needs voxels"),
        ({"voxel_size": 0.0}, "--voxel-size"),
        ({"voxel_size": float("inf")}, "--voxel-size"),
        ({"box": 24}, "give --box"),
    ],
    ids=["beyond Nyquist", "nan", "zero voxel", "infinite voxel", "does not fit"],
)
def test_impossible_maps_are_refused_with_a_remedy(arguments, words):
    with pytest.raises(InputError, match=words):
        quick(**{"resolution": 4.0, **arguments})


def test_structures_without_atoms_are_refused():
    for structure in (
        atoms_at(np.zeros((2, 3)) + [[0], [5]]),
        atoms_at(ball(50, 8.0).xyz, occupancy=0.0),
        atoms_at(ball(50, 8.0).xyz, z_number=1),
        atoms_at(np.full((50, 3), np.nan)),
    ):
        with pytest.raises(InputError, match="fewer than 3 usable atoms"):
            quick(structure)


def test_a_training_map_may_be_a_piece_of_a_large_molecule():
    result = realistic_map.simulate(
        ball(3000, 30.0), 4.0, 40, 1.0, 1, ImagingConditions(), truth_stride=2, crop=True
    )
    assert result.map.shape == (40, 40, 40) and result.truth.shape == (20, 20, 20)
    assert result.mask.mean() > 0.3


def test_the_box_is_chosen_to_fit_when_none_is_given():
    result = realistic_map.simulate(ball(200, 9.0), 4.0, None, 1.0, 1, ImagingConditions())
    edge = result.map.shape[0]
    assert edge >= 32 and edge == sf.next_fast_len(edge, real=True)
    assert not result.mask[[0, -1]].any() and not result.mask[:, [0, -1]].any()
