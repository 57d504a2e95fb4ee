"""The report of a results folder: one HTML file that needs no network, the same as JSON and, when asked for, as PDF.

:func:`content` collects everything once; the files are renderings of it. All text is escaped by the template, the
scripts are pinned by their hashes in the page's content-security policy, and volumes travel as 8-bit images, so the
page can be sent to a reviewer, opened from disk and kept with the paper.
"""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any, Callable, List, Mapping, TypeVar

from ...base.errors import InputError
from ...base.runs.atomic_files import PathLike, remove_result, shown, write_json, write_text
from .. import result_files, verdict_words
from ..figures.colours import own_range_of
from ..results_folder import ResultsFolder
from . import map_list
from .charts.page_figures import draw_figures
from .charts.slice_browser import browser
from .charts.surface_view import surface
from .html_page import render
from .methods_text import methods
from .mixed_results import _expected_problems, _mixed
from .report_page import MethodsText, ReportPage, ReportTable
from .report_tables import (
    _cards,
    _class_table,
    _comparison_table,
    _direction_table,
    _run_table,
    _verdict_table,
)

MIXED = "These results are not of one map or run"
Section = TypeVar("Section")


def write_report(folder: PathLike, pdf: bool = False) -> Path:
    """Write ``report.html`` and ``report.json`` into a results folder, replacing them.

    Args:
        folder: what ``validate`` or another command wrote. With ``results.csv`` of many maps, the
            report is a table of them.
        pdf: also write ``report.pdf``, which takes as long again; without it an older one is removed.

    Returns:
        Path of the HTML file.

    Raises:
        InputError: the folder is missing, holds no results, or cannot be written to.
    """
    results = ResultsFolder(folder)
    if not results.folder.is_dir():
        raise InputError(f"There is no results folder {shown(folder)}; give the --out of validate.")
    page = content(results)
    shown_surface = _guarded("the surface", lambda: surface(results), None, page.problems)
    html = render(page, browser(results), shown_surface, own_range_of(results))
    target = results.folder / result_files.REPORT_HTML
    write_text(target, html)
    write_json(results.folder / result_files.REPORT_JSON, page.plain())
    if pdf:
        from .pdf_pages import write_pdf  # matplotlib's figures: half a second

        write_pdf(results.folder / result_files.REPORT_PDF, page, results)
    else:
        remove_result(results.folder / result_files.REPORT_PDF)
    return target


def content(results: ResultsFolder) -> ReportPage:
    """Everything that the report says.

    Raises:
        InputError: nothing in the folder is a result.
    """
    batch = map_list.read_rows(results)
    problems: List[str] = []
    figures = draw_figures(results, problems)
    entry, summary = results.classification or {}, results.summary or {}
    if not figures and batch is None and not problems and not entry and not summary:
        raise InputError(
            f"{shown(results.folder)} holds no results of CryoResDL; give the --out of validate."
        )
    page = _page_of(results, entry, summary, problems)
    page.figures = figures
    if batch is not None:
        page.title, page.headline = f"{len(batch)} maps", map_list.counted(batch)
        page.tables.insert(0, map_list.map_table(batch, results.folder))
        claims = map_list.claims_figure(batch)
        page.figures = ([claims] if claims else []) + page.figures
    none: List[str] = []
    mixed = _guarded("the origin of the results", lambda: _mixed(results, entry, summary), none, problems)
    if mixed:
        # A headline about one map over the pictures of another would mislead: this comes first.
        page.headline, page.tone, page.verdict = MIXED, "unsure", []
    page.problems = mixed + problems
    page.problems += list(dict.fromkeys(_expected_problems(results, batch is not None)))
    return page


def _page_of(
    results: ResultsFolder, entry: Mapping[str, Any], summary: Mapping[str, Any], problems: List[str]
) -> ReportPage:
    """The page about one map, without its figures."""
    from .... import __version__

    nothing = MethodsText([], [])

    def tables() -> List[ReportTable]:
        made = (
            ("the table of classes", lambda: _class_table(results)),
            ("the table of the verdict", lambda: _verdict_table(entry)),
            ("the directions", lambda: _direction_table(results.json(result_files.DIRECTIONAL_JSON) or {})),
            ("the comparison", lambda: _comparison_table(results.comparison or {})),
            (
                "the facts of the run",
                lambda: _run_table(entry, summary, results.json(result_files.EMDB_JSON) or {}),
            ),
        )
        found = [_guarded(name, make, None, problems) for name, make in made]
        return [table for table in found if table is not None and table.rows]

    def verdict() -> List[str]:
        lines = verdict_words.verdict_lines(entry, summary, results.comparison) if entry else []
        turning = verdict_words.with_unit((results.json(result_files.AUDIT_JSON) or {}).get("turning", ""))
        # An audit that was run by itself into this folder: the verdict was written before it.
        return [*lines, turning] if turning and not any(turning in line for line in lines) else lines

    def headline() -> str:
        return verdict_words.verdict_title(entry) if entry else "Results"

    told = _guarded("the methods", lambda: methods(entry, summary, results.comparison), nothing, problems)
    return ReportPage(
        title="Resolution of " + Path(str(entry.get("map") or summary.get("map") or results.folder)).name,
        headline=_guarded("the headline", headline, "Results", problems),
        tone=_tone(entry),
        verdict=_guarded("the verdict", verdict, [], problems),
        tables=tables(),
        methods=told.text,
        citations=told.citations,
        models=_guarded("the model cards", lambda: _cards(entry, summary, results), [], problems),
        warnings=[
            verdict_words.with_unit(w)
            for w in _strings(summary.get("warnings"))
            if w not in _strings(entry.get("warnings"))
        ],
        version=__version__,
        created=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        results={"classification": dict(entry) or None, "local_resolution": dict(summary) or None},
    )


def _guarded(name: str, make: Callable[[], Section], otherwise: Section, problems: List[str]) -> Section:
    """A section, or a note in its place: results of another version must not cost the rest of the report."""
    try:
        return make()
    except Exception as error:  # whatever a key of another version leads to
        problems.append(
            f"There is no place for {name}: its files are of another version ({type(error).__name__})."
        )
        return otherwise


def _tone(entry: Mapping[str, Any]) -> str:
    """``good``, ``bad`` or ``unsure``, for the banner's colour (its words say the same)."""
    claim = entry.get("claim")
    answer = claim.get("verdict") if isinstance(claim, dict) else None
    if entry.get("in_distribution") is False:
        return "unsure"
    return {"supported": "good", "optimistic": "bad", "pessimistic": "unsure"}.get(str(answer), "unsure")


def _strings(value: Any) -> List[str]:
    return [str(item) for item in value] if isinstance(value, list) else []
