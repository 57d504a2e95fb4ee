"""Histograms of local resolution by class, and their cumulative form."""

from __future__ import annotations

from typing import Any, Mapping, Sequence, Tuple

import numpy as np
from matplotlib.figure import Figure

from ...base import resolution_terms
from ..compared_results import global_fractions
from .colours import SOURCE_COLORS, ColourRange, class_colors, global_colors
from .drawing import _figure, _finish, _plain


def class_histogram(
    sources: Mapping[str, Sequence[float]],
    voxels: Mapping[str, int] | None = None,
    curves: Mapping[str, Tuple[np.ndarray, np.ndarray]] | None = None,
    *,
    span: ColourRange = None,
) -> Figure:
    """Bars of the ten classes and of the three, and the cumulative curve, for one or more sources.

    One source has bars in the colours of the resolutions; several have a colour each, and the colours of the
    resolutions lie below the bars.

    Args:
        sources: name -> ten fractions (of the estimated voxels; they sum to 1).
        voxels: name -> number of estimated voxels, for the legend.
        curves: name -> resolutions (A) and part of the voxels at or finer; points at the classes' edges are
            joined where a source has none.
        span: range of the colours of resolutions.
    """
    ten_colors, three_colors = class_colors(span), list(global_colors(span).values())
    figure = _figure(10.0, 6.4)
    grid = figure.add_gridspec(2, 2, width_ratios=(1, 1.6), height_ratios=(1.25, 1))
    ten, three, total = (figure.add_subplot(part) for part in (grid[0, :], grid[1, 0], grid[1, 1]))
    names = list(sources)
    labels = {
        name: _plain(name, 40) + (f" ({voxels[name]:,} voxels)" if voxels and name in voxels else "")
        for name in names
    }
    for number, name in enumerate(names):
        fractions = np.asarray(sources[name], float)
        place = (number, len(names))
        _class_bars(ten, fractions, place, ten_colors, labels[name])
        _class_bars(three, global_fractions(fractions), place, three_colors, "")
        _cumulative(total, fractions, place, (curves or {}).get(name), labels[name])
    if len(names) > 1:
        _class_strip(ten, ten_colors)
        _class_strip(three, three_colors)
        ten.legend(fontsize=8, loc="best")
    ten.set_xticks(range(10), resolution_terms.LOCAL_CLASSES)
    ten.set_xlabel("local resolution class (Å)", fontsize=9)
    ten.set_ylabel("voxels (%)", fontsize=9)
    three.set_xticks(range(3), ["high\n< 5 Å", "medium\n5-10 Å", "low\n> 10 Å"])
    three.set_ylabel("voxels (%)", fontsize=9)
    total.set_xlabel("local resolution (Å)", fontsize=9)
    total.set_ylabel("voxels at or finer (%)", fontsize=9)
    total.set_ylim(0, 102)
    total.grid(alpha=0.3)
    for ax in (ten, three):
        ax.margins(y=0.14)
        ax.set_ylim(bottom=0)
    if len(names) == 1 and voxels:
        total.legend(fontsize=8, loc="best")
    return _finish(figure, (ten, three, total), "How the voxels inside the mask are resolved")


def _class_bars(
    ax: Any, fractions: np.ndarray, place: Tuple[int, int], colors: Sequence[str], label: str
) -> None:
    """The bars of one source; ``place``: its number and how many there are."""
    number, count = place
    width = 0.84 / count
    bars = ax.bar(
        np.arange(len(fractions)) + (number - (count - 1) / 2) * width,
        100 * fractions,
        width * 0.94,
        color=list(colors) if count == 1 else SOURCE_COLORS[number % len(SOURCE_COLORS)],
        edgecolor="#555555",
        linewidth=[0.6 if value > 0 else 0 for value in fractions],
        label=label or None,
    )
    if count == 1 or (len(fractions) == 3 and count <= 3):
        texts = [f"{100 * value:.0f} %" if value >= 0.005 else "" for value in fractions]
        ax.bar_label(bars, texts, fontsize=8, padding=1)


def _class_strip(ax: Any, colors: Sequence[str]) -> None:
    """The colours of the classes as a strip below the bars."""
    for number, color in enumerate(colors):
        ax.axvspan(number - 0.46, number + 0.46, ymin=-0.025, ymax=0, color=color, clip_on=False, linewidth=0)
    ax.tick_params(axis="x", length=0, pad=8)


def _cumulative(
    ax: Any,
    fractions: np.ndarray,
    place: Tuple[int, int],
    curve: Tuple[np.ndarray, np.ndarray] | None,
    label: str,
) -> None:
    """Part of the voxels at or finer than each resolution."""
    color = SOURCE_COLORS[place[0] % len(SOURCE_COLORS)]
    edges = np.append(0.0, resolution_terms.LOCAL_EDGES_A)
    x, y = curve if curve is not None else (edges, np.append(0.0, np.cumsum(fractions)[:9]))
    ax.plot(x, 100 * np.asarray(y), color=color, label=label, marker=None if curve is not None else "o")
    reached = float(x[min(len(x) - 1, int(np.searchsorted(y, 0.995)))])
    ax.set_xlim(0, max(10.0, ax.get_xlim()[1] if place[0] else 0.0, reached))
