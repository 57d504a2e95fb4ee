"""Figures of a model's accuracy: reliability, training curves, confusion matrix."""

from __future__ import annotations

import math
from typing import Any, Dict, List, Mapping, Sequence, Tuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ...base.accuracy_measures import wilson
from .colours import _TEXT
from .drawing import _figure, _finish, _name_axes, _plain, _short, missing

_VALIDATION = ("val_", "validation_")
_VARIANTS = {"single_": "validation, one map", "halves_": "validation, half maps"}
_CURVES = {
    "training": "#0072B2",
    "validation": "#E69F00",
    "validation, one map": "#E69F00",
    "validation, half maps": "#009E73",
}


FEW = 5
"""A point of fewer maps is drawn hollow, and the curve does not run through it."""


def reliability(
    confidence: Sequence[float],
    accuracy: Sequence[float],
    counts: Sequence[int] | None = None,
    error: float | None = None,
    title: str = "",
) -> Figure:
    """Calibration: how often the network is right against how sure it is.

    Args:
        confidence: mean predicted probability of each bin, 0 to 1.
        accuracy: part of each bin that is right, 0 to 1.
        counts: number of maps or voxels in each bin; with them come 95 % intervals (Wilson's).
        error: expected calibration error, 0 to 1.
        title: heading.
    """
    figure = _figure(5.6, 5.6)
    sure, right = 100 * np.asarray(confidence, float), 100 * np.asarray(accuracy, float)
    if counts is not None:
        pair: Any = figure.subplots(2, 1, gridspec_kw={"height_ratios": (4, 1)}, sharex=True)
        ax, low = pair
        low.bar(sure, counts, width=3, color="#56B4E9")
        low.set_yscale("log")
        low.set_ylim(bottom=0.7)
        low.set_ylabel("n per point", fontsize=9)
        low.tick_params(labelsize=8)
        ends = np.array([wilson(round(r / 100 * n), int(n)) for r, n in zip(right, counts) if n > 0])
        ax.vlines(
            [one for one, n in zip(sure, counts) if n > 0],
            *(100 * ends.T),
            color="#0072B2",
            alpha=0.45,
            label="95 % interval of the point",
        )
    else:
        ax = low = figure.subplots()
    ax.plot([0, 100], [0, 100], "--", color="#888888", label="perfectly calibrated")
    few = np.zeros(sure.size, bool) if counts is None else np.asarray(counts) < FEW
    ax.plot(sure[~few], right[~few], "o-", color="#0072B2", label="this network")
    if few.any():
        hollow = {"markerfacecolor": "white", "color": "#0072B2"}
        ax.plot(sure[few], right[few], "o", label=f"fewer than {FEW}: chance", alpha=0.6, **hollow)
    ax.set_xlim(min(30.0, 10 * math.floor(sure.min() / 10)) if sure.size else 0, 101)
    ax.set_ylim(0, 102)
    ax.set_ylabel("how often it is right (%)", fontsize=9)
    low.set_xlabel("how sure it is: probability of the class it names (%)", fontsize=9)
    ax.legend(fontsize=8, loc="lower right")
    ax.grid(alpha=0.3)
    if error is not None:
        ax.set_title(f"expected calibration error {100 * error:.1f} %", fontsize=9)
    return _finish(figure, (ax,), title or "Calibration")


def training_curves(history: Mapping[str, Sequence[float]], title: str = "") -> Figure:
    """Training and validation curves from the columns of ``history.csv``; a panel per quantity."""
    columns = {name: np.asarray(values, float) for name, values in history.items()}
    length = max((len(values) for values in columns.values()), default=0)
    step = next((name for name in ("epoch", "step", "iteration") if name in columns), None)
    x = columns[step] if step else np.arange(1, length + 1)
    starts = _starts(x) if step == "epoch" and length else [slice(0, length)]
    if length and step == "epoch" and x[0] == 0:
        x = x + 1  # Keras counts from 0
    hidden = {step, "seconds", "time", "time_s", "elapsed_s", "rate", "lr", "learning_rate", "seed"}
    panels: Dict[str, List[Tuple[str, str]]] = {}
    for name in columns:
        if name not in hidden and np.isfinite(columns[name]).any():
            quantity, curve = _what_is_measured(name)
            panels.setdefault(quantity, []).append((curve, name))
    if not panels:
        return missing("The training history holds no finished epoch yet.", title)
    shown = sorted(panels, key=lambda quantity: quantity != "loss")[:9]
    across = min(3, len(shown))
    down = math.ceil(len(shown) / across)
    figure = _figure(4.2 * across + 0.6, 3.3 * down + 0.3)
    grid: Any = figure.subplots(down, across, squeeze=False).ravel()
    for ax, quantity in zip(grid, shown):
        for curve, name in panels[quantity]:
            several = f" ({len(starts)} networks)" if len(starts) > 1 else ""
            for number, part in enumerate(starts):
                ax.plot(
                    x[part],
                    columns[name][part],
                    color=_CURVES.get(curve, "#000000"),
                    linestyle="--" if curve.endswith("half maps") else "-",
                    marker="." if length < 30 else None,
                    alpha=1.0 if number == len(starts) - 1 else 0.45,
                    label=None if number else curve + several,
                )
        ax.legend(fontsize=8)
        ax.set_xlabel(step or "epoch", fontsize=9)
        ax.set_ylabel(_plain(_quantity(quantity)), fontsize=9)
        ax.grid(alpha=0.3)
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    for ax in grid[len(shown) :]:
        ax.axis("off")
    return _finish(figure, grid[: len(shown)], title or "Training")


def _starts(epochs: np.ndarray) -> List[slice]:
    """The pieces of a history in which the epochs only go up: a network may be trained once per member."""
    edges = [0, *(np.flatnonzero(np.diff(epochs) <= 0) + 1), len(epochs)]
    return [slice(int(first), int(last)) for first, last in zip(edges, edges[1:])]


def _what_is_measured(name: str) -> Tuple[str, str]:
    """Column of a history -> (quantity, curve): what is measured, and on which maps."""
    base = next((name[len(prefix) :] for prefix in _VALIDATION if name.startswith(prefix)), None)
    if base is None:
        return {"log2_error": "log2"}.get(name, name), "training"
    for start, curve in _VARIANTS.items():
        if base.startswith(start):
            return base[len(start) :], curve
    return base.replace("log2_error", "log2"), "validation"


TRUE_CLASS = "true class"


def confusion_matrix(
    matrix: Sequence[Sequence[float]], names: Sequence[str], title: str = "", *, reference: str = TRUE_CLASS
) -> Figure:
    """Counts of reference (rows) against predicted (columns) classes, shaded by the share of each row.

    Args:
        matrix: the counts.
        names: of the classes.
        title: of the figure.
        reference: what the rows are called.
    """
    table = np.asarray(matrix, float)
    share = table / np.maximum(1, table.sum(axis=1, keepdims=True))
    side = max(4.2, 0.62 * len(names) + 1.8)
    figure = _figure(side + 0.8, side)
    ax: Any = figure.subplots()
    image = ax.imshow(100 * share, cmap="Blues", vmin=0, vmax=100)
    for (row, column), value in np.ndenumerate(table):
        ink = "white" if share[row, column] > 0.55 else _TEXT if value else "#c0c0c0"
        ax.text(
            column,
            row,
            _short(float(value)),
            ha="center",
            va="center",
            fontsize=9 if len(names) < 6 else 7,
            color=ink,
        )
    _name_axes(ax, names)
    ax.set_xlabel("predicted class" + (" (Å)" if len(names) == 10 else ""), fontsize=9)
    ax.set_ylabel(reference + (" (Å)" if len(names) == 10 else ""), fontsize=9)
    figure.colorbar(image, ax=ax, shrink=0.8).set_label(f"share of the {reference} (%)", fontsize=9)
    total = float(table.sum())
    right = f", accuracy {100 * np.trace(table) / total:.1f} % of {_short(total)}" if total else ""
    return _finish(figure, (ax,), (title or "Confusion matrix") + right)


def _quantity(name: str) -> str:
    known = {
        "mae": "mean absolute error (Å)",
        "mae_A": "mean absolute error (Å)",
        "log2": "error (log2 of the ratio)",
        "rho": "rank correlation (-1 to 1)",
        "within1": "within one class (0 to 1)",
        "accuracy": "accuracy (0 to 1)",
    }
    if name in known:
        return known[name]
    return (name[: -len("_A")] + " (Å)" if name.endswith("_A") else name).replace("_", " ")
