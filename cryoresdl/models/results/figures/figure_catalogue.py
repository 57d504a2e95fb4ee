"""Every figure of CryoResDL: data in, :class:`matplotlib.figure.Figure` out; no window, no pyplot.

The command line, the report, the viewers and the protocols all draw through this module, so the same
resolution has the same colour everywhere: viridis on a logarithmic axis from 1.5 to 12 A (dark blue is fine,
yellow is coarse), which any colour vision, and a grey printer, puts in the same order. Volumes are (z, y, x).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence, Tuple

import numpy as np
from matplotlib.figure import Figure

from ...base import resolution_terms
from ...base.atomic_files import PathLike
from .. import result_files
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
from ..results_folder import (
    CARD_JSON,
    HISTORY_CSV,
    METRICS_JSON,
    SIMULATED_MAP,
    SIMULATION_JSON,
    TRAINED,
    TRUTH_VOLUME,
    ResultsFolder,
    Volume,
)
from .accuracy_figures import confusion_matrix, reliability, training_curves
from .class_histogram import class_histogram, cumulative
from .comparison_figures import agreement_matrices, fsc_curve, scatter_grid
from .drawing import _plain, missing, save_figure
from .slices import (
    Layer,
    SliceFigure,
    _difference_layers,
    _disagreement_layers,
    _interval_layer,
    _layers,
    three_axes,
)
from .verdict_panel import probabilities, verdict_panel, verdict_title

SLICE_KINDS = ("slices", "interval", "disagreement", "difference", "truth")
"""The kinds that can be moved through; see :func:`slices_from_folder`."""
STANDARD = ("verdict", "slices", "histogram")
"""The figures that ``validate`` leaves in ``figures/``."""


@dataclass(frozen=True)
class Kind:
    """One kind of figure: what it shows and how to draw it from a folder (``None``: files missing)."""

    help: str
    draw: Callable[..., Figure | None]
    needs: Tuple[str, ...]
    instead: Tuple[str, ...] = ()
    """Files of which each can stand for the last of ``needs``."""
    holds: Callable[[ResultsFolder], Any] | None = None
    """What the figure is drawn from, where a file may be there without it: metrics, or a model's card."""

    def ready(self, results: ResultsFolder) -> bool:
        """Whether the files are there."""
        *others, last = self.needs
        there = all(map(results.has, others)) and any(map(results.has, (last, *self.instead)))
        if not there or self.holds is None:
            return there
        try:
            return self.holds(results) is not None
        except Exception:  # a damaged card: the figure says so, and others can be drawn
            return True


def from_folder(
    kind: str,
    folder: Any,
    axis: str = "z",
    index: int | None = None,
    pair: Sequence[str] | None = None,
    narrow: bool = False,
) -> Figure:
    """Draw any figure from a results folder; what is missing is said in the figure, never raised.

    Args:
        kind: a key of ``KINDS``.
        folder: path of a results folder, or an open ``ResultsFolder``.
        axis: for slices, the axis to look along.
        index: for slices, the slice number.
        pair: for ``difference`` and ``scatter``, the names of two of the compared volumes.
        narrow: for ``histogram``, its panels below each other.

    Raises:
        KeyError: no such kind (a programming error; the command line offers a choice).
    """
    recipe = FIGURE_KINDS[kind]
    results = folder if isinstance(folder, ResultsFolder) else ResultsFolder(folder)
    title = recipe.help[0].upper() + recipe.help[1:]
    try:
        figure = recipe.draw(results, axis=axis, index=index, pair=pair, narrow=narrow)
    except Exception as error:  # files of another version may miss any key; a viewer must outlive that
        problem = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return missing(
            f"The {kind} figure cannot be drawn from {results.folder}: its files are damaged or of another "
            f"version ({problem}). Run the command again.",
            title,
        )
    if figure is None and pair is not None and (names := list(compared_volumes(results))):
        return missing(f"{' and '.join(pair)} are not both among the volumes: {', '.join(names)}.", title)
    return figure if figure is not None else missing(results.missing(*recipe.needs), title)


def slices_from_folder(
    folder: Any,
    kind: str = "slices",
    axis: str = "z",
    index: int | None = None,
    pair: Sequence[str] | None = None,
) -> SliceFigure | None:
    """A movable slice figure of a results folder, or ``None`` when its volumes are missing.

    Args:
        folder: path or ``ResultsFolder``.
        kind: one of ``SLICE_KINDS``.
        axis: the axis to look along.
        index: the slice number.
        pair: of a difference: the names of two of the compared volumes (the first two).
    """
    results = folder if isinstance(folder, ResultsFolder) else ResultsFolder(folder)
    layers, reference = _SLICES[kind](results, pair) if kind == "difference" else _SLICES[kind](results)
    if reference is None or len({layer.data.shape for layer in layers}) > 1:
        return None
    return SliceFigure(layers, reference.voxel_size, reference.origin, axis, index)


def drawable(folder: Any) -> List[str]:
    """The kinds whose files are all in the folder, in the order of ``KINDS``."""
    results = folder if isinstance(folder, ResultsFolder) else ResultsFolder(folder)
    return [name for name, kind in FIGURE_KINDS.items() if kind.ready(results)]


def write_standard(folder: PathLike) -> List[Path]:
    """Write the figures that ``validate`` leaves in ``figures/``: those whose files are there.

    Returns:
        The files written.
    """
    results = ResultsFolder(folder)
    target = results.folder / "figures"
    written = []
    for kind in STANDARD:
        if FIGURE_KINDS[kind].ready(results):
            target.mkdir(exist_ok=True)
            written.append(save_figure(from_folder(kind, results), target / f"{kind}.png"))
    return written


def _slice_layers(results: ResultsFolder) -> Tuple[List[Layer], Volume | None]:
    resolution = results.resolution
    if resolution is None:
        return [], None
    interval, density = results.interval, results.density
    return (
        _layers(_like(density, resolution), resolution.data, _like(interval, resolution)),
        resolution,
    )


def _interval_layers(results: ResultsFolder) -> Tuple[List[Layer], Volume | None]:
    resolution, interval = results.resolution, results.interval
    if resolution is None or interval is None:
        return [], None
    return [
        Layer("Local resolution", resolution.data, "resolution"),
        _interval_layer(interval.data),
    ], resolution


def _disagreement_slice_layers(results: ResultsFolder) -> Tuple[List[Layer], Volume | None]:
    spread = results.volume(result_files.DISAGREEMENT)
    if spread is None:
        return [], None
    volumes = {name: volume.data for name, volume in list(compared_volumes(results).items())[:MOST_COMPARED]}
    layers = _disagreement_layers(volumes, spread.data)
    density = _like(results.density, spread)
    return ([Layer("Map", density)] if density is not None else []) + layers, spread


def _difference_slice_layers(
    results: ResultsFolder, pair: Sequence[str] | None = None
) -> Tuple[List[Layer], Volume | None]:
    chosen = _pair_of(results, pair)
    if chosen is None:
        return [], None
    (first, a), (second, b) = chosen
    return _difference_layers((first, second), a.data, b.data), a


def _truth_layers(results: ResultsFolder) -> Tuple[List[Layer], Volume | None]:
    density, truth = results.volume(SIMULATED_MAP), results.volume(TRUTH_VOLUME)
    if density is None or truth is None:
        return [], None
    layers = [Layer("Simulated map", density.data), Layer("True local resolution", truth.data, "resolution")]
    return layers, density


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


_SLICES: Dict[str, Callable[..., Tuple[List[Layer], Volume | None]]] = {
    "slices": _slice_layers,
    "interval": _interval_layers,
    "disagreement": _disagreement_slice_layers,
    "difference": _difference_slice_layers,
    "truth": _truth_layers,
}

FIGURE_KINDS: Dict[str, Kind] = {
    "verdict": Kind("claim, class, estimate and reasons", _draw_verdict, (result_files.CLASSIFICATION_JSON,)),
    "probabilities": Kind(
        "probabilities of the three classes", _draw_probabilities, (result_files.CLASSIFICATION_JSON,)
    ),
    "slices": Kind(
        "map, local resolution and interval side by side",
        _draw_slices("slices"),
        (result_files.LOCAL_RESOLUTION,),
    ),
    "axes": Kind("slices along z, y and x", _draw_axes, (result_files.LOCAL_RESOLUTION,)),
    "interval": Kind(
        "local resolution and its 68 % interval",
        _draw_slices("interval"),
        (result_files.LOCAL_RESOLUTION, result_files.LOCAL_INTERVAL),
    ),
    "histogram": Kind(
        "voxels per class: ten, three, cumulative",
        _draw_histogram,
        (result_files.LOCAL_JSON,),
        (result_files.COMPARISON_JSON,),
    ),
    "disagreement": Kind(
        "where the methods disagree", _draw_slices("disagreement"), (result_files.DISAGREEMENT,)
    ),
    "difference": Kind(
        "two methods and their signed difference", _draw_slices("difference"), (result_files.COMPARISON_JSON,)
    ),
    "agreement": Kind("pairwise agreement of the methods", _draw_agreement, (result_files.COMPARISON_JSON,)),
    "scatter": Kind("every two methods, voxel by voxel", _draw_scatter, (result_files.COMPARISON_JSON,)),
    "reliability": Kind(
        "calibration of the probabilities",
        _draw_reliability,
        (METRICS_JSON,),
        (CARD_JSON, TRAINED, result_files.CLASSIFICATION_JSON),
        lambda results: _calibration_of(results)[1],
    ),
    "confusion": Kind(
        "true against predicted classes",
        _draw_confusion,
        (METRICS_JSON,),
        (CARD_JSON, TRAINED),
        _confusion_of,
    ),
    "curves": Kind("training history", _draw_curves, (HISTORY_CSV,)),
    "truth": Kind(
        "simulated map and its true local resolution", _draw_slices("truth"), (SIMULATED_MAP, TRUTH_VOLUME)
    ),
    "fsc": Kind("Fourier shell correlation of a simulation", _draw_fsc, (SIMULATION_JSON,)),
}


def _like(volume: Volume | None, reference: Volume) -> np.ndarray | None:
    """The data, if it is on the reference's grid: another map must not be mixed into the picture."""
    return volume.data if volume is not None and volume.shape == reference.shape else None
