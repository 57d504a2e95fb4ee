"""A small simulated map, tiny models, and the answer about the one by the other."""

import pytest

from cryoresdl.models.inference import local_resolution
from cryoresdl.models.networks import network_runners
from cryoresdl.models.simulation import imaging_conditions, realistic_map
from cryoresdl.tests.helpers.local_case import PROFILE_LENGTH, VOXEL, density
from cryoresdl.tests.helpers.small_maps import (
    ball,
    save_global_model,
    save_local_model,
)


@pytest.fixture(scope="module")
def without_tensorflow():
    """Inference by numpy: no backend to start, the same numbers (see ``test_network_runners``)."""
    patch = pytest.MonkeyPatch()
    patch.setenv("CRYORESDL_BACKEND", "numpy")
    patch.setattr(network_runners, "_RUNNERS", {})
    yield
    patch.undo()


@pytest.fixture(scope="package")
def models(tmp_path_factory):
    """Untrained models of either kind."""
    folder = tmp_path_factory.mktemp("models")
    return {
        "local": save_local_model(folder / "tiny.cryoresdl"),
        "global": save_global_model(folder / "tiny-global.cryoresdl", PROFILE_LENGTH),
    }


@pytest.fixture(scope="package")
def simulated():
    """Atoms at random as a reconstruction with half maps, mask and truth."""
    return realistic_map.simulate(
        ball(500, 16.0), 5.0, 48, VOXEL, 1, imaging_conditions.ImagingConditions(b_base=40.0)
    )


@pytest.fixture(scope="module")
def result(simulated, models, without_tensorflow):
    """The local resolution of that map by the tiny model."""
    return local_resolution.localres(density(simulated.map), mask=simulated.mask, model=models["local"])
