"""Accuracy of a model on a set of maps or patches."""

from __future__ import annotations

from typing import Any, Dict, Tuple

import numpy as np

from ..base import accuracy_measures, progress, resolution_terms
from ..base.errors import InputError
from ..base.runs.atomic_files import shown
from ..networks import band_networks, paper_networks, paper_predictors
from . import patch_measures
from .class_measures import PER_MAP, TABLE, class_table, classification_metrics


def _on_dataset(
    model: Any, path: str, split: str, limit: int | None
) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    from ..datasets.map_set_file import DatasetFile

    with DatasetFile(path) as data:
        rows = spread(data.rows(split), limit)
        if not len(rows):
            raise InputError(f"The split {split} of {shown(path)} is empty; choose another --split.")
        kind = data.info.get("kind")
        if kind != model.kind:
            raise InputError(f"{model.name} is a {model.kind} model and {shown(path)} a {kind} data set.")
        if kind == "global":
            return _global(model, data, rows)
        if model.card["network"]["name"] != paper_networks.UNET:
            raise InputError(
                f"{model.name} reads whole maps, not the patches of {shown(path)}; give a feature set as --data."
            )
        return _patches(model, data, split)


def spread(rows: np.ndarray, limit: int | None) -> np.ndarray:
    """At most ``limit`` of the rows, evenly spread."""
    if limit is None or len(rows) <= limit:
        return rows
    return rows[np.linspace(0, len(rows) - 1, limit).astype(int)]


def _global(model: Any, data: Any, rows: np.ndarray) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    labels = data.read("labels", rows).astype(int)
    values = data.column("resolution")[rows] if "resolution" in data.keys else None
    sources, names = data.column("source")[rows], [one.get("id", "") for one in data.sources()]
    voxels = data.column("voxel_size")[rows]
    predict = _map_predictor(model)
    probabilities, estimates, table = [], [], []
    with progress.Progress("maps", total=len(rows)) as counter:
        for place in range(len(rows)):
            p, estimate = predict(data.read("maps", rows[place : place + 1])[0], float(voxels[place]))
            probabilities.append(p)
            estimates.append(estimate)
            table.append(
                {
                    "source": names[sources[place]],
                    "true": resolution_terms.GLOBAL_CLASSES[labels[place]],
                    "predicted": resolution_terms.GLOBAL_CLASSES[int(np.argmax(p))],
                    **{
                        f"p_{name}": round(float(v), 5) for name, v in zip(resolution_terms.GLOBAL_CLASSES, p)
                    },
                    "resolution_A": None if values is None else float(values[place]),
                    "estimate_A": estimate,
                }
            )
            counter.step()
    metrics = classification_metrics(np.array(probabilities), labels)
    if values is not None and estimates[0] is not None:
        relative = np.abs(np.array(estimates) - values) / values
        metrics["median_relative_error"] = float(np.median(relative))
    return metrics, {TABLE: class_table(metrics), PER_MAP: table}


def _map_predictor(model: Any) -> Any:
    """Function from (map, voxel size) to (class probabilities, estimate in A or None)."""
    if model.card["network"]["name"] != band_networks.GLOBAL_NETWORK:
        return lambda data, voxel: (paper_predictors.paper_predict(model, [data])[0], None)
    from ..inference import global_resolution
    from ..maps import density_map

    def classify(data: np.ndarray, voxel: float) -> Tuple[np.ndarray, float]:
        density = density_map.DensityMap(np.ascontiguousarray(data, np.float32), voxel)
        entry = global_resolution.classify(density, model=model.path)
        return np.array([entry["probabilities"][k] for k in resolution_terms.GLOBAL_CLASSES]), entry[
            "resolution_A"
        ]

    return classify


def _patches(model: Any, data: Any, split: str) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    sets = patch_measures.PatchSet.of(data, split)
    predicted = patch_measures.predict_patches(model, sets.maps)
    rows = [{"model": model.name, **patch_measures.patch_metrics(predicted, sets)}]
    for name, constant in patch_measures.baselines(sets).items():
        rows.append({"model": name, **patch_measures.patch_metrics(constant, sets)})
    inside = sets.masks & resolution_terms.estimated(sets.values)
    count = len(resolution_terms.LOCAL_CLASSES)
    matrix = accuracy_measures.confusion(
        resolution_terms.class_of(sets.values[inside]), predicted[inside], count
    )
    metrics = {
        "kind": "local",
        "n": len(sets.labels),
        **{key: value for key, value in rows[0].items() if key != "model"},
        "baselines": {row["model"]: {k: v for k, v in row.items() if k != "model"} for row in rows[1:]},
        "confusion": {"matrix": matrix.tolist(), "classes": list(resolution_terms.LOCAL_CLASSES)},
    }
    return metrics, {TABLE: rows}
