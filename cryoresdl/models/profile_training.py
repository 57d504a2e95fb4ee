"""Training of the default global network on band profiles and the local network's answers."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import h5py
import numpy as np

from . import backend, corrections, dataset_store, features, inference, maps, model_file, resolution
from . import feature_networks as fn
from .errors import InputError
from .evaluation import brier
from .evaluation import calibration as reliability
from .feature_sets import VARIANTS, EmptySplitError, Item, kept_apart
from .feature_training import _as_list, _loss_of, _set_facts, import_tensorflow, load_split
from .files import PathLike, atomic_path, stamp


@dataclass
class GlobalRecipe:
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


@dataclass
class Table:
    """Inputs and targets of the global network, one row per map and variant.

    Attributes:
        profile: (n, inputs) of ``inference.global_profile``.
        log2_voxels: (n,) resolution that the half maps measure, or that the map was given.
        voxel_size: (n,) angstroms.
        kind: what each row is.
        expected: (n,) the same without the measurement's chance error, where it is known: what the interval of half
            maps must hold, whose estimate is the measurement itself. None stands for ``log2_voxels``.
    """

    profile: np.ndarray
    log2_voxels: np.ndarray
    voxel_size: np.ndarray
    kind: List[str]
    expected: Optional[np.ndarray] = None

    @property
    def interval_target(self) -> np.ndarray:
        """(n,) what the interval of every row is measured against."""
        if self.expected is None:
            return self.log2_voxels
        return np.where(inference.has_half_maps(self.profile), self.expected, self.log2_voxels)


def profile_of(item: Item, variant: str, local_model: Any) -> np.ndarray:
    """The global network's input for one item of a feature set."""
    inside = item.truth > 0
    found = features.Features(
        item.local[variant].astype(np.float32), item.summary[variant], inside, True, 0.0
    )
    median, spread, _ = inference.cell_estimates(local_model, found)
    calibration = local_model.card.get("calibration", {})
    spread = corrections.calibrated_spread(spread, calibration, corrections.PROFILE)
    cutoff = None
    if variant == "halves":
        cutoff = _measured_in_mask(item) / item.info["voxel_size_A"]
    return inference.global_profile(item.summary[variant], median[inside], spread[inside], cutoff)


def table(data: Any, split: str, local_model: Any, limit: Optional[int] = None, report: Any = None) -> Table:
    """Profiles and true global resolutions of one split.

    Args:
        data: file(s) of ``dataset features``, or of ``dataset global`` (noiseless maps, masks made from them).
        split: "train", "validation" or "test".
        local_model: whose answers enter the profiles.
        limit: at most so many maps of each file.
        report: called with a line of progress every 100 maps.

    Raises:
        InputError: one of the files is no such set.
        EmptySplitError: no file has a map of that split.
    """
    rows: List[Tuple[np.ndarray, float, float, str, float]] = []
    empty: List[EmptySplitError] = []
    for path in _as_list(data):
        source = _map_rows if _is_map_set(path) else _item_rows
        try:
            for row in source(path, split, local_model, limit):
                rows.append(row)
                if report is not None and len(rows) % 100 == 0:
                    report(f"{split}: {len(rows)} profiles")
        except EmptySplitError as error:
            empty.append(error)
    if not rows:
        raise empty[0]
    profiles, resolutions, voxels, kinds, expected = zip(*rows)
    voxel_size = np.asarray(voxels, np.float32)
    log2_voxels, log2_expected = (
        np.log2(np.asarray(values) / voxel_size).astype(np.float32) for values in (resolutions, expected)
    )
    return Table(np.stack(profiles), log2_voxels, voxel_size, list(kinds), log2_expected)


def _is_map_set(path: PathLike) -> bool:
    try:
        with h5py.File(path, "r") as handle:
            return handle.attrs.get("format") == dataset_store.FORMAT
    except OSError as error:
        raise InputError(f"Cannot read {path} as HDF5; give a file made by `cryoresdl dataset`.") from error


def _item_rows(
    path: PathLike, split: str, local_model: Any, limit: Optional[int]
) -> Iterator[Tuple[np.ndarray, float, float, str, float]]:
    """Rows of a feature set."""
    for item in load_split([path], split, limit):
        kind = item.info.get("kind", "realistic")
        variants = VARIANTS if kind == "realistic" and _measured_in_mask(item) else VARIANTS[:1]
        for variant in variants:
            voxel, expected = item.info["voxel_size_A"], item.info["global_fsc0143_A"]
            profile = profile_of(item, variant, local_model)
            yield profile, _known_resolution(item), voxel, f"{kind} {variant}", expected


def _measured_in_mask(item: Item) -> float:
    """FSC 0.143 of the half maps in the mask of the item, in angstroms; 0 where an older set did not keep it.

    The FSC inside the molecule would stand for it only where that is the mask: elsewhere it is the answer.
    """
    automatic = item.info.get("options", {}).get("auto_mask", False)
    inside = 0.0 if automatic else item.info["measured_fsc0143_masked_A"]
    return float(item.info.get("measured_fsc0143_given_mask_A", inside))


def _known_resolution(item: Item) -> float:
    """What the map's resolution would be called: FSC 0.143 measured between its half maps inside the molecule.

    Maps without half maps have the resolution that they were given.
    """
    return float(item.info.get("measured_fsc0143_masked_A", item.info["global_fsc0143_A"]))


def _map_rows(
    path: PathLike, split: str, local_model: Any, limit: Optional[int]
) -> Iterator[Tuple[np.ndarray, float, float, str, float]]:
    """Rows of a set of whole maps; a noiseless map cannot show more than its sampling: Nyquist at best."""
    with dataset_store.DatasetFile(path) as handle:
        if handle.info["kind"] != "global":
            raise InputError(
                f"{path} holds patches with a label per voxel; the global model learns from whole maps: give a set of "
                "`cryoresdl dataset features` or `dataset global`."
            )
        if not len(handle.rows(split)):
            raise EmptySplitError(
                f"{path} holds no map of the split {split!r}; make a set of more structures."
            )
        resolutions, voxels = handle.column("resolution"), handle.column("voxel_size")
        for number in handle.rows(split)[:limit]:
            voxel = float(voxels[number])
            density = maps.DensityMap(handle.read("maps", np.asarray([number]))[0].astype(np.float32), voxel)
            mask = maps.auto_mask(density)[0]
            found = features.compute(density.data, mask, voxel)
            median, spread, _ = inference.cell_estimates(local_model, found)
            spread = corrections.calibrated_spread(
                spread, local_model.card.get("calibration", {}), corrections.PROFILE
            )
            inside = found.mask_cells
            profile = inference.global_profile(found.summary, median[inside], spread[inside])
            known = max(float(resolutions[number]), 2.0 * voxel)
            yield profile, known, voxel, "clean single", known


def cached_table(
    path: Path, data: Any, split: str, local_model: Any, resume: bool, report: Any = None
) -> Table:
    """The table of a split, read from ``path`` when a run is resumed, else made and kept there."""
    # Sets are large: size and time of change must do to tell whether they are the same.
    made_of = [[str(Path(one).resolve()), stamp(one, digest=False)] for one in _as_list(data)]
    digest = json.dumps([model_file.digest(local_model), made_of])
    if resume and path.exists():
        with np.load(path) as stored:
            if str(stored["digest"]) == digest and "expected" in stored.files:
                return Table(
                    stored["profile"],
                    stored["log2_voxels"],
                    stored["voxel_size"],
                    list(stored["kind"]),
                    stored["expected"],
                )
    made = table(data, split, local_model, report=report)
    with atomic_path(path) as temporary, open(temporary, "wb") as handle:
        np.savez(
            handle,
            digest=np.asarray(digest),
            profile=made.profile,
            log2_voxels=made.log2_voxels,
            voxel_size=made.voxel_size,
            kind=np.asarray(made.kind),
            expected=np.asarray(made.log2_voxels if made.expected is None else made.expected),
        )
    return made


MEMBERS = 6
"""Networks trained from different seeds, whose distributions are averaged."""


@dataclass
class Ensemble:
    """A trained global network: its card's entry and its arrays by name."""

    network: Dict[str, Any]
    weights: Dict[str, np.ndarray]

    @classmethod
    def of(cls, model: Any) -> Ensemble:
        """Of a model file as ``model_file.load`` gives it."""
        return cls(model.card["network"], model.weights)


def train_members(
    train: Table,
    check: Table,
    recipe: GlobalRecipe,
    report: Any = print,
    history_path: Optional[PathLike] = None,
    members: int = MEMBERS,
) -> Ensemble:
    """Fit the members, each with its own seed.

    Their distributions are averaged, not their logits: the ranked probability score leaves the logits of far bins
    free (docs/lab-notes.md).

    Raises:
        InputError: no member asked for.
    """
    if members < 1:
        raise InputError("A global model needs at least one member.")
    network = fn.global_network(train.profile.shape[1], recipe.widths, members)
    arrays: Dict[str, np.ndarray] = {}
    for number, prefix in enumerate(fn.member_prefixes(network["config"])):
        weights = fit_global(
            train, check, replace(recipe, seed=recipe.seed + number), report, history_path, number > 0
        )[0]
        shared = {name: weights.pop(name) for name in ("input/mean", "input/scale")}
        arrays.update({prefix + name: value for name, value in weights.items()}, **shared)
    return Ensemble(network, arrays)


def fit_global(
    train: Table,
    check: Table,
    recipe: GlobalRecipe,
    report: Any = print,
    history_path: Optional[PathLike] = None,
    append_history: bool = False,
) -> Tuple[Dict[str, np.ndarray], float]:
    """Fit one global network; returns named weights with the input's mean and scale, and the validation loss.

    Args:
        train: rows to learn from.
        check: rows whose loss is reported.
        recipe: hyper-parameters.
        report: called with one line.
        history_path: CSV of losses per epoch.
        append_history: go on in that file, as the members after the first do.
    """
    tf, keras = import_tensorflow()
    keras.utils.set_random_seed(recipe.seed)
    keras.mixed_precision.set_global_policy("float32")
    mean, scale = train.profile.mean(0), train.profile.std(0) + 1e-3
    model = fn.build_global(fn.global_network(train.profile.shape[1], recipe.widths), keras, recipe.dropout)

    def scaled(rows: np.ndarray) -> np.ndarray:
        return np.clip((rows - mean) / scale, -backend.PROFILE_CLIP, backend.PROFILE_CLIP).astype(np.float32)

    def loss(truth: Any, logits: Any) -> Any:
        return _loss_of(tf, logits, truth[:, 0], truth[:, 1], recipe.angstrom_weight)

    noisy = _with_noise(keras, model, recipe.noise)
    steps = recipe.epochs * -(-len(train.profile) // recipe.batch)
    warm = min(200, steps // 4)
    rate = keras.optimizers.schedules.CosineDecay(
        recipe.rate / 100, max(1, steps - warm), warmup_target=recipe.rate, warmup_steps=warm
    )
    noisy.compile(keras.optimizers.AdamW(rate, weight_decay=recipe.decay), loss)
    callbacks = []
    if history_path is not None:
        callbacks.append(keras.callbacks.CSVLogger(str(history_path), append=append_history))
    history = noisy.fit(
        scaled(train.profile),
        np.stack([train.log2_voxels, train.voxel_size], 1),
        validation_data=(scaled(check.profile), np.stack([check.log2_voxels, check.voxel_size], 1)),
        epochs=recipe.epochs,
        batch_size=recipe.batch,
        verbose=0,
        callbacks=callbacks,
    )
    final = float(history.history["val_loss"][-1])
    report(f"global network: {len(history.epoch)} epochs, validation loss {final:.4f}")
    weights = fn.weights_of(model)
    scaling = {"input/mean": mean.astype(np.float32), "input/scale": scale.astype(np.float32)}
    return {**weights, **scaling}, final


def _with_noise(keras: Any, model: Any, noise: float) -> Any:
    """The model behind noise on its inputs, except what half maps measure: that is exact, and blurring it costs a class."""
    size = model.input_shape[-1]
    blurred = np.ones(size, np.float32)
    blurred[inference.MEASURED_INPUTS.start : inference.MEASURED_INPUTS.stop] = 0.0
    rows = keras.Input((size,))
    added = keras.layers.GaussianNoise(noise)(rows) - rows
    return keras.Model(rows, model(rows + added * blurred))


def calibrated(model: Any, rows: Table, calibration: Dict[str, Any]) -> inference.GlobalAnswers:
    """What users would be told of every row."""
    return inference.global_answers(model.network, model.weights, rows.profile, rows.voxel_size, calibration)


def true_classes(rows: Table) -> np.ndarray:
    """Class index 0..2 of every row's true resolution; both edges are medium."""
    return resolution.global_class_of(2.0**rows.log2_voxels * rows.voxel_size)


def measure(model: Any, rows: Table, calibration: Dict[str, Any]) -> Dict[str, Any]:
    """Accuracy, error and calibration of the global network on a table."""
    told, truth = calibrated(model, rows, calibration), true_classes(rows)
    three = told.probabilities
    covered = (rows.interval_target >= told.low) & (rows.interval_target <= told.high)
    return {
        "rows": int(len(truth)),
        "accuracy": float((three.argmax(1) == truth).mean()),
        "median_relative_error": float(np.median(np.abs(2.0 ** (told.middle - rows.log2_voxels) - 1))),
        "coverage68": float(covered.mean()),
        "ece": reliability(three / three.sum(1, keepdims=True), truth)["ece"],
    }


LEAST_ROWS = 30
"""Half maps get a calibration of their own from so many held-out rows on."""


def calibrate(model: Any, rows: Table) -> Dict[str, Any]:
    """Temperature and spread on held-out maps, for one map and (``half_maps``) for half maps; one distance limit."""
    halves = inference.has_half_maps(rows.profile)
    noisy = np.array(["clean" not in kind for kind in rows.kind])
    # Noiseless maps are easier than any that a user has: they would promise too much.
    alone = ~halves & noisy if (~halves & noisy).sum() >= LEAST_ROWS else ~halves
    distance = np.sqrt(np.square(backend.scaled_profile(model.weights, rows.profile)).mean(1))
    found: Dict[str, Any] = {"distance_limit": float(np.quantile(distance, 0.995) * 1.15)}
    if min(halves.sum(), alone.sum()) < LEAST_ROWS:
        return {**_calibrate_kind(model, rows), **found}
    measured = rows_of(rows, halves)
    found["half_maps"] = _calibrate_kind(model, measured)
    found["half_maps"]["doubt"] = _doubt(model, measured, found["half_maps"])
    return {**_calibrate_kind(model, rows_of(rows, alone)), **found}


def rows_of(rows: Table, chosen: np.ndarray) -> Table:
    """The rows of a table where ``chosen`` (bool) says so."""
    kinds = [kind for kind, kept in zip(rows.kind, chosen) if kept]
    expected = None if rows.expected is None else rows.expected[chosen]
    return Table(rows.profile[chosen], rows.log2_voxels[chosen], rows.voxel_size[chosen], kinds, expected)


def _calibrate_kind(model: Any, rows: Table) -> Dict[str, float]:
    """Temperature of the least Brier score of the classes, and the spread of 68.3 % coverage.

    The Brier score, because a handful of maps far off would alone decide a temperature by log loss.
    """
    truth = true_classes(rows)
    temperatures = np.exp(np.linspace(np.log(0.05), np.log(2.5), 50))
    losses = []
    for temperature in temperatures:
        told = calibrated(model, rows, {"temperature": float(temperature)})
        losses.append(brier(told.probabilities, truth))
    best = float(temperatures[int(np.argmin(losses))])
    told = calibrated(model, rows, {"temperature": best})
    gap = rows.interval_target - told.middle
    side = np.where(gap < 0, told.middle - told.low, told.high - told.middle)
    return {"temperature": best, "spread": float(np.quantile(np.abs(gap) / np.maximum(side, 1e-4), 0.683))}


def _doubt(model: Any, rows: Table, calibration: Dict[str, float]) -> float:
    """Share of the network's distribution in the class probabilities of half maps that scores best on held-out ones."""
    doubts = np.linspace(0.02, 1.0, 50)
    scores = [
        brier(calibrated(model, rows, {**calibration, "doubt": doubt}).probabilities, true_classes(rows))
        for doubt in doubts
    ]
    return float(doubts[int(np.argmin(scores))])


def _kept_apart(test: Table, data: Any) -> str:
    """What the card says of the test maps."""
    kinds = [kind.split()[0] for kind in test.kind]
    for path in _as_list(data):
        if _is_map_set(path):
            with dataset_store.DatasetFile(path) as handle:
                # The paper's split is over maps: the same structure is in training, too.
                kinds += ["split by map"] if handle.info["recipe"].get("split") == "paper" else []
    return kept_apart(kinds)


def save_global(
    model: Ensemble,
    check: Table,
    test: Table,
    path: PathLike,
    name: str,
    recipe: GlobalRecipe,
    data: Any,
    local_model: Any,
) -> Dict[str, Any]:
    """Calibrate on the validation rows, measure on the test rows, write the model file; returns the card."""
    calibration: Dict[str, Any] = dict(calibrate(model, check))
    metrics: Dict[str, Any] = {"split": _kept_apart(test, data)}
    metrics["all"] = measure(model, test, calibration)
    for kind in sorted(set(test.kind)):
        chosen = np.asarray([k == kind for k in test.kind])
        metrics[kind] = measure(model, rows_of(test, chosen), calibration)
    three = calibrated(model, test, calibration).probabilities
    calibration["reliability"] = reliability(three / three.sum(1, keepdims=True), true_classes(test))
    card = {
        "kind": "global",
        "name": name,
        "network": model.network,
        "data": {"sets": [Path(p).name for p in _as_list(data)], **_set_facts(data)},
        "training": {
            **asdict(recipe),
            "local_model": {"name": local_model.card["name"], "digest": model_file.digest(local_model)},
        },
        "metrics": metrics,
        "calibration": calibration,
    }
    halved = {k: v.astype(np.float16) if k.endswith("kernel") else v for k, v in model.weights.items()}
    model_file.save(path, card, halved)
    return card
