"""Widths of the local network's intervals, set so that 68 % of the truth lies inside."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence

import numpy as np

from ...datasets.feature_sets.feature_set_file import FeatureItem
from ...features import network_inputs
from ...networks.resolution_bins import quantile
from ..held_out_answers import predict_item

TARGET = 0.683
LEAST_MAPS = 20
"""Maps of a kind that calibration factors of its own can rest on; fewer move one factor for all part of the way."""
WIDTH_BINS = 8
"""Groups of equal weight, by predicted width, that get calibration factors of their own."""


def calibrate_local(model: Any, items: Sequence[FeatureItem]) -> Dict[str, Any]:
    """Factors on the spread that give 68.3 % coverage on held-out maps, every map counting the same.

    Returns:
        ``spread`` (one factor for all), ``spread_knots`` and ``spread_factors`` (factors by predicted half-width in
        log2: narrow intervals of easy maps and wide ones of hard maps are not wrong by the same factor),
        ``coverage_before`` and ``maps``; of single maps with noise outside the mask, and under ``half_maps`` and
        ``no_background`` the same of half maps and of single maps without such noise. Single maps are taken
        together where either kind has fewer than :data:`LEAST_MAPS`. The errors of one map are alike, so what few maps ask
        for is partly chance: of n maps fewer than that the factor is their own to the power of n / ``LEAST_MAPS``, and the
        same for all widths.
    """
    kinds: Dict[str, List[FeatureItem]] = {network_inputs.BACKGROUND: [], network_inputs.NO_BACKGROUND: []}
    for item in items:
        kinds[network_inputs.noise_source(item.summary["single"])].append(item)
    if min(len(kind) for kind in kinds.values()) < LEAST_MAPS:
        kinds = {network_inputs.BACKGROUND: list(items)}
    found = _calibrate_variant(model, kinds[network_inputs.BACKGROUND], "single")
    if network_inputs.NO_BACKGROUND in kinds:
        found[network_inputs.NO_BACKGROUND] = _calibrate_variant(
            model, kinds[network_inputs.NO_BACKGROUND], "single"
        )
    halved = [item for item in items if item.has_half_maps("halves")]
    if halved:
        found[network_inputs.HALF_MAPS] = _calibrate_variant(model, halved, "halves")
    return found


def _calibrate_variant(model: Any, items: Sequence[FeatureItem], variant: str) -> Dict[str, Any]:
    ratios, weights, widths, before = [], [], [], []
    for item in items:
        u = np.log2(item.truth_of(variant)[item.truth > 0] / item.info["voxel_size_A"])
        p = predict_item(model, item, variant)
        low, middle, high = (quantile(p, q) for q in (0.16, 0.5, 0.84))
        width = np.maximum((high - low) / 2, 1e-3)
        ratio = needed_width(u, middle) / width
        ratios.append(ratio)
        widths.append(width)
        weights.append(np.full(ratio.size, 1.0 / ratio.size))
        before.append(float((ratio <= 1).mean()))
    ratio, weight, width = (np.concatenate(parts) for parts in (ratios, weights, widths))
    spread = _weighted_quantile(ratio, weight, TARGET)
    found = {"spread": spread, "coverage_before": float(np.mean(before)), "maps": len(items)}
    if len(items) < LEAST_MAPS:
        return {**found, "spread": spread ** (len(items) / LEAST_MAPS)}
    order = np.argsort(width, kind="stable")
    group = np.minimum(np.cumsum(weight[order]) / weight.sum() * WIDTH_BINS, WIDTH_BINS - 1).astype(int)
    knots: List[float] = []
    factors: List[float] = []
    for number in range(WIDTH_BINS):
        chosen = order[group == number]
        knot = _weighted_quantile(width[chosen], weight[chosen], 0.5) if chosen.size else 0.0
        if knot > (knots[-1] * 1.02 if knots else 0.0):
            knots.append(knot)
            factors.append(_weighted_quantile(ratio[chosen], weight[chosen], TARGET))
    return {
        **found,
        "spread_knots": [round(k, 5) for k in knots],
        "spread_factors": [round(f, 4) for f in factors],
    }


def _weighted_quantile(values: np.ndarray, weights: np.ndarray, q: float) -> float:
    order = np.argsort(values)
    share = np.cumsum(weights[order]) / weights.sum()
    return float(values[order][min(int(np.searchsorted(share, q)), values.size - 1)])


def needed_width(truth: np.ndarray, answer: np.ndarray) -> np.ndarray:
    """Half-width in log2 with which an interval just reaches the truth.

    Users get intervals as plus and minus a number of angstroms, ``resolution * sinh(ln 2 * half-width)``, and so they are
    calibrated. They reach further down than up on the log scale, where the network's own widths live.

    Args:
        truth: log2(resolution / voxel size).
        answer: of the same shape.
    """
    return np.arcsinh(np.abs(np.exp2(truth - answer) - 1)) / np.log(2)
