"""Measures of a classification, as tables: accuracy, sensitivity, specificity, predictive values."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any, Dict, List

import numpy as np

from ..base import accuracy_measures, resolution_terms
from ..base.runs.atomic_files import atomic_path, csv_cell

METRICS, TABLE, PER_MAP = "metrics.json", "metrics.csv", "per_map.csv"
CONFUSION_TABLE, RELIABILITY = "confusion.png", "reliability.png"


def classification_metrics(probabilities: np.ndarray, labels: np.ndarray) -> Dict[str, Any]:
    """Accuracy with interval and majority baseline, Table 5's measures, calibration, confusion."""
    probabilities = np.asarray(probabilities, float)
    # Rounding of stored probabilities must not count as a sum other than one.
    probabilities = probabilities / probabilities.sum(1, keepdims=True)
    matrix = accuracy_measures.confusion(labels, probabilities.argmax(1))
    return {
        "kind": "global",
        "n": len(labels),
        **accuracy_measures.accuracy(matrix),
        "confusion": {"matrix": matrix.tolist(), "classes": list(resolution_terms.GLOBAL_CLASSES)},
        "one_vs_rest": accuracy_measures.one_vs_rest(matrix),
        "calibration": accuracy_measures.calibration(probabilities, labels),
        "brier": accuracy_measures.brier(probabilities, labels),
    }


def class_table(metrics: Dict[str, Any]) -> List[Dict[str, Any]]:
    """Rows as in the paper's Tables 3 to 5: a class, its counts and its four measures in per cent."""
    names = metrics["confusion"]["classes"]
    rows = []
    for name, counts in zip(names, metrics["confusion"]["matrix"]):
        row = {"class": name, **{f"predicted {n}": count for n, count in zip(names, counts)}}
        row.update(one_vs_rest_rows(np.array(metrics["confusion"]["matrix"]), name))
        rows.append(row)
    return rows


MEASURES = ("sensitivity", "specificity", "PPV", "NPV")

MeasureTable = List[Dict[str, Any]]


def one_vs_rest_rows(matrix: np.ndarray, name: str) -> Dict[str, float | None]:
    """The four measures of one class in per cent; None where there is nothing to divide by."""
    names = resolution_terms.GLOBAL_CLASSES if len(matrix) == 3 else resolution_terms.LOCAL_CLASSES
    found = accuracy_measures.one_vs_rest(matrix, names)[name]
    values = {measure: found[measure.lower()] for measure in MEASURES}
    return {f"{key} %": None if value is None else round(100 * value, 2) for key, value in values.items()}


def _percent(value: float | None) -> float | None:
    return None if value is None else round(100 * value, 2)


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def write_measures(path: Path, rows: MeasureTable) -> Path:
    """Write rows as CSV, whole and without formulas; columns in the order of their first appearance."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([csv_cell(name) for name in columns])
    writer.writerows([[csv_cell(row.get(name)) for name in columns] for row in rows])
    with atomic_path(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")
    return path
