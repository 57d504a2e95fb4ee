"""Measure a model on the held-out part of a data set: metrics with intervals, baselines, calibration, figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List

from ..base.runs.atomic_files import write_json
from ..datasets.feature_sets import feature_set_file
from ..datasets.map_set_file import DatasetFile
from ..networks.model_files import model_store
from ..results.figures import accuracy_figures, drawing
from ..results.figures.accuracy_figures import TRUE_CLASS
from . import class_measures
from .class_measures import CONFUSION_TABLE, METRICS, RELIABILITY
from .feature_set_measures import _on_features, is_feature_set
from .map_set_measures import _on_dataset


def evaluate(data: str, name: str, out: Path, split: str = "test", limit: int | None = None) -> List[Path]:
    """Measure a model and write ``metrics.json``, CSV tables and figures.

    Global models are measured on global data sets (and the default one on feature sets), the paper's U-Nets on
    paper-mode patches, the default local models on feature sets.

    Args:
        data: a data set of ``cryoresdl dataset``.
        name: model name or file.
        out: existing folder.
        split: ``train``, ``validation`` or ``test``.
        limit: at most this many examples, evenly spread.

    Raises:
        InputError: the model cannot be measured on this data, or the split is empty.
    """
    model = model_store.load_named(name)
    metrics: Dict[str, Any] = {
        "model": {"name": model.name, "digest": model.digest},
        "data": Path(data).name,
        "split": split,
    }
    if is_feature_set(data):
        found, tables = _on_features(model, data, split, limit)
    else:
        found, tables = _on_dataset(model, data, split, limit)
    metrics["labels"] = _labels_of(data)
    metrics.update(found)
    written = [class_measures.write_measures(out / table, rows) for table, rows in tables.items() if rows]
    write_json(out / METRICS, metrics)
    return [out / METRICS, *written, *_figures(metrics, out)]


_REFERENCES = {"monores": "class by MonoRes", "resmap": "class by ResMap"}
"""What the rows of a confusion matrix are, where a program made the labels: its answer is no truth."""


def _labels_of(data: str) -> str:
    """What the labels of a data set are: "truth", or the program that made them."""
    if is_feature_set(data):
        said = [name for name in feature_set_file.labels_in(data) if name != feature_set_file.KNOWN]
        return said[0] if len(said) == 1 else "truth"
    with DatasetFile(data) as opened:
        recipe = opened.info.get("recipe")
    return str(recipe.get("labels", "truth")) if isinstance(recipe, dict) else "truth"


def _figures(metrics: Dict[str, Any], out: Path) -> List[Path]:
    title = f"{metrics['model']['name']} on {metrics['data']} ({metrics['split']})"
    found = metrics["confusion"]
    written = [
        drawing.save_figure(
            accuracy_figures.confusion_matrix(
                found["matrix"],
                found["classes"],
                title,
                reference=_REFERENCES.get(metrics["labels"], TRUE_CLASS),
            ),
            out / CONFUSION_TABLE,
        )
    ]
    bins = (metrics.get("calibration") or {}).get("bins")
    if bins:
        sure, right, counts = ([row[key] for row in bins] for key in ("confidence", "accuracy", "count"))
        figure = accuracy_figures.reliability(sure, right, counts, metrics["calibration"]["ece"], title)
        written.append(drawing.save_figure(figure, out / RELIABILITY))
    return written
