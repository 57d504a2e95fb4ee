"""The mask that is made where none is given."""

import numpy as np
import pytest

from cryoresdl.models.maps import automatic_mask, density_map
from cryoresdl.models.maps.mrc import mask_reader, mrc_reader
from cryoresdl.tests.helpers.raw_mrc import density


def blob(shape=(48, 52, 56), noise=0.0, sign=1.0, seed=0):
    """A textured ball of 24 voxels across, off the centre."""
    z, y, x = np.indices(shape)
    inside = (z - 22) ** 2 + (y - 26) ** 2 + (x - 30) ** 2 <= 12**2
    rng = np.random.default_rng(seed)
    data = np.where(inside, 1 + 0.5 * rng.normal(size=shape), 0) + noise * rng.normal(size=shape)
    return (sign * data).astype(np.float32), inside


def dice(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


class TestAutoMask:
    @pytest.mark.parametrize("noise", [0.02, 0.5, 2.0])
    @pytest.mark.parametrize("voxel", [0.6, 1.0, 3.0])
    def test_a_ball_in_noise(self, noise, voxel):
        from scipy import ndimage

        data, inside = blob(noise=noise)
        mask, info = automatic_mask.auto_mask(density_map.DensityMap(data, voxel))
        wide = ndimage.distance_transform_edt(~inside) * voxel <= automatic_mask.MASK_GROW_A
        assert dice(mask, wide) > 0.8
        assert info["voxels"] == mask.sum() and info["source"] == "auto" and not info["warnings"]

    def test_equal_maps_give_equal_masks(self):
        data, _ = blob(noise=1.0)
        first, second = (
            automatic_mask.auto_mask(density_map.DensityMap(data.copy(), 1.0))[0] for _ in range(2)
        )
        np.testing.assert_array_equal(first, second)

    def test_scale_and_offset_do_not_matter(self):
        data, _ = blob(noise=1.0)
        first = automatic_mask.auto_mask(density_map.DensityMap(data, 1.0))[0]
        second = automatic_mask.auto_mask(density_map.DensityMap(1e-3 * data + 5e-3, 1.0))[0]
        assert dice(first, second) > 0.995

    def test_inverted_contrast_is_seen(self):
        data, inside = blob(noise=0.5, sign=-1)
        mask, info = automatic_mask.auto_mask(density_map.DensityMap(data, 1.0))
        assert info["inverted"] and "inverted" in info["warnings"][0]
        assert dice(mask, automatic_mask.auto_mask(density_map.DensityMap(-data, 1.0))[0]) == 1

    @pytest.mark.parametrize("voxel", [0.8, 1.2, 3.0])
    @pytest.mark.parametrize(
        "there, back",
        [
            (lambda v: np.rot90(v, 1, (0, 2)), lambda v: np.rot90(v, -1, (0, 2))),
            (lambda v: np.flip(v, (0, 1)), lambda v: np.flip(v, (0, 1))),
            (lambda v: v.transpose(2, 0, 1), lambda v: v.transpose(1, 2, 0)),
            (lambda v: np.pad(v, ((5, 16), (0, 3), (7, 7))), lambda v: v[5:-16, :-3, 7:-7]),
            (lambda v: np.pad(v, 6, "edge"), lambda v: v[6:-6, 6:-6, 6:-6]),
            (lambda v: np.pad(v, 6, "wrap"), lambda v: v[6:-6, 6:-6, 6:-6]),
            (lambda v: np.roll(v, (1, 2, -3), (0, 1, 2)), lambda v: np.roll(v, (-1, -2, 3), (0, 1, 2))),
        ],
    )
    def test_what_carries_no_information_does_not_change_the_mask(self, voxel, there, back):
        data, _ = blob(noise=0.2)
        mask = automatic_mask.auto_mask(density_map.DensityMap(data, voxel))[0]
        moved = np.ascontiguousarray(there(data))
        again = back(automatic_mask.auto_mask(density_map.DensityMap(moved, voxel))[0])
        np.testing.assert_array_equal(again, mask)

    def test_a_cut_out_keeps_its_region(self):
        data, inside = blob(noise=0.2)
        mask, info = automatic_mask.auto_mask(
            density_map.DensityMap(np.where(inside, data, 0).astype(np.float32), 1.5)
        )
        assert info["method"] == "nonzero"
        assert dice(mask, inside) > 0.95

    def test_a_wide_earlier_mask_is_searched(self):
        data, inside = blob(noise=0.5)
        z, y, x = np.indices(data.shape)
        wide = (z - 24) ** 2 + (y - 26) ** 2 + (x - 28) ** 2 <= 23**2
        mask, info = automatic_mask.auto_mask(
            density_map.DensityMap(np.where(wide, data, 0).astype(np.float32), 1.0)
        )
        assert info["method"] == "threshold" and mask.sum() < 0.6 * wide.sum()

    def test_pure_noise_gives_some_mask(self):
        mask, info = automatic_mask.auto_mask(density_map.DensityMap(density((24, 24, 24)), 1.0))
        assert mask.any() and info["voxels"] == mask.sum()

    @pytest.mark.parametrize("shape", [(4, 4, 4), (4, 30, 7), (33, 5, 64)])
    def test_small_and_odd_boxes(self, shape):
        for voxel in (0.3, 1.0, 20.0):
            mask, _ = automatic_mask.auto_mask(density_map.DensityMap(density(shape), voxel))
            assert mask.shape == shape and mask.any()

    def test_against_the_masks_of_the_shared_maps(self, shared):
        scores = []
        for folder in sorted((shared / "local_resolution").glob("*/"))[::4]:
            read = mrc_reader.read(folder / "map.mrc.gz")
            given = mask_reader.read_mask(folder / "mask.mrc.gz", read)
            scores.append(dice(automatic_mask.auto_mask(read)[0], given))
        assert np.mean(scores) > 0.9 and min(scores) > 0.75, scores
