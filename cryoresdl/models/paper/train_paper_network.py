"""Train one of the paper's networks on a data set, from the file to the model with its card and figures."""

from __future__ import annotations

import datetime
import time
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Dict

import numpy as np

from ..base import accuracy_measures, machine, progress
from ..base.errors import InputError
from ..base.resolution_terms import GLOBAL_CLASSES, LOCAL_CLASSES
from ..base.runs.atomic_files import remove_result, shown
from ..base.runs.output_folder import prepare_out
from ..datasets.map_set_file import DatasetFile
from ..networks import paper_networks, paper_predictors, tensorflow_import
from ..networks.model_files import model_archive
from ..results.results_folder import OUTCOME_TXT
from ..training import run_files
from ..training.run_files import CARD, CONFUSION_FIGURE, CURVES_FIGURE, MODEL, SMALL_MODEL, _leave_card
from ..training.training_report import ErrorOnTest, TrainingOutcome, leave_outcome
from . import dnn_compression, dnn_dual_solver, epoch_loop, keras_stepper, several_workers

PAPER_KINDS = {"dnn": paper_networks.DNN, "cnn": paper_networks.CNN, "unet": paper_networks.UNET}
SOLVERS = ("gram", "keras")
RANK, COSINES = 64, 40
"""Of the compressed DNN: patterns, and cosine coefficients per axis."""


@dataclass(frozen=True)
class PaperTrainingOptions:
    """What the user may choose; None takes the paper's value."""

    kind: str
    data: str
    out: str
    width: float = 1.0
    epochs: int | None = None
    batch: int | None = None
    learning_rate: float | None = None
    optimizer: str | None = None
    patience: int | None = None
    labels: str | None = None
    seed: int = 0
    solver: str = "gram"
    orientations: int = 1
    bfloat16: bool = False
    name: str | None = None
    checkpoint_every: int = 1
    cluster: several_workers.Cluster | None = None
    resume: bool = False
    overwrite: bool = False

    @property
    def recipe(self) -> epoch_loop.EpochRecipe:
        """The paper's recipe with the user's changes."""
        names = ("epochs", "batch", "learning_rate", "optimizer", "patience")
        changes = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return replace(epoch_loop.PAPER_RECIPES[PAPER_KINDS[self.kind]], **changes)


_OF_THE_RUN = ("data", "out", "name", "cluster", "resume", "overwrite")
RECIPE_OPTIONS = tuple(one.name for one in fields(PaperTrainingOptions) if one.name not in _OF_THE_RUN)
"""What a recipe of a model may choose."""


def train(options: PaperTrainingOptions) -> Path:
    """Train, and write ``model.cryoresdl``, ``history.csv``, ``card.json`` and figures.

    The DNN also gets ``model-small.cryoresdl``, its compressed form. The test split is looked at once, at the
    end, with the weights of the lowest validation loss.

    Returns:
        Path of the model.

    Raises:
        InputError: a data set of another kind, options that do not go together, results in the way.
    """
    if options.solver not in SOLVERS:
        raise InputError(f"There is no solver named {options.solver}; choose {' or '.join(SOLVERS)}.")
    if options.orientations != 1 and (options.kind != "dnn" or options.solver != "gram"):
        raise InputError(
            "--orientations needs the DNN's gram solver; turn the structures in the data set instead."
        )
    names = (run_files.HISTORY, run_files.CHECKPOINT, MODEL)
    chief = options.cluster is None or options.cluster.chief
    # The other workers of a cluster use the chief's folder and write nothing.
    folder = Path(options.out)
    if chief:
        others = (CARD, SMALL_MODEL, CURVES_FIGURE, CONFUSION_FIGURE, OUTCOME_TXT)
        prepare_out(folder, names, options.overwrite, options.resume, command="train", may_remain=others)
        if options.overwrite and not options.resume:
            remove_result(folder / run_files.CHECKPOINT)
    started = time.monotonic()
    with DatasetFile(options.data) as data:
        network = paper_networks.describe_network(
            PAPER_KINDS[options.kind], options.width, _check_data(data, options)
        )
        stepper = _stepper(options, network, data)
        history, best = epoch_loop.run_epochs(
            stepper,
            options.recipe,
            folder,
            _identity(options, network, data),
            options.resume,
            options.checkpoint_every,
            progress.note,
            chief,
        )
        if not chief:
            return folder / MODEL
        card = _card(options, network, data, history, time.monotonic() - started)
        path = _finish(folder, card, stepper, best, data)
        leave_outcome(folder, _outcome(card, history), progress.note)
        return path


def _check_data(data: DatasetFile, options: PaperTrainingOptions) -> int:
    """Side of the maps, if the data set suits the network."""
    wanted = "local" if options.kind == "unet" else "global"
    if data.info.get("kind") != wanted:
        raise InputError(
            f"{shown(data.path)} is not a {wanted} data set; make one with 'cryoresdl dataset {wanted}'."
        )
    if options.kind == "unet" and data.info.get("mode") != "paper":
        raise InputError(
            f"{shown(data.path)} has no paper-mode patches; make them with 'dataset local --paper'."
        )
    labels = data.info["recipe"].get("labels")
    if options.kind == "unet" and options.labels and options.labels != labels:
        raise InputError(
            f"{shown(data.path)} has {labels} labels, not {options.labels}; give another --data."
        )
    if not len(data.rows("train")) or not len(data.rows("validation")):
        raise InputError(
            f"{shown(data.path)} lacks training or validation examples; build a larger data set."
        )
    side = set(data.read("maps", np.array([0])).shape[1:])
    if len(side) != 1:
        raise InputError(f"The maps of {shown(data.path)} are not cubes.")
    return side.pop()


def _stepper(options: PaperTrainingOptions, network: Dict[str, Any], data: DatasetFile) -> Any:
    train_set, validation = data.subset("train"), data.subset("validation")
    machine.require_memory(_memory(options, network, train_set), f"Training {network['name']}")
    if options.kind == "dnn" and options.solver == "gram":
        if options.cluster is not None:
            raise InputError("The gram solver needs one process only; use --solver keras on a cluster.")
        cache = Path(options.out) / dnn_dual_solver.PRODUCTS
        identity = [network, options.seed, options.orientations, len(data), data.info["recipe"]]
        return dnn_dual_solver.GramStepper(
            train_set,
            validation,
            options.recipe,
            options.seed,
            network,
            options.orientations,
            cache,
            identity,
        )
    if options.cluster is not None:
        return several_workers.DistributedStepper(
            options.cluster,
            lambda: paper_networks.build_paper_network(network, options.bfloat16),
            train_set,
            validation,
            options.recipe,
            options.seed,
            logits=options.kind != "unet",
        )
    _, keras = tensorflow_import.import_tensorflow()
    keras.utils.set_random_seed(options.seed % 2**32)
    model = paper_networks.build_paper_network(network, options.bfloat16)
    return keras_stepper.KerasStepper(
        model, train_set, validation, options.recipe, options.seed, logits=options.kind != "unet"
    )


def _memory(options: PaperTrainingOptions, network: Dict[str, Any], examples: Any) -> int:
    """Bytes that training takes at its peak, roughly; said before it is too late."""
    if options.kind == "dnn" and options.solver == "gram":
        turned = len(examples) * options.orientations
        small = 4 * len(examples) * turned + 16 * turned * 1000
        weights, _ = paper_networks.training_memory(network, 3)
        return weights + small + 2048 * 4 * network["config"]["side"] ** 3
    weights, each = paper_networks.training_memory(network, 5 if options.recipe.optimizer == "adam" else 4)
    return weights + options.recipe.batch * each


def _identity(options: PaperTrainingOptions, network: Dict[str, Any], data: DatasetFile) -> Dict[str, Any]:
    recipe = options.recipe
    return {
        "network": network,
        "optimizer": recipe.optimizer,
        "learning_rate": recipe.learning_rate,
        "batch": recipe.batch,
        "seed": options.seed,
        "solver": options.solver,
        "orientations": options.orientations,
        "bfloat16": options.bfloat16,
        "data": [len(data), data.info.get("seed"), data.info["recipe"]],
    }


def _card(
    options: PaperTrainingOptions,
    network: Dict[str, Any],
    data: DatasetFile,
    history: epoch_loop.History,
    seconds: float,
) -> Dict[str, Any]:
    from ... import __version__

    counts = {split: len(data.rows(split)) for split in ("train", "validation", "test")}
    best = history.rows[history.best_epoch - 1]
    return {
        "name": options.name or network["name"],
        "kind": "local" if options.kind == "unet" else "global",
        "network": network,
        "mode": "paper",
        "parameters": paper_networks.parameter_count(network),
        "data": {
            "file": Path(options.data).name,
            "examples": counts,
            "sources": len(data.sources()),
            "labels": data.info["recipe"].get("labels"),
            "split": data.info["recipe"].get("split", data.info.get("mode")),
            "recipe": {**data.info["recipe"], "skipped": len(data.skipped())},
            "seed": data.info.get("seed"),
        },
        "training": {
            **asdict(options.recipe),
            "solver": options.solver if options.kind == "dnn" else "keras",
            "orientations": options.orientations,
            "bfloat16": options.bfloat16,
            "seed": options.seed,
            "epochs_run": len(history.rows),
            "best_epoch": history.best_epoch,
            "stopped": history.stopped,
            "seconds_of_last_run": round(seconds, 1),
        },
        "metrics": {"validation": {"loss": best["val_loss"], "accuracy": best["val_accuracy"]}},
        "calibration": {},
        "history": {
            name: [round(value, 5) for value in values] for name, values in history.columns().items()
        },
        "created": datetime.date.today().isoformat(),
        "version": __version__,
    }


def _outcome(card: Dict[str, Any], history: epoch_loop.History) -> TrainingOutcome:
    """What came out, by the card."""
    found, patches = card["metrics"].get("test"), card["kind"] == "local"
    errors = []
    if found:
        wrong, always = (100 * (1 - found[key]) for key in ("accuracy", "majority_baseline"))
        errors = [ErrorOnTest(f"{'voxels' if patches else 'maps'} in a wrong class", wrong, always, "%")]
    return TrainingOutcome(
        card["name"],
        card["data"]["examples"],
        errors,
        history.seconds,
        len(history.rows),
        "patches" if patches else "maps",
        card["data"]["sources"],
    )


def _finish(
    folder: Path,
    card: Dict[str, Any],
    stepper: Any,
    best: Dict[str, np.ndarray],
    data: DatasetFile,
) -> Path:
    from ..results.figures import accuracy_figures, drawing

    weights = stepper.weights(best)
    test = data.subset("test")
    matrix = test_confusion(card["network"], weights, test)
    if matrix.sum():
        card["metrics"]["test"] = test_metrics(matrix)
    path = model_archive.save_model(folder / MODEL, card, weights)
    if card["network"]["name"] == paper_networks.DNN:
        _save_small(folder, card, weights, data, test)
    _leave_card(folder, card)
    if matrix.sum():
        names = GLOBAL_CLASSES if card["kind"] == "global" else LOCAL_CLASSES
        drawing.save_figure(
            accuracy_figures.confusion_matrix(matrix.tolist(), names, f"{card['name']}, test split"),
            folder / CONFUSION_FIGURE,
        )
    return path


def _save_small(
    folder: Path, card: Dict[str, Any], weights: Dict[str, np.ndarray], data: DatasetFile, test: Any
) -> None:
    side = card["network"]["config"]["side"]
    network, small = dnn_compression.compress_dnn(weights, data.subset("train"), side, RANK, COSINES)
    metrics = dict(card["metrics"], full_network=card["metrics"].get("test"))
    matrix = test_confusion(network, small, test)
    if matrix.sum():
        metrics["test"] = test_metrics(matrix)
    compressed = dict(card, network=network, metrics=metrics, compressed_from=card["network"])
    compressed["parameters"] = int(sum(value.size for value in small.values()))
    model_archive.save_model(folder / SMALL_MODEL, compressed, small)


def test_confusion(
    network: Dict[str, Any], weights: Dict[str, np.ndarray], source: Any, batch: int = 64
) -> np.ndarray:
    """Counts of (label, predicted class) over examples; of voxels for the U-Net.

    Args:
        network: a card's ``network`` entry.
        weights: its arrays.
        source: examples as prepared in a data set, with labels; labels below 0 are left out.
        batch: examples per step.
    """
    count = len(LOCAL_CLASSES) if network["name"] == paper_networks.UNET else len(GLOBAL_CLASSES)
    matrix = np.zeros((count, count), np.int64)
    if len(source):
        predict = predictor(network, weights)
        for start in range(0, len(source), batch):
            maps, labels = source.take(np.arange(start, min(start + batch, len(source))))
            predicted = predict(maps).argmax(-1)
            matrix += accuracy_measures.confusion(labels[labels >= 0], predicted[labels >= 0], count)
    return matrix


def predictor(network: Dict[str, Any], weights: Dict[str, np.ndarray]) -> Any:
    """A function from prepared examples (n, z, y, x) to scores along the last axis."""
    card: model_archive.Card = {"name": "unnamed", "kind": "global", "network": network}
    return paper_predictors.classifier(model_archive.Model(card, weights))


def test_metrics(matrix: np.ndarray) -> Dict[str, Any]:
    """Accuracy with its sample size and 95 % interval, the majority baseline, and the counts."""
    return {**accuracy_measures.accuracy(matrix), "confusion": matrix.tolist()}
