"""Measures of a model found in a results folder or its card."""

from __future__ import annotations

from typing import Any, Dict, Tuple

from . import result_files
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


def _card_of(model: Any) -> Dict[str, Any]:
    from ..networks import model_store  # only here: most figures need no model

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
