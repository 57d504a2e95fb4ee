"""Training of the default global network."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Dict, Iterable, Optional, Sequence, Tuple

import numpy as np

from ..base.accuracy_measures import calibration as reliability
from ..base.errors import InputError
from ..base.resolution_terms import CRITERIA
from ..base.runs.atomic_files import PathLike, remove_result
from ..datasets.feature_sets.feature_set_file import _as_list, _set_facts
from ..datasets.splits import SPLITS
from ..features import network_inputs
from ..networks import band_networks, network_runners
from ..networks.model_files import model_archive, model_store
from ..networks.resolution_bins import N_BINS
from ..networks.tensorflow_import import import_tensorflow
from ..results.results_folder import OUTCOME_TXT
from .calibration.global_calibration import (
    _kept_apart,
    calibrate_global,
    calibrated,
    measure_global,
    true_classes,
)
from .probability_score import _loss_of, _median_of
from .profile_table import ProfileTable
from .run_files import CARD, CURVES_FIGURE, HISTORY, MODEL, _append_history, _leave_card, _run_name
from .training_report import ErrorOnTest, TrainingOutcome, epoch_line, leave_outcome


@dataclass
class GlobalNetworkRecipe:
    """Hyper-parameters of the global network.

    Attributes:
        widths: of the dense layers.
        epochs: passes over the maps; the rate falls to zero along a cosine, so nothing is chosen on the way.
        batch: maps per step.
        rate: highest learning rate of AdamW.
        noise: standard deviation of noise added to the standardised inputs, but for the half maps' FSC.
        dropout: share of neurons silenced per step.
        decay: weight decay.
        angstrom_weight: weight of the score in angstroms beside the one in log2.
        seed: of weights and order.
    """

    widths: Tuple[int, ...] = (256, 256, 128)
    epochs: int = 80
    batch: int = 64
    rate: float = 2e-3
    noise: float = 0.3
    dropout: float = 0.2
    decay: float = 1e-2
    angstrom_weight: float = 0.1
    seed: int = 0


GLOBAL_MEMBERS = 6
"""Networks trained from different seeds, whose distributions are averaged."""


def train_global(
    data: Any,
    out: PathLike,
    resume: bool = False,
    overwrite: bool = False,
    seed: int = 0,
    epochs: Optional[int] = None,
    batch: Optional[int] = None,
    name: Optional[str] = None,
    recipe: Optional[GlobalNetworkRecipe] = None,
    members: int = GLOBAL_MEMBERS,
    local_model: str = "truth",
    report: Any = None,
) -> Path:
    """Train, calibrate, measure and save a default global model: what ``cryoresdl train cnn`` runs without --paper.

    The inputs come from the shipped ``truth`` model; their table is kept in ``out`` so that a killed run resumes.

    Args:
        data: feature set(s) or sets of whole maps.
        out: folder for the model, its card and history.
        resume: take the tables that an earlier run left, and its model if that is complete and of the same training.
        overwrite: replace an earlier model in ``out``.
        seed: of weights and order.
        epochs: passes over the maps; None takes the recipe's.
        batch: maps per step; None takes the recipe's.
        name: of the model; None takes the name of the folder ``out``.
        recipe: all hyper-parameters; seed, epochs and batch then do not count. None takes the usual ones.
        members: networks whose distributions are averaged.
        local_model: name or file of the local model whose answers the network reads.
        report: called with progress lines.

    Returns:
        path of the model file.
    """
    from ..base import progress
    from ..base.runs import output_folder
    from ..networks import network_runners
    from . import profile_table

    out = Path(out)
    report = report or progress.note
    others = (HISTORY, CARD, CURVES_FIGURE, OUTCOME_TXT)
    output_folder.prepare_out(out, [MODEL], overwrite, resume, command="train", may_remain=others)
    read = network_runners.load_model(local_model, "local")
    stored = {split: out / f"table-{split}.npz" for split in SPLITS}
    tables = [profile_table.cached_table(stored[s], data, s, read, resume, report) for s in SPLITS]
    if recipe is None:
        recipe = GlobalNetworkRecipe(seed=seed)
        recipe = replace(recipe, epochs=epochs or recipe.epochs, batch=batch or recipe.batch)
    path, name = out / MODEL, name or _run_name(out, "default")
    facts = _training_facts(recipe, read)
    if resume and _is_complete(path, name, facts, members, stored.values()):
        report(f"{path} is complete: this run has nothing left to do; --overwrite trains anew")
        return path
    begun = time.monotonic()
    model = train_members(tables[0], tables[1], recipe, report, out / HISTORY, members)
    per_epoch = (time.monotonic() - begun) / (members * recipe.epochs)
    card = save_global(model, tables[1], tables[2], path, name, recipe, data, read)
    _leave_card(out, card)
    leave_outcome(out, _outcome(card, per_epoch, members * recipe.epochs), report)
    return path


def _outcome(card: Dict[str, Any], per_epoch: float, epochs: int) -> TrainingOutcome:
    """What came out, by the card."""
    found = card["metrics"]["all"]
    wrong, always = (100 * (1 - found[key]) for key in ("accuracy", "majority_baseline"))
    off, constant = (100 * found[key] for key in ("median_relative_error", "constant_relative_error"))
    errors = [
        ErrorOnTest("maps in a wrong class", wrong, always, "%"),
        ErrorOnTest("typical error of the resolution", off, constant, "%"),
    ]
    return TrainingOutcome(card["name"], card["data"]["maps"], errors, per_epoch, epochs)


def _training_facts(recipe: GlobalNetworkRecipe, local_model: Any) -> Dict[str, Any]:
    """What a card says of a training: the hyper-parameters, and the local model that was read."""
    known = {"name": local_model.card["name"], "digest": model_store.digest(local_model)}
    return {**asdict(recipe), "local_model": known}


def _is_complete(path: Path, name: str, facts: Dict[str, Any], members: int, tables: Iterable[Path]) -> bool:
    """Whether a model is there that this training would make again: of this recipe, and newer than its tables."""
    if not path.exists() or not (path.parent / CARD).exists():
        return False
    if path.stat().st_mtime_ns < max(one.stat().st_mtime_ns for one in tables):
        return False
    card = model_store.read_card(path)
    same = card["name"] == name and card["training"] == json.loads(json.dumps(facts))
    return bool(same and card["network"]["config"].get("members", 1) == members)


@dataclass
class Ensemble:
    """A trained global network: its card's entry and its arrays by name."""

    network: Dict[str, Any]
    weights: Dict[str, np.ndarray]

    @classmethod
    def of(cls, model: Any) -> Ensemble:
        """Of a model file as ``model_store.load_named`` gives it."""
        return cls(model.card["network"], model.weights)


class _EpochLog:
    """Writes the losses of every epoch into the history, and says how far the members are.

    Args:
        epochs: of one member.
        members: how many there are.
        report: called with one line.
        path: of the history, or None.
    """

    def __init__(self, epochs: int, members: int, report: Any, path: Optional[PathLike]) -> None:
        self.epochs, self.members, self.report = epochs, members, report
        self.path = None if path is None else Path(path)
        self.done, self.begun = 0, time.monotonic()
        if self.path is not None:
            remove_result(self.path)

    def log(self, epoch: int, logs: Dict[str, float]) -> None:
        """After an epoch, counted from 0, of the member in training."""
        self.done += 1
        if self.path is not None:
            _append_history(self.path, {"epoch": epoch, **{key: logs[key] for key in sorted(logs)}})
        member = f"network {(self.done - 1) // self.epochs + 1}/{self.members}  " if self.members > 1 else ""
        off = 100 * (2 ** logs["val_log2_error"] - 1)
        figures = {
            "loss": f"{logs['loss']:.4f}",
            "validation loss": f"{logs['val_loss']:.4f}",
            "validation error": f"{off:.1f} %",
        }
        pace = (time.monotonic() - self.begun) / self.done
        left = pace * (self.epochs * self.members - self.done)
        self.report(epoch_line(f"{member}epoch {epoch + 1}/{self.epochs}", figures, pace, left))


def train_members(
    train: ProfileTable,
    check: ProfileTable,
    recipe: GlobalNetworkRecipe,
    report: Any = print,
    history_path: Optional[PathLike] = None,
    members: int = GLOBAL_MEMBERS,
) -> Ensemble:
    """Fit the members, each with its own seed.

    Their distributions are averaged, not their logits: the ranked probability score leaves the logits of far bins
    free (docs/explanation/lab-notes.md).

    Raises:
        InputError: no member asked for.
    """
    if members < 1:
        raise InputError("A global model needs at least one member.")
    network = band_networks.global_network(train.profile.shape[1], recipe.widths, members, train.criteria())
    arrays: Dict[str, np.ndarray] = {}
    told = _EpochLog(recipe.epochs, members, report, history_path)
    for number, prefix in enumerate(band_networks.member_prefixes(network["config"])):
        weights = fit_global(train, check, replace(recipe, seed=recipe.seed + number), told.log)
        shared = {name: weights.pop(name) for name in ("input/mean", "input/scale")}
        arrays.update({prefix + name: value for name, value in weights.items()}, **shared)
    return Ensemble(network, arrays)


def fit_global(
    train: ProfileTable,
    check: ProfileTable,
    recipe: GlobalNetworkRecipe,
    log: Any,
) -> Dict[str, np.ndarray]:
    """Fit one global network; returns named weights with the input's mean and scale.

    Args:
        train: rows to learn from.
        check: rows whose loss is reported.
        recipe: hyper-parameters.
        log: called after every epoch with its number from 0 and its losses.
    """
    tf, keras = import_tensorflow()
    keras.utils.set_random_seed(recipe.seed)
    mean, scale = train.profile.mean(0), train.profile.std(0) + 1e-3
    model = band_networks.keras_global_network(
        band_networks.global_network(train.profile.shape[1], recipe.widths, criteria=train.criteria()),
        keras,
        recipe.dropout,
    )

    def scaled(rows: np.ndarray) -> np.ndarray:
        return network_runners.scaled_profile({"input/mean": mean, "input/scale": scale}, rows)

    def loss(truth: Any, logits: Any) -> Any:
        return _loss_of_criteria(tf, logits, truth, recipe.angstrom_weight)

    noisy = _with_noise(keras, model, recipe.noise)
    steps = recipe.epochs * -(-len(train.profile) // recipe.batch)
    warm = min(200, steps // 4)
    rate = keras.optimizers.schedules.CosineDecay(
        recipe.rate / 100, max(1, steps - warm), warmup_target=recipe.rate, warmup_steps=warm
    )

    def log2_error(truth: Any, logits: Any) -> Any:
        return _error_of_first(tf, logits, truth)

    noisy.compile(keras.optimizers.AdamW(rate, weight_decay=recipe.decay), loss, metrics=[log2_error])
    noisy.fit(
        scaled(train.profile),
        _targets(train, train.criteria()),
        validation_data=(scaled(check.profile), _targets(check, train.criteria())),
        epochs=recipe.epochs,
        batch_size=recipe.batch,
        verbose=0,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=log)],
    )
    weights = band_networks.weights_of(model)
    scaling = {"input/mean": mean.astype(np.float32), "input/scale": scale.astype(np.float32)}
    return {**weights, **scaling}


def _targets(table: ProfileTable, criteria: Sequence[str]) -> np.ndarray:
    """Voxel size in A and log2 of the resolution in voxels by each criterion, (n, 1 + criteria); NaN where not known."""
    columns = [table.voxel_size, table.log2_voxels]
    if len(criteria) > 1:
        unknown = np.full(len(table.profile), np.nan, np.float32)
        columns.append(unknown if table.at_half is None else table.at_half[:, 0])
    return np.stack(columns, 1).astype(np.float32)


def _loss_of_criteria(tf: Any, logits: Any, truth: Any, angstrom_weight: float) -> Any:
    """The mean score of each row over the criteria by which its resolution is known; ``truth`` is of :func:`_targets`."""
    total, count = 0.0, 0.0
    for number in range(truth.shape[1] - 1):
        own = logits[:, number * N_BINS : (number + 1) * N_BINS]
        known = tf.math.is_finite(truth[:, 1 + number])
        values = tf.where(known, truth[:, 1 + number], tf.ones_like(truth[:, 0]))
        share = tf.cast(known, tf.float32)
        total += share * _loss_of(tf, own, values, truth[:, 0], angstrom_weight)
        count += share
    return total / tf.maximum(count, 1.0)


def _error_of_first(tf: Any, logits: Any, truth: Any) -> Any:
    """Mean absolute error in log2 by the first criterion; ``truth`` is of :func:`_targets`."""
    known = tf.math.is_finite(truth[:, 1])
    off = tf.abs(_median_of(tf, logits[:, :N_BINS]) - tf.where(known, truth[:, 1], 0.0))
    share = tf.cast(known, tf.float32)
    return tf.reduce_sum(share * off) / tf.maximum(tf.reduce_sum(share), 1.0)


def _with_noise(keras: Any, model: Any, noise: float) -> Any:
    """The model behind noise on its inputs, except what half maps measure: that is exact, and blurring it costs a class."""
    size = model.input_shape[-1]
    blurred = np.ones(size, np.float32)
    blurred[network_inputs.MEASURED_INPUTS] = 0.0
    blurred[-1] = 0.0
    rows = keras.Input((size,), dtype="float32")
    added = keras.layers.GaussianNoise(noise, dtype="float32")(rows) - rows
    return keras.Model(rows, model(rows + added * blurred))


def save_global(
    model: Ensemble,
    check: ProfileTable,
    test: ProfileTable,
    path: PathLike,
    name: str,
    recipe: GlobalNetworkRecipe,
    data: Any,
    local_model: Any,
) -> Dict[str, Any]:
    """Calibrate on the validation rows, measure on the test rows, write the model file; returns the card."""
    calibration: Dict[str, Any] = dict(calibrate_global(model, check))
    metrics: Dict[str, Any] = {"split": _kept_apart(test, data)}
    for criterion in band_networks.criteria_of(model.network["config"]):
        rows = test.by(criterion)
        by_kind = {
            kind: rows.rows(np.asarray([k == kind for k in rows.kind])) for kind in sorted(set(rows.kind))
        }
        measured = {
            kind: measure_global(model, chosen, calibration, criterion)
            for kind, chosen in {"all": rows, **by_kind}.items()
        }
        metrics.update(measured if criterion == CRITERIA[0] else {f"by FSC {criterion}": measured})
    three = calibrated(model, test, calibration).probabilities
    calibration["reliability"] = reliability(three / three.sum(1, keepdims=True), true_classes(test))
    card = {
        "kind": "global",
        "name": name,
        "network": model.network,
        "data": {"sets": [Path(p).name for p in _as_list(data)], **_set_facts(data)},
        "training": _training_facts(recipe, local_model),
        "metrics": metrics,
        "calibration": calibration,
    }
    halved = {k: v.astype(np.float16) if k.endswith("kernel") else v for k, v in model.weights.items()}
    model_archive.save_model(path, card, halved)
    return card
