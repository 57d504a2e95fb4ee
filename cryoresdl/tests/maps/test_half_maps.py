"""Half maps as they come: on other grey scales, inverted, filtered, masked; what is put right and what is doubted."""

import numpy as np
import pytest
from scipy import ndimage

from cryoresdl.models.maps.fsc.half_maps import alterations, inverted, matched_half_maps
from cryoresdl.tests.helpers.small_maps import cutoff_in_mask

SHAPE, VOXEL = (48, 48, 48), 1.5
WHOLE = (slice(None),) * 3
Z, Y, X = np.ogrid[:48, :48, :48]
DISTANCE = np.sqrt((Z - 23) ** 2 + (Y - 24) ** 2 + (X - 25) ** 2)
MASK = DISTANCE <= 14
NOISE = np.random.default_rng(1).normal(size=(3, *SHAPE)).astype(np.float32)
SIGNAL = (8 * ndimage.gaussian_filter(NOISE[2], 1.5) * MASK).astype(np.float32)
FIRST, SECOND = SIGNAL + 0.5 * NOISE[0], SIGNAL + 0.5 * NOISE[1]
MEAN = (FIRST + SECOND) / 2


def pair(first=FIRST, second=SECOND, data=MEAN):
    return matched_half_maps(
        data, np.asarray(first, np.float32), np.asarray(second, np.float32), MASK, WHOLE, VOXEL
    )


PLAIN = pair()


def test_a_good_pair_is_left_as_it_is():
    assert (
        PLAIN.first is not None
        and np.array_equal(PLAIN.second, SECOND)
        and np.array_equal(PLAIN.first, FIRST)
    )
    assert PLAIN.warnings == [] == PLAIN.doubts
    assert PLAIN.cutoff_A == cutoff_in_mask(FIRST, SECOND, MASK, VOXEL)
    assert PLAIN.likeness > 0.95


@pytest.mark.parametrize("scale", [0.01, 0.5, 1.1, 3.0, 10.0, 100.0, -1.0, -7.0])
@pytest.mark.parametrize("offset", [0.0, 3.0])
def test_another_grey_scale_is_fitted_and_said(scale, offset):
    found = pair(second=scale * (SECOND + offset))
    assert found.cutoff_A == pytest.approx(PLAIN.cutoff_A, rel=1e-3)
    assert np.std(found.difference()) == pytest.approx(np.std(PLAIN.difference()), rel=0.05)
    assert np.std(found.mean()) == pytest.approx(np.std(PLAIN.mean()), rel=0.05)
    said = " ".join(found.warnings)
    assert ("grey scales" in said) == (abs(scale) != 1)
    assert ("opposite contrast" in said) == (scale < 0)
    assert ("background levels" in said) == (offset != 0)
    assert found.doubts == []


def test_a_level_that_both_share_is_no_signal():
    found = pair(FIRST + 50, SECOND + 50)
    assert found.cutoff_A == pytest.approx(PLAIN.cutoff_A, rel=1e-3)


@pytest.mark.parametrize(
    "changed",
    [
        ndimage.gaussian_filter(SECOND, 0.8),
        ndimage.gaussian_filter(SECOND, 2.0),
        SECOND + 4 * (SECOND - ndimage.gaussian_filter(SECOND, 1.0)),
    ],
)
def test_one_half_map_filtered(changed):
    for found in (pair(second=changed), pair(first=changed)):
        assert len(found.doubts) == 1 and "spectra differ" in found.doubts[0]


def test_both_filtered_alike_is_no_contradiction():
    found = pair(*(ndimage.gaussian_filter(each, 1.0) for each in (FIRST, SECOND)))
    assert found.doubts == []


@pytest.mark.parametrize("mask", [MASK, DISTANCE <= 20, 0.5 * (1 - np.tanh(DISTANCE - 16)) * (DISTANCE < 19)])
def test_one_half_map_masked(mask):
    for found in (pair(second=SECOND * mask), pair(first=FIRST * mask)):
        assert len(found.doubts) == 1 and "One of the half maps is masked" in found.doubts[0]


def test_both_masked_tightly_widely_or_inside_the_mask():
    def doubts(mask):
        return " ".join(pair(FIRST * mask, SECOND * mask).doubts)

    assert "masked tightly" in doubts(ndimage.gaussian_filter(MASK.astype(np.float32), 1.0))
    assert doubts(DISTANCE <= 22) == ""
    assert "empty in" in doubts(DISTANCE <= 12)


@pytest.mark.parametrize("steps", [4.0, 2.0, 1.0])
def test_half_maps_of_whole_numbers_are_not_masked_unless_they_were(steps):
    """Neighbours are often equal by chance: in 28 % of the background with one step in a standard deviation."""
    first, second = (np.rint(half * 2 * steps).astype(np.float32) for half in (FIRST, SECOND))
    assert alterations(first, second, MASK, VOXEL) == [] == pair(first, second).doubts
    loose, inside = DISTANCE < 18, DISTANCE <= 12
    assert "masked" in alterations(first * loose, second * loose, MASK, VOXEL)[0]
    assert "empty in" in pair(first * inside, second * inside).doubts[0]
    assert "One of the half maps" in pair(first, second * loose).doubts[0]


def test_a_noisier_half_map_is_let_be():
    assert pair(second=SECOND + 0.4 * NOISE[2][::-1]).doubts == []


def test_a_map_of_opposite_contrast():
    assert inverted(pair(data=-MEAN).likeness) and not inverted(PLAIN.likeness) and not inverted(None)


def test_what_was_done_to_both_half_maps_alike_is_named():
    assert alterations(FIRST, SECOND, MASK, VOXEL) == []
    # The corners of a box are empty in many reconstructions.
    ball = DISTANCE < 23.9
    assert alterations(FIRST * ball, SECOND * ball, MASK, VOXEL) == []
    loose = DISTANCE < 18
    assert "masked" in alterations(FIRST * loose, SECOND * loose, MASK, VOXEL)[0]
    blurred = [ndimage.gaussian_filter(half, 2.0) for half in (FIRST, SECOND)]
    assert "filtered" in alterations(*blurred, MASK, VOXEL)[0]
