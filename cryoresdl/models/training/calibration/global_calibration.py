"""Calibration of the global network's probabilities and doubts."""

from __future__ import annotations

from typing import Any, Dict

import numpy as np

from ...base import resolution_terms
from ...base.accuracy_measures import brier
from ...base.accuracy_measures import calibration as reliability
from ...base.resolution_terms import CRITERIA
from ...datasets import map_set_file
from ...datasets.feature_sets.feature_set_file import _as_list, kept_apart
from ...features import network_inputs
from ...inference import answers, global_resolution
from ...networks import band_networks, network_runners
from ..profile_table import ProfileTable, _is_map_set


def calibrated(
    model: Any, rows: ProfileTable, calibration: Dict[str, Any], criterion: str = CRITERIA[0]
) -> answers.GlobalAnswers:
    """What users would be told of every row."""
    return global_resolution.global_answers(
        model.network, model.weights, rows.profile, rows.voxel_size, calibration, criterion
    )


def true_classes(rows: ProfileTable) -> np.ndarray:
    """Class index 0..2 of every row's true resolution; both edges are medium."""
    return resolution_terms.global_class_of(2.0**rows.log2_voxels * rows.voxel_size)


def measure_global(
    model: Any, rows: ProfileTable, calibration: Dict[str, Any], criterion: str = CRITERIA[0]
) -> Dict[str, Any]:
    """Accuracy, error and calibration of the global network on a table, whose resolutions are by that criterion."""
    told, truth = calibrated(model, rows, calibration, criterion), true_classes(rows)
    three = told.probabilities
    covered = (rows.interval_target >= told.low) & (rows.interval_target <= told.high)
    return {
        "rows": int(len(truth)),
        "accuracy": float((three.argmax(1) == truth).mean()),
        "majority_baseline": float(np.bincount(truth).max() / len(truth)),
        "median_relative_error": float(np.median(np.abs(2.0 ** (told.middle - rows.log2_voxels) - 1))),
        "constant_relative_error": _constant_error(2.0**rows.log2_voxels * rows.voxel_size),
        "coverage68": float(covered.mean()),
        "ece": reliability(three / three.sum(1, keepdims=True), truth)["ece"],
    }


def _constant_error(resolution: np.ndarray) -> float:
    """Median relative error of the constant answer for which it is least; ``resolution`` (n,) in A."""
    low, high = np.log(resolution.min()), np.log(resolution.max())
    answers_A = np.exp(np.linspace(low, high, 200))
    return float(min(np.median(np.abs(one / resolution - 1)) for one in answers_A))


LEAST_ROWS = 30
"""Half maps get a calibration of their own from so many held-out rows on."""


def calibrate_global(model: Any, rows: ProfileTable) -> Dict[str, Any]:
    """Temperature and spread on held-out maps, for one map and (``half_maps``) for half maps; one distance limit.

    The factors of the first criterion come first, those of the others are in ``criteria``.
    """
    distance = np.sqrt(np.square(network_runners.scaled_profile(model.weights, rows.profile)).mean(1))
    limit = {"distance_limit": float(np.quantile(distance, 0.995) * 1.15)}
    first, *others = band_networks.criteria_of(model.network["config"])
    further = {one: _calibrate_by(model, rows.by(one), one) for one in others}
    return {**_calibrate_by(model, rows, first), **({"criteria": further} if further else {}), **limit}


def _calibrate_by(model: Any, rows: ProfileTable, criterion: str) -> Dict[str, Any]:
    """The factors for one criterion."""
    halves = network_inputs.has_half_maps(rows.profile)
    noisy = np.array(["clean" not in kind for kind in rows.kind])
    # Noiseless maps are easier than any that a user has: they would promise too much.
    alone = ~halves & noisy if (~halves & noisy).sum() >= LEAST_ROWS else ~halves
    if min(halves.sum(), alone.sum()) < LEAST_ROWS:
        return dict(_calibrate_kind(model, rows, criterion))
    measured = rows.rows(halves)
    for_halves = _calibrate_kind(model, measured, criterion)
    for_halves["doubt"] = _doubt(model, measured, for_halves, criterion)
    return {**_calibrate_kind(model, rows.rows(alone), criterion), "half_maps": for_halves}


def _calibrate_kind(model: Any, rows: ProfileTable, criterion: str) -> Dict[str, float]:
    """Temperature of the least Brier score of the classes, and the spread of 68.3 % coverage.

    The Brier score, because a handful of maps far off would alone decide a temperature by log loss.
    """
    truth = true_classes(rows)
    temperatures = np.exp(np.linspace(np.log(0.05), np.log(2.5), 50))
    losses = []
    for temperature in temperatures:
        told = calibrated(model, rows, {"temperature": float(temperature)}, criterion)
        losses.append(brier(told.probabilities, truth))
    best = float(temperatures[int(np.argmin(losses))])
    told = calibrated(model, rows, {"temperature": best}, criterion)
    gap = rows.interval_target - told.middle
    side = np.where(gap < 0, told.middle - told.low, told.high - told.middle)
    return {"temperature": best, "spread": float(np.quantile(np.abs(gap) / np.maximum(side, 1e-4), 0.683))}


def _doubt(
    model: Any, rows: ProfileTable, calibration: Dict[str, float], criterion: str = CRITERIA[0]
) -> float:
    """Share of the network's distribution in the class probabilities of half maps that scores best on held-out ones."""
    doubts = np.linspace(0.02, 1.0, 50)
    scores = [
        brier(
            calibrated(model, rows, {**calibration, "doubt": doubt}, criterion).probabilities,
            true_classes(rows),
        )
        for doubt in doubts
    ]
    return float(doubts[int(np.argmin(scores))])


def _kept_apart(test: ProfileTable, data: Any) -> str:
    """What the card says of the test maps."""
    kinds = [kind.split()[0] for kind in test.kind]
    for path in _as_list(data):
        if _is_map_set(path):
            with map_set_file.DatasetFile(path) as handle:
                # The paper's split is over maps: the same structure is in training, too.
                kinds += ["split by map"] if handle.info["recipe"].get("split") == "paper" else []
    return kept_apart(kinds)
