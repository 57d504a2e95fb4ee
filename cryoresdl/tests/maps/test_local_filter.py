import numpy as np
import pytest
import scipy.fft as sf

from cryoresdl.models.cli import command_line
from cryoresdl.models.maps import density_map, local_filter
from cryoresdl.models.maps.fsc.fourier_shells import frequency_grid
from cryoresdl.models.maps.mrc import mrc_reader, mrc_writer
from cryoresdl.models.results import result_files
from cryoresdl.tests.helpers import made_results

VOXEL = 1.2


@pytest.fixture(scope="module")
def two_halves():
    """Detail to 3 A on the left and to 9 A on the right, in white noise: noiseless map, noisy map, resolution."""
    rng = np.random.default_rng(1)
    box = (40, 40, 64)
    frequency = frequency_grid(box) / VOXEL
    white = sf.rfftn(rng.standard_normal(box))
    left, right = (sf.irfftn(white * local_filter.low_pass(frequency, end), box) for end in (3.0, 9.0))
    signal = np.where(np.arange(64) < 32, left / left.std(), right / right.std()).astype(np.float32)
    resolution = np.broadcast_to(np.where(np.arange(64) < 32, 3.0, 9.0), box).astype(np.float32)
    noisy = (signal + 1.5 * rng.standard_normal(box)).astype(np.float32)
    return signal, noisy, resolution


def error(values, signal):
    return float(np.linalg.norm(values - signal) / np.linalg.norm(signal))


def test_a_locally_filtered_map_is_nearer_the_truth_than_any_one_filter_brings_it(two_halves):
    signal, noisy, resolution = two_halves
    found = local_filter.filter_locally(noisy, resolution, VOXEL)
    transform, frequency = sf.rfftn(noisy), frequency_grid(noisy.shape) / VOXEL
    single = [
        error(sf.irfftn(transform * local_filter.low_pass(frequency, end), noisy.shape), signal)
        for end in np.geomspace(3, 9, 9)
    ]
    assert error(found.data, signal) < 0.93 * min(single) < 0.93 * error(noisy, signal)


def test_one_resolution_everywhere_is_one_filter():
    data = np.random.default_rng(0).standard_normal((24, 26, 28)).astype(np.float32)
    found = local_filter.filter_locally(data, np.full(data.shape, 5.0, np.float32), VOXEL)
    gain = local_filter.low_pass(frequency_grid(data.shape) / VOXEL, 5.0)
    assert np.allclose(found.data, sf.irfftn(sf.rfftn(data) * gain, data.shape), atol=1e-5)
    at = frequency_grid((2, 2, 400)) / VOXEL
    assert np.interp(1 / 5.0, at[0, 0], local_filter.low_pass(at, 5.0)[0, 0]) == pytest.approx(0.25, abs=0.02)


def test_between_two_filters_voxels_are_interpolated():
    data = np.random.default_rng(0).standard_normal((20, 20, 20)).astype(np.float32)
    resolution = np.full(data.shape, 4.0, np.float32)
    resolution[10:] = 8.0
    resolution[5] = 6.0
    found = local_filter.filter_locally(data, resolution, VOXEL)
    frequency = frequency_grid(data.shape) / VOXEL
    at_six = sf.irfftn(sf.rfftn(data) * local_filter.low_pass(frequency, 6.0), data.shape)
    assert np.abs(found.data[5] - at_six[5]).max() < 0.05 * at_six.std()


def test_a_b_factor_acts_before_the_filters():
    data = np.random.default_rng(0).standard_normal((24,) * 3).astype(np.float32)
    resolution = np.full(data.shape, 5.0, np.float32)
    plain, sharp = (local_filter.filter_locally(data, resolution, VOXEL, b).data for b in (0.0, -80.0))
    frequency = frequency_grid(data.shape) / VOXEL
    gain = np.abs(sf.rfftn(sharp)) / np.abs(sf.rfftn(plain))
    chosen = (frequency > 0.02) & (frequency < 0.25)
    assert np.allclose(gain[chosen], np.exp(20 * frequency[chosen] ** 2), rtol=0.02)


def test_command_writes_on_the_maps_grid_and_refuses_what_it_cannot_filter_with(tmp_path, capsys):
    folder = made_results.validation(tmp_path / "run", compared=False)
    words = ["filter", str(folder / "input.mrc"), "--locres", str(folder / result_files.LOCAL_RESOLUTION)]
    assert command_line.main([*words, "--out", str(tmp_path / "o"), "--b-factor", "-50"]) == 0
    written = mrc_reader.read(tmp_path / "o" / result_files.FILTERED)
    assert written.data.shape == made_results.BOX and written.origin == pytest.approx(made_results.ORIGIN)
    assert command_line.main([*words, "--out", str(tmp_path / "o")]) == 2
    empty = density_map.DensityMap(np.zeros(made_results.BOX, np.float32), made_results.VOXEL)
    mrc_writer.write_volume(tmp_path / "empty.mrc", empty.data, empty)
    words[-1] = str(tmp_path / "empty.mrc")
    assert command_line.main([*words, "--out", str(tmp_path / "p")]) == 2
    assert "no estimated voxel" in capsys.readouterr().err and not (tmp_path / "p").exists()


def test_the_background_is_filtered_at_the_coarse_end_and_passes_into_the_molecule():
    data = np.random.default_rng(0).standard_normal((36,) * 3).astype(np.float32)
    resolution = np.zeros(data.shape, np.float32)
    resolution[10:20, 10:20, 10:20], resolution[20:26, 10:20, 10:20] = 4.0, 9.0
    found = local_filter.filter_locally(data, resolution, VOXEL)
    transform, frequency = sf.rfftn(data), frequency_grid(data.shape) / VOXEL
    fine, coarse = (
        sf.irfftn(transform * local_filter.low_pass(frequency, end), data.shape) for end in (4.0, 9.0)
    )
    assert found.background_A == pytest.approx(9.0, rel=0.01)
    away = np.ones(data.shape, bool)
    away[6:30, 6:24, 6:24] = False
    assert np.allclose(found.data[away], coarse[away], atol=1e-4)
    assert np.allclose(found.data[resolution == 4], fine[resolution == 4], atol=1e-4)
    rim = found.data[9, 12:18, 12:18]
    assert np.abs(rim - fine[9, 12:18, 12:18]).max() > 1e-3 < np.abs(rim - coarse[9, 12:18, 12:18]).max()
