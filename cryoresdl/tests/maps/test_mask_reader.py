"""Masks as people and programs make them: no part of the molecule is lost in silence."""

import numpy as np
import pytest
from scipy import ndimage

from cryoresdl.models.base.errors import InputError
from cryoresdl.models.maps import density_map
from cryoresdl.models.maps.mrc import mask_reader, mrc_reader
from cryoresdl.tests.helpers.raw_mrc import density, mrc

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


class TestMasksAndValues:
    like = density_map.DensityMap(density(), 1.5, (1.0, 2.0, 3.0), (4, 5, 6))

    def test_mask_of_another_box(self, tmp_path):
        path = mrc(tmp_path / "m.mrc", np.ones((8, 8, 8), np.float32))
        with pytest.raises(InputError, match="8 x 8 x 8 .*10 x 9 x 8"):
            mask_reader.read_mask(path, self.like)

    @pytest.mark.parametrize("value", [0.0, -1.0])
    def test_empty_mask(self, tmp_path, value):
        path = mrc(tmp_path / "m.mrc", np.full((8, 9, 10), value, np.float32))
        with pytest.raises(InputError, match="empty"):
            mask_reader.read_mask(path, self.like)

    def test_mask_with_nan(self, tmp_path):
        data = np.ones((8, 9, 10), np.float32)
        data[0, 0, 0] = np.nan
        with pytest.raises(InputError, match="NaN"):
            mask_reader.read_mask(mrc(tmp_path / "m.mrc", data), self.like)

    @pytest.mark.parametrize("scale", [1, 255])
    def test_soft_mask_is_cut_at_half_height(self, tmp_path, scale):
        data = np.zeros((8, 9, 10), np.float32)
        data[2, 2, 2:7] = np.array([0.2, 0.49, 0.5, 0.8, 1.0]) * scale
        mask = mask_reader.read_mask(mrc(tmp_path / "m.mrc", data, voxel=0), self.like)
        assert mask.dtype == bool and mask.sum() == 3

    def test_a_density_map_is_no_mask(self, tmp_path):
        data = np.random.default_rng(0).normal(size=(8, 9, 10)).astype(np.float32)
        with pytest.raises(InputError, match=r"m\.mrc holds values from -.*density map, not a mask"):
            mask_reader.read_mask(mrc(tmp_path / "m.mrc", data), self.like)
        ringing = np.where(np.arange(10) > 4, 1.0, -0.1) * np.ones((8, 9, 1))
        mask = mask_reader.read_mask(mrc(tmp_path / "r.mrc", ringing.astype(np.float32)), self.like)
        assert mask[..., 5:].all() and not mask[..., :5].any()

    def test_full_mask_is_allowed(self, tmp_path):
        mask = mask_reader.read_mask(mrc(tmp_path / "m.mrc", np.ones((8, 9, 10), np.int8)), self.like)
        assert mask.all()

    def test_values_take_the_maps_grid(self, tmp_path):
        data = np.full((8, 9, 10), 100, np.float32)
        data[0, 0, 0] = np.nan
        values = mrc_reader.read_values(mrc(tmp_path / "v.mrc", data, voxel=1.0), self.like)
        assert values.data[0, 0, 0] == 0 and values.data[1, 1, 1] == 100
        assert "NaN" in values.warnings[0]
        assert (values.voxel_size, values.origin, values.nstart) == (1.5, (1.0, 2.0, 3.0), (4, 5, 6))

    def test_values_without_a_map(self, tmp_path):
        zero = np.zeros((8, 9, 10), np.float32)
        assert mrc_reader.read_values(mrc(tmp_path / "v.mrc", zero, voxel=2.0)).voxel_size == 2.0
        assert mrc_reader.read_values(mrc(tmp_path / "v.mrc", zero, voxel=0)).voxel_size == 1.0

    def test_values_of_another_box(self, tmp_path):
        with pytest.raises(InputError, match="another box"):
            mrc_reader.read_values(mrc(tmp_path / "v.mrc", density((8, 8, 8))), self.like)


def test_the_box_of_a_mask_ends_at_the_faces():
    mask = np.zeros((10, 12, 14), bool)
    mask[3:5, 0:2, 13] = True
    assert density_map.mask_box(mask) == (slice(3, 5), slice(0, 2), slice(13, 14))
    assert density_map.mask_box(mask, 4) == (slice(0, 9), slice(0, 6), slice(9, 14))
