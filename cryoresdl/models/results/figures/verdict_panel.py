"""The verdict on a map as a panel: estimate, interval, probabilities, claim."""

from __future__ import annotations

import math
import textwrap
from typing import Any, Mapping

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from ...base import resolution_terms
from ..compared_results import is_number
from ..verdict_words import interval_of, verdict_lines, verdict_title
from .colours import _TEXT, global_colors
from .drawing import _figure, _finish


def verdict_panel(
    entry: Mapping[str, Any],
    summary: Mapping[str, Any] | None = None,
    comparison: Mapping[str, Any] | None = None,
) -> Figure:
    """Claim, class with probabilities, estimate with interval, reasons, in one look.

    Args:
        entry: one entry of ``classification.json``.
        summary: ``local_resolution.json``, for the spread inside the map.
        comparison: ``comparison.json``, for every compared method's median, coverage and agreement.
    """
    wrapped = []
    for line in verdict_lines(entry, summary, comparison):
        wrapped += textwrap.wrap(line, 104, subsequent_indent="    ") or [""]
    text_height = 0.45 + 0.2 * len(wrapped)
    figure = _figure(9.2, 3.4 + text_height)
    parts: Any = figure.subfigures(2, 1, height_ratios=(text_height, 3.4))
    words = parts[0].subplots()
    words.axis("off")
    words.text(
        0, 1, "\n".join(wrapped), va="top", fontsize=10, color=_TEXT, linespacing=1.35, parse_math=False
    )
    _verdict_axes(parts[1], entry, summary)
    title = verdict_title(entry)
    parts[0].suptitle(title, fontsize=13, fontweight="bold", x=0.01, ha="left", parse_math=False)
    return figure


def _verdict_axes(figure: Any, entry: Mapping[str, Any], summary: Mapping[str, Any] | None) -> None:
    """The resolution scale and the probabilities, in a figure or a part of one."""
    scale, chances = figure.subplots(2, 1, gridspec_kw={"height_ratios": (3.2, 0.6)})
    _scale(scale, entry, summary)
    _probability_bar(chances, entry.get("probabilities") or {})


def probabilities(values: Mapping[str, float], title: str = "") -> Figure:
    """The three class probabilities as one bar."""
    figure = _figure(7.5, 1.7)
    ax: Any = figure.subplots()
    _probability_bar(ax, values)
    return _finish(figure, (ax,), title)


def _scale(ax: Any, entry: Mapping[str, Any], summary: Mapping[str, Any] | None) -> None:
    """Claim, estimate and spread on one resolution axis with the three classes behind them."""
    low, high = 1.5, 25.0
    for left, right, name in zip((low, 5.0, 10.0), (5.0, 10.0, high), resolution_terms.GLOBAL_CLASSES):
        ax.axvspan(left, right, color=global_colors()[name], alpha=0.16, linewidth=0)
        ax.text(math.sqrt(left * right), 3.42, name, ha="center", va="center", fontsize=9, color="#555555")
    rows = []
    if summary and is_number(summary.get("median_A")):
        quarter = summary.get("quartiles_A") or [None, None]
        rows.append(
            ("local resolution\n(median, quartiles)", summary["median_A"], quarter[0], quarter[1], "#009E73")
        )
    if is_number(entry.get("resolution_A")):
        rows.append(("estimate\n(68 % interval)", entry["resolution_A"], *interval_of(entry), "#0072B2"))
        wide = (entry.get("claim") or {}).get("decision_interval_A") or ()
        if len(wide) == 2 and all(is_number(v) for v in wide):
            # A claim inside this thin line is "supported"; see resolution.verdict.
            ax.plot(wide, [0.7 + 1.3 * (len(rows) - 1)] * 2, color="#0072B2", linewidth=1.2)
    ticks = []
    for number, (label, value, left, right, color) in enumerate(rows):
        y = 0.7 + 1.3 * number
        ticks.append((y, label))
        if is_number(left) and is_number(right):
            ax.plot([left, right], [y, y], color=color, linewidth=7, alpha=0.45, solid_capstyle="butt")
        ax.plot([value], [y], "o", color=color, markersize=8)
        ax.annotate(
            f"{value:.1f} Å",
            (value, y),
            (0, 9),
            textcoords="offset points",
            ha="center",
            fontsize=9,
            zorder=5,
            bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8},
        )
    claim: Any = (entry.get("claim") or {}).get("claimed_A")
    if is_number(claim):
        ax.axvline(claim, color="#D55E00", linewidth=2, linestyle="--")
        left_side = math.sqrt(low * high) < claim
        ax.annotate(
            f"claim {claim:g} Å",
            (claim, 0.02),
            (-4 if left_side else 4, 5),
            ha="right" if left_side else "left",
            textcoords="offset points",
            fontsize=9,
            color="#B04A00",
        )
    ax.set_xscale("log")
    ax.set_xlim(low, high)
    ax.set_ylim(0, 3.8)
    ax.xaxis.set_major_locator(FixedLocator([2, 3, 4, 5, 6, 8, 10, 15, 20]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.set_yticks([y for y, _ in ticks], [label for _, label in ticks])
    ax.set_xlabel("resolution (Å)", fontsize=9)
    ax.tick_params(labelsize=9)


def _probability_bar(ax: Any, values: Mapping[str, Any]) -> None:
    left = 0.0
    ink = {"high": "white", "medium": "black", "low": "black"}
    for name in resolution_terms.GLOBAL_CLASSES:
        value: Any = values.get(name)
        value = float(value) if is_number(value) else 0.0
        ax.barh(
            [0],
            [100 * value],
            left=left,
            color=global_colors()[name],
            height=0.7,
            label=f"{name} {100 * value:.0f} %",
        )
        if value >= 0.17:
            ax.text(
                left + 50 * value,
                0,
                f"{name} {100 * value:.0f} %",
                ha="center",
                va="center",
                fontsize=9,
                color=ink[name],
            )
        left += 100 * value
    ax.set_xlim(0, 100)
    ax.set_yticks([])
    ax.set_xlabel("probability of the global class (%)", fontsize=9)
    ax.tick_params(labelsize=9)
    ax.legend(
        fontsize=8,
        ncol=3,
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        frameon=False,
        columnspacing=1.0,
        handlelength=1.2,
        handletextpad=0.4,
    )
