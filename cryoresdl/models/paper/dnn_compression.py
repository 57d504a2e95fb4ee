"""Compresses the trained DNN of the paper for shipping."""

from __future__ import annotations

from typing import Any, Dict, Tuple

import numpy as np

from ..networks import paper_networks, paper_predictors
from .examples import ExampleSource, blocks


def compress_dnn(
    weights: Dict[str, np.ndarray], train: ExampleSource, side: int, rank: int = 64, cosines: int = 40
) -> Tuple[Dict[str, Any], Dict[str, np.ndarray]]:
    """A small stand-in for a trained DNN: its first layer through few smooth patterns.

    The first layer's answers to the training maps span few directions: the ``rank`` largest principal ones
    are kept (with the mean answer in the bias), and each one's pattern over the box is written in its low
    cosine frequencies. All arrays are float16.

    Args:
        weights: of the full network.
        train: the maps whose answers are preserved; their labels are not used.
        side: side of the input in voxels.
        rank: number of patterns.
        cosines: cosine coefficients per axis; those within the sphere of that radius are kept.

    Returns:
        The card's ``network`` entry and the weights.
    """
    kernel = weights["dense1/kernel"]
    cosines = min(cosines, side)
    index = paper_networks.low_frequencies(cosines)
    answers = np.concatenate([x @ kernel for _, x in blocks(train)])
    # The mean answer is kept exactly, by a bias, so that the rank is spent on what tells maps apart.
    mean = answers.mean(0)
    directions = np.linalg.svd(answers - mean, full_matrices=False)[2][:rank].astype(np.float32)
    patterns = (kernel @ directions.T).T.reshape(-1, side, side, side)
    coefficients = paper_predictors.cosine_coefficients(patterns, cosines)[:, index].T
    small = {name: value for name, value in weights.items() if name != "dense1/kernel"}
    small["dense1/coefficients"], small["dense1/neurons"] = coefficients, directions
    kept = mean - (mean @ directions.T) @ directions
    small["dense1/bias"] = weights["dense1/bias"] + kept
    config = {"side": side, "cosines": cosines, "rank": int(len(directions))}
    return {"name": paper_networks.DNN_LOW_RANK, "config": config}, {
        k: v.astype(np.float16) for k, v in small.items()
    }
