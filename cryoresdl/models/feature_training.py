"""Training of the default local network on feature sets: loss, batches, checkpoints, calibration.

Loss: the continuous ranked probability score of the predicted distribution, in log2(resolution) and in angstroms. It is
ordinal (a near miss costs little, a far one much) and proper (honest spreads score best).
"""

from __future__ import annotations

import csv
import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from . import corrections
from . import feature_networks as fn
from .constants import MODEL_SUFFIX
from .errors import InputError
from .feature_sets import (
    KNOWN,
    TRUTH,
    EmptySplitError,
    Item,
    drawn_from_structures,
    kept_apart,
    labels_in,
    read_items,
)
from .files import PathLike, atomic_path
from .machine import quiet_stderr

VALIDATION_MAPS = 30
"""Maps of each feature set that a training is watched on."""


@dataclass
class LocalRecipe:
    """Hyper-parameters of one local training.

    Attributes:
        channels: filters per level.
        crop: edge of a training crop in cells.
        batch: crops per step.
        steps: optimiser steps in all; the rate falls along a cosine.
        rate: peak learning rate of Adam.
        halves_share: share of crops whose features come from half maps.
        angstrom_weight: weight of the score in angstroms beside the one in log2.
        seed: of batches and initial weights.
        bfloat16: mixed precision.
    """

    channels: Tuple[int, ...] = (32, 64, 128)
    crop: int = 24
    batch: int = 8
    steps: int = 6000
    rate: float = 8e-4
    halves_share: float = 0.3
    angstrom_weight: float = 0.3
    seed: int = 0
    bfloat16: bool = True


def draw_crop(item: Item, variant: str, size: int, rng: np.random.Generator) -> Tuple[np.ndarray, ...]:
    """A random crop around a masked cell, randomly mirrored and turned: (features, truth, summary, voxel size)."""
    local, truth = item.local[variant], item.truth
    used = np.flatnonzero(truth)
    centre = np.unravel_index(int(used[rng.integers(used.size)]), truth.shape)
    window, pads = [], []
    for c, n in zip(centre, truth.shape):
        start = int(
            np.clip(c - rng.integers(size // 4, 3 * size // 4 + 1), min(0, n - size), max(0, n - size))
        )
        low, high = max(start, 0), min(start + size, n)
        window.append(slice(low, high))
        pads.append((low - start, size - (high - low) - (low - start)))
    x = np.pad(local[(slice(None),) + tuple(window)].astype(np.float32), [(0, 0)] + pads)
    t = np.pad(truth[tuple(window)], pads)
    order = rng.permutation(3)
    x, t = x.transpose([0] + [int(a) + 1 for a in order]), t.transpose(order)
    for axis in range(3):
        if rng.random() < 0.5:
            x, t = np.flip(x, axis + 1), np.flip(t, axis)
    return np.moveaxis(x, 0, -1), t, item.summary[variant], item.info["voxel_size_A"]


def batches(
    items: Sequence[Item], recipe: LocalRecipe, first_step: int = 0
) -> Iterator[Tuple[np.ndarray, ...]]:
    """Endless training batches; step ``k`` is the same whether or not the run was resumed before it."""
    step = first_step
    while True:
        rng = np.random.default_rng((recipe.seed, step))
        parts = []
        for _ in range(recipe.batch):
            item = items[int(rng.integers(len(items)))]
            variant = "halves" if rng.random() < recipe.halves_share else "single"
            parts.append(draw_crop(item, variant, recipe.crop, rng))
        x, t, s, v = (np.stack([p[k] for p in parts]) for k in range(4))
        yield np.ascontiguousarray(x), t.astype(np.float32), s, v.astype(np.float32)
        step += 1


def _loss_of(tf: Any, logits: Any, u: Any, voxel: Any, angstrom_weight: float) -> Any:
    """Ranked probability score of each row: in log2 plus ``angstrom_weight`` times the one in angstroms."""
    edges = tf.constant(fn.bin_edges()[1:-1], tf.float32)
    step = tf.clip_by_value((edges[None] - u[:, None]) / fn.BIN_STEP + 0.5, 0.0, 1.0)
    gap = tf.square(tf.cumsum(tf.nn.softmax(logits), axis=-1)[:, :-1] - step)
    width = tf.constant(np.log(2.0) * fn.BIN_STEP * 2.0 ** fn.bin_edges()[1:-1], tf.float32)
    in_angstrom = tf.reduce_sum(gap * width[None], -1) * voxel
    # Angstroms of very coarse maps are worth less: otherwise a few of them would drive the training.
    in_angstrom /= tf.sqrt(1.0 + tf.square(2.0**u * voxel / 10.0))
    return tf.reduce_sum(gap, -1) * fn.BIN_STEP + angstrom_weight * in_angstrom


def _loss(tf: Any, logits: Any, truth: Any, voxel: Any, weight_a: float) -> Tuple[Any, Any]:
    """Mean score over estimated cells, and the mean absolute error of the median in log2.

    A crop counts by the square root of its cells: by cells alone a few large molecules would drown the small ones,
    while every map counts the same in what is reported.
    """
    chosen = truth > 0
    cells = tf.reduce_sum(tf.cast(chosen, tf.float32), axis=[1, 2, 3])
    per_cell = tf.math.rsqrt(tf.maximum(cells, 1.0))[:, None, None, None]
    weight = tf.boolean_mask(tf.broadcast_to(per_cell, tf.shape(truth)), chosen)
    weight /= tf.reduce_sum(weight)
    size = tf.boolean_mask(tf.broadcast_to(voxel[:, None, None, None], tf.shape(truth)), chosen)
    u = tf.math.log(tf.maximum(tf.boolean_mask(truth, chosen) / size, 1.0)) / np.log(2.0)
    scores = tf.boolean_mask(logits, chosen)
    cumulative = tf.cumsum(tf.nn.softmax(scores), axis=-1)[:, :-1]
    median = fn.BIN_LOW + fn.BIN_STEP * (0.5 + tf.reduce_sum(tf.sigmoid((0.5 - cumulative) * 40.0), -1))
    loss = tf.reduce_sum(weight * _loss_of(tf, scores, u, size, weight_a))
    return loss, tf.reduce_sum(weight * tf.abs(median - u))


def _as_list(data: Any) -> List[PathLike]:
    return list(data) if isinstance(data, (list, tuple)) else [data]


def load_split(data: Any, split: str, limit: Optional[int] = None) -> List[Item]:
    """Items of one split over one or several feature sets, at most ``limit`` of each; a set without it is passed over.

    Raises:
        InputError: one of them is not a feature set.
        EmptySplitError: none has a map of that split.
    """
    items: List[Item] = []
    problems = []
    for path in _as_list(data):
        try:
            items += read_items(path, split, limit)
        except EmptySplitError as error:
            problems.append(error)
    if not items:
        raise problems[0]
    return items


def agreed_labels(data: Any, wanted: Optional[str] = None) -> str:
    """What a network learns from these sets: what their labels are, or what is ``wanted`` where none says.

    Args:
        data: feature set(s).
        wanted: "truth", "monores" or "resmap"; None takes what the sets say, and the truth where they do not.

    Raises:
        InputError: the sets have labels of different kinds, or others than wanted.
    """
    # Sets that know one resolution per map are refused where their maps are read.
    said = {str(path): [name for name in labels_in(path) if name != KNOWN] for path in _as_list(data)}
    for path, names in said.items():
        if wanted and names and names != [wanted]:
            raise InputError(
                f"{path} has {' and '.join(names)} labels, not {wanted}; leave --labels out, or give another --data."
            )
    found = sorted({name for names in said.values() for name in names})
    if len(found) > 1:
        each = "; ".join(f"{path}: {' and '.join(names)}" for path, names in said.items() if names)
        raise InputError(f"The labels of the sets differ ({each}); train on sets of one kind.")
    return wanted or (found[0] if found else TRUTH)


def import_tensorflow() -> Tuple[Any, Any]:
    """TensorFlow and its Keras, or one clear sentence."""
    import os

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with quiet_stderr():
            import keras
            import tensorflow as tf
    except ImportError as error:
        raise InputError(
            f"Training needs TensorFlow ({error}); install it or set CRYORESDL_PYTHON to a python that has it."
        ) from error
    return tf, keras


def fit_local(
    data: Any,
    out: PathLike,
    recipe: Optional[LocalRecipe] = None,
    resume: bool = False,
    start: Optional[Dict[str, np.ndarray]] = None,
    report: Any = print,
    validate_every: int = 500,
    labels: str = "",
) -> Dict[str, np.ndarray]:
    """Train the local network; checkpoint and history in ``out``.

    Args:
        data: feature set(s).
        out: folder for ``checkpoint.npz``, ``best.npz`` and ``history.csv``.
        recipe: hyper-parameters.
        resume: go on from the checkpoint when there is one.
        start: named weights to begin with (fine-tuning).
        report: called with one line of progress.
        validate_every: steps between validations on whole maps; the best validation error is kept.
        labels: what the sets' labels are, which a run keeps when it is resumed; empty where nobody knows.

    Returns:
        the best weights by name.
    """
    recipe = recipe or LocalRecipe()
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    tf, keras = import_tensorflow()
    keras.utils.set_random_seed(recipe.seed)
    keras.mixed_precision.set_global_policy("mixed_bfloat16" if recipe.bfloat16 else "float32")
    network = fn.local_network(recipe.channels)
    model = fn.build_local(network, keras)
    if start is not None:
        fn.set_weights(model, start)
    train_items, check_items = load_split(data, "train"), load_split(data, "validation", VALIDATION_MAPS)
    if any(item.info.get("kind") == KNOWN for item in [*train_items, *check_items]):
        raise InputError(
            "The training set knows one resolution per map only; train 'cnn' on it, or give local-resolution volumes."
        )
    variables = model.trainable_variables
    moments = [[tf.Variable(tf.zeros(v.shape)) for v in variables] for _ in range(2)]
    first, best = 0, float("inf")
    checkpoint = out / "checkpoint.npz"
    if resume and checkpoint.exists():
        first, best = _restore(checkpoint, model, moments, _sets(data), labels)
        _cut_history(out / "history.csv", first)
        report(f"resumed at step {first}")

    @tf.function(reduce_retracing=True)
    def step(x: Any, t: Any, s: Any, v: Any, rate: Any, number: Any) -> Any:
        with tf.GradientTape() as tape:
            loss, error = _loss(tf, model([x, s], training=True), t, v, recipe.angstrom_weight)
        grads = tape.gradient(loss, variables)
        grads, _ = tf.clip_by_global_norm([tf.cast(g, tf.float32) for g in grads], 1.0)
        for variable, gradient, m1, m2 in zip(variables, grads, moments[0], moments[1]):
            m1.assign(0.9 * m1 + 0.1 * gradient)
            m2.assign(0.995 * m2 + 0.005 * gradient * gradient)
            change = (m1 / (1 - 0.9**number)) / (tf.sqrt(m2 / (1 - 0.995**number)) + 1e-7)
            variable.assign_sub(rate * tf.cast(change, variable.dtype))
        return loss, error

    stream = _prefetch(batches(train_items, recipe, first))
    begun, losses, errors = time.time(), [], []
    for number in range(first + 1, recipe.steps + 1):
        warm = min(1.0, number / 300)
        rate = recipe.rate * warm * (0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * number / recipe.steps)))
        x, t, s, v = next(stream)
        loss, error = step(x, t, s, v, tf.constant(rate, tf.float32), tf.constant(float(number), tf.float32))
        losses.append(float(loss))
        errors.append(float(error))
        if number % validate_every == 0 or number == recipe.steps:
            checks = validate_local(model, check_items)
            row = {
                "step": number,
                "loss": round(float(np.mean(losses)), 5),
                "log2_error": round(float(np.mean(errors)), 5),
                **{k: round(v, 5) for k, v in checks.items()},
                "rate": round(float(rate), 7),
                "seconds": round(time.time() - begun, 1),
            }
            _append_history(out / "history.csv", row)
            per_step = (time.time() - begun) / (number - first)
            report(f"{json.dumps(row)} ETA {(recipe.steps - number) * per_step / 60:.0f} min")
            losses, errors = [], []
            # Relative errors: in angstroms a few maps of 20 A and more would choose the weights.
            score = checks["val_single_log2"] + 0.5 * checks["val_halves_log2"]
            if score < best:
                best = score
                _save_arrays(out / "best.npz", fn.weights_of(model))
            _checkpoint(checkpoint, model, moments, number, best, _sets(data), labels)
    with np.load(out / "best.npz") as stored:
        return {k: stored[k] for k in stored.files}


def _prefetch(stream: Iterator[Any], depth: int = 4) -> Iterator[Any]:
    """Make batches in a thread while the network runs."""
    import queue
    import threading

    waiting: Any = queue.Queue(depth)

    def fill() -> None:
        for value in stream:
            waiting.put(value)

    threading.Thread(target=fill, daemon=True).start()
    while True:
        yield waiting.get()


def pad_to_four(local: np.ndarray) -> np.ndarray:
    """(channels, z, y, x) -> (1, Z, Y, X, channels) float32 with zeros appended so that each axis divides by 4."""
    pads = [(0, 0)] + [(0, -n % 4) for n in local.shape[1:]]
    return np.moveaxis(np.pad(local.astype(np.float32), pads), 0, -1)[None]


def predict_item(model: Any, item: Item, variant: str) -> np.ndarray:
    """Bin probabilities (cells inside the mask, bins) of one item, float32."""
    x = pad_to_four(item.local[variant])
    logits = np.asarray(model([x, item.summary[variant][None]], training=False), np.float32)[0]
    z, y, w = item.truth.shape
    logits = logits[:z, :y, :w][item.truth > 0]
    e = np.exp(logits - logits.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def validate_local(
    model: Any, items: Sequence[Item], known: Optional[corrections.Corrections] = None
) -> Dict[str, float]:
    """Mean over maps of the MAE (A), Spearman and within-one-class share, per variant.

    Args:
        model: the network.
        items: maps with truth.
        known: corrections of its answers, which a network in training has none of.
    """
    from scipy.stats import spearmanr

    from .resolution import class_of
    from .resolution_bins import quantile

    found: Dict[str, List[float]] = {}
    for item in items:
        truth = item.truth[item.truth > 0]
        for variant in ("single", "halves"):
            voxel = item.info["voxel_size_A"]
            p = predict_item(model, item, variant)
            low, middle, high = (quantile(p, q) for q in (0.16, 0.5, 0.84))
            if known is not None:
                middle = corrections.corrected(
                    known, item.summary[variant], item.rise[variant], middle, (high - low) / 2
                )[0]
            estimate = 2.0**middle * voxel
            found.setdefault(f"val_{variant}_mae_A", []).append(float(np.abs(estimate - truth).mean()))
            varies = min(np.ptp(estimate), np.ptp(truth)) > 0
            rho = float(spearmanr(estimate, truth)[0]) if varies else float("nan")
            found.setdefault(f"val_{variant}_rho", []).append(rho)
            near = np.abs(class_of(estimate).astype(int) - class_of(truth)) <= 1
            found.setdefault(f"val_{variant}_within1", []).append(float(near.mean()))
            found.setdefault(f"val_{variant}_log2", []).append(
                float(np.abs(np.log2(estimate / truth)).mean())
            )
    return {k: float(np.nanmean(v)) for k, v in found.items()}


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
    path.unlink()
    for row in rows:
        _append_history(path, row)


def _append_history(path: Path, row: Dict[str, Any]) -> None:
    new = not path.exists()
    with open(path, "a", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)


def inference_model(weights: Dict[str, np.ndarray], channels: Sequence[int]) -> Any:
    """The local network as users will run it (``backend``), called like the Keras model; float16 weights as shipped."""
    from . import backend

    shipped = {k: v.astype(np.float16) for k, v in weights.items()}
    run, _ = backend.runner(fn.local_network(tuple(channels)), shipped)

    def call(inputs: Sequence[np.ndarray], training: bool = False) -> np.ndarray:
        return run({"x": inputs[0], "summary": inputs[1]})

    return call


def save_local(
    weights: Dict[str, np.ndarray],
    data: Any,
    path: PathLike,
    name: str,
    recipe: LocalRecipe,
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
    from . import model_file

    known, metrics = _held_out(inference_model(weights, recipe.channels), data, limit)
    card = {
        "kind": "local",
        "name": name,
        "network": fn.local_network(recipe.channels),
        "data": {"sets": [Path(p).name for p in _as_list(data)], **_set_facts(data)},
        "training": {**asdict(recipe), **training},
        "calibration": known.calibration,
        "metrics": metrics,
    }
    model_file.save(path, card, {k: v.astype(np.float16) for k, v in weights.items()})
    return card


def _held_out(
    model: Any, data: Any, limit: Optional[int] = None, **how: Any
) -> Tuple[corrections.Corrections, Dict[str, Any]]:
    """What rests on held-out maps: corrections (validation split) and a card's ``metrics`` (test split).

    Args:
        model: the network.
        data: feature set(s).
        limit: at most so many validation and test maps of each set.
        **how: of ``correction_training.calibrate``.
    """
    from . import correction_training

    known = correction_training.calibrate(model, data, limit, **how)
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
    from . import files, model_file

    model = _local_start(start)
    files.prepare_out(Path(out), ["model" + MODEL_SUFFIX], overwrite, False)
    network = inference_model(model.weights, model.card["network"]["config"]["channels"])
    known, metrics = _held_out(
        network, data, fresh=fresh_sets(data, model.card), before=corrections.Corrections.of(model)
    )
    before = model.card.get("calibration", {})
    kept = {k: before[k] for k in ("spread", "spread_knots", "spread_factors") if k in before}
    calibration = {
        **known.calibration,
        corrections.PROFILE: before.get(corrections.PROFILE, kept),
        "data": {"sets": [Path(p).name for p in _as_list(data)], **_set_facts(data)},
    }
    path = Path(out) / ("model" + MODEL_SUFFIX)
    weights = {k: v for k, v in model.weights.items() if not k.startswith(corrections.WEIGHTS + "/")}
    arrays = {f"{corrections.WEIGHTS}/{k}": v.astype(np.float16) for k, v in known.arrays.items()}
    card = {**model.card, "calibration": calibration, "metrics": metrics}
    model_file.save(path, card, {**weights, **arrays})
    _leave_card(Path(out), card)
    return path


def fresh_sets(data: Any, card: Dict[str, Any]) -> List[PathLike]:
    """The sets that a model did not learn from, by the seed they were drawn with; sets of users' maps go by their names."""
    known = card.get("data", {})
    fresh = []
    for path in _as_list(data):
        (seed,) = _set_facts(path)["seeds"]
        by_seed = seed >= 0 and drawn_from_structures(path)
        seen = seed in known.get("seeds", []) if by_seed else Path(path).name in known.get("sets", [])
        if not seen:
            fresh.append(path)
    return fresh


def _local_start(start: str) -> Any:
    """The default local model of that name or file, to go on from."""
    from . import model_file

    model = model_file.load(start)
    if model.card["network"]["name"] != fn.LOCAL_NETWORK:
        raise InputError(f"{start} is no default local model; start from one, or from 'none'.")
    fn.check_features(model.card, start)
    return model


def _json_figures(figures: Dict[str, float]) -> Dict[str, Optional[float]]:
    """Rounded figures; None for what is undefined (the rank correlation of constant labels)."""
    return {k.replace("val_", ""): round(float(v), 4) if np.isfinite(v) else None for k, v in figures.items()}


def _set_facts(data: Any) -> Dict[str, Any]:
    """Counts of complete maps per split over the sets, and the seeds they were drawn from."""
    import h5py

    counts: Dict[str, int] = {}
    seeds = []
    for path in _as_list(data):
        with h5py.File(path, "r") as handle:
            seeds.append(int(handle.attrs.get("seed", -1)))
            for split in ("train", "validation", "test"):
                counts[split] = counts.get(split, 0) + len(handle.get(split, {}))
    return {"maps": counts, "seeds": seeds}


def _leave_card(folder: Path, card: Dict[str, Any]) -> None:
    """The card and the training curves beside the model, under the names that the paper's networks leave them."""
    from . import files, plots
    from .paper_training import CARD, CURVES

    files.write_json(folder / CARD, card)
    if (folder / HISTORY).exists():
        plots.save(plots.from_folder("curves", folder), folder / CURVES)


def _run_name(out: Path, otherwise: str) -> str:
    """A model's name where the user gave none: its folder's, by which users tell their trainings apart."""
    from . import model_file

    name = out.resolve().name
    return name if model_file.is_name(name) else otherwise


BEST, CHECKPOINT, HISTORY = "best.npz", "checkpoint.npz", "history.csv"
CROPS_PER_MAP = 6
"""Crops of every map in what ``--epochs`` counts as one epoch."""


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
        report: called with progress lines.

    Returns:
        path of the model file.

    Raises:
        InputError: labels that the sets contradict or do not agree on, or a run begun on others.
    """
    from . import files, progress

    out = Path(out)
    report = report or progress.note
    labels = agreed_labels(data, labels)
    files.prepare_out(out, ["model" + MODEL_SUFFIX], overwrite, resume)
    if overwrite and not resume:
        for stale in (BEST, CHECKPOINT, HISTORY):
            (out / stale).unlink(missing_ok=True)
    if start is None:
        start = "none" if labels == TRUTH else "truth"
    weights = None
    recipe = LocalRecipe(seed=seed, batch=batch or LocalRecipe.batch)
    if start != "none":
        first = _local_start(start)
        weights = dict(first.weights)
        channels = tuple(first.card["network"]["config"]["channels"])
        recipe = replace(recipe, channels=channels, rate=4e-4, steps=3000)
        if labels != TRUTH:
            recipe = replace(recipe, rate=2e-4, steps=600, halves_share=0.0)
    if epochs:
        maps_there = _set_facts(data)["maps"].get("train", 0)
        recipe = replace(recipe, steps=max(1, epochs * maps_there * CROPS_PER_MAP // recipe.batch))
    begun = time.time()
    every = min(200, max(1, recipe.steps // 10))
    fitted = fit_local(data, out, recipe, resume, weights, report, every, labels)
    facts = {"labels": labels, "start": start, "seconds": round(time.time() - begun)}
    path = out / ("model" + MODEL_SUFFIX)
    _leave_card(out, save_local(fitted, data, path, name or _run_name(out, labels), recipe, facts))
    return path


def train_global(
    data: Any,
    out: PathLike,
    resume: bool = False,
    overwrite: bool = False,
    seed: int = 0,
    epochs: Optional[int] = None,
    batch: Optional[int] = None,
    name: Optional[str] = None,
    report: Any = None,
) -> Path:
    """Train, calibrate, measure and save a default global model: what ``cryoresdl train cnn`` runs without --paper.

    The inputs come from the shipped ``truth`` model; their table is kept in ``out`` so that a killed run resumes.

    Returns:
        path of the model file.
    """
    from . import files, inference, profile_training, progress

    out = Path(out)
    report = report or progress.note
    files.prepare_out(out, ["model" + MODEL_SUFFIX], overwrite, resume)
    local_model = inference.load_model("truth", "local")
    tables = [
        profile_training.cached_table(out / f"table-{split}.npz", data, split, local_model, resume, report)
        for split in ("train", "validation", "test")
    ]
    recipe = profile_training.GlobalRecipe(seed=seed)
    recipe = replace(recipe, epochs=epochs or recipe.epochs, batch=batch or recipe.batch)
    model = profile_training.train_members(tables[0], tables[1], recipe, report, out / HISTORY)
    path = out / ("model" + MODEL_SUFFIX)
    name = name or _run_name(out, "default")
    card = profile_training.save_global(model, tables[1], tables[2], path, name, recipe, data, local_model)
    _leave_card(out, card)
    return path
