"""The report of a list of maps: counts first, a narrow table with a link to each map, claim against estimate."""

from __future__ import annotations

import csv
import os
from collections import Counter
from pathlib import Path
from typing import Dict, List
from urllib.parse import quote

from ...base.runs.atomic_files import shown_apart
from .. import result_files
from ..figures.colours import ANSWER_COLORS
from ..results_folder import ResultsFolder
from .charts.chart import Axis, Chart
from .charts.page_figures import DrawnFigure
from .report_page import ReportTable

MapRow = Dict[str, str]
VALIDATED = "done"
_TICKS_A = (1, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 40)


def read_rows(results: ResultsFolder) -> List[MapRow] | None:
    """The rows of ``results.csv``; ``None`` where there is none that can be read."""
    path = results.folder / result_files.RESULTS_CSV
    if not path.is_file():
        return None
    try:
        with open(path, newline="", encoding="utf-8", errors="replace") as stream:
            found = csv.DictReader(stream)
            return (
                [{k: v or "" for k, v in row.items() if isinstance(k, str)} for row in found]
                if found.fieldnames
                else None
            )
    except (OSError, csv.Error):
        return None


def counted(rows: List[MapRow]) -> str:
    """What came out, in one line: ``8 maps: 6 supported, 1 optimistic, 1 without a claim; 2 failed``."""
    done = [row for row in rows if row.get("status", VALIDATED) == VALIDATED]
    told = Counter(row.get("verdict") or "without a claim" for row in done)
    words = [f"{number} {name}" for name, number in told.most_common()]
    failed = len(rows) - len(done)
    maps = "1 map" if len(rows) == 1 else f"{len(rows)} maps"
    return f"{maps}: {', '.join(words) or 'none validated'}" + (f"; {failed} failed" if failed else "")


def map_names(rows: List[MapRow]) -> List[str]:
    """What the rows' maps are called: by their files, and one map that is there several times by its folder of results."""
    names = shown_apart([row.get("map", "") or "?" for row in rows])
    count = Counter(names)
    return [
        f"{name} ({row['folder']})" if count[name] > 1 and row.get("folder") else name
        for name, row in zip(names, rows)
    ]


def map_table(rows: List[MapRow], folder: Path) -> ReportTable:
    """Map, claim, estimate with its interval, verdict and flag; columns that are empty everywhere are left out."""
    columns = {
        "map": map_names(rows),
        "claim (Å)": [_number(row.get("claimed_A")) for row in rows],
        "estimate (Å)": [_number(row.get("resolution_A")) for row in rows],
        "68 % interval (Å)": [_span(row) for row in rows],
        "verdict": [row.get("verdict", "") for row in rows],
        "class": [row.get("class", "") for row in rows],
        "local median (Å)": [_number(row.get("local_median_A")) for row in rows],
        "flag": [_flag(row) for row in rows],
    }
    kept = {name: cells for name, cells in columns.items() if name == "map" or any(cells)}
    table = [list(cells) for cells in zip(*kept.values())]
    return ReportTable(
        f"The maps (all columns: {result_files.RESULTS_CSV})", list(kept), table, _links(rows, folder)
    )


def _links(rows: List[MapRow], folder: Path) -> List[str]:
    """Relative addresses of the maps' own pages, "" where there is none."""
    found = []
    for row in rows:
        name = row.get("folder", "")
        inside = bool(name) and not os.path.isabs(name) and ".." not in Path(name).parts
        page = folder / name / result_files.REPORT_HTML
        found.append(f"./{quote(name)}/{result_files.REPORT_HTML}" if inside and page.is_file() else "")
    return found


def _flag(row: MapRow) -> str:
    if row.get("status", VALIDATED) != VALIDATED:
        return f"failed: {row.get('error', '')[:160]}"
    if row.get("in_distribution", "").lower() == "false":
        return "unlike the training maps"
    return "warned" if row.get("warnings") else ""


def _float(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 < value < 1e4 else None


def _number(text: str | None) -> str:
    value = _float(text)
    return "" if value is None else f"{value:.2f}"


def _span(row: MapRow) -> str:
    ends = [_number(row.get(name)) for name in ("interval_low_A", "interval_high_A")]
    return " to ".join(ends) if all(ends) else ""


def claims_figure(rows: List[MapRow]) -> DrawnFigure | None:
    """Claim against estimate with its interval, for the maps that have both."""
    named = dict(zip(map(id, rows), map_names(rows)))
    known = [row for row in rows if _float(row.get("claimed_A")) and _float(row.get("resolution_A"))]
    if not known:
        return None
    values = [
        value for row in known for name in ("claimed_A", "resolution_A") if (value := _float(row.get(name)))
    ]
    low, high = max(1.0, 0.85 * min(values)), 1.18 * max(values)
    ticks = [(float(v), f"{v:g}") for v in _TICKS_A if low <= v <= high]
    x, y = Axis(low, high, "claim (Å)", ticks, log=True), Axis(low, high, "estimate (Å)", ticks, log=True)
    chart = Chart(x, y, "Claim against estimate", 320)
    chart.line((low, high), (low, high), "#888888", "equal", dashed=True)
    for row in known:
        claim, estimate = _float(row["claimed_A"]) or low, _float(row["resolution_A"]) or low
        ends = [_float(row.get(name)) for name in ("interval_low_A", "interval_high_A")]
        color = ANSWER_COLORS.get(row.get("verdict", ""), "#666666")
        if ends[0] and ends[1]:
            chart.line((claim, claim), (ends[0], ends[1]), color)
        chart.point(
            claim,
            estimate,
            color,
            f"{named[id(row)]}: claim {claim:.2f} Å, estimate {estimate:.2f} Å, {row.get('verdict', '')}",
        )
    for answer in dict.fromkeys(row.get("verdict", "") for row in known):
        chart.legend(ANSWER_COLORS.get(answer, "#666666"), answer or "no verdict")
    caption = "A point below the line looks better than its claim, one above it worse; the name shows under the pointer."
    return DrawnFigure("claims", "Claim against estimate", caption, chart.html())
