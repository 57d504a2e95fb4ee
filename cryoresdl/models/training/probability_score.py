"""The loss of a predicted distribution of resolutions."""

from __future__ import annotations

from typing import Any, Tuple

import numpy as np

from ..networks import resolution_bins


def _loss_of(tf: Any, logits: Any, u: Any, voxel: Any, angstrom_weight: float) -> Any:
    """Ranked probability score of each row: in log2 plus ``angstrom_weight`` times the one in angstroms."""
    edges = tf.constant(resolution_bins.bin_edges()[1:-1], tf.float32)
    step = tf.clip_by_value((edges[None] - u[:, None]) / resolution_bins.BIN_STEP + 0.5, 0.0, 1.0)
    gap = tf.square(tf.cumsum(tf.nn.softmax(logits), axis=-1)[:, :-1] - step)
    width = tf.constant(
        np.log(2.0) * resolution_bins.BIN_STEP * 2.0 ** resolution_bins.bin_edges()[1:-1], tf.float32
    )
    in_angstrom = tf.reduce_sum(gap * width[None], -1) * voxel
    # Angstroms of very coarse maps are worth less: otherwise a few of them would drive the training.
    in_angstrom /= tf.sqrt(1.0 + tf.square(2.0**u * voxel / 10.0))
    return tf.reduce_sum(gap, -1) * resolution_bins.BIN_STEP + angstrom_weight * in_angstrom


def _loss(tf: Any, logits: Any, truth: Any, voxel: Any, weight_a: float) -> Tuple[Any, Any]:
    """Mean score over estimated cells, and the mean absolute error of the median in log2.

    A crop counts by the square root of its cells: by cells alone a few large molecules would drown the small ones,
    while every map counts the same in what is reported.
    """
    chosen = truth > 0
    cells = tf.reduce_sum(tf.cast(chosen, tf.float32), axis=[1, 2, 3])
    per_cell = tf.math.rsqrt(tf.maximum(cells, 1.0))[:, None, None, None]
    weight = tf.boolean_mask(tf.broadcast_to(per_cell, tf.shape(truth)), chosen)
    weight /= tf.reduce_sum(weight)
    size = tf.boolean_mask(tf.broadcast_to(voxel[:, None, None, None], tf.shape(truth)), chosen)
    u = tf.math.log(tf.maximum(tf.boolean_mask(truth, chosen) / size, 1.0)) / np.log(2.0)
    scores = tf.boolean_mask(logits, chosen)
    loss = tf.reduce_sum(weight * _loss_of(tf, scores, u, size, weight_a))
    return loss, tf.reduce_sum(weight * tf.abs(_median_of(tf, scores) - u))


def _median_of(tf: Any, logits: Any) -> Any:
    """Median of the distribution of each row in log2(resolution / voxel size)."""
    cumulative = tf.cumsum(tf.nn.softmax(logits), axis=-1)[:, :-1]
    below = tf.reduce_sum(tf.sigmoid((0.5 - cumulative) * 40.0), -1)
    return resolution_bins.BIN_LOW + resolution_bins.BIN_STEP * (0.5 + below)
