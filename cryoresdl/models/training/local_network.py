"""Training of the default local network on feature sets: fitting, calibration, measuring, the model file."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

import numpy as np

from ..base import progress
from ..base.errors import InputError
from ..base.runs.atomic_files import PathLike, remove_result
from ..datasets.feature_sets.feature_set_file import (
    TRUTH,
    VARIANTS,
    EmptySplitError,
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
from ..results.results_folder import OUTCOME_TXT
from .crop_batches import LocalNetworkRecipe
from .held_out_answers import constant_errors, inference_model, validate_local
from .local_fit import epoch_steps, fit_local
from .run_files import (
    CARD,
    CHECKPOINT,
    CURVES_FIGURE,
    HISTORY,
    MODEL,
    _leave_card,
    _run_name,
    read_history,
)
from .training_report import ErrorOnTest, TrainingOutcome, leave_outcome


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
    metrics.update(_json_figures(constant_errors(items)))
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


def _prepare(out: Path, resume: bool, overwrite: bool) -> None:
    """Make and lock the run's folder; ``overwrite`` removes what an earlier run would go on from."""
    from ..base.runs import output_folder

    kept = (CHECKPOINT, HISTORY)
    output_folder.prepare_out(
        out, [MODEL], overwrite, resume, command="train", may_remain=(*kept, CARD, CURVES_FIGURE, OUTCOME_TXT)
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
        out: folder for ``model.cryoresdl``, ``card.json``, ``history.csv``, its figure, ``training.txt`` and the
            checkpoint.
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
    per_epoch = epoch_steps(_set_facts(data)["maps"].get("train", 0), recipe.batch)
    every = min(200, max(1, recipe.steps // 10))
    begun = time.monotonic()
    fitted = fit_local(
        data,
        out,
        recipe,
        resume,
        weights,
        report,
        _whole_epochs(every, per_epoch) if epochs else every,
        labels,
    )
    facts = {"labels": labels, "start": start, "seconds": round(time.monotonic() - begun)}
    path = out / ("model" + MODEL_SUFFIX)
    card = save_local(fitted, data, path, name or _run_name(out, labels), recipe, facts)
    _leave_card(out, card)
    leave_outcome(out, _outcome(card, out, recipe.steps, per_epoch), report)
    return path


def _whole_epochs(every: int, per_epoch: float) -> int:
    """Steps between validations, near ``every``, that make whole epochs or an even part of one."""
    if per_epoch <= every:
        return max(1, round(round(every / per_epoch) * per_epoch))
    return max(1, round(per_epoch / round(per_epoch / every)))


def _outcome(card: Dict[str, Any], out: Path, steps: int, per_epoch: float) -> TrainingOutcome:
    """What came out, by the card and the history of the run."""
    metrics, errors = card["metrics"], []
    for variant, where in zip(VARIANTS, ("one map", "half maps")):
        if metrics.get(f"{variant}_mae_A") is not None:
            values = (metrics[f"{variant}_mae_A"], metrics[f"{variant}_constant_mae_A"])
            errors.append(ErrorOnTest(f"mean error, {where}", *values, "A"))
    known = read_history(out / HISTORY, ("step", "seconds"))
    pace = np.diff(known["seconds"], prepend=0.0) / np.diff(known["step"], prepend=0.0)
    seconds = float(np.median(pace[pace > 0])) * per_epoch if (pace > 0).any() else None
    return TrainingOutcome(card["name"], card["data"]["maps"], errors, seconds, steps / per_epoch)


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
        recipe = replace(recipe, steps=max(1, int(epochs * epoch_steps(maps_there, recipe.batch))))
    return recipe
