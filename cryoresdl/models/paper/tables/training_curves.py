"""Figures 2 to 5: curves of training and validation."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, List

import numpy as np

from ...base.errors import InputError
from ...evaluation.class_measures import write_measures
from ...networks.model_files import model_store
from ...results.figures import drawing
from ...training import run_files
from ..epoch_loop import HISTORY_COLUMNS
from . import printed_results
from .context import Context

SHIPPED_HISTORY = ".history.csv"
"""After a shipped model's name: the history of its training, beside the model."""


def _figure(name: str, column: str, title: str) -> Callable[[Path, Context], List[Path]]:
    def draw(out: Path, context: Context) -> List[Path]:
        history = _history(column, context)
        printed = printed_results.PRINTED_CURVES[name]
        rows = [{key: history[key][n] for key in history} for n in range(len(history["epoch"]))]
        figure = curves_figure(history, printed, title)
        summary = [
            {"": "paper, end", **printed},
            {
                "": "ours, lowest validation loss",
                "val_accuracy": history["val_accuracy"][int(np.argmin(history["val_loss"]))],
                "val_loss": min(history["val_loss"]),
                "epochs": len(rows),
            },
        ]
        return [
            write_measures(out / f"{name}.csv", rows),
            write_measures(out / f"{name}_summary.csv", summary),
            drawing.save_figure(figure, out / f"{name}.png"),
        ]

    draw.__doc__ = f"{title}: our history with the paper's end values."
    return draw


def _history(column: str, context: Context) -> Dict[str, List[float]]:
    if context.history:
        path = Path(context.history)
        return run_files.read_history(path / run_files.HISTORY if path.is_dir() else path, HISTORY_COLUMNS)
    name = context.model(column)
    shipped = model_store.shipped_folder() / f"{name}{SHIPPED_HISTORY}"
    if shipped.is_file():
        return run_files.read_history(shipped, HISTORY_COLUMNS)
    card = model_store.read_card(name)
    history = card.get("history")
    if not isinstance(history, dict) or not set(HISTORY_COLUMNS) <= set(history) or not history["epoch"]:
        raise InputError(
            f"The card of {name} holds no training history; train it ('cryoresdl make {name}') and give --history DIR."
        )
    return {key: [float(value) for value in history[key]] for key in HISTORY_COLUMNS}


def curves_figure(history: Dict[str, List[float]], printed: Dict[str, float], title: str) -> Any:
    """Validation accuracy and loss against the epoch, with where the paper's curves end."""
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(9, 3.6), layout="constrained")
    for ax, name, label in zip(
        figure.subplots(1, 2), ("accuracy", "loss"), ("accuracy", "loss (cross-entropy)")
    ):
        ax.plot(history["epoch"], history[name], color="#0072B2", alpha=0.6, label="training")
        ax.plot(history["epoch"], history[f"val_{name}"], color="#E69F00", label="validation")
        ax.axhline(
            printed[f"val_{name}"],
            color="black",
            linestyle="--",
            linewidth=1,
            label="paper, end of validation curve",
        )
        ax.set_xlabel(f"epoch (paper: {printed['epochs']:g})")
        ax.set_ylabel(label)
        ax.grid(alpha=0.3)
    figure.axes[0].legend(fontsize=8)
    figure.suptitle(title)
    return figure


fig2 = _figure("fig2", "DNN", "Figure 2: DNN")
fig3 = _figure("fig3", "CNN", "Figure 3: 3D CNN")
fig4 = _figure("fig4", "monores", "Figure 4: U-Net on MonoRes labels")
fig5 = _figure("fig5", "resmap", "Figure 5: U-Net on ResMap labels")
