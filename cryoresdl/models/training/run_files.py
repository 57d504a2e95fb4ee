"""Files of a training run: checkpoint, history, card, curves."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Tuple

import numpy as np

from ..base.atomic_files import atomic_path, remove_result
from ..base.errors import InputError
from ..datasets.feature_set_file import _as_list
from ..networks.model_archive import MODEL_SUFFIX


def _save_arrays(path: Path, arrays: Dict[str, np.ndarray]) -> None:
    with atomic_path(path) as temporary, open(temporary, "wb") as handle:
        np.savez(handle, **arrays)


def _sets(data: Any) -> str:
    return ",".join(sorted(Path(p).name for p in _as_list(data)))


def _checkpoint(
    path: Path, model: Any, moments: Any, number: int, best: float, sets: str, labels: str
) -> None:
    arrays = {f"v{k}": v.numpy() for k, v in enumerate(model.trainable_variables)}
    for j, group in enumerate(moments):
        arrays.update({f"m{j}_{k}": m.numpy() for k, m in enumerate(group)})
    facts = {"number": number, "best": best, "sets": sets, "labels": labels}
    _save_arrays(path, {**arrays, **{name: np.asarray(value) for name, value in facts.items()}})


def _restore(path: Path, model: Any, moments: Any, sets: str, labels: str) -> Tuple[int, float]:
    """Put a checkpoint back; the best score counts only if it was measured on the same sets.

    Raises:
        InputError: the run was begun on other labels. Older checkpoints do not say.
    """
    with np.load(path) as stored:
        before = str(stored["labels"]) if "labels" in stored.files else ""
        if before and labels and before != labels:
            raise InputError(
                f"{path} was begun on {before} labels, not {labels}; give another --out, or --overwrite to begin anew."
            )
        for k, v in enumerate(model.trainable_variables):
            v.assign(stored[f"v{k}"])
        for j, group in enumerate(moments):
            for k, m in enumerate(group):
                m.assign(stored[f"m{j}_{k}"])
        same = "sets" in stored.files and str(stored["sets"]) == sets
        return int(stored["number"]), float(stored["best"]) if same else float("inf")


def _cut_history(path: Path, last_step: int) -> None:
    """Drop rows after the checkpoint: a run killed between the two would otherwise log its steps twice."""
    if not path.exists():
        return
    with open(path, newline="", encoding="utf-8") as handle:
        rows = [row for row in csv.DictReader(handle) if int(row["step"]) <= last_step]
    if rows:
        _write_rows(path, rows)
    else:
        remove_result(path)


def _append_history(path: Path, row: Dict[str, Any]) -> None:
    """Add a row; the first one makes the file, so that the folder's record knows how it begins."""
    if not path.exists():
        _write_rows(path, [row])
        return
    with open(path, "a", newline="", encoding="utf-8") as handle:
        csv.DictWriter(handle, list(row)).writerow(row)


def _write_rows(path: Path, rows: List[Dict[str, Any]]) -> None:
    with atomic_path(path, grows=True) as temporary:
        with open(temporary, "w", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


def _leave_card(folder: Path, card: Dict[str, Any]) -> None:
    """The card and the training curves beside the model, under the names that the paper's networks leave them."""
    from ..base import atomic_files
    from ..results.figures import drawing, figure_catalogue

    atomic_files.write_json(folder / CARD, card)
    if (folder / HISTORY).exists():
        drawing.save_figure(figure_catalogue.from_folder("curves", folder), folder / CURVES_FIGURE)


def _run_name(out: Path, otherwise: str) -> str:
    """A model's name where the user gave none: its folder's, by which users tell their trainings apart."""
    from ..networks import model_archive

    name = out.resolve().name
    return name if model_archive.is_name(name) else otherwise


BEST, CHECKPOINT, HISTORY = "best.npz", "checkpoint.npz", "history.csv"
MODEL, CARD, CURVES_FIGURE, CONFUSION_FIGURE = (
    "model" + MODEL_SUFFIX,
    "card.json",
    "training.png",
    "confusion.png",
)
SMALL_MODEL = "model-small" + MODEL_SUFFIX

HISTORY_COLUMNS = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy")


@dataclass
class History:
    """Per-epoch figures, and where the lowest validation loss was."""

    rows: List[Dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    stopped: str = ""

    @property
    def best_loss(self) -> float:
        """The lowest validation loss so far."""
        return self.rows[self.best_epoch - 1]["val_loss"] if self.best_epoch else float("inf")

    def columns(self) -> Dict[str, List[float]]:
        """The history as columns, as the figures take it."""
        return {name: [row[name] for row in self.rows] for name in HISTORY_COLUMNS}


def write_history(path: Path, history: History) -> None:
    """Write ``history.csv`` (epoch, loss, accuracy, val_loss, val_accuracy), whole."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HISTORY_COLUMNS)
    for row in history.rows:
        writer.writerow([int(row["epoch"]), *(f"{row[name]:.8g}" for name in HISTORY_COLUMNS[1:])])
    with atomic_path(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")


def read_history(path: Path) -> Dict[str, List[float]]:
    """Read ``history.csv`` as columns.

    Raises:
        InputError: the file is missing or is not such a table.
    """
    try:
        with open(path, encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        return {name: [float(row[name]) for row in rows] for name in HISTORY_COLUMNS}
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}; train a model there first.") from error
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} is not a training history; it needs columns {', '.join(HISTORY_COLUMNS)}."
        ) from error
