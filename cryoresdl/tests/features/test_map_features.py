"""Band-energy features: what they measure, and what must not change them."""

import numpy as np
import pytest
import scipy.fft as sf
from hypothesis import given, settings
from hypothesis import strategies as st

from cryoresdl.models.base.errors import InputError
from cryoresdl.models.features import (
    background_noise,
    band_energies,
    map_features,
    network_inputs,
    spectrum_levelling,
)
from cryoresdl.models.maps.fsc import fourier_shells
from cryoresdl.models.simulation import imaging_conditions, realistic_map
from cryoresdl.models.simulation.truth import known_local_resolution
from cryoresdl.tests.helpers.small_maps import ball


@pytest.fixture(scope="module")
def noisy():
    """A molecule in white noise."""
    return realistic_map.simulate(
        ball(500, 11.0), 3.5, 48, 1.0, 1, imaging_conditions.ImagingConditions(b_base=20.0, b_range=40.0)
    )


@pytest.fixture(scope="module")
def found(noisy):
    return map_features.compute(noisy.map, noisy.mask, 1.0)


def sphere(shape, radius):
    grid = np.ogrid[tuple(slice(0, n) for n in shape)]
    return sum((g - n / 2) ** 2 for g, n in zip(grid, shape)) < radius**2


@pytest.mark.parametrize("value", [0.0, 0.7])
@pytest.mark.parametrize("before", [(16, 16, 16), (4, 0, 10)])
def test_padding_with_one_value_changes_nothing(noisy, found, value, before):
    """A padded box jumps at its former faces, and the jump leaks into every band."""
    pads = [(low, 12) for low in before]
    padded = np.pad(noisy.map, pads, constant_values=value)
    again = map_features.compute(padded, np.pad(noisy.mask, pads), 1.0)
    assert np.array_equal(again.local, found.local) and np.array_equal(again.summary, found.summary)
    assert [edge.start - low for edge, low in zip(again.region, before)] == [e.start for e in found.region]


def test_a_map_cut_out_along_a_sphere_is_not_taken_for_a_padded_one(noisy):
    masked = np.where(sphere(noisy.map.shape, 20), noisy.map, 0)
    assert map_features.filled_box(masked, noisy.mask) == band_energies.WHOLE


# --- invariance -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale, offset", [(1e-4, 0.0), (1e4, 0.0), (1.0, 50.0), (3.0, -7.0)])
def test_scale_and_offset_do_not_matter(noisy, found, scale, offset):
    again = map_features.compute(noisy.map * np.float32(scale) + np.float32(offset), noisy.mask, 1.0)
    assert np.abs(again.local - found.local).max() < 5e-3
    assert np.abs(again.summary - found.summary).max() < 5e-3


@pytest.mark.parametrize("b_factor", [-40.0, 120.0])
def test_sharpening_does_not_matter(noisy, found, b_factor):
    f = fourier_shells.frequency_grid(noisy.map.shape)
    filtered = sf.irfftn(sf.rfftn(noisy.map) * np.exp(-0.25 * b_factor * f**2), s=noisy.map.shape)
    again = map_features.compute(filtered.astype(np.float32), noisy.mask, 1.0)
    # Energy over noise, band by band: units are (log2 - 2) / 4, so 0.05 is 15 % of the energy.
    shift = (again.local - found.local)[: band_energies.N_BANDS, found.mask_cells]
    assert np.abs(np.median(shift, axis=1)).max() < 0.05
    assert np.quantile(np.abs(shift), 0.95) < 0.12
    # The map's own slope is the one thing that may tell of the filter.
    n = band_energies.N_BANDS
    assert np.abs(again.summary[4 * n : 5 * n] - found.summary[4 * n : 5 * n]).max() > 0.1


def test_the_voxel_size_enters_only_as_a_number(noisy, found):
    again = map_features.compute(noisy.map, noisy.mask, 2.0)
    assert np.array_equal(again.local, found.local)
    changed = np.flatnonzero(again.summary != found.summary)
    n = network_inputs.SUMMARY_BLOCKS * band_energies.N_BANDS
    assert changed.tolist() == [n, n + 4]
    assert again.summary[n] - found.summary[n] == pytest.approx(1.0)


def test_a_steep_spectrum_does_not_leak_through_the_faces_of_the_region():
    """A molecule in a box much larger than its region, sharpened until the corners of Fourier space hold 2^32.

    Cut out before its spectrum is flat, the strong high bands would jump at the faces and fill the weak ones.
    """
    made = realistic_map.simulate(
        ball(500, 9.0), 3.5, 72, 1.0, 1, imaging_conditions.ImagingConditions(b_base=20.0, b_range=40.0)
    )
    plain = map_features.compute(made.map, made.mask, 1.0)
    assert all(edge.stop - edge.start < 66 for edge in plain.region)
    f = fourier_shells.frequency_grid(made.map.shape)
    steep = sf.irfftn(sf.rfftn(made.map) * np.exp(0.25 * 60.0 * f**2), s=made.map.shape)
    found = map_features.compute(steep.astype(np.float32), made.mask, 1.0)
    n = band_energies.N_BANDS
    shift = 4 * (found.summary - plain.summary)[1:n]
    assert np.abs(shift).max() < 0.45  # 1 to 5 where the region is cut out first
    slopes = 4 * (found.summary - plain.summary)[4 * n : 5 * n]
    centres = np.asarray(band_energies.BAND_CENTRES)
    expected = np.diff(0.5 * 60.0 * centres**2) / np.log(2)  # what the filter really added, band to band
    assert np.allclose(slopes[1:], expected, atol=0.3)


def test_a_rise_is_levelled_and_a_fall_left_alone():
    noise = np.random.default_rng(11).standard_normal((48, 40, 56)).astype(np.float32)
    f = fourier_shells.frequency_grid(noise.shape)
    for b_factor, expected in ((-120.0, None), (0.0, 1.0), (120.0, 1.0)):
        tilted = sf.irfftn(sf.rfftn(noise) * np.exp(-0.25 * b_factor * f**2), s=noise.shape)
        again, found = spectrum_levelling.level_spectrum(tilted.astype(np.float32))
        power = fourier_shells.shell_power(sf.rfftn(again), f, 20)[3:20]
        if expected is None:
            assert power.max() / power.min() < 2.5
        else:
            inner = found.gain[3:20] / found.gain[3]
            assert np.abs(np.log(inner)).max() < 0.15
        assert np.allclose(found.apply(tilted, band_energies.WHOLE), again, atol=1e-4 * np.abs(again).max())


def test_what_a_filter_has_emptied_stays_empty():
    noise = np.random.default_rng(12).standard_normal((48, 48, 48)).astype(np.float32)
    f = fourier_shells.frequency_grid(noise.shape)
    cut = sf.irfftn(sf.rfftn(noise) * (f < 0.2), s=noise.shape).astype(np.float16).astype(np.float32)
    flat, found = spectrum_levelling.level_spectrum(cut)
    power = fourier_shells.shell_power(sf.rfftn(flat), f, 24)
    assert power[11:].max() < 1e-5 * power[3:9].mean()
    empty = spectrum_levelling.empty_bands(found)
    assert not empty[: np.searchsorted(band_energies.BAND_CENTRES, 0.18)].any() and empty[-3:].all()
    edge = spectrum_levelling.filter_edge(found)
    assert edge.sure and edge.wavelength == pytest.approx(5.0, rel=0.1)


def blurred_noise(b_voxels=0.0, cut=None):
    """Noise whose amplitude falls as exp(-B f^2 / 4), low-passed by a raised cosine at ``cut`` cycles per voxel."""
    noise = np.random.default_rng(14).standard_normal((64, 64, 64)).astype(np.float32)
    f = fourier_shells.frequency_grid(noise.shape)
    gain = np.exp(-0.25 * b_voxels * f**2)
    if cut is not None:
        gain = gain * 0.5 * (1 + np.cos(np.pi * np.clip((f - cut + 0.015) / 0.03, 0, 1)))
    return sf.irfftn(sf.rfftn(noise) * gain, s=noise.shape).astype(np.float32)


def soft_ball(shape, radius):
    axes = [(np.arange(n) - n / 2) ** 2 for n in shape]
    inside = axes[0][:, None, None] + axes[1][:, None] + axes[2] < radius**2
    return fourier_shells.soft_edge(inside, 5.0)


@pytest.mark.parametrize("wavelength", [4.0, 6.0, 9.0])
@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
def test_the_edge_of_a_low_pass_filter_is_seen_under_a_mask_too(wavelength, masked):
    """A mask put on after the filter fills what it had emptied with what leaks over the edge."""
    data = blurred_noise(60.0, 1 / wavelength)
    if masked:
        data = data * soft_ball(data.shape, 26)
    edge = spectrum_levelling.filter_edge(spectrum_levelling.level_spectrum(data)[1])
    assert edge is not None and edge.sure == (not masked)
    assert edge.wavelength == pytest.approx(wavelength, rel=0.2)


@pytest.mark.parametrize("b_voxels", [0.0, 60.0, 200.0])
@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
def test_blurring_and_masks_alone_show_no_edge(b_voxels, masked):
    data = blurred_noise(b_voxels)
    if masked:
        data = data * soft_ball(data.shape, 26)
    assert spectrum_levelling.filter_edge(spectrum_levelling.level_spectrum(data)[1]) is None


def test_the_mean_of_the_box_hides_no_noise():
    """A mean of 2^18 standard deviations of the noise stands 2^50 above it; the noise still reaches Nyquist."""
    noise = np.random.default_rng(13).standard_normal((40, 40, 40)).astype(np.float32)
    _, found = spectrum_levelling.level_spectrum(noise * np.float32(0.5) + np.float32(2.0**17))
    assert spectrum_levelling.filter_edge(found) is None and not spectrum_levelling.empty_bands(found).any()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(30, 90), st.integers(0, 89), st.integers(1, 60)), min_size=3, max_size=3)
)
def test_the_region_holds_every_masked_voxel_from_an_even_one_on(axes):
    shape = tuple(n for n, _, _ in axes)
    mask = np.zeros(shape, bool)
    window = tuple(slice(low % n, low % n + size) for n, low, size in axes)
    mask[window] = True
    region = map_features.region_of(mask)
    assert mask[region].sum() == mask.sum()
    for edge, part, n in zip(region, window, shape):
        assert edge.start % band_energies.STRIDE == 0 and edge.stop <= n
        assert edge.start <= max(part.start - map_features.REGION_MARGIN, 0)
        assert edge.stop >= min(min(part.stop, n) + map_features.REGION_MARGIN, n)


def test_the_cells_of_the_region_lie_where_it_says():
    shape = (81, 70, 66)
    mask = np.zeros(shape, bool)
    mask[55:70, 31:40, 20:35] = True
    found = map_features.compute(
        np.random.default_rng(14).standard_normal(shape).astype(np.float32), mask, 1.0
    )
    assert found.region[0].start > 0
    assert np.array_equal(band_energies.cells_of_mask(mask)[found.cell_region()], found.mask_cells)


def test_an_empty_mask_is_refused():
    with pytest.raises(InputError, match="mask is empty"):
        map_features.compute(np.zeros((20, 20, 20), np.float32), np.zeros((20, 20, 20), bool), 1.0)


def test_windows_hold_no_numbers_below_the_normal_range():
    weights = band_energies._window_matrix(96, 96, 48, 2.0, 1.1)
    assert weights[weights > 0].min() > np.finfo(np.float32).tiny


# --- shapes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(33, 40, 51), (32, 64, 36), (31, 31, 31)])
def test_odd_and_oblong_boxes_have_one_cell_for_every_two_voxels(shape):
    data = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    mask = sphere(shape, 9)
    result = map_features.compute(data, mask, 1.3)
    mask = mask[result.region]
    cells = tuple(-(-n // 2) for n in mask.shape)
    assert all(edge.start % 2 == 0 for edge in result.region)
    assert result.local.shape == (network_inputs.N_LOCAL,) + cells and result.local.dtype == np.float32
    assert result.mask_cells.shape == cells
    assert result.summary.shape == (network_inputs.summary_length(),) and result.summary.dtype == np.float32
    assert np.isfinite(result.local).all() and np.isfinite(result.summary).all()
    padded = np.pad(mask, [(0, n % 2) for n in mask.shape])
    assert np.array_equal(
        result.mask_cells, padded.reshape(cells[0], 2, cells[1], 2, cells[2], 2).any((1, 3, 5))
    )
    assert np.array_equal(result.local[-1], result.mask_cells)


def test_axes_are_treated_alike(noisy, found):
    turned = map_features.compute(
        np.ascontiguousarray(noisy.map.transpose(2, 0, 1)),
        np.ascontiguousarray(noisy.mask.transpose(2, 0, 1)),
        1.0,
    )
    assert np.abs(turned.local - found.local.transpose(0, 3, 1, 2)).max() < 0.02  # the noise is sampled


# --- the noise level ------------------------------------------------------------------------------------------------


def test_pure_noise_has_ratio_one_in_every_band():
    shape = (56, 56, 56)
    data = np.random.default_rng(3).standard_normal(shape).astype(np.float32)
    result = map_features.compute(data, sphere(shape, 13), 1.0)
    assert result.has_noise and result.background_constant < 0.01
    n = band_energies.N_BANDS
    relative = 4 * result.summary[:n]  # log2 of mean energy inside over the noise outside
    assert np.abs(relative[-8:]).max() < 0.25
    assert np.abs(relative[4:]).max() < 1.0  # few independent waves fit outside at low frequencies
    local = 4 * result.local[:n, result.mask_cells] + 2
    assert np.abs(np.median(local[-8:], axis=1)).max() < 0.4


def test_half_maps_tell_the_noise_where_it_is():
    """Noise is twice as strong in one half of the box; the energy is all noise: ratio alike in both halves."""
    shape = (24, 24, 96)
    rng = np.random.default_rng(4)
    profile = np.ones(shape, np.float32)
    profile[:, :, 48:] = 2.0
    one, two = (rng.standard_normal(shape, dtype=np.float32) * profile for _ in range(2))
    result = map_features.compute((one + two) / 2, np.ones(shape, bool), 1.0, (one - two) / 2)
    local = 4 * result.local[9 : band_energies.N_BANDS] + 2
    left, right = (local[:, :, :, chosen].mean() for chosen in (slice(8, 17), slice(31, 40)))
    assert abs(left - right) < 0.15
    assert result.has_noise
    assert result.summary[network_inputs.SUMMARY_BLOCKS * band_energies.N_BANDS + 1] == 1.0
    # Without the halves there is only one level for the whole map: the noisier half seems to hold more signal.
    mask = np.zeros(shape, bool)
    mask[6:18, 6:18, 12:84] = True
    blind = 4 * map_features.compute((one + two) / 2, mask, 1.0).local[9 : band_energies.N_BANDS] + 2
    assert blind[:, 4:8, 4:8, 31:40].mean() - blind[:, 4:8, 4:8, 8:17].mean() > 1.5


def test_a_signal_band_stands_out_by_its_energy():
    shape = (48, 48, 48)
    noise = np.random.default_rng(5).standard_normal(shape).astype(np.float32)
    centre = band_energies.BAND_CENTRES[-3]
    wave = np.sin(2 * np.pi * centre * np.arange(48, dtype=np.float32))[None, None, :]
    level = known_local_resolution.band_power(np.ones_like, centre, 0.1 * centre)
    amplitude = np.float32(np.sqrt(2 * 15 * level))  # energy A^2 / 2 = 15 times the noise's: ratio 16
    result = map_features.compute(noise + amplitude * wave * sphere(shape, 13), sphere(shape, 14), 1.0)
    ratio = (4 * result.local + 2)[: band_energies.N_BANDS, 10:14, 10:14, 10:14].mean((1, 2, 3))
    assert ratio.argmax() == band_energies.N_BANDS - 3
    assert ratio.max() == pytest.approx(4.0, abs=0.4)
    assert abs(ratio[-1]) < 1.0 and abs(ratio[8]) < 1.0


def test_an_emptied_background_is_recognised():
    shape = (40, 40, 40)
    data = np.random.default_rng(6).standard_normal(shape).astype(np.float32)
    mask = sphere(shape, 12)
    result = map_features.compute(np.where(mask, data, 0), mask, 1.0)
    assert not result.has_noise and result.background_constant == pytest.approx(1.0)
    half = data * sphere(shape, 22)
    assert 0.0 < background_noise.constant_background(half, mask)[0] < 1.0
    assert background_noise.constant_background(data, np.ones(shape, bool))[0] == 1.0
    assert background_noise.constant_background(data, mask)[0] < 0.01


def test_an_emptied_background_need_not_be_zero():
    """Masked, then normalised: the same map with another constant outside its sphere."""
    shape = (48, 48, 48)
    data = np.random.default_rng(8).standard_normal(shape).astype(np.float32) * sphere(shape, 20)
    mask = sphere(shape, 11)
    before = map_features.compute(data, mask, 1.0)
    after = map_features.compute((data - 0.3) / np.float32(data.std()), mask, 1.0)
    assert after.background_constant == before.background_constant > 0.1
    assert np.allclose(after.local, before.local, atol=2e-3)
    assert np.allclose(after.summary, before.summary, atol=2e-3)


def test_the_mean_of_a_sharpened_map_does_not_drown_its_lowest_bands():
    shape = (48, 48, 48)
    rng = np.random.default_rng(9)
    f = fourier_shells.frequency_grid(shape)
    noise = rng.standard_normal(shape) * (1 + 2 * sphere(shape, 12))
    mask = sphere(shape, 12)
    plain = map_features.compute(noise.astype(np.float32), mask, 1.0)
    raised = np.fft.irfftn(np.fft.rfftn(noise) * np.exp(20.0 * f**2), shape).astype(np.float32)
    sharpened = map_features.compute(raised, mask, 1.0)
    change = 4 * (sharpened.summary - plain.summary)[: band_energies.N_BANDS]
    assert (
        np.abs(change[:4]).max() < 0.15
    )  # log2; more than 1 where the mean of the mask is taken out instead


def test_a_bright_neighbour_does_not_raise_the_noise_level():
    shape = (56, 56, 56)
    data = np.random.default_rng(7).standard_normal(shape).astype(np.float32)
    mask = sphere(shape, 10)
    clean = map_features.compute(data, mask, 1.0)
    data[2:5, 2:5, 2:5] += 30 * np.random.default_rng(8).standard_normal((3, 3, 3)).astype(np.float32)
    dirty = map_features.compute(data, mask, 1.0)
    shift = 4 * (clean.local - dirty.local)[8 : band_energies.N_BANDS, clean.mask_cells]
    assert np.abs(shift).max() < 0.35


def test_the_noise_level_is_that_near_the_molecule():
    """Noise that falls to a third towards the faces: the level is that a few voxels from the mask, and ``rise`` tells."""
    shape = (72, 72, 72)
    noise = np.random.default_rng(10).standard_normal(shape).astype(np.float32)
    mask = sphere(shape, 10)
    still = map_features.compute(noise, mask, 1.0)
    assert np.abs(still.rise).max() < 0.35 and np.abs(still.rise[-5:]).max() < 0.08
    grid = np.ogrid[:72, :72, :72]
    fall = np.exp(-1.1 * sum(((g - 36) / 36.0) ** 2 for g in grid)).astype(np.float32)
    falling = map_features.compute(noise * fall, mask, 1.0)
    # Noise is all there is, and it is 1.15 times as strong inside as 3 to 10 voxels outside: 2^0.4 of the energy. Taken from
    # all of the background it would be 2^1.4.
    excess = (4 * falling.local + 2)[
        band_energies.N_BANDS - 5 : band_energies.N_BANDS, falling.mask_cells
    ].mean(1)
    same = (4 * still.local + 2)[band_energies.N_BANDS - 5 : band_energies.N_BANDS, still.mask_cells].mean(1)
    assert np.all(excess - same < 0.75)
    assert np.all(falling.rise[-5:] > 0.5)
    f = fourier_shells.frequency_grid(shape)
    sharpened = sf.irfftn(sf.rfftn(noise * fall) * np.exp(20.0 * f**2), s=shape).astype(np.float32)
    assert map_features.compute(sharpened, mask, 1.0).rise[-5:] == pytest.approx(falling.rise[-5:], abs=0.1)


def test_noise_from_elsewhere_does_not_rise(noisy):
    halves = map_features.compute(noisy.map, noisy.mask, 1.0, (noisy.half1 - noisy.half2) / 2)
    assert not halves.rise.any()
    cut = map_features.compute(np.where(noisy.mask, noisy.map, 0), noisy.mask, 1.0)
    assert not cut.has_noise and not cut.rise.any()


# --- the filter bank ------------------------------------------------------------------------------------------------


def test_crossings_are_where_the_profiles_pass_the_ratios():
    """Profiles that fall by one power of two per band, from 8: each level is passed where arithmetic says."""
    profile = 8.0 - np.arange(band_energies.N_BANDS)
    summary = np.zeros(network_inputs.summary_length(), np.float32)
    blocks = summary[: network_inputs.SUMMARY_BLOCKS * band_energies.N_BANDS].reshape(
        -1, band_energies.N_BANDS
    )
    blocks[:4] = profile / 4
    found = network_inputs.crossings(summary).reshape(len(network_inputs.CROSSING_RATIOS), 4, 2)
    place = -np.log2(band_energies.BAND_CENTRES)
    for ratio, row in zip(network_inputs.CROSSING_RATIOS, found):
        expected = np.interp(8 - np.log2(ratio), np.arange(band_energies.N_BANDS), place)
        assert np.allclose(row, expected, atol=1e-5)


def test_crossings_of_a_profile_that_never_falls_or_never_rises():
    summary = np.zeros(network_inputs.summary_length(), np.float32)
    low = network_inputs.crossings(summary)
    assert np.allclose(low, -np.log2(band_energies.BAND_CENTRES[0]))
    summary[: 4 * band_energies.N_BANDS] = 3.0
    assert np.allclose(network_inputs.crossings(summary), -np.log2(band_energies.BAND_CENTRES[-1]) - 0.2)
