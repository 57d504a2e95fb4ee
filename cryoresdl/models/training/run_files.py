"""Files of a training run, whichever network: checkpoint, history, card, curves.

A checkpoint is one ``.npz``: the arrays that the next step depends on, and in JSON the facts of the run (how far it
is, its history) and its identity, so that a run goes on only as it was begun.
"""

from __future__ import annotations

import csv
import hashlib
import json
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ..base.errors import InputError
from ..base.runs.atomic_files import atomic_path, shown, write_json
from ..datasets.feature_sets.feature_set_file import _as_list, _set_facts
from ..networks.model_files import model_archive
from ..networks.model_files.model_archive import MODEL_SUFFIX

CHECKPOINT, HISTORY = "checkpoint.npz", "history.csv"
MODEL, SMALL_MODEL = "model" + MODEL_SUFFIX, "model-small" + MODEL_SUFFIX
CARD, CURVES_FIGURE, CONFUSION_FIGURE = "card.json", "training.png", "confusion.png"
_FACTS = "facts"
_REMEDY = "give the same as before, another --out, or --overwrite to begin anew."


def identity_of(
    recipe: Any, data: Any, labels: str, start: Optional[Mapping[str, np.ndarray]]
) -> Dict[str, Any]:
    """What decides the result of a training on feature sets.

    Args:
        recipe: the hyper-parameters, with the seed of batches and weights; a dataclass.
        data: feature set(s), known by their names, seeds and numbers of maps.
        labels: what the sets' labels are; empty where nobody knows.
        start: named weights that the training begins with; None for random ones.
    """
    identity: Dict[str, Any] = {"labels": labels} if labels else {}
    identity["sets"] = {"names": [Path(p).name for p in _as_list(data)], **_set_facts(data)}
    return {**identity, **asdict(recipe), "start": "" if start is None else _weights_digest(start)}


def _weights_digest(weights: Mapping[str, np.ndarray]) -> str:
    found = hashlib.sha256()
    for name in sorted(weights):
        found.update(name.encode())
        found.update(np.ascontiguousarray(weights[name], np.float32).tobytes())
    return found.hexdigest()


def save_checkpoint(
    path: Path, identity: Mapping[str, Any], facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> None:
    """Keep the state of a run, whole or not at all.

    Args:
        path: of the checkpoint.
        identity: what the run is; plain values, as JSON takes them.
        facts: how far it is; plain values.
        arrays: all that the next step depends on, by name.
    """
    text = json.dumps({"identity": identity, **facts})
    with atomic_path(path) as temporary, open(temporary, "wb") as stream:
        np.savez(stream, **{_FACTS: np.array(text)}, **arrays)  # type: ignore[arg-type]


def load_checkpoint(path: Path, identity: Mapping[str, Any]) -> Tuple[Dict[str, Any], Dict[str, np.ndarray]]:
    """The facts and arrays of a checkpoint.

    Raises:
        InputError: the checkpoint is damaged, or of another run: other sets, labels, hyper-parameters, seed or start.
    """
    try:
        with np.load(str(path), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        facts = json.loads(str(arrays.pop(_FACTS)))
        begun = facts.pop("identity")
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, EOFError, OSError) as error:
        raise InputError(
            f"The checkpoint {shown(path)} is damaged or of an older version; give another --out, or --overwrite to "
            "begin anew."
        ) from error
    difference = _difference(begun, json.loads(json.dumps(identity)))
    if difference:
        raise InputError(f"{shown(path)} was begun with {difference}; {_REMEDY}")
    return facts, arrays


def _difference(begun: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The first thing in which two runs differ, in words; empty where they do not. What one does not say, agrees."""
    for key, value in now.items():
        before = begun.get(key, value)
        if before == value:
            continue
        name = key.replace("_", " ")
        if isinstance(before, dict) and isinstance(value, dict):
            inner = _difference(before, value)
            if inner:
                return f"other {name} ({inner})"
        elif len(str(before)) + len(str(value)) > 100:
            return f"another {name}"
        else:
            return f"{name} {before}, not {value}"
    return ""


def write_history(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write ``history.csv``, whole: a row per epoch or validation, the same columns in all."""
    with atomic_path(path, grows=True) as temporary:
        with open(temporary, "w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


def _append_history(path: Path, row: Mapping[str, Any]) -> None:
    """Add a row; the first one makes the file, so that the folder's record knows how it begins."""
    if not path.exists():
        write_history(path, [row])
        return
    with open(path, "a", newline="", encoding="utf-8") as stream:
        csv.DictWriter(stream, list(row)).writerow(row)


def read_history(path: Path, columns: Sequence[str]) -> Dict[str, List[float]]:
    """Columns of ``history.csv``.

    Raises:
        InputError: the file is missing or is not such a table.
    """
    try:
        with open(path, encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        return {name: [float(row[name]) for row in rows] for name in columns}
    except OSError as error:
        raise InputError(
            f"Cannot read {shown(path)}: {error.strerror}; train a model there first."
        ) from error
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{shown(path)} is not a training history; it needs columns {', '.join(columns)}."
        ) from error


def _leave_card(folder: Path, card: Mapping[str, Any]) -> None:
    """The card and the training curves beside the model."""
    from ..results.figures import drawing, figure_catalogue

    write_json(folder / CARD, card)
    if (folder / HISTORY).exists():
        drawing.save_figure(figure_catalogue.from_folder("curves", folder), folder / CURVES_FIGURE)


def _run_name(out: Path, otherwise: str) -> str:
    """A model's name where the user gave none: its folder's, by which users tell their trainings apart."""
    name = out.resolve().name
    return name if model_archive.is_name(name) else otherwise
