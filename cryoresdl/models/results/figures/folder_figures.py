"""How each figure is drawn from a results folder; ``None`` where its files are missing."""

from __future__ import annotations

from typing import Any, Callable, Dict, Sequence, Tuple

import numpy as np
from matplotlib.figure import Figure

from ...base import resolution_terms
from ..compared_results import (
    AGREEMENT,
    MOST_COMPARED,
    OURS,
    _is_own,
    _pair_of,
    compared_volumes,
    histogram_sources,
    is_number,
    volumes_agreement,
)
from ..measured_model import _calibration_of, _confusion_of, _find, _metrics
from ..results_folder import HISTORY_CSV, SIMULATION_JSON, ResultsFolder
from .accuracy_figures import confusion_matrix, reliability, training_curves
from .class_histogram import class_histogram, cumulative
from .comparison_figures import agreement_matrices, scatter_grid
from .drawing import _plain, missing
from .fsc_figure import fsc_curve
from .slices.folder_slices import _like, slices_from_folder
from .slices.slice_figure import three_axes
from .verdict_panel import probabilities, verdict_panel, verdict_title


def _draw_slices(kind: str) -> Callable[..., Figure | None]:
    def draw(
        results: ResultsFolder,
        axis: str = "z",
        index: int | None = None,
        pair: Sequence[str] | None = None,
        **_: Any,
    ) -> Figure | None:
        shown = slices_from_folder(results, kind, axis, index, pair)
        return shown.figure if shown else None

    return draw


def _draw_axes(results: ResultsFolder, **_: Any) -> Figure | None:
    resolution = results.resolution
    if resolution is None:
        return None
    density = _like(results.density, resolution)
    return three_axes(density, resolution.data, resolution.voxel_size, resolution.origin)


def _draw_verdict(results: ResultsFolder, **_: Any) -> Figure | None:
    entry = results.classification
    return None if entry is None else verdict_panel(entry, results.summary)


def _draw_probabilities(results: ResultsFolder, **_: Any) -> Figure | None:
    entry = results.classification
    return None if entry is None else probabilities(entry.get("probabilities") or {}, verdict_title(entry))


def _draw_histogram(results: ResultsFolder, narrow: bool = False, **_: Any) -> Figure | None:
    sources, voxels = histogram_sources(results)
    if not sources:
        return None
    return class_histogram(sources, voxels, curves=_cumulative_curves(results), narrow=narrow)


def _cumulative_curves(results: ResultsFolder) -> Dict[str, Tuple[np.ndarray, np.ndarray]]:
    """The cumulative curve of every source of the histogram whose volume is there, inside the mask."""
    own = results.resolution
    volumes = {} if own is None else {OURS: own}
    for name, volume in compared_volumes(results).items():
        if not _is_own(volume, results):
            volumes[name] = volume
    found = {}
    for name, volume in volumes.items():
        curve = cumulative(volume.data)
        if curve is not None:
            found[name] = curve
    return found


def _draw_curves(results: ResultsFolder, **_: Any) -> Figure | None:
    history = results.table(HISTORY_CSV)
    return None if history is None else training_curves(history)


def _draw_confusion(results: ResultsFolder, **_: Any) -> Figure | None:
    found = _confusion_of(results)
    if found is None:
        known = _metrics(results) is not None
        return (
            missing(f"The network's card holds no confusion matrix. {_EVALUATE}", _CONFUSION)
            if known
            else None
        )
    matrix: Any = found.get("matrix") or found.get("counts") if isinstance(found, dict) else found
    names = found.get("classes") or found.get("names") if isinstance(found, dict) else None
    default = resolution_terms.GLOBAL_CLASSES if len(matrix) == 3 else resolution_terms.LOCAL_CLASSES
    return confusion_matrix(matrix, names or default, _CONFUSION)


_CONFUSION = "Confusion matrix, held-out maps"
_EVALUATE = "'cryoresdl evaluate --data FILE.h5 --model MODEL --out DIR' measures it."


def _draw_reliability(results: ResultsFolder, **_: Any) -> Figure | None:
    title, found = _calibration_of(results)
    if found is None:
        text = f"The network's card holds no calibration table, so nothing can be said. {_EVALUATE}"
        return missing(text, "Calibration") if title else None
    return reliability_from(found, title)


def reliability_from(found: Any, title: str = "") -> Figure | None:
    """The figure of a ``calibration`` table of metrics or of a model card; ``None`` without bins."""
    bins = found.get("bins") if isinstance(found, dict) else found
    if isinstance(bins, list):
        bins = {key: [b.get(key) for b in bins] for key in ("confidence", "accuracy", "count")}
    elif isinstance(found, dict) and "confidence" in found:
        bins = found
    if not isinstance(bins, dict) or not bins.get("confidence"):
        return None
    counts = bins.get("count") or bins.get("counts")
    kept = [
        i
        for i, (c, a) in enumerate(zip(bins["confidence"], bins["accuracy"]))
        if is_number(c) and is_number(a)
    ]
    counted = [counts[i] for i in kept] if counts and is_number(counts[0]) else None
    error = found.get("ece") if isinstance(found, dict) else None
    return reliability(
        [bins["confidence"][i] for i in kept], [bins["accuracy"][i] for i in kept], counted, error, title
    )


_FSC_NAMES = {"masked": "half maps, inside the mask", "unmasked": "half maps, whole box"}


def _draw_agreement(results: ResultsFolder, **_: Any) -> Figure | None:
    tables = {}
    for measure, title in AGREEMENT.items():
        names, matrix = volumes_agreement(results.comparison or {}, measure)
        if names and np.isfinite(np.array(matrix)[~np.eye(len(names), dtype=bool)]).any():
            tables[title] = matrix
    if not tables:
        return None
    return agreement_matrices(names, tables, "Agreement of the methods, voxel by voxel")


def _draw_scatter(results: ResultsFolder, pair: Sequence[str] | None = None, **_: Any) -> Figure | None:
    volumes = {name: volume.data for name, volume in list(compared_volumes(results).items())}
    if pair is not None:
        chosen = _pair_of(results, pair)
        volumes = {name: volume.data for name, volume in chosen} if chosen else {}
    if len(volumes) < 2:
        return None
    left_out = list(volumes)[MOST_COMPARED:]
    shown = {name: volumes[name] for name in list(volumes)[:MOST_COMPARED]}
    title = f"The same voxel by two methods (without {', '.join(left_out)})" if left_out else ""
    figure = scatter_grid(shown, title=_plain(title, 90))
    return figure or missing("No two of the volumes have an estimated voxel in common.")


def _draw_fsc(results: ResultsFolder, **_: Any) -> Figure | None:
    found = results.json(SIMULATION_JSON)
    fsc = _find(found, "fsc", "global_fsc")
    if not isinstance(fsc, dict):
        return None
    frequency: Any = fsc.get("frequency") or fsc.get("frequency_per_A") or fsc.get("frequencies_per_A")
    curves = {
        _FSC_NAMES.get(str(k), str(k)): v
        for k, v in fsc.items()
        if isinstance(v, list) and v is not frequency and len(v) == len(frequency)
    }
    cutoffs = fsc.get("cutoffs_A") or {
        "0.143, expected": found.get("global_fsc0143_A"),
        "0.143, measured": found.get("measured_fsc0143_masked_A"),
    }
    return fsc_curve(frequency, curves, {k: v for k, v in cutoffs.items() if is_number(v) and v > 0})
