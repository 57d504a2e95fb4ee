"""Examples and recipes of trainings that take seconds."""

import numpy as np

from cryoresdl.models.paper import epoch_loop, examples
from cryoresdl.models.training.crop_batches import LocalNetworkRecipe

TINY = LocalNetworkRecipe(channels=(4, 6), crop=8, batch=2, steps=4, seed=1, bfloat16=False)
"""Four steps of the default local network."""


def blobs(count, side=8, seed=0):
    """Maps in three classes that differ in brightness, with noise."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    maps = random.random((count, side, side, side)) * 0.4 + 0.3 * labels[:, None, None, None]
    return examples.Arrays(maps.astype(np.float32), labels.astype(np.int64))


def recipe(**changes):
    return epoch_loop.EpochRecipe(
        **{**dict(optimizer="sgd", learning_rate=0.03, batch=7, epochs=6, patience=None), **changes}
    )
