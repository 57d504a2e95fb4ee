"""Fit the paper's networks: epochs with seeded order, checkpoints, resume to the same history, early stop.

The loop (:func:`run_epochs`) knows nothing of networks. What it drives is a *stepper*: :class:`.keras_stepper.KerasStepper`
for any Keras model, or ``dnn_dual_solver.GramStepper`` for the paper's DNN, which does the very same gradient descent
hundreds of times faster. All that an epoch depends on is in the checkpoint or follows from
(seed, epoch), so that a run that was killed goes on as if nothing had happened.
"""

from __future__ import annotations

import json
import time
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Protocol, Tuple

import numpy as np

from ..base.errors import InputError
from ..base.runs.atomic_files import atomic_path
from ..networks import paper_networks
from ..training.run_files import CHECKPOINT, HISTORY, HISTORY_COLUMNS, History, write_history

_META = "meta.json"


@dataclass(frozen=True)
class EpochRecipe:
    """How a network is fitted.

    ``patience`` is the number of epochs without a lower validation loss after which training stops (None:
    never); ``epochs`` is the most there will be.
    """

    optimizer: str
    learning_rate: float
    batch: int
    epochs: int
    patience: int | None


PAPER_RECIPES = {
    paper_networks.DNN: EpochRecipe("sgd", 0.01, paper_networks.PAPER_BATCH[paper_networks.DNN], 1000, 50),
    paper_networks.CNN: EpochRecipe("sgd", 0.01, paper_networks.PAPER_BATCH[paper_networks.CNN], 1500, None),
    paper_networks.UNET: EpochRecipe(
        "adam", 0.001, paper_networks.PAPER_BATCH[paper_networks.UNET], 5000, 1000
    ),
}
"""The paper's hyper-parameters (sections 4.3-4.5). It gives no cap for the DNN (stopped after 90 epochs) and
the U-Net (1172 and 1060); 1000 and 5000 are ours and lie beyond where early stopping acts."""


class Stepper(Protocol):
    """What the loop drives; ``state`` holds everything that the next epoch depends on."""

    def train_epoch(self, epoch: int) -> Tuple[float, float]:
        """One pass over the training examples; mean loss and accuracy during it."""

    def validate(self) -> Tuple[float, float]:
        """Mean loss and accuracy on the validation examples."""

    def state(self) -> Dict[str, np.ndarray]:
        """A copy of everything that the next epoch depends on."""

    def restore(self, state: Dict[str, np.ndarray]) -> None:
        """Put back what :meth:`state` gave."""


def run_epochs(
    stepper: Stepper,
    recipe: EpochRecipe,
    folder: Path,
    identity: Dict[str, Any],
    resume: bool = False,
    checkpoint_every: int = 1,
    report: Callable[[str], None] | None = None,
    write: bool = True,
) -> Tuple[History, Dict[str, np.ndarray]]:
    """Train until early stopping or the last epoch.

    Writes ``history.csv`` after every epoch and ``checkpoint.npz`` (state, best state, history) every
    ``checkpoint_every`` epochs, each whole or not at all.

    Args:
        stepper: what is trained.
        recipe: epochs and patience are read here.
        folder: where the files go; exists.
        identity: what a checkpoint must agree with to be resumed (network, data, recipe, seed).
        resume: continue from the checkpoint when there is one.
        checkpoint_every: epochs between checkpoints; a resumed run repeats the ones after the last.
        report: takes one progress line per epoch.
        write: write files; of several workers, only one does.

    Returns:
        The history and the state with the lowest validation loss.

    Raises:
        InputError: the checkpoint belongs to another run or is damaged, or the loss is not finite.
    """
    history, best = History(), stepper.state()
    path = folder / CHECKPOINT
    if resume and path.exists():
        state, best, history = _load_checkpoint(path, identity)
        stepper.restore(state)
        if write:
            write_history(folder / HISTORY, history)
    started, first = time.monotonic(), len(history.rows)
    while not _finished(history, recipe):
        epoch = len(history.rows) + 1
        loss, accuracy = stepper.train_epoch(epoch)
        val_loss, val_accuracy = stepper.validate()
        if not np.isfinite([loss, val_loss]).all():
            raise InputError(
                f"The loss is not a finite number in epoch {epoch}; lower the learning rate and start again."
            )
        measured = (epoch, float(loss), float(accuracy), float(val_loss), float(val_accuracy))
        history.rows.append(dict(zip(HISTORY_COLUMNS, measured)))
        if val_loss < history.best_loss:
            history.best_epoch, best = epoch, stepper.state()
        done = _finished(history, recipe)
        if write and (done or epoch % checkpoint_every == 0):
            _save_checkpoint(path, stepper.state(), best, history, identity)
        if write:
            write_history(folder / HISTORY, history)
        if report:
            report(_progress(history, recipe, (time.monotonic() - started) / (epoch - first)))
    history.stopped = _finished(history, recipe)
    return history, best


def _finished(history: History, recipe: EpochRecipe) -> str:
    """Why training is over; empty while it is not."""
    epochs = len(history.rows)
    if epochs >= recipe.epochs:
        return f"all {recipe.epochs} epochs done"
    if recipe.patience is not None and epochs and epochs - history.best_epoch >= recipe.patience:
        return f"no lower validation loss for {recipe.patience} epochs"
    return ""


def _progress(history: History, recipe: EpochRecipe, seconds: float) -> str:
    row, epochs = history.rows[-1], len(history.rows)
    last = recipe.epochs
    if recipe.patience is not None:
        last = min(last, history.best_epoch + recipe.patience)
    left = int(seconds * (last - epochs))
    return (
        f"epoch {epochs}/{recipe.epochs}  loss {row['loss']:.4f}  accuracy {row['accuracy']:.4f}  "
        f"val_loss {row['val_loss']:.4f}  val_accuracy {row['val_accuracy']:.4f}  best {history.best_epoch}  "
        f"{seconds:.2f} s/epoch  ETA {left // 3600}:{left // 60 % 60:02d}:{left % 60:02d} unless it improves"
    )


def _save_checkpoint(
    path: Path,
    state: Dict[str, np.ndarray],
    best: Dict[str, np.ndarray],
    history: History,
    identity: Dict[str, Any],
) -> None:
    meta = json.dumps({"identity": identity, "rows": history.rows, "best_epoch": history.best_epoch})
    with atomic_path(path) as temporary, zipfile.ZipFile(str(temporary), "w") as archive:
        for prefix, arrays in (("state", state), ("best", best)):
            for name, array in arrays.items():
                with archive.open(f"{prefix}/{name}.npy", "w", force_zip64=True) as stream:
                    np.lib.format.write_array(stream, np.asarray(array), allow_pickle=False)
        archive.writestr(_META, meta)


def _load_checkpoint(
    path: Path, identity: Dict[str, Any]
) -> Tuple[Dict[str, np.ndarray], Dict[str, np.ndarray], History]:
    arrays: Dict[str, Dict[str, np.ndarray]] = {"state": {}, "best": {}}
    try:
        with zipfile.ZipFile(str(path)) as archive:
            meta = json.loads(archive.read(_META).decode("utf-8"))
            for name in archive.namelist():
                if name == _META:
                    continue
                prefix, _, rest = name.partition("/")
                with archive.open(name) as stream:
                    arrays[prefix][rest[:-4]] = np.lib.format.read_array(stream, allow_pickle=False)
        history = History(list(meta["rows"]), int(meta["best_epoch"]))
        recorded = meta["identity"]
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError, OSError) as error:
        raise InputError(f"The checkpoint {path} is damaged; delete it and train again.") from error
    differing = [key for key in identity if recorded.get(key) != json.loads(json.dumps(identity[key]))]
    if differing:
        raise InputError(
            f"The checkpoint {path} belongs to another run ({', '.join(sorted(differing))} differ); "
            "give the same options to resume it, or another --out."
        )
    return arrays["state"], arrays["best"], history


def recipe_card(recipe: EpochRecipe) -> Dict[str, Any]:
    """The recipe as a card shows it."""
    return asdict(recipe)
