"""Figures that compare local-resolution volumes."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any, List, Mapping, Sequence, Tuple

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from ..compared_results import common_values, value_range
from .colours import ANSWER_COLORS, EMPTY
from .drawing import _figure, _finish, _name_axes, _plain


def agreement_matrices(names: Sequence[str], tables: Mapping[str, Any], title: str = "") -> Figure:
    """A matrix per measure of agreement, the methods along both sides.

    Args:
        names: of the methods.
        tables: measure -> square matrix; one whose name ends in ``(Å)`` is a distance (0 is the best), the
            others lie between -1 and 1 (1 is the best).
        title: heading.
    """
    side = max(3.4, 0.8 * len(names) + 1.5)
    # No wider than a window: one that is squeezed cuts the slanted names below.
    width = min(side * len(tables) + 0.9, max(12.4, 3.0 * len(tables)))
    figure = _figure(width, min(side, width / len(tables)) + 0.8)
    axes: Any = figure.subplots(1, len(tables), squeeze=False)[0]
    for ax, (measure, matrix) in zip(axes, tables.items()):
        table = np.array(matrix, float)
        distance = measure.endswith("(Å)")
        others = table[~np.eye(len(names), dtype=bool)] if len(names) > 1 else table.ravel()
        top = max(0.5, float(np.nanmax(others))) if distance and np.isfinite(others).any() else 1.0
        shown = np.where(np.eye(len(names), dtype=bool), np.nan, table)
        ax.set_facecolor(EMPTY)
        image = ax.imshow(shown, cmap="cividis_r" if distance else "cividis", vmin=0, vmax=top)
        for (row, column), value in np.ndenumerate(table):
            if np.isfinite(value):
                bright = (value < 0.45 * top) if distance else value > 0.55
                ink = "#888888" if row == column else "black" if bright else "white"
                text = f"{value:.2f}".replace("-0.00", "0.00")
                ax.text(column, row, text, ha="center", va="center", fontsize=10, color=ink)
        _name_axes(ax, names)
        if ax is not axes[0]:
            ax.set_yticklabels([])
        extend = "min" if np.nanmin(table) < 0 else "neither"
        figure.colorbar(image, ax=ax, shrink=0.75, extend=extend).ax.tick_params(labelsize=8)
        ax.set_title(measure, fontsize=10, parse_math=False)
    return _finish(figure, axes, title)


def scatter_grid(volumes: Mapping[str, Any], title: str = "") -> Figure | None:
    """A panel per pair of local-resolution volumes: how often each pair of values (A) occurs at a voxel.

    Args:
        volumes: name -> A (z, y, x), on one grid.
        title: heading.

    Returns:
        The figure, or ``None`` when no pair has an estimated voxel in common.
    """
    pairs = list(combinations(volumes, 2))
    found = common_values(volumes)
    everything = [values for each in found.values() for values in each if values.size]
    if not everything:
        return None
    low, high = value_range(everything)
    columns = min(3, len(pairs))
    rows = math.ceil(len(pairs) / columns)
    figure = _figure(3.9 * columns + 1.3, 3.9 * rows + 0.5) if len(pairs) > 1 else _figure(5.8, 5.2)
    grid: Any = figure.subplots(rows, columns, squeeze=False)
    images = []
    for ax, (pair, (x, y)) in zip(grid.ravel(), found.items()):
        images += _scatter_panel(ax, pair, x, y, (low, high))
    for ax in grid.ravel()[len(pairs) :]:
        ax.axis("off")
    for image in images:
        image.set_norm(LogNorm(1, max(2.0, *(float(one.get_array().max()) for one in images))))
    figure.colorbar(images[0], ax=grid, shrink=0.85, aspect=30).set_label("voxels", fontsize=9)
    _finish(figure, (), title or "The same voxel by two methods")
    # Square panels beside one long colour bar: matplotlib's layout takes two rounds to find room for the titles.
    figure.draw_without_rendering()
    return figure


def _scatter_panel(
    ax: Any, pair: Tuple[str, str], x: np.ndarray, y: np.ndarray, limits: Tuple[float, float]
) -> List[Any]:
    ax.set_xlabel(f"{_plain(pair[0], 24)} (Å)", fontsize=9)
    ax.set_ylabel(f"{_plain(pair[1], 24)} (Å)", fontsize=9)
    ax.tick_params(labelsize=8)
    ax.set_facecolor("#fafafa")
    ax.set_xlim(*limits)
    ax.set_ylim(*limits)
    ax.set_box_aspect(1)
    ax.plot(limits, limits, "--", color="#D55E00", linewidth=1)
    if not x.size:
        ax.set_title(_nothing_in_common(*pair), fontsize=8, wrap=True)
        return []
    image = ax.hist2d(x, y, bins=70, range=(limits, limits), cmap="cividis", cmin=1, rasterized=True)[3]
    bias, apart = float(np.mean(y - x)), float(np.mean(np.abs(y - x)))
    words = f"{x.size:,} voxels, mean difference {bias:+.2f} Å,\nmean absolute {apart:.2f} Å"
    ax.set_title(words, fontsize=9)
    return [image]


def _nothing_in_common(first: str, second: str) -> str:
    return f"{first} and {second} have no estimated voxel in common."


def audit_figure(cases: Sequence[Mapping[str, Any]], claimed_A: float | None = None) -> Figure:
    """Estimate and 68 % interval of a map in every case of its audit, coloured by the verdict.

    Args:
        cases: of ``audit.json``, the map as given first.
        claimed_A: A, or None.
    """
    figure = _figure(8.6, 0.42 * len(cases) + 1.5)
    ax: Any = figure.subplots()
    named: List[str] = []
    for row, case in enumerate(cases):
        answer = str(case["verdict"] or f"class {case['global_class']}")
        color = ANSWER_COLORS.get(answer, "#0072B2")
        if case["resolution_A"] is None:
            continue
        if case["low_A"] is not None:
            ax.plot([case["low_A"], case["high_A"]], [row, row], color=color, linewidth=6, alpha=0.4)
        label = answer if answer not in named else None
        named.append(answer)
        ax.plot([case["resolution_A"]], [row], "o", color=color, label=label)
        text = f"{case['resolution_A']:.2f} Å"
        ax.annotate(
            text, (case["resolution_A"], row), (0, 7), textcoords="offset points", ha="center", fontsize=8
        )
    if claimed_A is not None:
        ax.axvline(claimed_A, color="#B04A00", linestyle="--", label=f"claim {claimed_A:g} Å")
    ax.set_yticks(
        range(len(cases)), [str(case["name"]).replace(" A", " Å").replace("^2", "²") for case in cases]
    )
    ax.set_ylim(len(cases) - 0.4, -0.8)
    ax.set_xlabel("estimate and its 68 % interval (Å)", fontsize=9)
    ax.grid(axis="x", alpha=0.3)
    if named or claimed_A is not None:
        ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return _finish(figure, (ax,), "What the answer hangs on")
