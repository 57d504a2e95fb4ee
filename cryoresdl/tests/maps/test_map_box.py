"""What padding leaves behind, and what only looks like it."""

import numpy as np
import pytest

from cryoresdl.models.maps import map_box

WHOLE = (slice(0, 30), slice(0, 32), slice(0, 35))
PADS = ((5, 5), (4, 4), (7, 7))


@pytest.fixture
def noise():
    return np.random.default_rng(1).normal(size=(30, 32, 35)).astype(np.float32)


@pytest.mark.parametrize("mode", ["edge", "wrap"])
@pytest.mark.parametrize("emptied", [False, True], ids=["noise", "zeros around"])
def test_copies_of_faces_and_periods_are_left_out(noise, mode, emptied):
    if emptied:
        noise[:, :, :2] = noise[:, :, -3:] = 0
    box = map_box.without_copies(np.pad(noise, PADS, mode))
    axes = slice(0, 2) if emptied and mode == "edge" else slice(0, 3)  # zeros may be an earlier mask's
    expected = tuple(slice(pad, pad + n) for (pad, _), n in zip(PADS, noise.shape))
    assert box[axes] == expected[axes]


def test_a_map_without_padding_is_left_whole(noise):
    assert map_box.without_copies(noise) == WHOLE
    noise[:6] = noise[-8:] = noise[:, :4] = noise[:, -4:] = 0
    assert map_box.without_copies(noise) == WHOLE
    assert map_box.without_copies(np.zeros_like(noise)) == WHOLE
