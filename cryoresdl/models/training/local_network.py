"""Training of the default local network on feature sets: loss, batches, checkpoints, calibration.

Loss: the continuous ranked probability score of the predicted distribution, in log2(resolution) and in angstroms. It is
ordinal (a near miss costs little, a far one much) and proper (honest spreads score best).
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from ..base import progress
from ..base.errors import InputError
from ..base.runs.array_cache import part_of
from ..base.runs.atomic_files import PathLike, remove_result
from ..datasets.feature_sets.feature_set_file import (
    KNOWN,
    TRUTH,
    EmptySplitError,
    FeatureItem,
    _as_list,
    _set_facts,
    agreed_labels,
    fresh_sets,
    kept_apart,
    load_split,
)
from ..inference.bands import map_corrections
from ..networks import band_networks
from ..networks.model_files.model_archive import MODEL_SUFFIX
from ..networks.tensorflow_import import import_tensorflow
from .crop_batches import LocalNetworkRecipe, crop_dataset
from .held_out_answers import inference_model, validate_local
from .probability_score import _loss
from .run_files import (
    CARD,
    CHECKPOINT,
    CURVES_FIGURE,
    HISTORY,
    MODEL,
    _leave_card,
    _run_name,
    identity_of,
    load_checkpoint,
    save_checkpoint,
    write_history,
)

VALIDATION_MAPS = 30
"""Maps of each feature set that a training is watched on."""


def fit_local(
    data: Any,
    out: PathLike,
    recipe: Optional[LocalNetworkRecipe] = None,
    resume: bool = False,
    start: Optional[Dict[str, np.ndarray]] = None,
    report: Any = print,
    validate_every: int = 500,
    labels: str = "",
) -> Dict[str, np.ndarray]:
    """Train the local network; checkpoint and history in ``out``.

    Args:
        data: feature set(s).
        out: folder for ``checkpoint.npz`` and ``history.csv``.
        recipe: hyper-parameters.
        resume: go on from the checkpoint when there is one.
        start: named weights to begin with (fine-tuning).
        report: called with one line of progress.
        validate_every: steps between validations on whole maps; the best validation error is kept.
        labels: what the sets' labels are, which a run keeps when it is resumed; empty where nobody knows.

    Returns:
        the best weights by name.
    """
    recipe = recipe or LocalNetworkRecipe()
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    train_items, check_items = load_split(data, "train"), load_split(data, "validation", VALIDATION_MAPS)
    if any(item.info.get("kind") == KNOWN for item in [*train_items, *check_items]):
        raise InputError(
            "The training set knows one resolution per map only; train 'cnn' on it, or give local-resolution volumes."
        )
    run = _LocalFit(out, recipe, identity_of(recipe, data, labels, start), check_items, report)
    run.build(start)
    if resume:
        run.restore()
    while run.number < recipe.steps:
        run.advance(train_items, min(validate_every - run.number % validate_every, recipe.steps - run.number))
    if not run.best:
        raise InputError(
            "The validation error is not a finite number; lower the learning rate and start again."
        )
    return run.best


class _LocalFit:
    """One training of the local network: the model, how far it is, and what it leaves in its folder."""

    def __init__(
        self,
        out: Path,
        recipe: LocalNetworkRecipe,
        identity: Dict[str, Any],
        check_items: List[FeatureItem],
        report: Any,
    ) -> None:
        self.out, self.recipe, self.identity = out, recipe, identity
        self.check_items, self.report = check_items, report
        self.number, self.score = 0, float("inf")
        self.best: Dict[str, np.ndarray] = {}
        self.rows: List[Dict[str, Any]] = []
        self.first, self.begun = 0, time.monotonic()
        self.model: Any = None
        self.keras: Any = None

    def build(self, start: Optional[Dict[str, np.ndarray]]) -> None:
        """The network, its optimizer and its loss."""
        tf, keras = import_tensorflow()
        self.keras, recipe = keras, self.recipe
        keras.utils.set_random_seed(recipe.seed)
        self.model = band_networks.keras_local_network(
            band_networks.local_network(recipe.channels),
            keras,
            policy="mixed_bfloat16" if recipe.bfloat16 else "float32",
        )
        if start is not None:
            band_networks.set_weights(self.model, start)

        def loss(known: Any, logits: Any) -> Any:
            return _loss(tf, logits, known[..., 0], known[:, 0, 0, 0, 1], recipe.angstrom_weight)[0]

        def log2_error(known: Any, logits: Any) -> Any:
            return _loss(tf, logits, known[..., 0], known[:, 0, 0, 0, 1], recipe.angstrom_weight)[1]

        warm = min(WARM_UP, recipe.steps // 2)
        rate = keras.optimizers.schedules.CosineDecay(
            recipe.rate / 100, max(1, recipe.steps - warm), 0.02, warmup_target=recipe.rate, warmup_steps=warm
        )
        optimizer = keras.optimizers.Adam(rate, beta_2=0.995, global_clipnorm=1.0)
        self.model.compile(optimizer, loss, metrics=[log2_error])
        optimizer.build(self.model.trainable_variables)

    def restore(self) -> None:
        """Go on from the checkpoint when there is one."""
        path = self.out / CHECKPOINT
        if not path.exists():
            return
        facts, arrays = load_checkpoint(path, self.identity)
        for name, variable in self._variables().items():
            variable.assign(arrays.pop(name))
        self.best = part_of(arrays, _BEST)
        self.number = self.first = facts["step"]
        self.score, self.rows = facts["score"], facts["history"]
        write_history(self.out / HISTORY, self.rows)  # without what a killed run wrote after its checkpoint
        self.report(f"resumed at step {self.number}")

    def _variables(self) -> Dict[str, Any]:
        """Weights and the optimizer's variables, by their names in a checkpoint."""
        groups = {"weights": self.model.trainable_variables, "optimizer": self.model.optimizer.variables}
        return {f"{group}/{k}": one for group, several in groups.items() for k, one in enumerate(several)}

    def _keep(self) -> None:
        """Write history and checkpoint."""
        write_history(self.out / HISTORY, self.rows)
        arrays = {name: np.asarray(variable) for name, variable in self._variables().items()}
        arrays.update({_BEST + name: value for name, value in self.best.items()})
        facts = {"step": self.number, "score": self.score, "history": self.rows}
        save_checkpoint(self.out / CHECKPOINT, self.identity, facts, arrays)

    def advance(self, items: List[FeatureItem], steps: int) -> None:
        """Train for some steps, validate, and keep what is best and where the run is."""
        batches = crop_dataset(self.keras, items, self.recipe, self.number, steps)
        trained = self.model.fit(batches, epochs=1, verbose=0, shuffle=False).history
        self.number += steps
        checks = validate_local(self.model, self.check_items)
        row = {
            "step": self.number,
            "loss": round(trained["loss"][0], 5),
            "log2_error": round(trained["log2_error"][0], 5),
            **{k: round(v, 5) for k, v in checks.items()},
            "rate": round(float(self.model.optimizer.learning_rate), 7),
            "seconds": round(time.monotonic() - self.begun, 1),
        }
        self.rows.append(row)
        per_step = (time.monotonic() - self.begun) / (self.number - self.first)
        left = progress.duration((self.recipe.steps - self.number) * per_step)
        self.report(f"{json.dumps(row)} ETA {left}")
        score = selection_score(checks)
        if score < self.score:
            self.score, self.best = score, band_networks.weights_of(self.model)
        self._keep()


_BEST = "best/"
WARM_UP = 300
"""Steps in which the learning rate rises."""


def selection_score(checks: Dict[str, float]) -> float:
    """What the best weights have least of: the error in octaves from one map, and half of that from half maps.

    Relative errors: in angstroms a few maps of 20 A and more would choose the weights.
    """
    return checks["val_single_log2"] + 0.5 * checks.get("val_halves_log2", 0.0)


def save_local(
    weights: Dict[str, np.ndarray],
    data: Any,
    path: PathLike,
    name: str,
    recipe: LocalNetworkRecipe,
    training: Dict[str, Any],
    limit: Optional[int] = None,
) -> Dict[str, Any]:
    """Calibrate on the validation split, measure on the test split, and write the model file.

    Args:
        weights: of the trained network.
        data: feature set(s) with validation and test splits.
        path: model file to write.
        name: model name.
        recipe: of the training, for the card.
        training: further facts for the card (labels, seconds, maps).
        limit: at most so many validation and test maps of each set.

    Returns:
        the card.
    """
    from ..networks.model_files import model_archive

    known, metrics = _held_out(inference_model(weights, recipe.channels), data, limit)
    card = {
        "kind": "local",
        "name": name,
        "network": band_networks.local_network(recipe.channels),
        "data": {"sets": [Path(p).name for p in _as_list(data)], **_set_facts(data)},
        "training": {**asdict(recipe), **training},
        "calibration": known.calibration,
        "metrics": metrics,
    }
    model_archive.save_model(path, card, {k: v.astype(np.float16) for k, v in weights.items()})
    return card


def _held_out(
    model: Any, data: Any, limit: Optional[int] = None, **how: Any
) -> Tuple[map_corrections.Corrections, Dict[str, Any]]:
    """What rests on held-out maps: corrections (validation split) and a card's ``metrics`` (test split).

    Args:
        model: the network.
        data: feature set(s).
        limit: at most so many validation and test maps of each set.
        **how: of ``correction_training.calibrate``.
    """
    from .calibration import correction_networks

    known = correction_networks.calibrate_corrections(model, data, limit, **how)
    try:
        items = load_split(data, "test", limit)
    except EmptySplitError:
        return known, {"note": "the data set has no test split"}
    metrics: Dict[str, Any] = {"split": kept_apart(item.info.get("kind", "") for item in items)}
    metrics.update(_json_figures(validate_local(model, items, known)))
    metrics["maps"] = len(items)
    return known, metrics


def calibrate_again(data: Any, start: str, out: PathLike, overwrite: bool = False) -> Path:
    """A trained local model with its answers corrected and calibrated on other maps; its network stays.

    Args:
        data: feature set(s) with a validation and a test split. Training splits of sets that the model did not learn
            from are for the networks that correct every map by its profile (``correction_training.calibrate``).
        start: name or file of the model.
        out: folder for ``model.cryoresdl``.
        overwrite: replace an earlier model in ``out``.

    Returns:
        path of the model file.

    Raises:
        InputError: another kind of model, or a set without a validation split.
    """
    from ..base.runs import output_folder
    from ..networks.model_files import model_archive

    model = _local_start(start)
    output_folder.prepare_out(Path(out), [MODEL], overwrite, command="train", may_remain=[CARD])
    network = inference_model(model.weights, model.card["network"]["config"]["channels"])
    known, metrics = _held_out(
        network, data, fresh=fresh_sets(data, model.card), before=map_corrections.Corrections.of(model)
    )
    before = model.card.get("calibration", {})
    kept = {k: before[k] for k in ("spread", "spread_knots", "spread_factors") if k in before}
    calibration = {
        **known.calibration,
        map_corrections.PROFILE: before.get(map_corrections.PROFILE, kept),
        "data": {"sets": [Path(p).name for p in _as_list(data)], **_set_facts(data)},
    }
    path = Path(out) / ("model" + MODEL_SUFFIX)
    weights = {k: v for k, v in model.weights.items() if not k.startswith(map_corrections.WEIGHTS + "/")}
    arrays = {f"{map_corrections.WEIGHTS}/{k}": v.astype(np.float16) for k, v in known.arrays.items()}
    card = {**model.card, "calibration": calibration, "metrics": metrics}
    model_archive.save_model(path, card, {**weights, **arrays})
    _leave_card(Path(out), card)
    return path


def _local_start(start: str) -> Any:
    """The default local model of that name or file, to go on from."""
    from ..networks.model_files import model_store

    model = model_store.load_named(start)
    if model.card["network"]["name"] != band_networks.LOCAL_NETWORK:
        raise InputError(f"{start} is no default local model; start from one, or from 'none'.")
    band_networks.check_features(model.card, start)
    return model


def _json_figures(figures: Dict[str, float]) -> Dict[str, Optional[float]]:
    """Rounded figures; None for what is undefined (the rank correlation of constant labels)."""
    return {k.replace("val_", ""): round(float(v), 4) if np.isfinite(v) else None for k, v in figures.items()}


CROPS_PER_MAP = 6
"""Crops of every map in what ``--epochs`` counts as one epoch."""


def _prepare(out: Path, resume: bool, overwrite: bool) -> None:
    """Make and lock the run's folder; ``overwrite`` removes what an earlier run would go on from."""
    from ..base.runs import output_folder

    kept = (CHECKPOINT, HISTORY)
    output_folder.prepare_out(
        out, [MODEL], overwrite, resume, command="train", may_remain=(*kept, CARD, CURVES_FIGURE)
    )
    if overwrite and not resume:
        for stale in kept:
            remove_result(out / stale)


def train_local(
    data: Any,
    out: PathLike,
    labels: Optional[str] = None,
    resume: bool = False,
    overwrite: bool = False,
    seed: int = 0,
    epochs: Optional[int] = None,
    batch: Optional[int] = None,
    name: Optional[str] = None,
    start: Optional[str] = None,
    recipe: Optional[LocalNetworkRecipe] = None,
    report: Any = None,
) -> Path:
    """Train, calibrate, measure and save a default local model: what ``cryoresdl train unet`` runs.

    Args:
        data: feature set(s) made by ``cryoresdl dataset features``.
        out: folder for ``model.cryoresdl``, ``card.json``, ``history.csv``, its figure and the checkpoint.
        labels: what the set's labels are, None to take what it says; for "monores" and "resmap" training starts from
            the shipped ``truth`` model, because their maps are few.
        resume: go on from the checkpoint.
        overwrite: replace an earlier model in ``out``.
        seed: of batches and weights.
        epochs: passes over the maps; None takes 6,000 steps (from a trained model 3,000 for "truth", 600 for others).
        batch: crops per step.
        name: of the model; None takes the name of the folder ``out``.
        start: model to start from; "none" starts from scratch.
        recipe: all hyper-parameters; seed, epochs and batch then do not count. None takes the usual ones.
        report: called with progress lines.

    Returns:
        path of the model file.

    Raises:
        InputError: labels that the sets contradict or do not agree on, or a run begun on others.
    """
    out = Path(out)
    report = report or progress.note
    labels = agreed_labels(data, labels)
    _prepare(out, resume, overwrite)
    if start is None:
        start = "none" if labels == TRUTH else "truth"
    first = None if start == "none" else _local_start(start)
    weights = None if first is None else dict(first.weights)
    if recipe is None:
        recipe = _usual_recipe(data, labels, first, seed, epochs, batch)
    begun, every = time.monotonic(), min(200, max(1, recipe.steps // 10))
    fitted = fit_local(data, out, recipe, resume, weights, report, every, labels)
    facts = {"labels": labels, "start": start, "seconds": round(time.monotonic() - begun)}
    path = out / ("model" + MODEL_SUFFIX)
    _leave_card(out, save_local(fitted, data, path, name or _run_name(out, labels), recipe, facts))
    return path


def _usual_recipe(
    data: Any, labels: str, first: Any, seed: int, epochs: Optional[int], batch: Optional[int]
) -> LocalNetworkRecipe:
    """The hyper-parameters of ``cryoresdl train unet``: fewer steps from a trained model, fewest for a user's maps."""
    recipe = LocalNetworkRecipe(seed=seed, batch=batch or LocalNetworkRecipe.batch)
    if first is not None:
        channels = tuple(first.card["network"]["config"]["channels"])
        recipe = replace(recipe, channels=channels, rate=4e-4, steps=3000)
        if labels != TRUTH:
            recipe = replace(recipe, rate=2e-4, steps=600, halves_share=0.0)
    if epochs:
        maps_there = _set_facts(data)["maps"].get("train", 0)
        recipe = replace(recipe, steps=max(1, epochs * maps_there * CROPS_PER_MAP // recipe.batch))
    return recipe
