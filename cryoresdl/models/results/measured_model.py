"""Measures of a model found in a results folder or its card."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, List, Mapping, Tuple

from . import result_files
from .compared_results import is_number
from .results_folder import CARD_JSON, METRICS_JSON, TRAINED, ResultsFolder


def _confusion_of(results: ResultsFolder) -> Any:
    return _find(_metrics(results), "confusion", "confusion_matrix")


def _calibration_of(results: ResultsFolder) -> Tuple[str, Any]:
    """Title and table of the calibration figure: of the network trained or measured here, or of the one used."""
    metrics, title = _metrics(results), "Calibration on maps kept apart for testing"
    if metrics is None and results.has(result_files.CLASSIFICATION_JSON):
        metrics = _card_of((results.classification or {}).get("model"))
        title = f"Calibration of '{metrics.get('name')}' on maps it never saw"
    return ("", None) if metrics is None else (title, _table_of_bins(metrics))


def _metrics(results: ResultsFolder) -> Any:
    """What is known about a model in this folder: ``metrics.json`` of evaluate, or the card of a training."""
    if results.has(TRAINED) and not results.has(METRICS_JSON) and not results.has(CARD_JSON):
        return _card_of(str(results.folder / TRAINED))
    found = next((name for name in (METRICS_JSON, CARD_JSON) if results.has(name)), None)
    return results.json(found) if found else None


def _card_of(model: Any) -> Mapping[str, Any]:
    from ..networks.model_files import model_store  # only here: most figures need no model

    return model_store.read_card(model["name"] if isinstance(model, dict) else str(model))


def _table_of_bins(metrics: Any) -> Any:
    """The dictionary that holds ``bins``, wherever it is."""
    level = [metrics]
    while level:
        for item in level:
            if isinstance(item, dict) and isinstance(item.get("bins"), (list, dict)):
                return item
        level = [v for item in level if isinstance(item, dict) for v in item.values()]
    return None


def _find(value: Any, *keys: str) -> Any:
    """The first of ``keys`` anywhere in nested dictionaries, nearest the top first."""
    level = [value]
    while level:
        below = []
        for item in level:
            if isinstance(item, dict):
                for key in keys:
                    if item.get(key):
                        return item[key]
                below += list(item.values())
        level = below
    return None


@dataclass(frozen=True)
class CalibrationPoints:
    """How often a network is right against how sure it is.

    Attributes:
        title: which network, on which maps.
        confidence: mean probability of the class it names, 0 to 1, per bin.
        accuracy: part of each bin that is right, 0 to 1.
        counts: maps or voxels per bin, or None.
        error: expected calibration error, 0 to 1, or None.
    """

    title: str
    confidence: List[float]
    accuracy: List[float]
    counts: List[int] | None
    error: float | None


def calibration_points(results: ResultsFolder) -> CalibrationPoints | None:
    """The calibration of the network of a results folder, or ``None`` where none is told."""
    title, found = _calibration_of(results)
    bins = found.get("bins") if isinstance(found, dict) else found
    if isinstance(bins, list):
        bins = {key: [b.get(key) for b in bins] for key in ("confidence", "accuracy", "count")}
    elif isinstance(found, dict) and "confidence" in found:
        bins = found
    if not isinstance(bins, dict) or not bins.get("confidence"):
        return None
    counts = bins.get("count") or bins.get("counts")
    pairs = list(zip(bins["confidence"], bins["accuracy"]))
    kept = [i for i, (sure, right) in enumerate(pairs) if is_number(sure) and is_number(right)]
    counted = [counts[i] for i in kept] if counts and is_number(counts[0]) else None
    error = found.get("ece") if isinstance(found, dict) else None
    confidence, accuracy = ([pairs[i][n] for i in kept] for n in (0, 1))
    return CalibrationPoints(title, confidence, accuracy, counted, error)
