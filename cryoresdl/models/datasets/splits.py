"""Splits into training, validation and test sets that do not leak."""

from __future__ import annotations

from typing import Any, Dict, Iterable, Tuple

import numpy as np

SPLITS = ("train", "validation", "test")
SPLIT_FRACTIONS = (0.6, 0.2, 0.2)


def paper_split(count: int, seed: int) -> np.ndarray:
    """60/20/20 uniformly at random over *maps* (paper, section 4.1): the same protein is in several sets.

    Validation and test get ``round(0.2 count)`` each, training the rest: 22,807 / 7603 / 7603 of 38,013.
    """
    split = np.zeros(count, np.int8)
    each = int(round(SPLIT_FRACTIONS[1] * count))
    order = np.random.default_rng([seed, 1]).permutation(count)
    split[order[:each]] = 1
    split[order[each : 2 * each]] = 2
    return split


def split_groups(groups: Iterable[str], seed: int) -> Dict[str, int]:
    """Draw a split (0, 1, 2) for every group, 60/20/20 over groups; members of a group stay together."""
    names = sorted(set(groups))
    split = paper_split(len(names), seed)
    return {name: int(split[row]) for row, name in enumerate(names)}


def paper_patch_split(count: int, seed: Any) -> np.ndarray:
    """Split one map's patches as the paper does: ceil(20 %) evaluation, ceil(10 %) of the rest validation."""
    evaluation, validation = paper_patch_counts(count)
    split = np.zeros(count, np.int8)
    order = np.random.default_rng(seed).permutation(count)
    split[order[:evaluation]] = 2
    split[order[evaluation : evaluation + validation]] = 1
    return split


def paper_patch_counts(count: int) -> Tuple[int, int]:
    """Number of (evaluation, validation) patches of ``count``; in integers, so that 20 % of 35 is never 8."""
    evaluation = -(-count // 5)
    return evaluation, -(-(count - evaluation) // 10)
