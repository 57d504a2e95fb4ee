"""The report as a PDF."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any, List, Sequence, Tuple

from matplotlib.figure import Figure

from ...base.runs.atomic_files import atomic_path
from .. import result_files, verdict_words
from ..figures import figure_catalogue
from ..results_folder import ResultsFolder
from .report_page import ReportPage

_PDF_ROWS = 100
"""Rows of a table in the PDF: a thousand maps would be 90 pages and take longer than validating them."""


def write_pdf(path: Path, page: ReportPage, results: ResultsFolder) -> None:
    """Write the report as PDF: the verdict, the figures, then tables, methods and model cards."""
    from matplotlib.backends.backend_pdf import PdfPages

    with atomic_path(path) as temporary:
        with PdfPages(
            temporary, metadata={"Title": page.title, "Creator": f"CryoResDL {page.version}"}
        ) as pdf:
            for sheet in _text_pages(_pdf_lines(page, first=True) + _audit_lines(results)):
                pdf.savefig(sheet)
            for kind in _kinds(page, results):
                pdf.savefig(figure_catalogue.from_folder(kind, results))
            for sheet in _text_pages(_pdf_lines(page, first=False)):
                pdf.savefig(sheet)


def _audit_lines(results: ResultsFolder) -> List[Tuple[str, str]]:
    """What the verdict hangs on, where that was asked for; its figure is one of the pages."""
    told = (results.json(result_files.AUDIT_JSON) or {}).get("sentences") or []
    found = [("text", verdict_words.with_unit(str(sentence))) for sentence in told]
    return [("text", ""), ("head", "What the verdict hangs on"), *found] if found else []


def _kinds(page: ReportPage, results: ResultsFolder) -> List[str]:
    """The figures of the page, with the slices, which the page shows in its browser."""
    kinds = [figure.kind for figure in page.figures if figure.kind in figure_catalogue.FIGURE_KINDS]
    if "axes" in kinds and figure_catalogue.FIGURE_KINDS["slices"].ready(results):
        kinds.insert(kinds.index("axes"), "slices")
        kinds.insert(kinds.index("slices"), "surface")
    return kinds


def _pdf_lines(page: ReportPage, first: bool) -> List[Tuple[str, str]]:
    """(style, text) lines: the verdict before the figures; tables, methods and cards after them."""
    lines: List[Tuple[str, str]] = []
    if first:
        lines += [("title", page.title), ("head", page.headline)]
        lines += [("text", line) for line in page.verdict + [f"Note: {p}" for p in page.problems]]
        lines += [("text", ""), ("text", f"CryoResDL {page.version}, {page.created}")]
        return lines
    for table in page.tables:
        lines += [("head", table.title), ("code", "   ".join(table.columns))]
        shown_rows = table.rows[:_PDF_ROWS]
        lines += [("code", "   ".join([f"{row[0]:<34}", *row[1:]])) for row in shown_rows]
        if len(shown_rows) < len(table.rows):
            left = len(table.rows) - len(shown_rows)
            lines += [
                (
                    "text",
                    f"... and {left} more: see {result_files.REPORT_HTML} or {result_files.RESULTS_CSV}.",
                )
            ]
        lines += [("text", "")]
    lines += [("head", "Methods")] + [("text", line) for line in page.methods]
    lines += [("text", ""), ("head", "References")] + [("text", line) for line in page.citations]
    for card in page.models:
        lines += [("text", ""), ("head", f"Model, {card.role}: {card.name}")]
        lines += [("text", line) for line in card.words]
        lines += [("code", f"{key:<34} {value}") for key, value in card.facts]
    return lines


def _text_pages(lines: Sequence[Tuple[str, str]], per_page: int = 58) -> List[Any]:
    """A4 pages of wrapped text."""
    styles = {
        "title": (15, 70, "bold"),
        "head": (11.5, 84, "bold"),
        "text": (9.5, 104, "normal"),
        "code": (7.5, 112, "normal"),
    }
    pieces = []
    for style, text in lines:
        for piece in textwrap.wrap(_visible(text), styles[style][1], subsequent_indent="  ") or [""]:
            pieces.append((style, piece))
    pages = []
    for start in range(0, len(pieces), per_page):
        figure = Figure(figsize=(8.27, 11.69), facecolor="white")
        for number, (style, piece) in enumerate(pieces[start : start + per_page]):
            size, _, weight = styles[style]
            family = "monospace" if style == "code" else "sans-serif"
            figure.text(
                0.08,
                0.95 - number * 0.0155,
                piece,
                fontsize=size,
                weight=weight,
                family=family,
                va="top",
                parse_math=False,
            )
        pages.append(figure)
    return pages


def _visible(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in str(text))
