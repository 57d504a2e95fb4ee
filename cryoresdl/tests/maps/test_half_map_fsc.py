import numpy as np
import pytest
import scipy.fft as sf
from scipy import ndimage

from cryoresdl.models.maps import density_map
from cryoresdl.models.maps.fsc import half_map_fsc
from cryoresdl.models.maps.mrc import mrc_writer

BOX, VOXEL = 64, 1.5
EVERYTHING = (slice(None),) * 3


@pytest.fixture(scope="module")
def halves():
    """Two half maps of a blob of 8 A detail in white noise, and where the blob is."""
    rng = np.random.default_rng(2)
    grids = np.meshgrid(*[np.arange(BOX) - BOX / 2] * 3, indexing="ij")
    blob = sum(g**2 for g in grids) < 15**2
    detail = rng.standard_normal((BOX,) * 3)
    frequency = np.sqrt(sum(f**2 for f in np.meshgrid(*[sf.fftfreq(BOX, VOXEL)] * 3, indexing="ij")))
    detail = sf.ifftn(sf.fftn(detail) * np.exp(-((frequency * 8) ** 4))).real
    signal = blob * (2.0 + 6 * detail / detail.std())
    maps = [signal + 4 * rng.standard_normal(signal.shape) for _ in range(2)]
    return [density_map.DensityMap(m.astype(np.float32), VOXEL) for m in maps], blob


def grown(blob, by):
    distance = ndimage.distance_transform_edt(~blob) - ndimage.distance_transform_edt(blob)
    return distance <= by


def test_the_particles_figure_stays_where_it_is_when_the_mask_grows(halves):
    (one, two), blob = halves
    found = [
        half_map_fsc.measure_fsc(one.data, two.data, VOXEL, grown(blob, by), EVERYTHING) for by in (3, 6, 9)
    ]
    particle = [fsc.crossing("particle") for fsc in found]
    masked = [fsc.crossing("masked") for fsc in found]
    assert max(particle) < 1.04 * min(particle)
    assert max(masked) > 1.06 * min(masked), "or the test shows nothing"
    assert "loose" in half_map_fsc.mask_doubts(found[-1])[0] and not half_map_fsc.mask_doubts(found[0])


def test_only_the_whole_box_has_an_unmasked_resolution(halves):
    (one, two), blob = halves
    part = (slice(14, 50),) * 3
    around = half_map_fsc.measure_fsc(one.data, two.data, VOXEL, blob, part)
    whole = half_map_fsc.measure_fsc(one.data, two.data, VOXEL, blob, EVERYTHING)
    assert "unmasked_0143" not in around.cutoffs() and around.cutoffs().keys() < whole.cutoffs().keys()
    completed = half_map_fsc.with_whole_box(around, one.data, two.data, VOXEL).cutoffs()["unmasked_0143"]
    assert completed == pytest.approx(whole.cutoffs()["unmasked_0143"], rel=0.02)
    assert abs(around.crossing("unmasked") / completed - 1) > 0.04, "or the test shows nothing"


def test_a_mask_with_sharp_detail_adds_correlation_that_random_phases_take_off(halves):
    (one, two), blob = halves
    rng = np.random.default_rng(5)
    dust = (blob & (rng.random(blob.shape) < 0.06)).astype(np.float32)
    dust[~blob & (rng.random(blob.shape) < 0.001)] = 1
    offset = [half.data + 20 for half in (one, two)]
    fsc = half_map_fsc.half_map_curves(*offset, dust, VOXEL)
    fine = slice(-12, None)
    assert fsc.masked[fine].mean() > 0.4 and fsc.randomised[fine].mean() > 0.4
    assert abs(fsc.corrected[fine].mean()) < 0.15
    assert any("too tight" in doubt for doubt in half_map_fsc.mask_doubts(fsc))


def test_a_mask_that_cuts_the_molecule_is_said_to(halves):
    (one, two), blob = halves
    half = blob.copy()
    half[: BOX // 2 - 2] = False
    doubts = half_map_fsc.mask_doubts(half_map_fsc.measure_fsc(one.data, two.data, VOXEL, half, EVERYTHING))
    assert any("cuts density" in doubt for doubt in doubts)


def test_curves_cross_where_they_are_drawn_to_cross():
    frequency = np.arange(6) / 10
    curve = np.array([1, 0.9, 0.7, 0.3, 0.1, 0.0])
    bits = np.array([1, 0.95, 0.5, 0.2, 0.2, 0.2])
    fsc = half_map_fsc.HalfMapFsc(frequency, *[curve] * 5, bits, 2)
    assert 1 / fsc.crossing("masked", 0.5) == pytest.approx(0.25)
    assert 1 / fsc.crossing() == pytest.approx(0.3 + 0.1 * (0.3 - 0.143) / 0.2)
    assert 1 / fsc.crossing(threshold=None) == pytest.approx(0.35), "after it has once been above"
    assert half_map_fsc.HalfMapFsc(frequency, *[curve + 1] * 5, bits, 2).crossing() is None


def test_noise_alone_correlates_nowhere():
    rng = np.random.default_rng(0)
    one, two = (rng.standard_normal((32, 36, 40)).astype(np.float32) for _ in range(2))
    soft = np.ones(one.shape, np.float32)
    fsc = half_map_fsc.half_map_curves(one, two, soft, 1.0)
    assert np.abs(fsc.corrected[4:]).max() < 0.2 and len(fsc.frequency) == 17
    assert np.allclose(half_map_fsc.half_map_curves(one, one * 2, soft, 1.0).corrected, 1, atol=1e-5)


def test_a_soft_mask_is_taken_as_it_is_and_a_hard_one_gets_an_edge(tmp_path):
    soft = np.zeros((20, 20, 20), np.float32)
    soft[6:14, 6:14, 6:14] = 1
    hard = density_map.DensityMap(soft.copy(), 2.0)
    mrc_writer.write_volume(tmp_path / "hard.mrc", soft, hard)
    assert half_map_fsc.read_soft_mask(tmp_path / "hard.mrc") is None
    soft[5] = 0.4 * soft[6]
    mrc_writer.write_volume(tmp_path / "soft.mrc", soft, hard)
    read = half_map_fsc.read_soft_mask(tmp_path / "soft.mrc")
    assert np.array_equal(half_map_fsc.with_soft_edge(read, 2.0), soft)
    edge = half_map_fsc.with_soft_edge(hard.data > 0.5, 2.0)
    assert set(np.unique(hard.data)) == {0, 1} and 0 < edge[5, 10, 10] < 1


def test_the_random_phase_curve_is_what_many_draws_from_the_middle_of_a_shell_on_come_to(halves):
    (one, two), blob = halves
    soft = half_map_fsc.with_soft_edge(blob, VOXEL)
    fsc = half_map_fsc.half_map_curves(one.data, two.data, soft, VOXEL)
    start = fsc.randomised_from
    shells = half_map_fsc._Shells(soft.shape)
    axes = [np.fft.fftfreq(n) for n in soft.shape[:2]] + [np.fft.rfftfreq(soft.shape[2])]
    radius = np.sqrt(axes[0][:, None, None] ** 2 + axes[1][:, None] ** 2 + axes[2] ** 2) * min(soft.shape)
    rng = np.random.default_rng(0)

    def drawn(data):
        phases = np.angle(np.fft.rfftn(rng.standard_normal(data.shape)))  # those of a real volume
        mixed = np.fft.rfftn(data)
        mixed = np.where(radius >= start, np.abs(mixed) * np.exp(1j * phases), mixed)
        return np.fft.rfftn(np.fft.irfftn(mixed, data.shape) * soft)

    draws = [shells.correlation(drawn(one.data), drawn(two.data)) for _ in range(30)]
    part = slice(start + half_map_fsc.KEPT_SHELLS, None)
    far = np.abs(fsc.randomised - np.mean(draws, axis=0))
    assert far[part].max() < 0.02 and far.max() < 0.1
    assert fsc.randomised[part].max() > 0.05, "the mask is so tight that there is something to measure"
