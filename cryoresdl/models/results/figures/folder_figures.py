"""How each figure is drawn from a results folder; ``None`` where its files are missing."""

from __future__ import annotations

from typing import Any, Callable, Sequence

import numpy as np
from matplotlib.figure import Figure

from ...base import resolution_terms
from ...base.resolution_terms import estimated
from .. import result_files
from ..compared_results import (
    AGREEMENT,
    MOST_COMPARED,
    _mask_of,
    _pair_of,
    compared_volumes,
    cumulative_curves,
    histogram_sources,
    is_number,
    volumes_agreement,
)
from ..fsc_files import FSC_JSON
from ..measured_model import _confusion_of, _find, _metrics, calibration_points
from ..results_folder import HISTORY_CSV, SIMULATION_JSON, ResultsFolder
from ..verdict_words import verdict_title
from .accuracy_figures import confusion_matrix, reliability, training_curves
from .class_histogram import class_histogram
from .colours import ColourRange
from .comparison_figures import agreement_matrices, audit_figure, scatter_grid
from .drawing import _plain, missing
from .fsc.direction_figures import direction_globe
from .fsc.fsc_figure import fsc_curve, half_map_figure
from .slices.folder_slices import _like
from .slices.slice_figure import slices_from_folder, three_axes
from .surface.surface_figure import surface_figure
from .verdict_panel import probabilities, verdict_panel


def _draw_slices(kind: str) -> Callable[..., Figure | None]:
    def draw(
        results: ResultsFolder,
        axis: str = "z",
        index: int | None = None,
        pair: Sequence[str] | None = None,
        span: ColourRange = None,
    ) -> Figure | None:
        shown = slices_from_folder(results, kind, axis, index, pair, span=span)
        return shown.figure if shown else None

    return draw


def _draw_axes(results: ResultsFolder, span: ColourRange = None, **_: Any) -> Figure | None:
    resolution = results.resolution
    if resolution is None:
        return None
    density = _like(results.density, resolution)
    return three_axes(
        density,
        resolution.data,
        resolution.voxel_size,
        resolution.origin,
        mask=_mask_of(results, resolution.shape),
        span=span,
    )


def _draw_surface(results: ResultsFolder, span: ColourRange = None, **_: Any) -> Figure | None:
    resolution, density = results.resolution, results.density
    if resolution is None or density is None or density.shape != resolution.shape:
        return None
    if not estimated(resolution.data[...]).any():
        return missing("No voxel of the map is estimated, so there is no surface to colour.")
    return surface_figure(density.data, resolution.data, resolution.voxel_size, span=span)


def _draw_verdict(results: ResultsFolder, **_: Any) -> Figure | None:
    entry = results.classification
    return None if entry is None else verdict_panel(entry, results.summary, results.comparison)


def _draw_probabilities(results: ResultsFolder, **_: Any) -> Figure | None:
    entry = results.classification
    return None if entry is None else probabilities(entry.get("probabilities") or {}, verdict_title(entry))


def _draw_histogram(results: ResultsFolder, span: ColourRange = None, **_: Any) -> Figure | None:
    sources, voxels = histogram_sources(results)
    if not sources:
        return None
    return class_histogram(sources, voxels, curves=cumulative_curves(results), span=span)


def _draw_directions(results: ResultsFolder, span: ColourRange = None, **_: Any) -> Figure | None:
    table, summary = results.table(result_files.DIRECTIONAL_CSV), results.json(result_files.DIRECTIONAL_JSON)
    if table is None or not isinstance(summary, dict):
        return None
    claim = (results.classification or {}).get("claim") or {}
    return direction_globe(table, summary, claim.get("claimed_A"), span=span)


def _draw_audit(results: ResultsFolder, **_: Any) -> Figure | None:
    told = results.json(result_files.AUDIT_JSON)
    return audit_figure(told["cases"], told.get("claimed_A")) if isinstance(told, dict) else None


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
    found = calibration_points(results)
    if found is None:
        text = f"The network's card holds no calibration table, so nothing can be said. {_EVALUATE}"
        return missing(text, "Calibration") if _metrics(results) is not None else None
    return reliability(found.confidence, found.accuracy, found.counts, found.error, found.title)


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
    measured = results.json(FSC_JSON) if results.has(FSC_JSON) else None
    if measured is not None:
        entry = results.classification or {}
        return half_map_figure(
            measured, (entry.get("claim") or {}).get("claimed_A"), entry.get("resolution_A")
        )
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
