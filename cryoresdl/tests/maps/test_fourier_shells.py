"""Fourier shell correlation and where it first crosses a threshold."""

import numpy as np
import pytest
import scipy.fft as sf
from scipy import ndimage

from cryoresdl.models.maps.fsc import fourier_shells


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


@pytest.mark.parametrize("width", [1.0, 2.5, 3.0, 7.3])
def test_the_soft_edge_falls_with_the_distance_from_the_mask(width):
    """Beside a distance transform, which takes ten times as long; the mask touches faces, and one box is thin."""
    for shape in ((20, 31, 17), (3, 4, 50)):
        mask = np.random.default_rng(0).random(shape) < 0.01
        distance = ndimage.distance_transform_edt(~mask)
        edge = np.where(distance < width, 0.5 * (1 + np.cos(np.pi * distance / width)), 0)
        assert mask.any() and np.allclose(fourier_shells.soft_edge(mask, width), edge, atol=1e-6)


def test_the_inverse_transform_inside_a_region_is_that_part_of_the_whole():
    data = np.random.default_rng(2).standard_normal((20, 25, 18)).astype(np.float32)
    region = (slice(3, 17), slice(0, 9), slice(5, 18))
    part = fourier_shells.inverse_part(sf.rfftn(data), data.shape, region)
    assert np.allclose(part, data[region], atol=1e-5) and part.flags.c_contiguous
