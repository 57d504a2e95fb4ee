"""Batches of crops for training the local network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Sequence, Tuple

import numpy as np

from ..datasets.feature_sets.feature_set_file import FeatureItem


@dataclass
class LocalNetworkRecipe:
    """Hyper-parameters of one local training.

    Attributes:
        channels: filters per level.
        crop: edge of a training crop in cells.
        batch: crops per step.
        steps: optimiser steps in all; the rate falls along a cosine.
        rate: peak learning rate of Adam.
        halves_share: share of crops whose features come from half maps.
        angstrom_weight: weight of the score in angstroms beside the one in log2.
        seed: of batches and initial weights.
        bfloat16: mixed precision.
    """

    channels: Tuple[int, ...] = (32, 64, 128)
    crop: int = 24
    batch: int = 8
    steps: int = 6000
    rate: float = 8e-4
    halves_share: float = 0.3
    angstrom_weight: float = 0.3
    seed: int = 0
    bfloat16: bool = True


def draw_crop(item: FeatureItem, variant: str, size: int, rng: np.random.Generator) -> Tuple[np.ndarray, ...]:
    """A random crop around a masked cell, randomly mirrored and turned: (features, truth, summary, voxel size)."""
    local, truth = item.local[variant], item.truth_of(variant)
    used = np.flatnonzero(truth)
    centre = np.unravel_index(int(used[rng.integers(used.size)]), truth.shape)
    window, pads = [], []
    for c, n in zip(centre, truth.shape):
        start = int(
            np.clip(c - rng.integers(size // 4, 3 * size // 4 + 1), min(0, n - size), max(0, n - size))
        )
        low, high = max(start, 0), min(start + size, n)
        window.append(slice(low, high))
        pads.append((low - start, size - (high - low) - (low - start)))
    x = np.pad(local[(slice(None),) + tuple(window)].astype(np.float32), [(0, 0)] + pads)
    t = np.pad(truth[tuple(window)], pads)
    order = rng.permutation(3)
    x, t = x.transpose([0] + [int(a) + 1 for a in order]), t.transpose(order)
    for axis in range(3):
        if rng.random() < 0.5:
            x, t = np.flip(x, axis + 1), np.flip(t, axis)
    return np.moveaxis(x, 0, -1), t, item.summary[variant], item.info["voxel_size_A"]


def crop_batch(items: Sequence[FeatureItem], recipe: LocalNetworkRecipe, step: int) -> Tuple[np.ndarray, ...]:
    """Features, truth, summaries and voxel sizes of one step, which depend on the seed and the step alone.

    Returns:
        float32 (batch, z, y, x, inputs), (batch, z, y, x) angstroms, (batch, summary) and (batch,) angstroms.
    """
    rng = np.random.default_rng((recipe.seed, step))
    parts = []
    for _ in range(recipe.batch):
        item = items[int(rng.integers(len(items)))]
        variant = "halves" if rng.random() < recipe.halves_share else "single"
        parts.append(draw_crop(item, variant, recipe.crop, rng))
    x, t, s, v = (np.stack([p[k] for p in parts]) for k in range(4))
    return np.ascontiguousarray(x), t.astype(np.float32), s, v.astype(np.float32)


def crop_dataset(
    keras: Any, items: Sequence[FeatureItem], recipe: LocalNetworkRecipe, first: int, count: int
) -> Any:
    """The batches of ``count`` steps from ``first`` on, as ``Model.fit`` takes them; made in a thread beside it."""

    class CropDataset(keras.utils.PyDataset):
        def __len__(self) -> int:
            return count

        def __getitem__(self, index: int) -> Any:
            x, truth, summary, voxel = crop_batch(items, recipe, first + index)
            size = np.broadcast_to(voxel[:, None, None, None], truth.shape)
            return (x, summary), np.stack([truth, size], axis=-1)

    return CropDataset(workers=1, use_multiprocessing=False, max_queue_size=4)
