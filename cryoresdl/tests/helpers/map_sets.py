"""Small sets of whole maps."""

import numpy as np

from cryoresdl.models.datasets.map_set_file import Parts


def global_set(path, count=12, side=8):
    """Maps of three brightnesses; the first two thirds are for training, the rest for testing."""
    labels = np.arange(count, dtype=np.int8) % 3
    random = np.random.default_rng(0)
    maps = np.zeros((count, side, side, side), np.float32)
    for number, label in enumerate(labels):
        maps[number, : 2 + 2 * label] = 1
        maps[number] += 0.01 * random.random(maps[number].shape)
    arrays = {
        "maps": maps,
        "labels": labels,
        "voxel_size": np.ones(count, np.float32),
        "resolution": np.array([2.5, 7.5, 12.5], np.float32)[labels],
    }
    parts = Parts(path, {"resolutions": [2.5, 7.5, 12.5]})
    parts.write("one", arrays, {"id": "one"})
    split = np.repeat([0, 1, 2], [count - 6, 3, 3]).astype(np.int8)
    parts.assemble(
        ["one"], split, {"kind": "global", "mode": "paper", "seed": 0, "recipe": {"split": "paper"}}
    )
    return str(path)
