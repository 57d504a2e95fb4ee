"""Small feature sets, and TensorFlow as it was before."""

import pytest

from cryoresdl.tests.helpers.small_maps import (
    make_item,
    write_items,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A feature set of five maps."""
    counts = {"train": 3, "validation": 1, "test": 1}
    splits = {
        split: [make_item(index + 10 * len(split), split=split) for index in range(count)]
        for split, count in counts.items()
    }
    return write_items(tmp_path_factory.mktemp("features") / "set.h5", splits)


@pytest.fixture(scope="module")
def monores(tmp_path_factory):
    """A user's set: three maps with the labels of MonoRes."""
    splits = {
        split: [make_item(index, split=split, labels="monores")]
        for index, split in enumerate(("train", "validation", "test"))
    }
    return write_items(tmp_path_factory.mktemp("features") / "monores.h5", splits)


@pytest.fixture(scope="module")
def tf():
    """TensorFlow; the precision of the process is as before afterwards."""
    tensorflow = pytest.importorskip("tensorflow")
    import keras

    policy = keras.mixed_precision.global_policy()
    yield tensorflow
    keras.mixed_precision.set_global_policy(policy)
