"""Measure a model on the held-out part of a data set: metrics with intervals, baselines, calibration, figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Tuple

import numpy as np

from . import constants, evaluation, model_file, networks, plots, progress, reproduce, resolution
from . import feature_networks as fn
from .errors import InputError
from .files import shown, write_json

METRICS, TABLE, PER_MAP = "metrics.json", "metrics.csv", "per_map.csv"
CONFUSION, RELIABILITY = "confusion.png", "reliability.png"


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
    model = model_file.load(name)
    metrics: Dict[str, Any] = {
        "model": {"name": model.name, "digest": model.digest},
        "data": Path(data).name,
        "split": split,
    }
    if is_feature_set(data):
        found, tables = _on_features(model, data, split, limit)
    else:
        found, tables = _on_dataset(model, data, split, limit)
    metrics.update(found)
    written = [reproduce.write_csv(out / table, rows) for table, rows in tables.items() if rows]
    write_json(out / METRICS, metrics)
    return [out / METRICS, *written, *_figures(metrics, out)]


def is_feature_set(path: str) -> bool:
    """Whether a file is a set of features (made for the default networks) rather than of maps."""
    import h5py

    from .feature_sets import FORMAT

    try:
        with h5py.File(path, "r") as handle:
            return handle.attrs.get("format") == FORMAT
    except OSError as error:
        raise InputError(
            f"Cannot open the data set {shown(path)}; make it with 'cryoresdl dataset'."
        ) from error


def _on_dataset(
    model: Any, path: str, split: str, limit: int | None
) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    from .dataset_store import DatasetFile

    with DatasetFile(path) as data:
        rows = spread(data.rows(split), limit)
        if not len(rows):
            raise InputError(f"The split {split} of {shown(path)} is empty; choose another --split.")
        kind = data.info.get("kind")
        if kind != model.kind:
            raise InputError(f"{model.name} is a {model.kind} model and {shown(path)} a {kind} data set.")
        if kind == "global":
            return _global(model, data, rows)
        if model.card["network"]["name"] != networks.UNET:
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
                    "true": constants.GLOBAL_CLASSES[labels[place]],
                    "predicted": constants.GLOBAL_CLASSES[int(np.argmax(p))],
                    **{f"p_{name}": round(float(v), 5) for name, v in zip(constants.GLOBAL_CLASSES, p)},
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
    if model.card["network"]["name"] != fn.GLOBAL_NETWORK:
        return lambda data, voxel: (networks.paper_predict(model, [data])[0], None)
    from . import inference, maps

    def classify(data: np.ndarray, voxel: float) -> Tuple[np.ndarray, float]:
        density = maps.DensityMap(np.ascontiguousarray(data, np.float32), voxel)
        entry = inference.classify(density, model=model.path)
        return np.array([entry["probabilities"][k] for k in constants.GLOBAL_CLASSES]), entry["resolution_A"]

    return classify


def classification_metrics(probabilities: np.ndarray, labels: np.ndarray) -> Dict[str, Any]:
    """Accuracy with interval and majority baseline, Table 5's measures, calibration, confusion."""
    probabilities = np.asarray(probabilities, float)
    # Rounding of stored probabilities must not count as a sum other than one.
    probabilities = probabilities / probabilities.sum(1, keepdims=True)
    matrix = evaluation.confusion(labels, probabilities.argmax(1))
    return {
        "kind": "global",
        "n": len(labels),
        **evaluation.accuracy(matrix),
        "confusion": {"matrix": matrix.tolist(), "classes": list(constants.GLOBAL_CLASSES)},
        "one_vs_rest": evaluation.one_vs_rest(matrix),
        "calibration": evaluation.calibration(probabilities, labels),
        "brier": evaluation.brier(probabilities, labels),
    }


def class_table(metrics: Dict[str, Any]) -> List[Dict[str, Any]]:
    """Rows as in the paper's Tables 3 to 5: a class, its counts and its four measures in per cent."""
    names = metrics["confusion"]["classes"]
    rows = []
    for name, counts in zip(names, metrics["confusion"]["matrix"]):
        row = {"class": name, **{f"predicted {n}": count for n, count in zip(names, counts)}}
        row.update(reproduce.one_vs_rest(np.array(metrics["confusion"]["matrix"]), name))
        rows.append(row)
    return rows


def _patches(model: Any, data: Any, split: str) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    sets = reproduce.PatchSet.of(data, split)
    predicted = reproduce.predict_patches(model, sets.maps)
    rows = [{"model": model.name, **reproduce.local_metrics(predicted, sets)}]
    for name, constant in reproduce.baselines(sets).items():
        rows.append({"model": name, **reproduce.local_metrics(constant, sets)})
    inside = sets.masks & resolution.estimated(sets.values)
    count = len(constants.LOCAL_CLASSES)
    matrix = evaluation.confusion(resolution.class_of(sets.values[inside]), predicted[inside], count)
    metrics = {
        "kind": "local",
        "n": len(sets.labels),
        **{key: value for key, value in rows[0].items() if key != "model"},
        "baselines": {row["model"]: {k: v for k, v in row.items() if k != "model"} for row in rows[1:]},
        "confusion": {"matrix": matrix.tolist(), "classes": list(constants.LOCAL_CLASSES)},
    }
    return metrics, {TABLE: rows}


def _on_features(
    model: Any, path: str, split: str, limit: int | None
) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    if model.card["network"]["name"] == fn.GLOBAL_NETWORK:
        return _global_features(model, path, split, limit)
    if model.card["network"]["name"] != fn.LOCAL_NETWORK:
        raise InputError(
            f"{model.name} is a network of the paper; {shown(path)} holds features of the default ones."
        )
    return _local_features(model, path, split, limit)


def _global_features(
    model: Any, path: str, split: str, limit: int | None
) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    from . import inference, profile_training

    local = inference.load_model(constants.DEFAULT_LOCAL_MODEL, "local")
    rows = profile_training.table([path], split, local, limit, progress.note)
    calibration = model.card.get("calibration", {})
    network = profile_training.Ensemble.of(model)
    three = profile_training.calibrated(network, rows, calibration).probabilities
    metrics = classification_metrics(three, profile_training.true_classes(rows))
    metrics.update(
        {f"estimate_{k}": v for k, v in profile_training.measure(network, rows, calibration).items()}
    )
    return metrics, {TABLE: class_table(metrics)}


def _local_features(
    model: Any, path: str, split: str, limit: int | None
) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    from . import corrections, feature_training
    from .resolution_bins import quantile

    items = feature_training.load_split([path], split, limit)
    network = feature_training.inference_model(
        {k: v.astype(np.float32) for k, v in model.weights.items()},
        model.card["network"]["config"]["channels"],
    )
    known_corrections = corrections.Corrections.of(model)
    rows: List[Dict[str, Any]] = []
    count = len(constants.LOCAL_CLASSES)
    matrix = np.zeros((count, count), int)
    with progress.Progress("maps", total=len(items)) as counter:
        for item in items:
            truth = item.truth[item.truth > 0]
            for variant in ("single", "halves"):
                p = feature_training.predict_item(network, item, variant)
                voxel = float(item.info["voxel_size_A"])
                low, middle, high = (quantile(p, q) for q in (0.16, 0.5, 0.84))
                middle, spread = corrections.corrected(
                    known_corrections,
                    item.summary[variant],
                    item.rise[variant],
                    middle,
                    (high - low) / 2,
                )
                estimate = np.maximum(2.0**middle, 2.0) * voxel
                half = (2.0 ** (middle + spread) - 2.0 ** (middle - spread)) / 2 * voxel
                known = item.info.get("global_fsc0143_A") or None
                found = evaluation.local_metrics(truth, estimate, None, half, known)
                flat = {f"baseline_{k}_mae_A": v.get("mae_A") for k, v in found.pop("baselines").items()}
                rows.append({"map": item.info.get("name", ""), "input": variant, **found, **flat})
                matrix += evaluation.confusion(
                    resolution.class_of(truth), resolution.class_of(estimate), count
                )
            counter.step()
    metrics: Dict[str, Any] = {"kind": "local", "n": len(items)}
    for variant in ("single", "halves"):
        numbers = [
            {k: v for k, v in row.items() if k not in ("map", "input")}
            for row in rows
            if row["input"] == variant
        ]
        metrics[variant] = evaluation.combine_local(numbers)
    metrics["confusion"] = {"matrix": matrix.tolist(), "classes": list(constants.LOCAL_CLASSES)}
    summary = [
        {"input": variant, "measure": key, **{k: str(v) if k == "interval" else v for k, v in value.items()}}
        for variant in ("single", "halves")
        for key, value in metrics[variant].items()
    ]
    return metrics, {TABLE: summary, PER_MAP: rows}


def _figures(metrics: Dict[str, Any], out: Path) -> List[Path]:
    title = f"{metrics['model']['name']} on {metrics['data']} ({metrics['split']})"
    found = metrics["confusion"]
    written = [plots.save(plots.confusion_matrix(found["matrix"], found["classes"], title), out / CONFUSION)]
    bins = (metrics.get("calibration") or {}).get("bins")
    if bins:
        sure, right, counts = ([row[key] for row in bins] for key in ("confidence", "accuracy", "count"))
        figure = plots.reliability(sure, right, counts, metrics["calibration"]["ece"], title)
        written.append(plots.save(figure, out / RELIABILITY))
    return written
