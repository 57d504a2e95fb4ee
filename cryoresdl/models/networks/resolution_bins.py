"""From a distribution over bins of log2(resolution / voxel size) to angstroms, intervals and class probabilities."""

from __future__ import annotations

from typing import Sequence

import numpy as np


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities of logits along the last axis, in their own precision."""
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def quantile(probabilities: np.ndarray, q: float) -> np.ndarray:
    """Quantile of each distribution, linear inside its bin.

    Args:
        probabilities: (n, bins), rows of sum 1.
        q: between 0 and 1.

    Returns:
        (n,) log2(resolution / voxel size), float32.
    """
    cumulative = np.cumsum(probabilities, axis=-1)
    cumulative[:, -1] = np.maximum(cumulative[:, -1], 1.0)
    k = np.argmax(cumulative >= q, axis=-1)
    rows = np.arange(len(k))
    before = np.where(k > 0, cumulative[rows, np.maximum(k - 1, 0)], 0.0)
    share = (q - before) / np.maximum(probabilities[rows, k], 1e-9)
    return (BIN_LOW + BIN_STEP * (k + np.clip(share, 0.0, 1.0))).astype(np.float32)


def cumulative_at(probabilities: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """Cumulative probability of each distribution at given levels of log2(resolution / voxel size): (n, levels)."""
    cumulative = np.concatenate([np.zeros((len(probabilities), 1)), np.cumsum(probabilities, -1)], -1)
    place = np.clip((np.asarray(levels, float) - BIN_LOW) / BIN_STEP, 0.0, float(N_BINS))
    k = np.minimum(place.astype(int), N_BINS - 1)
    share = place - k
    return cumulative[:, k] * (1 - share) + cumulative[:, k + 1] * share


def class_probabilities(probabilities: np.ndarray, edges_A: Sequence[float], voxel_size: float) -> np.ndarray:
    """Probability of each class between ``edges_A`` (angstroms, ascending): (n, len(edges) + 1), rows of sum 1."""
    levels = np.log2(np.asarray(edges_A, float) / voxel_size)
    inner = cumulative_at(probabilities, levels)
    ends = np.concatenate([np.zeros((len(inner), 1)), inner, np.ones((len(inner), 1))], -1)
    return np.maximum(np.diff(ends, axis=-1), 0.0)


def centres() -> np.ndarray:
    """Middle of each bin in log2(resolution / voxel size)."""
    return bin_edges()[:-1] + BIN_STEP / 2


BIN_LOW, BIN_HIGH, BIN_STEP = 1.0, 6.16, 0.12
N_BINS = int(round((BIN_HIGH - BIN_LOW) / BIN_STEP))
"""Bins of log2(resolution in voxels): from Nyquist (1.0) to 71 voxels."""


def bin_edges() -> np.ndarray:
    """The N_BINS + 1 edges of the output bins in log2(resolution / voxel size)."""
    return BIN_LOW + BIN_STEP * np.arange(N_BINS + 1)


def _not_finer_than(probabilities: np.ndarray, finest: float, edges: Sequence[float]) -> np.ndarray:
    """Probabilities of classes, fine to coarse, of a map that cannot be finer than ``finest``; ``edges`` in angstroms."""
    allowed = probabilities.copy()
    for number, edge in enumerate(edges):
        if finest > edge:
            allowed[number + 1] += allowed[number]
            allowed[number] = 0.0
    return allowed
