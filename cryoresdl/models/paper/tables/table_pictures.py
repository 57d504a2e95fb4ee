"""Tables and confusion matrices drawn as pictures."""

from __future__ import annotations

from typing import Any, Dict, Sequence

import numpy as np

from ...base import resolution_terms
from ...evaluation.class_measures import MeasureTable
from ...results.figures import colours


def class_strips(values: Sequence[float], columns: Sequence[str], rows: MeasureTable) -> Any:
    """A strip of class colours along the resolution for every classifier."""
    from matplotlib.figure import Figure

    colors = colours.global_colors()
    figure: Any = Figure(figsize=(8.5, 0.5 * len(columns) + 1.6), layout="constrained")
    ax = figure.subplots()
    for line, column in enumerate(columns):
        for value, row in zip(values, rows):
            if row.get(column) in colors:
                ax.barh(
                    line, 0.5, left=value - 0.25, height=0.8, color=colors[row[column]], edgecolor="white"
                )
    for edge in resolution_terms.GLOBAL_EDGES_A:
        ax.axvline(edge, color="black", linewidth=1, linestyle="--")
    ax.set_yticks(range(len(columns)), columns)
    ax.invert_yaxis()
    ax.set_xlabel("simulated resolution (Å); dashed: ideal boundaries")
    ax.set_title("Table 1: proteins never trained on")
    ax.legend(
        handles=[_patch(colors[name], name) for name in resolution_terms.GLOBAL_CLASSES],
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
        frameon=False,
    )
    return figure


def _patch(color: str, label: str) -> Any:
    from matplotlib.patches import Patch

    return Patch(color=color, label=label)


def table_figure(columns: Sequence[str], cells: Sequence[Sequence[str]], title: str) -> Any:
    """A table as a picture; columns as wide as their text."""
    from matplotlib.figure import Figure

    widths = [max(len(str(name)), *(len(row[n]) for row in cells), 3) for n, name in enumerate(columns)]
    figure: Any = Figure(
        figsize=(max(6.0, 0.085 * sum(widths) + 0.2 * len(widths)), 0.24 * (len(cells) + 1) + 0.7)
    )
    ax = figure.add_axes((0.01, 0.01, 0.98, 0.93))
    ax.axis("off")
    share = [width / sum(widths) for width in widths]
    drawn = ax.table(
        [list(row) for row in cells], colLabels=list(columns), colWidths=share, loc="upper center"
    )
    drawn.auto_set_font_size(False)
    drawn.set_fontsize(8)
    for (row, _), cell in drawn.get_celld().items():
        cell.set_edgecolor("#cccccc")
        if row == 0:
            cell.set_text_props(weight="bold")
            cell.set_facecolor("#eeeeee")
    figure.suptitle(title, fontsize=11)
    return figure


def matrices_figure(matrices: Dict[str, np.ndarray], title: str) -> Any:
    """Confusion matrices side by side, counts written in."""
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(3.4 * len(matrices) + 0.4, 3.6), layout="constrained")
    axes = figure.subplots(1, len(matrices), squeeze=False)[0]
    for ax, (label, matrix) in zip(axes, matrices.items()):
        share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
        ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
        for (row, column), value in np.ndenumerate(matrix):
            ink = "white" if share[row, column] > 0.55 else "black"
            ax.text(column, row, f"{value:g}", ha="center", va="center", color=ink)
        ax.set_xticks(range(len(matrix)), resolution_terms.GLOBAL_CLASSES)
        ax.set_yticks(range(len(matrix)), resolution_terms.GLOBAL_CLASSES)
        ax.set_xlabel("predicted")
        right = f"{100 * np.trace(matrix) / max(matrix.sum(), 1):.1f} % of {int(matrix.sum())}"
        ax.set_title(f"{label}: {right}", fontsize=9)
    axes[0].set_ylabel("published")
    figure.suptitle(title)
    return figure


def conditions_figure(rows: MeasureTable, columns: Sequence[str]) -> Any:
    """Agreement with 95 % intervals of every classifier under every condition; one panel for each kind of maps."""
    from matplotlib.figure import Figure

    kinds = list(dict.fromkeys(row["maps"] for row in rows))
    conditions = {k: list(dict.fromkeys(r["condition"] for r in rows if r["maps"] == k)) for k in kinds}
    figure: Any = Figure(figsize=(9.5, 0.75 * max(map(len, conditions.values())) + 1.6), layout="constrained")
    axes = figure.subplots(1, len(kinds), squeeze=False)[0]
    for ax, kind in zip(axes, kinds):
        names = conditions[kind]
        sizes = {name: 0 for name in names}
        for number, column in enumerate(columns):
            chosen = [row for row in rows if row["maps"] == kind and row["classifier"] == column]
            values = np.array([row["agreement %"] for row in chosen], float)
            limits = np.array([[float(v) for v in row["95 %"].split("-")] for row in chosen]).reshape(-1, 2)
            place = [
                names.index(row["condition"]) + 0.17 * (number - (len(columns) - 1) / 2) for row in chosen
            ]
            bars = np.abs(limits.T - values)
            style = {
                "fmt": "osD^v"[number % 5],
                "color": colours.SOURCE_COLORS[number % len(colours.SOURCE_COLORS)],
            }
            ax.errorbar(values, place, xerr=bars, label=column, markersize=5, linewidth=1.3, **style)
            for row in chosen:
                sizes[row["condition"]] = max(sizes[row["condition"]], row["n"])
        ax.set_yticks(range(len(names)), [f"{name}\nn = {sizes[name]}" for name in names])
        ax.invert_yaxis()
        ax.set_xlim(-3, 103)
        ax.axvline(100 / 3, color="0.6", linestyle=":", linewidth=1)
        ax.grid(axis="x", alpha=0.3)
        ax.set_xlabel("maps with the right class (%)")
        ax.set_title(f"{kind} maps")
    figure.legend(
        *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(columns), frameon=False
    )
    return figure


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)
