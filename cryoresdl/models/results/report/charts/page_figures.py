"""Which figures the report's page holds, and how each is drawn: as HTML where that fits every screen."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Callable, List, Tuple

from markupsafe import Markup

from ... import result_files
from ...compared_results import compared_volumes
from ...figures.colours import own_range_of
from ...figures.slices.folder_slices import layers_from_folder
from ...fsc_files import FSC_JSON
from ...measured_model import _confusion_of
from ...results_folder import HISTORY_CSV, SIMULATED_MAP, SIMULATION_JSON, TRUTH_VOLUME, ResultsFolder
from .audit_chart import audit_chart
from .result_charts import (
    agreement_tables,
    calibration_chart,
    class_charts,
    direction_chart,
    fsc_chart,
    scatter_charts,
    verdict_chart,
)
from .slice_pictures import data_url, layers_pictures, three_axes_pictures


@dataclass(frozen=True)
class DrawnFigure:
    """One figure of the page: the name of its kind, heading, caption and HTML."""

    kind: str
    title: str
    caption: str
    html: Markup


def _verdict(results: ResultsFolder) -> Markup | None:
    entry = results.classification
    return None if entry is None else verdict_chart(entry, results.summary or {})


def _axes(results: ResultsFolder) -> Markup | None:
    layers, reference = layers_from_folder(results)
    return (
        three_axes_pictures(
            [one for one in layers if one.kind != "interval"], reference, own_range_of(results)
        )
        if reference
        else None
    )


def _slices(kind: str) -> Callable[[ResultsFolder], Markup | None]:
    def draw(results: ResultsFolder) -> Markup | None:
        if kind == "difference" and len(compared_volumes(results)) != 2:
            return None  # of several, which two is a question that the viewer asks
        layers, reference = layers_from_folder(results, kind)
        return layers_pictures(layers, reference, own_range_of(results)) if reference is not None else None

    return draw


def _picture(kind: str) -> Callable[[ResultsFolder], Markup | None]:
    """A figure that only matplotlib draws: one picture that shrinks with the page."""

    def draw(results: ResultsFolder) -> Markup | None:
        from ...figures import figure_catalogue  # half a second

        stream = io.BytesIO()
        figure_catalogue.from_folder(kind, results).savefig(
            stream, format="png", dpi=110, metadata={"Software": None}
        )
        return Markup('<img src="{}" alt="{}">').format(data_url(stream.getvalue()), kind)

    return draw


def _audit(results: ResultsFolder) -> Markup | None:
    """The estimate in every case of the audit, and the sentences about it."""
    return audit_chart(results.json(result_files.AUDIT_JSON) or {})


def _direction(results: ResultsFolder) -> Markup | None:
    """The globe where directions differ; where they do not it has one colour, and the curve of their shares says it."""
    told = results.json(result_files.DIRECTIONAL_JSON) or {}
    return (
        _picture("direction")(results) if told.get("anisotropic") is not False else direction_chart(results)
    )


def _fsc(results: ResultsFolder) -> Markup | None:
    if results.has(FSC_JSON):
        return fsc_chart(results)
    return _picture("fsc")(results) if results.has(SIMULATION_JSON) else None


def _confusion(results: ResultsFolder) -> Markup | None:
    return _picture("confusion")(results) if _confusion_of(results) else None


PAGE_FIGURES: Tuple[Tuple[str, str, str, Tuple[str, ...], Callable[[ResultsFolder], Markup | None]], ...] = (
    (
        "verdict",
        "Claim, estimate and class",
        "Dot: estimate; thick bar: its 68 % interval; thin line: the interval that judges a claim.",
        (result_files.CLASSIFICATION_JSON,),
        _verdict,
    ),
    (
        "axes",
        "Along the three axes",
        "The fullest slice along each axis. Grey: not estimated. A resolution has the same colour in every figure.",
        (result_files.LOCAL_RESOLUTION,),
        _axes,
    ),
    (
        "histogram",
        "How the voxels are resolved",
        "Share of the estimated voxels per class, and cumulated.",
        (),
        class_charts,
    ),
    (
        "fsc",
        "Fourier shell correlation of the half maps",
        "Where a curve falls to 0.143 is its resolution. The corrected one is without what the mask adds (Chen et al., "
        "2013); the last one is also without the solvent in the mask.",
        (),
        _fsc,
    ),
    (
        "direction",
        "Resolution by direction",
        "The half sphere of directions seen along z, and the share of the directions that reach a resolution.",
        (result_files.DIRECTIONAL_CSV, result_files.DIRECTIONAL_JSON),
        _direction,
    ),
    (
        "audit",
        "What the answer hangs on",
        "The estimate as the map was given, and when mask, sharpening, filter, sampling or voxel size change; with half "
        "maps, mask and voxel size.",
        (result_files.AUDIT_JSON,),
        _audit,
    ),
    (
        "disagreement",
        "Where the methods disagree",
        "The same slice of each, and how far they are apart.",
        (result_files.DISAGREEMENT,),
        _slices("disagreement"),
    ),
    (
        "difference",
        "Difference of the methods",
        "The second minus the first, with its sign.",
        (result_files.COMPARISON_JSON,),
        _slices("difference"),
    ),
    (
        "agreement",
        "Agreement of the methods",
        "Kappa and rank correlation: 1 is complete agreement, 0 is chance; mean absolute difference: 0 is the best.",
        (result_files.COMPARISON_JSON,),
        agreement_tables,
    ),
    (
        "scatter",
        "Voxel by voxel",
        "Every two methods; dashed: equal values.",
        (result_files.COMPARISON_JSON,),
        scatter_charts,
    ),
    (
        "reliability",
        "Calibration",
        "How often the network is right against how sure it says it is, with what so few maps leave open.",
        (),
        calibration_chart,
    ),
    ("confusion", "Confusion matrix", "True against predicted classes.", (), _confusion),
    ("curves", "Training", "Loss and metrics per epoch.", (HISTORY_CSV,), _picture("curves")),
    (
        "truth",
        "Map and truth",
        "A simulated map beside its true local resolution.",
        (SIMULATED_MAP, TRUTH_VOLUME),
        _slices("truth"),
    ),
)
"""Kind, heading, caption, files that it needs, and how it is drawn (``None``: there is nothing to draw)."""


def draw_figures(results: ResultsFolder, problems: List[str]) -> List[DrawnFigure]:
    """Every figure of the page whose files are there.

    Args:
        results: the folder.
        problems: gets a sentence for each figure that files of another version do not let be drawn.
    """
    drawn = []
    for kind, title, caption, needs, draw in PAGE_FIGURES:
        if not all(map(results.has, needs)):
            continue
        try:
            html = draw(results)
        except (
            Exception
        ) as error:  # files of another version may miss any key: the rest of the page outlives that
            problems.append(
                f"The figure '{title}' cannot be drawn: its files are damaged or of another version "
                f"({type(error).__name__})."
            )
            continue
        if html is not None:
            drawn.append(DrawnFigure(kind, title, caption, html))
    return drawn
