"""Sums over cones of Fourier space: counted, correlated and cut where the answer is known."""

import numpy as np
import pytest
import scipy.fft as sf

from cryoresdl.models.maps.fsc import directional_fsc, fourier_shells


def test_every_coefficient_falls_into_one_patch_and_the_sums_are_those_of_the_shells():
    rng = np.random.default_rng(0)
    first, second = (rng.standard_normal((24, 24, 24)).astype(np.float32) for _ in range(2))
    second += first
    a, b = sf.rfftn(first), sf.rfftn(second)

    def planes(z):
        return (a[z] * b[z].conj()).real, np.abs(a[z]) ** 2, np.abs(b[z]) ** 2

    counts, cross, left, right = directional_fsc.direction_sums(planes, (24, 24, 24)).sum(-1)
    frequency, fsc = fourier_shells.half_map_fsc(first, second)
    assert np.allclose((cross / np.sqrt(left * right))[1:-1], fsc[1:-1], rtol=0.02)
    f = np.round(np.sqrt(sum(g**2 for g in np.meshgrid(*[sf.fftfreq(24) * 24] * 3, indexing="ij"))))
    assert np.allclose(counts[1:12], [(f == shell).sum() for shell in range(1, 12)])


def test_cones_hold_the_share_of_the_sphere_that_their_angle_says():
    edges = np.cos(np.linspace(0, np.pi / 2, directional_fsc.RINGS + 1))
    area = np.repeat(-np.diff(edges), directional_fsc.SECTORS) / directional_fsc.SECTORS
    expected = 1 - np.cos(np.radians(directional_fsc.HALF_ANGLE))
    assert area.sum() == pytest.approx(1.0)
    assert np.allclose(directional_fsc.cone_shares() @ area, expected, rtol=0.04)
    assert np.allclose(np.linalg.norm(directional_fsc.cone_axes(), axis=1), 1)
    gaps = np.degrees(np.arccos(np.clip(np.sort(np.abs(shared_angles()), axis=1)[:, -2], 0, 1)))
    assert gaps.max() < 10  # no axis is far from its neighbour


def shared_angles():
    axes = directional_fsc.cone_axes()
    return axes @ axes.T


def test_a_value_of_one_direction_is_found_in_the_cones_about_it():
    """Energy along x only: the patch sums put it into cones that hold the x axis, and into no other."""
    energy = np.zeros((32, 32, 17))
    energy[0, 0, 5:12] = 1.0
    sums = directional_fsc.direction_sums(lambda z: (energy[z],), (32, 32, 32))
    cones = directional_fsc.cone_sums(sums[1].sum(0))
    axes = directional_fsc.cone_axes()
    angle = np.degrees(np.arccos(np.abs(axes[:, 2])))
    assert (cones[angle > directional_fsc.HALF_ANGLE + 4] == 0).all()
    assert cones[angle < directional_fsc.HALF_ANGLE - 4] == pytest.approx(14.0)


def test_crossings_are_interpolated_and_the_first_one_counts():
    centres = np.array([0.1, 0.2, 0.3, 0.4])
    fsc = np.array([[0.9, 0.5, 0.1, 0.0], [0.9, 0.9, 0.9, 0.9], [0.1, 0.9, 0.9, 0.9], [0.9, 0.1, 0.9, 0.0]]).T
    found = directional_fsc.cone_crossings(centres, fsc)
    assert found == pytest.approx(
        [0.2 + 0.1 * (0.5 - 0.143) / 0.4, 0.4, 0.1, 0.1 + 0.1 * (0.9 - 0.143) / 0.8]
    )


def test_the_area_ratio_is_that_of_the_areas_up_to_the_crossings():
    centres = np.linspace(0.01, 0.49, 97)
    boxes = np.stack([(centres < end).astype(float) for end in (0.4, 0.2, 0.3)], axis=1)
    assert directional_fsc.conical_area_ratio(centres, boxes) == pytest.approx(0.5, abs=0.02)
    assert directional_fsc.conical_area_ratio(centres, boxes[:, :1].repeat(3, 1)) == pytest.approx(1.0)


@pytest.mark.parametrize("centre", [(1.0, 0.0, 0.0), (0.3, -0.9, 0.2)])
def test_the_middle_of_a_flat_maximum_is_its_axis(centre):
    unit = np.asarray(centre) / np.linalg.norm(centre)
    plateau = (np.abs(directional_fsc.cone_axes() @ unit) > np.cos(np.radians(35))).astype(float)
    assert abs(directional_fsc.extreme_axis(plateau) @ unit) > np.cos(np.radians(4))


def test_chance_in_the_cones_hardly_moves_the_worst_axis():
    """Values rise smoothly towards z; neighbouring cones are off together, as cones of small maps are."""
    axes, near = directional_fsc.cone_axes(), np.exp(40 * (np.abs(shared_angles()) - 1))
    off = []
    for seed in range(20):
        chance = near @ np.random.default_rng(seed).standard_normal(len(axes))
        worst = directional_fsc.extreme_axis(0.3 * axes[:, 0] ** 2 + 0.08 * chance / chance.std())
        off.append(np.degrees(np.arccos(abs(worst[0]))))
    assert np.median(off) < 12
