"""Accuracy of a model on a feature set."""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

import numpy as np

from ..base import accuracy_measures, progress, resolution_terms
from ..base.errors import InputError
from ..base.runs.atomic_files import shown
from ..networks import band_networks
from ..networks.model_files import model_store
from .class_measures import PER_MAP, TABLE, class_table, classification_metrics


def is_feature_set(path: str) -> bool:
    """Whether a file is a set of features (made for the default networks) rather than of maps."""
    from ..datasets.feature_sets.feature_set_file import FEATURE_SET_FORMAT
    from ..datasets.set_parts import open_hdf5

    try:
        with open_hdf5(path) as handle:
            return handle.attrs.get("format") == FEATURE_SET_FORMAT
    except OSError as error:
        raise InputError(
            f"Cannot open the data set {shown(path)}; make it with 'cryoresdl dataset'."
        ) from error


def _on_features(
    model: Any, path: str, split: str, limit: int | None
) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    if model.card["network"]["name"] == band_networks.GLOBAL_NETWORK:
        return _global_features(model, path, split, limit)
    if model.card["network"]["name"] != band_networks.LOCAL_NETWORK:
        raise InputError(
            f"{model.name} is a network of the paper; {shown(path)} holds features of the default ones."
        )
    return _local_features(model, path, split, limit)


def _global_features(
    model: Any, path: str, split: str, limit: int | None
) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    from ..networks import network_runners
    from ..training import global_network, profile_table
    from ..training.calibration import global_calibration

    local = network_runners.load_model(model_store.DEFAULT_LOCAL_MODEL, "local")
    rows = profile_table.make_table([path], split, local, limit, progress.note)
    calibration = model.card.get("calibration", {})
    network = global_network.Ensemble.of(model)
    three = global_calibration.calibrated(network, rows, calibration).probabilities
    metrics = classification_metrics(three, global_calibration.true_classes(rows))
    metrics.update(
        {f"estimate_{k}": v for k, v in global_calibration.measure_global(network, rows, calibration).items()}
    )
    return metrics, {TABLE: class_table(metrics)}


def _local_features(
    model: Any, path: str, split: str, limit: int | None
) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    from ..datasets.feature_sets import feature_set_file
    from ..inference.bands import map_corrections
    from ..networks.resolution_bins import quantile
    from ..training import held_out_answers

    items = feature_set_file.load_split([path], split, limit)
    network = held_out_answers.inference_model(
        {k: v.astype(np.float32) for k, v in model.weights.items()},
        model.card["network"]["config"]["channels"],
    )
    known_corrections = map_corrections.Corrections.of(model)
    rows: List[Dict[str, Any]] = []
    count = len(resolution_terms.LOCAL_CLASSES)
    matrix = np.zeros((count, count), int)
    with progress.Progress("maps", total=len(items)) as counter:
        for item in items:
            for variant in feature_set_file.VARIANTS:
                if variant == "halves" and not item.has_half_maps(variant):
                    continue
                truth = item.truth_of(variant)[item.truth > 0]
                p = held_out_answers.predict_item(network, item, variant)
                voxel = float(item.info["voxel_size_A"])
                low, middle, high = (quantile(p, q) for q in (0.16, 0.5, 0.84))
                middle, spread = map_corrections.corrected(
                    known_corrections,
                    item.summary[variant],
                    item.rise[variant],
                    middle,
                    (high - low) / 2,
                )
                estimate = np.maximum(2.0**middle, 2.0) * voxel
                half = (2.0 ** (middle + spread) - 2.0 ** (middle - spread)) / 2 * voxel
                known = item.info.get("global_fsc0143_A") or None
                found = accuracy_measures.local_metrics(truth, estimate, None, half, known)
                flat = {f"baseline_{k}_mae_A": v.get("mae_A") for k, v in found.pop("baselines").items()}
                rows.append({"map": item.info.get("structure", ""), "input": variant, **found, **flat})
                matrix += accuracy_measures.confusion(
                    resolution_terms.class_of(truth), resolution_terms.class_of(estimate), count
                )
            counter.step()
    metrics: Dict[str, Any] = {"kind": "local", "n": len(items)}
    used = sorted({row["input"] for row in rows}, reverse=True)
    for variant in used:
        numbers = [
            {k: v for k, v in row.items() if k not in ("map", "input")}
            for row in rows
            if row["input"] == variant
        ]
        metrics[variant] = accuracy_measures.combine_local(numbers)
    metrics["confusion"] = {"matrix": matrix.tolist(), "classes": list(resolution_terms.LOCAL_CLASSES)}
    summary = [
        {"input": variant, "measure": key, **{k: str(v) if k == "interval" else v for k, v in value.items()}}
        for variant in used
        for key, value in metrics[variant].items()
    ]
    return metrics, {TABLE: summary, PER_MAP: rows}
