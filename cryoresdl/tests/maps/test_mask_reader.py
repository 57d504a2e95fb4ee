"""Masks as people and programs make them: no part of the molecule is lost in silence."""

import numpy as np
import pytest
from scipy import ndimage

from cryoresdl.models.base.errors import InputError
from cryoresdl.models.maps import density_map, mask_reader, mrc_reader
from cryoresdl.tests.helpers.raw_mrc import mrc

SHAPE = (24, 26, 28)
Z, Y, X = np.ogrid[:24, :26, :28]
DISTANCE = np.sqrt((Z - 11) ** 2 + (Y - 13) ** 2 + (X - 14) ** 2)
BALL = DISTANCE <= 8


def read(tmp_path, data, voxel=1.5, map_voxel=1.5, **header):
    """The mask and the map's warnings and doubts."""
    like = density_map.DensityMap(np.zeros(SHAPE, np.float32), map_voxel)
    path = mrc(tmp_path / "m.mrc", np.ascontiguousarray(data), voxel=voxel, **header)
    return mask_reader.read_mask(path, like), like


def labelled(values):
    """The ball in slabs of so many values."""
    slabs = np.array(values)[np.arange(24) * len(values) // 24]
    return (BALL * slabs[:, None, None]).astype(np.float32)


@pytest.mark.parametrize("values", [(1, 2), (5, 4, 3, 2, 1), (1, 10), (9, 9, 9, 1), (0.4, 1.0), (40, 1)])
def test_every_label_is_inside(tmp_path, values):
    mask, like = read(tmp_path, labelled(values))
    np.testing.assert_array_equal(mask, BALL)
    assert "all of them are inside" in like.warnings[0]


def test_a_label_of_a_few_voxels_is_inside(tmp_path):
    data = labelled((9, 8))
    data[11, 13, 14] = 1
    np.testing.assert_array_equal(read(tmp_path, data)[0], BALL)


@pytest.mark.parametrize("top", [7.0, 50.0, 900.0])
@pytest.mark.parametrize("soft", [False, True])
def test_hot_voxels_do_not_raise_the_level(tmp_path, top, soft):
    plain = ndimage.gaussian_filter(BALL.astype(np.float32), 1.2) if soft else BALL.astype(np.float32)
    data = plain.copy()
    data[11, 13, 13:16] = top
    mask, like = read(tmp_path, data)
    np.testing.assert_array_equal(mask, plain >= 0.5)
    assert f"{top:g}" in like.warnings[0]


def test_bytes_up_to_255(tmp_path):
    for top in (128, 200, 255):
        mask, like = read(tmp_path, (BALL * top).astype(np.uint8).view(np.int8), dmin=0, dmax=0)
        np.testing.assert_array_equal(mask, BALL)
        assert like.warnings == []


def test_a_soft_mask_of_bytes_is_no_set_of_labels(tmp_path):
    soft = 0.5 * (1 - np.tanh((DISTANCE - 8) / 1.5))
    mask, like = read(tmp_path, np.round(255 * soft).astype(np.float32))
    assert like.warnings == [] and abs(mask.sum() - BALL.sum()) < 0.1 * BALL.sum()


@pytest.mark.parametrize("low", [0.6, 1.0, 1000.0])
def test_a_background_above_0_is_outside(tmp_path, low):
    mask, like = read(tmp_path, low + 0.4 * BALL.astype(np.float32))
    np.testing.assert_array_equal(mask, BALL)
    assert "nowhere 0" in like.warnings[0]


@pytest.mark.parametrize("inside", [np.ones(SHAPE, bool), BALL])
def test_a_clipped_density_is_no_mask(tmp_path, inside):
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=SHAPE), 0.8)
    data = np.clip((BALL + 3 * noise) * inside, 0, None).astype(np.float32)
    with pytest.raises(InputError, match="density map without its negative values"):
        read(tmp_path, data)


def test_a_wide_soft_edge_that_is_cut_is_named(tmp_path):
    data = np.clip(1.2 - DISTANCE / 11, 0, 1).astype(np.float32)
    mask, like = read(tmp_path, data)
    np.testing.assert_array_equal(mask, data >= 0.5)
    assert len(like.warnings) == (mask.sum() < (data > 0.02).sum() / 3)


@pytest.mark.parametrize(
    "header, words", [({"voxel": 2.5}, "2.5 A per voxel"), ({"ox": 40.0}, "lies at 40.0")]
)
def test_another_grid_is_named(tmp_path, header, words):
    mask, like = read(tmp_path, BALL.astype(np.float32), **header)
    np.testing.assert_array_equal(mask, BALL)
    assert len(like.warnings) == 1 and words in like.warnings[0]
    values = mrc_reader.read_values(tmp_path / "m.mrc", like)
    assert len(values.warnings) == 1 and words in values.warnings[0]


def test_a_mask_without_voxel_size_or_origin_says_nothing(tmp_path):
    like = density_map.DensityMap(np.zeros(SHAPE, np.float32), 1.5, (10.0, 20.0, 30.0))
    mask_reader.read_mask(mrc(tmp_path / "m.mrc", BALL.astype(np.float32), voxel=1.0), like)
    assert like.warnings == [] == like.doubts


def test_a_mask_that_knows_better_than_a_map_of_exactly_1_A(tmp_path):
    assert "give --voxel-size" in read(tmp_path, BALL.astype(np.float32), map_voxel=1.0)[1].doubts[0]
