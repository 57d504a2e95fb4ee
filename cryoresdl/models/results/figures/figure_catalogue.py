"""Every figure of CryoResDL: data in, :class:`matplotlib.figure.Figure` out; no window, no pyplot.

The command line, the report, the viewers and the protocols all draw through this module, so the same
resolution has the same colour everywhere: viridis on a logarithmic axis from 1.5 to 12 A (dark blue is fine,
yellow is coarse), which any colour vision, and a grey printer, puts in the same order. Volumes are (z, y, x).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Sequence, Tuple

from matplotlib.figure import Figure

from .. import result_files
from ..compared_results import compared_volumes
from ..fsc_files import FSC_JSON
from ..measured_model import _calibration_of, _confusion_of
from ..results_folder import (
    CARD_JSON,
    HISTORY_CSV,
    METRICS_JSON,
    SIMULATED_MAP,
    SIMULATION_JSON,
    TRAINED,
    TRUTH_VOLUME,
    ResultsFolder,
)
from .colours import ColourRange
from .drawing import missing
from .folder_figures import (
    _draw_agreement,
    _draw_audit,
    _draw_axes,
    _draw_confusion,
    _draw_curves,
    _draw_directions,
    _draw_fsc,
    _draw_histogram,
    _draw_probabilities,
    _draw_reliability,
    _draw_scatter,
    _draw_slices,
    _draw_surface,
    _draw_verdict,
)


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
    *,
    span: ColourRange = None,
) -> Figure:
    """Draw any figure from a results folder; what is missing is said in the figure, never raised.

    Args:
        kind: a key of ``KINDS``.
        folder: path of a results folder, or an open ``ResultsFolder``.
        axis: for slices, the axis to look along.
        index: for slices, the slice number.
        pair: for ``difference`` and ``scatter``, the names of two of the compared volumes.
        span: for `COLOURED`, the range of the colours of resolutions.

    Raises:
        KeyError: no such kind (a programming error; the command line offers a choice).
    """
    recipe = FIGURE_KINDS[kind]
    results = folder if isinstance(folder, ResultsFolder) else ResultsFolder(folder)
    title = recipe.help[0].upper() + recipe.help[1:]
    try:
        figure = recipe.draw(results, axis=axis, index=index, pair=pair, span=span)
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


def drawable(folder: Any) -> List[str]:
    """The kinds whose files are all in the folder, in the order of ``KINDS``."""
    results = folder if isinstance(folder, ResultsFolder) else ResultsFolder(folder)
    return [name for name, kind in FIGURE_KINDS.items() if kind.ready(results)]


COLOURED = (
    "surface",
    "slices",
    "axes",
    "interval",
    "histogram",
    "disagreement",
    "difference",
    "truth",
    "direction",
)
"""The kinds in which colours are resolutions."""

FIGURE_KINDS: Dict[str, Kind] = {
    "verdict": Kind("claim, class, estimate and reasons", _draw_verdict, (result_files.CLASSIFICATION_JSON,)),
    "probabilities": Kind(
        "probabilities of the three classes", _draw_probabilities, (result_files.CLASSIFICATION_JSON,)
    ),
    "surface": Kind(
        "the map's surface in the colours of its local resolution, three views",
        _draw_surface,
        (result_files.LOCAL_RESOLUTION,),
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
    "audit": Kind("what the answer hangs on", _draw_audit, (result_files.AUDIT_JSON,)),
    "curves": Kind("training history", _draw_curves, (HISTORY_CSV,)),
    "truth": Kind(
        "simulated map and its true local resolution", _draw_slices("truth"), (SIMULATED_MAP, TRUTH_VOLUME)
    ),
    "fsc": Kind("Fourier shell correlation of half maps", _draw_fsc, (SIMULATION_JSON,), (FSC_JSON,)),
    "direction": Kind(
        "resolution by direction on a globe",
        _draw_directions,
        (result_files.DIRECTIONAL_CSV, result_files.DIRECTIONAL_JSON),
    ),
}
