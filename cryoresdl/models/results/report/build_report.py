"""The report of a results folder: one HTML file that needs no network, and the same as JSON and PDF.

:func:`content` collects everything once, as plain JSON; the three files are renderings of it. All text is
escaped by the template, the script is pinned by its hash in the page's content-security policy, and volumes
travel as 8-bit images, so the page can be sent to a reviewer, opened from disk and kept with the paper.
"""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Tuple

from matplotlib.figure import Figure

from ...base.atomic_files import PathLike, atomic_path, shown, write_json
from ...base.errors import InputError
from .. import compared_results, result_files
from ..figures import figure_catalogue, verdict_panel
from ..results_folder import ResultsFolder
from .html_page import _png, render
from .methods_text import _methods
from .mixed_results import _expected_problems, _mixed
from .pdf_pages import REPORT_PDF, _write_pdf
from .report_tables import _batch_table, _cards, _class_table, _comparison_table, _run_table, _verdict_table
from .slice_browser import browser

MIXED = "These results are not of one map or run"
REPORT_FIGURES = (
    (
        "verdict",
        "Claim, estimate and class",
        "Dot: estimate; thick bar: its 68 % interval; thin line: the interval that judges a claim.",
    ),
    (
        "slices",
        "The fullest slice",
        "Grey: not estimated. A resolution has the same colour in every figure.",
    ),
    ("axes", "Along the three axes", "The fullest slice along each axis."),
    ("histogram", "How the voxels are resolved", "Share of the estimated voxels per class, and cumulated."),
    ("disagreement", "Where the methods disagree", "The same slice of each, and how far they are apart."),
    ("difference", "Difference of the methods", "The second minus the first, with its sign."),
    (
        "agreement",
        "Agreement of the methods",
        "Kappa and rank correlation: 1 is complete agreement, 0 is chance; mean absolute difference: 0 is the best.",
    ),
    ("scatter", "Voxel by voxel", "Every two methods; dashed: equal values."),
    (
        "reliability",
        "Calibration",
        "How often the network is right against how sure it says it is, with what so few maps leave open.",
    ),
    ("confusion", "Confusion matrix", "True against predicted classes."),
    ("curves", "Training", "Loss and metrics per epoch."),
    ("truth", "Map and truth", "A simulated map beside its true local resolution."),
    ("fsc", "Fourier shell correlation", "Of the two simulated half maps."),
)


def write_report(folder: PathLike) -> Path:
    """Write ``report.html``, ``report.json`` and ``report.pdf`` into a results folder, replacing them.

    Args:
        folder: what ``validate`` or another command wrote. With ``results.csv`` of many maps, the
            report is a table of them.

    Returns:
        Path of the HTML file.

    Raises:
        InputError: the folder is missing, holds no results, or cannot be written to.
    """
    results = ResultsFolder(folder)
    if not results.folder.is_dir():
        raise InputError(f"There is no results folder {shown(folder)}; give the --out of validate.")
    page = content(results)
    figures = {entry["kind"]: _figure(entry["kind"], results) for entry in page["figures"]}
    html = render(page, figures, browser(results), _narrow(figures, results))
    target = results.folder / result_files.REPORT_HTML
    with atomic_path(target) as temporary:
        temporary.write_text(html, encoding="utf-8")
    write_json(results.folder / result_files.REPORT_JSON, page)
    _write_pdf(results.folder / REPORT_PDF, page, figures)
    return target


def _figure(kind: str, results: ResultsFolder) -> Figure:
    """A figure of the page, which says the verdict itself."""
    if kind == "verdict" and results.classification:
        try:
            return verdict_panel.verdict_panel(results.classification, results.summary, in_words=False)
        except Exception:  # results of another version: from_folder says so in the figure
            return figure_catalogue.from_folder(kind, results)
    return figure_catalogue.from_folder(kind, results)


NARROW_INCHES = {"verdict": (4.0, 3.3), "reliability": (4.0, 4.6), "fsc": (4.0, 3.6), "histogram": (4.0, 8.2)}
"""Sizes of the figures that a telephone shows whole; the others scroll sideways there."""


def _narrow(figures: Mapping[str, Figure], results: ResultsFolder) -> Dict[str, str]:
    """The figures for narrow screens, drawn at the size at which they are seen, so that their text stays readable."""
    images = {}
    for kind in NARROW_INCHES:
        if kind not in figures or not figures[kind].axes:
            continue
        figure = (
            figure_catalogue.from_folder(kind, results, narrow=True)
            if kind == "histogram"
            else _figure(kind, results)
        )
        figure.set_size_inches(*NARROW_INCHES[kind])
        images[kind] = _png(figure)
    return images


def content(results: ResultsFolder) -> Dict[str, Any]:
    """Everything that the report says, as plain JSON without pictures.

    Raises:
        InputError: nothing in the folder is a result.
    """
    kinds = figure_catalogue.drawable(results)
    batch = _batch_table(results)
    if not kinds and batch is None:
        raise InputError(
            f"{shown(results.folder)} holds no results of CryoResDL; give the --out of validate."
        )
    entry, summary = results.classification or {}, results.summary or {}
    sections: List[Tuple[str, Callable[[], Any]]] = [
        ("the verdict", lambda: verdict_panel.verdict_lines(entry, summary) if entry else []),
        ("the table of classes", lambda: _class_table(results)),
        ("the table of the verdict", lambda: _verdict_table(entry)),
        ("the comparison", lambda: _comparison_table(results.comparison or {})),
        ("the facts of the run", lambda: _run_table(entry, summary)),
        ("the model cards", lambda: _cards(entry, summary, results)),
        ("the methods", lambda: _methods(entry, summary, results.comparison)),
    ]
    problems: List[str] = []
    found = {name: _guarded(name, make, problems) for name, make in sections}
    tables = [table for name, _ in sections[1:5] for table in [found[name]] if table and table["rows"]]
    from .... import __version__

    page = {
        "title": "Resolution of "
        + (Path(str(entry.get("map") or summary.get("map") or results.folder)).name),
        "headline": _guarded("the headline", lambda: verdict_panel.verdict_title(entry), problems)
        if entry
        else "Results",
        "tone": _tone(entry),
        "verdict": found["the verdict"] or [],
        "tables": ([batch] if batch else []) + tables,
        "figures": [
            {"kind": kind, "title": title, "caption": caption}
            for kind, title, caption in REPORT_FIGURES
            if kind in kinds
            and (kind != "difference" or len(compared_results.compared_volumes(results)) == 2)
        ],
        "methods": (found["the methods"] or {}).get("text", []),
        "citations": (found["the methods"] or {}).get("citations", []),
        "models": found["the model cards"] or [],
        "warnings": [
            verdict_panel.with_unit(w)
            for w in _strings(summary.get("warnings"))
            if w not in _strings(entry.get("warnings"))
        ],
        "version": __version__,
        "created": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "results": {"classification": entry or None, "local_resolution": summary or None},
    }
    mixed = _guarded("the origin of the results", lambda: _mixed(results, entry, summary), problems)
    if mixed:
        # A headline about one map over the pictures of another would mislead: this comes first.
        page.update(headline=MIXED, tone="unsure", verdict=[])
    page["problems"] = (mixed or []) + problems
    page["problems"] += list(dict.fromkeys(_expected_problems(results, batch is not None)))
    return page


def _guarded(name: str, make: Callable[[], Any], problems: List[str]) -> Any:
    """A section, or a note in its place: results of another version must not cost the rest of the report."""
    try:
        return make()
    except Exception as error:  # whatever a key of another version leads to
        problems.append(
            f"There is no place for {name}: its files are of another version ({type(error).__name__})."
        )
        return None


def _tone(entry: Mapping[str, Any]) -> str:
    """``good``, ``bad`` or ``unsure``, for the banner's colour (its words say the same)."""
    claim = entry.get("claim")
    answer = claim.get("verdict") if isinstance(claim, dict) else None
    if entry.get("in_distribution") is False:
        return "unsure"
    return {"supported": "good", "optimistic": "bad", "pessimistic": "unsure"}.get(str(answer), "unsure")


def _strings(value: Any) -> List[str]:
    return [str(item) for item in value] if isinstance(value, list) else []
