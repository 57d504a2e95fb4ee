"""Fit the paper's networks: epochs with seeded order, checkpoints, resume to the same history, early stop.

The loop (:func:`run_epochs`) knows nothing of networks. What it drives is a *stepper*: :class:`KerasStepper`
for any Keras model, or ``gram.GramStepper`` for the paper's DNN, which does the very same gradient descent
hundreds of times faster. All that an epoch depends on is in the checkpoint or follows from
(seed, epoch), so that a run that was killed goes on as if nothing had happened.
"""

from __future__ import annotations

import csv
import io
import json
import time
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Protocol, Tuple

import numpy as np

from . import networks
from .errors import InputError
from .files import atomic_path

CHECKPOINT, HISTORY = "checkpoint.npz", "history.csv"
COLUMNS = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy")
_META = "meta.json"


@dataclass(frozen=True)
class Recipe:
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
    networks.DNN: Recipe("sgd", 0.01, 150, 1000, 50),
    networks.CNN: Recipe("sgd", 0.01, 75, 1500, None),
    networks.UNET: Recipe("adam", 0.001, 32, 5000, 1000),
}
"""The paper's hyper-parameters (sections 4.3-4.5). It gives no cap for the DNN (stopped after 90 epochs) and
the U-Net (1172 and 1060); 1000 and 5000 are ours and lie beyond where early stopping acts."""


class Source(Protocol):
    """Examples that can be read by number: maps (n, z, y, x) float32 and integer labels."""

    def __len__(self) -> int:
        """Number of examples."""

    def take(self, indices: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """Maps and labels of the given numbers, in that order."""


@dataclass
class Arrays:
    """Examples in memory (or in anything that indexes like an array)."""

    maps: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """Examples of the given numbers, in that order."""
        return np.asarray(self.maps[indices], np.float32), np.asarray(self.labels[indices])


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
        return {name: [row[name] for row in self.rows] for name in COLUMNS}


def epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    """The order of ``count`` examples in an epoch: a permutation that depends on (seed, epoch) alone."""
    return np.random.default_rng([seed, epoch, 1]).permutation(count)


def run_epochs(
    stepper: Stepper,
    recipe: Recipe,
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
        row = dict(zip(COLUMNS, (epoch, float(loss), float(accuracy), float(val_loss), float(val_accuracy))))
        if not np.isfinite([loss, val_loss]).all():
            raise InputError(
                f"The loss is not a finite number in epoch {epoch}; lower the learning rate and start again."
            )
        history.rows.append(row)
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


def _finished(history: History, recipe: Recipe) -> str:
    """Why training is over; empty while it is not."""
    epochs = len(history.rows)
    if epochs >= recipe.epochs:
        return f"all {recipe.epochs} epochs done"
    if recipe.patience is not None and epochs and epochs - history.best_epoch >= recipe.patience:
        return f"no lower validation loss for {recipe.patience} epochs"
    return ""


def _progress(history: History, recipe: Recipe, seconds: float) -> str:
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


def write_history(path: Path, history: History) -> None:
    """Write ``history.csv`` (epoch, loss, accuracy, val_loss, val_accuracy), whole."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in history.rows:
        writer.writerow([int(row["epoch"]), *(f"{row[name]:.8g}" for name in COLUMNS[1:])])
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
        return {name: [float(row[name]) for row in rows] for name in COLUMNS}
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}; train a model there first.") from error
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} is not a training history; it needs columns {', '.join(COLUMNS)}."
        ) from error


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


class KerasStepper:
    """Mini-batch training of a Keras model; examples are read batch by batch."""

    def __init__(
        self, model: Any, train: Source, validation: Source, recipe: Recipe, seed: int, logits: bool
    ) -> None:
        """Compile the model.

        Args:
            model: built by :func:`networks.build` (or alike).
            train: examples to learn from.
            validation: examples that decide when to stop.
            recipe: optimiser, learning rate and batch.
            seed: of the order of examples and of dropout.
            logits: the model gives logits rather than probabilities.
        """
        keras = networks.import_keras()
        optimizers = {"sgd": keras.optimizers.SGD, "adam": keras.optimizers.Adam}
        if recipe.optimizer not in optimizers:
            raise InputError(f"'{recipe.optimizer}' is not an optimiser; choose sgd or adam.")
        self.model, self.train, self.validation = model, train, validation
        self.recipe, self.seed = recipe, seed
        # XLA would compile 3D convolutions into slower code than TensorFlow's own (oneDNN) on CPUs.
        model.compile(
            optimizer=optimizers[recipe.optimizer](recipe.learning_rate),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=logits),
            metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
            jit_compile=False,
        )
        model.optimizer.build(model.trainable_variables)

    def train_epoch(self, epoch: int) -> Tuple[float, float]:
        """One pass over the training examples; mean loss and accuracy during it."""
        self._seed_dropout(epoch)
        order = epoch_order(len(self.train), self.seed, epoch)
        return self._mean(self.model.train_on_batch, self.train, order)

    def validate(self) -> Tuple[float, float]:
        """Mean loss and accuracy on the validation examples."""
        return self.evaluate(self.validation)

    def evaluate(self, source: Source) -> Tuple[float, float]:
        """Mean loss and accuracy on any examples."""
        return self._mean(self.model.test_on_batch, source, np.arange(len(source)))

    def _mean(self, step: Callable[..., Any], source: Source, order: np.ndarray) -> Tuple[float, float]:
        """Run ``step`` over batches; figures of batches are averaged here, by their numbers of examples."""
        loss = accuracy = 0.0
        for indices in batches(order, self.recipe.batch):
            # Keras versions differ in whether a step's figures include the steps before it.
            self.model.reset_metrics()
            logs = step(*source.take(indices), return_dict=True)
            loss += float(logs["loss"]) * len(indices)
            accuracy += float(logs["accuracy"]) * len(indices)
        return loss / len(order), accuracy / len(order)

    def state(self) -> Dict[str, np.ndarray]:
        """Weights and optimiser variables, copied."""
        state = {f"weights/{key}": value for key, value in networks.to_weights(self.model).items()}
        for number, variable in enumerate(self.model.optimizer.variables):
            state[f"optimizer/{number}"] = np.array(variable.numpy())
        return state

    def restore(self, state: Dict[str, np.ndarray]) -> None:
        """Put back what :meth:`state` gave."""
        networks.from_weights(self.model, _part(state, "weights/"))
        for number, variable in enumerate(self.model.optimizer.variables):
            variable.assign(state[f"optimizer/{number}"])

    def weights(self, state: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
        """The trained network's arrays in a state, named as in ``networks.weight_shapes``."""
        return _part(state, "weights/")

    def _seed_dropout(self, epoch: int) -> None:
        for number, layer in enumerate(self.model.layers):
            generator = getattr(layer, "seed_generator", None)
            if generator is not None:
                words = np.random.default_rng([self.seed, epoch, number, 2]).integers(0, 2**32, 2, np.uint32)
                generator.state.assign(words.astype(generator.state.dtype))


def compress_dnn(
    weights: Dict[str, np.ndarray], train: Source, side: int, rank: int = 64, cosines: int = 40
) -> Tuple[Dict[str, Any], Dict[str, np.ndarray]]:
    """A small stand-in for a trained DNN: its first layer through few smooth patterns.

    The first layer's answers to the training maps span few directions: the ``rank`` largest principal ones
    are kept (with the mean answer in the bias), and each one's pattern over the box is written in its low
    cosine frequencies. All arrays are float16.

    Args:
        weights: of the full network.
        train: the maps whose answers are preserved; their labels are not used.
        side: side of the input in voxels.
        rank: number of patterns.
        cosines: cosine coefficients per axis; those within the sphere of that radius are kept.

    Returns:
        The card's ``network`` entry and the weights.
    """
    kernel = weights["dense1/kernel"]
    cosines = min(cosines, side)
    index = networks.low_frequencies(cosines)
    answers = np.concatenate([x @ kernel for _, x in blocks(train)])
    # The mean answer is kept exactly, by a bias, so that the rank is spent on what tells maps apart.
    mean = answers.mean(0)
    directions = np.linalg.svd(answers - mean, full_matrices=False)[2][:rank].astype(np.float32)
    patterns = (kernel @ directions.T).T.reshape(-1, side, side, side)
    coefficients = networks.cosine_coefficients(patterns, cosines)[:, index].T
    small = {name: value for name, value in weights.items() if name != "dense1/kernel"}
    small["dense1/coefficients"], small["dense1/neurons"] = coefficients, directions
    kept = mean - (mean @ directions.T) @ directions
    small["dense1/bias"] = weights["dense1/bias"] + kept
    config = {"side": side, "cosines": cosines, "rank": int(len(directions))}
    return {"name": networks.DNN_LOW_RANK, "config": config}, {
        k: v.astype(np.float16) for k, v in small.items()
    }


def recipe_card(recipe: Recipe) -> Dict[str, Any]:
    """The recipe as a card shows it."""
    return asdict(recipe)


def labels_of(source: Source) -> np.ndarray:
    """All labels of a source; without reading the maps where it can tell them apart."""
    if isinstance(source, Arrays):
        return np.asarray(source.labels, np.int64)
    if hasattr(source, "data") and hasattr(source, "rows"):
        return source.data.column("labels")[source.rows].astype(np.int64)
    parts = [source.take(rows)[1] for rows in batches(np.arange(len(source)), 256)]
    return np.concatenate(parts).astype(np.int64)


def blocks(source: Source, first: int = 0, size: int = 512) -> Iterator[Tuple[slice, np.ndarray]]:
    """Examples from number ``first`` on as flat rows, ``size`` at a time."""
    for start in range(first, len(source), size):
        rows = np.arange(start, min(start + size, len(source)))
        yield slice(start, start + len(rows)), source.take(rows)[0].reshape(len(rows), -1)


def batches(order: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Pieces of ``order``, ``size`` long but for the last."""
    for start in range(0, len(order), size):
        yield np.asarray(order[start : start + size])


def _part(arrays: Dict[str, np.ndarray], prefix: str) -> Dict[str, np.ndarray]:
    return {name[len(prefix) :]: value for name, value in arrays.items() if name.startswith(prefix)}
