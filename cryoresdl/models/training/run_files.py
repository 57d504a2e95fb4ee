"""Files of a training run: checkpoint, history, card, curves."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from ..base.errors import InputError
from ..base.runs.atomic_files import atomic_path, remove_result
from ..datasets.feature_sets.feature_set_file import _as_list, _set_facts
from ..networks.model_files.model_archive import MODEL_SUFFIX


def _save_arrays(path: Path, arrays: Dict[str, np.ndarray]) -> None:
    with atomic_path(path) as temporary, open(temporary, "wb") as handle:
        np.savez(handle, **arrays)


@dataclass(frozen=True)
class RunIdentity:
    """What decides the result of a training: a run goes on only as it was begun.

    Attributes:
        recipe: the hyper-parameters, with the seed of batches and weights.
        sets: names of the sets, their seeds and maps per split.
        labels: what the sets' labels are; empty where nobody knows.
        start: digest of the weights that the training begins with; empty for random ones.
    """

    recipe: Dict[str, Any]
    sets: Dict[str, Any]
    labels: str = ""
    start: str = ""

    @classmethod
    def of(cls, recipe: Any, data: Any, labels: str, start: Optional[Dict[str, np.ndarray]]) -> RunIdentity:
        """Of a training that is about to begin; ``recipe`` is a dataclass."""
        names = [Path(p).name for p in _as_list(data)]
        facts = {"names": names, **_set_facts(data)}
        # Through JSON, so that it compares with what a checkpoint holds.
        plain = json.loads(json.dumps([asdict(recipe), facts]))
        return cls(plain[0], plain[1], labels, "" if start is None else _weights_digest(start))

    def refuse_another(self, begun: str, path: Path) -> None:
        """Refuse to go on with a checkpoint of another run.

        Args:
            begun: the identity that the checkpoint holds, as JSON.
            path: of the checkpoint.

        Raises:
            InputError: says what differs.
        """
        remedy = "give the same as before, another --out, or --overwrite to begin anew."
        before = json.loads(begun)
        if before.get("labels") and self.labels and before["labels"] != self.labels:
            raise InputError(
                f"{path} was begun on {before['labels']} labels, not {self.labels}; give another --out, or "
                "--overwrite to begin anew."
            )
        if before.get("sets") != self.sets:
            raise InputError(
                f"{path} was begun on other sets ({_sets_in_words(before.get('sets'))}); {remedy}"
            )
        changed = [k for k, v in self.recipe.items() if before.get("recipe", {}).get(k) != v]
        if changed:
            name = changed[0]
            raise InputError(
                f"{path} was begun with {name} {before.get('recipe', {}).get(name)}, not {self.recipe[name]}; {remedy}"
            )
        if before.get("start") != self.start:
            raise InputError(f"{path} was begun from another start; {remedy}")


def _sets_in_words(sets: Any) -> str:
    if not isinstance(sets, dict):
        return "an older version did not say which"
    counts = ", ".join(f"{count} {split}" for split, count in sets.get("maps", {}).items())
    return f"{', '.join(sets.get('names', []))}: {counts} maps, seeds {sets.get('seeds')}"


def _weights_digest(weights: Dict[str, np.ndarray]) -> str:
    found = hashlib.sha256()
    for name in sorted(weights):
        found.update(name.encode())
        found.update(np.ascontiguousarray(weights[name], np.float32).tobytes())
    return found.hexdigest()


def _checkpoint(
    path: Path, model: Any, optimizer: Any, number: int, best: float, identity: RunIdentity
) -> None:
    """Keep weights, the optimizer's state, the step, and what the run is."""
    arrays = {f"v{k}": np.asarray(v) for k, v in enumerate(model.trainable_variables)}
    arrays.update({f"o{k}": np.asarray(v) for k, v in enumerate(optimizer.variables)})
    facts = {"number": number, "best": best, "identity": json.dumps(asdict(identity))}
    _save_arrays(path, {**arrays, **{name: np.asarray(value) for name, value in facts.items()}})


def _restore(path: Path, model: Any, optimizer: Any, identity: RunIdentity) -> Tuple[int, float]:
    """Put a checkpoint back; returns its step and the best score so far.

    Raises:
        InputError: the checkpoint is of another run: other sets, labels, hyper-parameters, seed or start.
    """
    with np.load(path) as stored:
        if "identity" not in stored.files:
            raise InputError(
                f"{path} was begun by an older version, which did not keep the state of its optimizer; give another "
                "--out, or --overwrite to begin anew."
            )
        identity.refuse_another(str(stored["identity"]), path)
        for k, v in enumerate(model.trainable_variables):
            v.assign(stored[f"v{k}"])
        for k, v in enumerate(optimizer.variables):
            v.assign(stored[f"o{k}"])
        return int(stored["number"]), float(stored["best"])


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
    from ..base.runs import atomic_files
    from ..results.figures import drawing, figure_catalogue

    atomic_files.write_json(folder / CARD, card)
    if (folder / HISTORY).exists():
        drawing.save_figure(figure_catalogue.from_folder("curves", folder), folder / CURVES_FIGURE)


def _run_name(out: Path, otherwise: str) -> str:
    """A model's name where the user gave none: its folder's, by which users tell their trainings apart."""
    from ..networks.model_files import model_archive

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
