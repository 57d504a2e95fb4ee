"""Fit the paper's networks: epochs with seeded order, checkpoints, resume to the same history, early stop.

The loop (:func:`run_epochs`) knows nothing of networks. What it drives is a *stepper*: :class:`.keras_stepper.KerasStepper`
for any Keras model, or ``dnn_dual_solver.GramStepper`` for the paper's DNN, which does the very same gradient descent
hundreds of times faster. All that an epoch depends on is in the checkpoint or follows from
(seed, epoch), so that a run that was killed goes on as if nothing had happened.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, List, Protocol, Tuple

import numpy as np

from ..base.errors import InputError
from ..base.runs.array_cache import part_of
from ..networks import paper_networks
from ..training.run_files import CHECKPOINT, HISTORY, load_checkpoint, save_checkpoint, write_history
from ..training.training_report import epoch_line

HISTORY_COLUMNS = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy")


@dataclass
class History:
    """Per-epoch figures, where the lowest validation loss was, why it ended, and seconds per epoch of this run."""

    rows: List[Dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    stopped: str = ""
    seconds: float | None = None

    @property
    def best_loss(self) -> float:
        """The lowest validation loss so far."""
        return self.rows[self.best_epoch - 1]["val_loss"] if self.best_epoch else float("inf")

    def columns(self) -> Dict[str, List[float]]:
        """The history as columns, as a card holds it."""
        return {name: [row[name] for row in self.rows] for name in HISTORY_COLUMNS}


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
    if resume and (folder / CHECKPOINT).exists():
        history, best = _resumed(stepper, folder, identity)
        if write:
            write_history(folder / HISTORY, history.rows)
    started, first = time.monotonic(), len(history.rows)
    while not _finished(history, recipe):
        epoch = len(history.rows) + 1
        loss, accuracy = stepper.train_epoch(epoch)
        val_loss, val_accuracy = stepper.validate()
        if not np.isfinite([loss, val_loss]).all():
            raise InputError(
                f"The loss is not a finite number in epoch {epoch}; lower the learning rate and start again."
            )
        measured = (float(f"{value:.8g}") for value in (loss, accuracy, val_loss, val_accuracy))
        history.rows.append(dict(zip(HISTORY_COLUMNS, (epoch, *measured))))
        if history.rows[-1]["val_loss"] < history.best_loss:
            history.best_epoch, best = epoch, stepper.state()
        if write and (_finished(history, recipe) or epoch % checkpoint_every == 0):
            arrays = {_STATE + name: value for name, value in stepper.state().items()}
            arrays.update({_BEST + name: value for name, value in best.items()})
            facts = {"history": history.rows, "best_epoch": history.best_epoch}
            save_checkpoint(folder / CHECKPOINT, identity, facts, arrays)
        if write:
            write_history(folder / HISTORY, history.rows)
        history.seconds = (time.monotonic() - started) / (epoch - first)
        if report:
            report(_progress(history, recipe, history.seconds))
    history.stopped = _finished(history, recipe)
    return history, best


_STATE, _BEST = "state/", "best/"


def _resumed(
    stepper: Stepper, folder: Path, identity: Dict[str, Any]
) -> Tuple[History, Dict[str, np.ndarray]]:
    """The history and best state of a checkpoint, whose state is put back."""
    facts, arrays = load_checkpoint(folder / CHECKPOINT, identity)
    stepper.restore(part_of(arrays, _STATE))
    return History(facts["history"], facts["best_epoch"]), part_of(arrays, _BEST)


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
    figures = {name: f"{row[name]:.4f}" for name in HISTORY_COLUMNS[1:]}
    return epoch_line(
        f"epoch {epochs}/{recipe.epochs}",
        {name.replace("val_", "validation "): value for name, value in figures.items()},
        seconds,
        seconds * (last - epochs),
        best=str(history.best_epoch),
        unless="unless it improves" if recipe.patience is not None else "",
    )
