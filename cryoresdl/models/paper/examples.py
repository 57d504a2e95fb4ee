"""Sources of training examples for the paper's networks, and their order in an epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, Protocol, Tuple

import numpy as np


class ExampleSource(Protocol):
    """Examples that can be read by number: maps (n, z, y, x) float32 and integer labels."""

    def __len__(self) -> int:
        """Number of examples."""

    def take(self, indices: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """Maps and labels of the given numbers, in that order."""


@dataclass
class Arrays:
    """Examples in memory (or in anything that indexes like an array)."""

    maps: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """Examples of the given numbers, in that order."""
        return np.asarray(self.maps[indices], np.float32), np.asarray(self.labels[indices])


def epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    """The order of ``count`` examples in an epoch: a permutation that depends on (seed, epoch) alone."""
    return np.random.default_rng([seed, epoch, 1]).permutation(count)


def example_labels(source: ExampleSource) -> np.ndarray:
    """All labels of a source; without reading the maps where it can tell them apart."""
    if isinstance(source, Arrays):
        return np.asarray(source.labels, np.int64)
    if hasattr(source, "data") and hasattr(source, "rows"):
        return source.data.column("labels")[source.rows].astype(np.int64)
    parts = [source.take(rows)[1] for rows in example_batches(np.arange(len(source)), 256)]
    return np.concatenate(parts).astype(np.int64)


def blocks(source: ExampleSource, first: int = 0) -> Iterator[Tuple[slice, np.ndarray]]:
    """Examples from number ``first`` on as flat rows, 512 at a time."""
    for start in range(first, len(source), 512):
        rows = np.arange(start, min(start + 512, len(source)))
        yield slice(start, start + len(rows)), source.take(rows)[0].reshape(len(rows), -1)


def example_batches(order: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Pieces of ``order``, ``size`` long but for the last."""
    for start in range(0, len(order), size):
        yield np.asarray(order[start : start + size])
