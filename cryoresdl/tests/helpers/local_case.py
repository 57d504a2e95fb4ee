"""One simulated map, and what holds for every answer about its local resolution."""

import numpy as np
import pytest

from cryoresdl.models.base import resolution_terms
from cryoresdl.models.features import network_inputs
from cryoresdl.models.maps.density_map import DensityMap
from cryoresdl.models.networks.model_files import model_archive, model_store

VOXEL = 1.5
SHAPE = (48, 48, 48)
PROFILE_LENGTH = network_inputs.global_profile(
    np.zeros(network_inputs.summary_length()), np.ones(2), np.ones(2)
).size


def density(data, voxel=VOXEL):
    """The volume as a map that was read from a file."""
    return DensityMap(
        np.ascontiguousarray(data, np.float32), voxel, (10.0, 20.0, 30.0), (1, 2, 3), "a map.mrc"
    )


def check_conventions(found, mask, voxel):
    """What holds for every local resolution."""
    assert found.resolution.shape == found.classes.shape == found.halfwidth.shape == mask.shape
    assert found.resolution.dtype == np.float32 and found.classes.dtype == np.int8
    assert (found.resolution[~mask] == 0).all() and (found.classes[~mask] == -1).all()
    assert (found.halfwidth[~mask] == 0).all()
    inside = found.resolution[mask]
    assert np.isfinite(inside).all() and (inside >= 2 * voxel).all()
    assert (found.halfwidth[mask] > 0).all()
    edges = np.asarray(resolution_terms.LOCAL_EDGES_A)
    expected = np.where(inside < 100, np.searchsorted(edges, inside, side="left"), -1)
    assert np.array_equal(found.classes[mask], expected)


def shipped(name):
    """The file of a shipped model."""
    path = model_store.shipped_folder() / (name + model_archive.MODEL_SUFFIX)
    if not path.is_file():
        pytest.skip(f"the model {name} is not in the package yet")
    return path


def low_passed(data, angstroms):
    """A volume without anything finer than so many A."""
    axes = [np.fft.fftfreq(n, VOXEL) for n in data.shape[:2]] + [np.fft.rfftfreq(data.shape[2], VOXEL)]
    f = np.sqrt(sum(a**2 for a in np.meshgrid(*axes, indexing="ij", sparse=True)))
    return np.fft.irfftn(np.fft.rfftn(data) * (f < 1 / angstroms), data.shape).astype(np.float32)
