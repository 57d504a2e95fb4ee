"""What several masks and voxel sizes of one map share."""

import numpy as np
import pytest
from scipy import ndimage

from cryoresdl.models.features import map_features


@pytest.fixture(scope="module")
def noisy():
    """A smooth ball in white noise, and its mask."""
    grids = np.meshgrid(*[np.arange(n) - n / 2 for n in (56, 52, 54)], indexing="ij")
    mask = sum(g**2 for g in grids) < 14**2
    noise = np.random.default_rng(4).standard_normal(mask.shape)
    data = ndimage.gaussian_filter(noise, 1.5) * 8 * mask + np.random.default_rng(5).standard_normal(
        mask.shape
    )
    return data.astype(np.float32), mask


def test_several_masks_of_one_map_have_the_features_that_each_has_alone(noisy):
    data, mask = noisy
    region = map_features.region_of(mask)
    smaller = ndimage.binary_erosion(mask, iterations=2)
    both = map_features.compute_in_masks(data, [mask, smaller], 1.0)
    for found, its_mask in zip(both, (mask, smaller)):
        alone = map_features.compute(data, its_mask, 1.0, region=region)
        assert np.array_equal(found.local, alone.local) and np.array_equal(found.summary, alone.summary)
        assert np.array_equal(found.rise, alone.rise) and found.region == alone.region
    assert not np.array_equal(both[0].summary, both[1].summary)


def test_another_voxel_size_needs_no_look_at_the_voxels(noisy):
    found = map_features.with_voxel_size(map_features.compute(*noisy, 1.0), 1.02)
    whole = map_features.compute(*noisy, 1.02)
    assert np.array_equal(found.local, whole.local)
    assert np.allclose(found.summary, whole.summary, atol=1e-6)
