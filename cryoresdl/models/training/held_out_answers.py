"""Answers of a local network in training on held-out maps."""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from ..base import quiet_libraries
from ..datasets.feature_sets.feature_set_file import VARIANTS, FeatureItem
from ..inference.bands import map_corrections
from ..networks import band_networks


def pad_to_four(local: np.ndarray) -> np.ndarray:
    """(channels, z, y, x) -> (1, Z, Y, X, channels) float32 with zeros appended so that each axis divides by 4."""
    pads = [(0, 0)] + [(0, -n % 4) for n in local.shape[1:]]
    return np.moveaxis(np.pad(local.astype(np.float32), pads), 0, -1)[None]


def predict_item(model: Any, item: FeatureItem, variant: str) -> np.ndarray:
    """Bin probabilities (cells inside the mask, bins) of one item, float32."""
    x = pad_to_four(item.local[variant])
    logits = np.asarray(model([x, item.summary[variant][None]], training=False), np.float32)[0]
    z, y, w = item.truth.shape
    logits = logits[:z, :y, :w][item.truth > 0]
    e = np.exp(logits - logits.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def validate_local(
    model: Any, items: Sequence[FeatureItem], known: Optional[map_corrections.Corrections] = None
) -> Dict[str, float]:
    """Mean over maps of the MAE (A), Spearman and within-one-class share, per variant.

    Args:
        model: the network.
        items: maps with truth. Those without half maps have no part in the figures of half maps.
        known: corrections of its answers, which a network in training has none of.
    """
    from ..base.resolution_terms import class_of
    from ..networks.resolution_bins import quantile

    found: Dict[str, List[float]] = {}
    for item, variant, truth in _truths(items):
        voxel = item.info["voxel_size_A"]
        p = predict_item(model, item, variant)
        low, middle, high = (quantile(p, q) for q in (0.16, 0.5, 0.84))
        if known is not None:
            middle = map_corrections.corrected(
                known, item.summary[variant], item.rise[variant], middle, (high - low) / 2
            )[0]
        estimate = 2.0**middle * voxel
        found.setdefault(f"val_{variant}_mae_A", []).append(float(np.abs(estimate - truth).mean()))
        varies = min(np.ptp(estimate), np.ptp(truth)) > 0
        rho = (
            float(quiet_libraries.import_scipy_stats().spearmanr(estimate, truth)[0])
            if varies
            else float("nan")
        )
        found.setdefault(f"val_{variant}_rho", []).append(rho)
        near = np.abs(class_of(estimate).astype(int) - class_of(truth)) <= 1
        found.setdefault(f"val_{variant}_within1", []).append(float(near.mean()))
        found.setdefault(f"val_{variant}_log2", []).append(float(np.abs(np.log2(estimate / truth)).mean()))
    return {k: _mean_of_known(v) for k, v in found.items()}


def constant_errors(items: Sequence[FeatureItem]) -> Dict[str, float]:
    """Mean over maps of the MAE (A) of the best constant of each map, its median, per variant as `validate_local` has it.

    Args:
        items: maps with truth.
    """
    found: Dict[str, List[float]] = {}
    for _, variant, truth in _truths(items):
        best = np.abs(truth - np.median(truth)).mean()
        found.setdefault(f"{variant}_constant_mae_A", []).append(float(best))
    return {k: float(np.mean(v)) for k, v in found.items()}


def _truths(items: Sequence[FeatureItem]) -> Iterator[Tuple[FeatureItem, str, np.ndarray]]:
    """Every map and variant that is measured, and its truth inside the mask (A); half maps only where there are some."""
    for item in items:
        for variant in VARIANTS:
            if variant != "halves" or item.has_half_maps(variant):
                yield item, variant, item.truth_of(variant)[item.truth > 0]


def _mean_of_known(values: Sequence[float]) -> float:
    """Mean without NaN; NaN where nothing else is there, as rank correlations of constant maps are."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def inference_model(weights: Dict[str, np.ndarray], channels: Sequence[int]) -> Any:
    """The local network as users will run it (``network_runners``).

    It is called like the Keras model, with float16 weights as shipped.
    """
    from ..networks import network_runners

    shipped = {k: v.astype(np.float16) for k, v in weights.items()}
    run, _ = network_runners.runner(band_networks.local_network(tuple(channels)), shipped)

    def call(inputs: Sequence[np.ndarray], training: bool = False) -> np.ndarray:
        return run({"x": inputs[0], "summary": inputs[1]})

    return call
