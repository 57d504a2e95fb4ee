"""Fits the correcting networks (``inference.bands.map_corrections``) to the errors that a local network leaves.

The maps' truth is known, and every map counts the same.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterable, Iterator, Optional, Sequence, Tuple

import numpy as np

from ...base.errors import InputError
from ...base.runs.atomic_files import PathLike
from ...datasets.feature_sets.feature_set_file import (
    CLEAN,
    KNOWN,
    EmptySplitError,
    FeatureItem,
    iterate_items,
    load_split,
)
from ...features import network_inputs
from ...inference.bands import map_corrections
from ...networks import band_networks, network_runners, resolution_bins
from ...networks.resolution_bins import quantile
from ...networks.tensorflow_import import import_tensorflow
from ..held_out_answers import predict_item
from .width_calibration import LEAST_MAPS, TARGET, _weighted_quantile, calibrate_local, needed_width

LEAST_OF_GENERATOR = 8
"""Held-out maps of another generator that weigh as much in the last scaling as all of ours."""

LEAST_TRAINING_MAPS = 300
"""Training maps that the correcting networks can be fitted to; with fewer, answers stay as they are."""
CROP = 32
"""Edge in cells of the part of a training map whose residuals are taken: whole maps would take several times as long."""
SAMPLES = 200
"""Cells of every map that the fit sees."""
CORRECTION_MEMBERS = 5
LEAST_WIDTH, LEAST_RATIO = 1e-3, 1e-3
"""Smaller half-widths (octaves), and smaller errors over half-widths, are as good as none."""


@dataclass
class CorrectionRecipe:
    """Hyper-parameters of one correcting network (chosen on the validation split).

    Attributes:
        widths: of the dense layers.
        epochs: passes over the maps.
        batch: maps per step.
        rate: learning rate of AdamW, falling to zero along a cosine.
        noise: standard deviation of noise added to the standardised inputs.
        dropout: share of neurons silenced per step.
        decay: weight decay.
    """

    widths: Tuple[int, ...] = (64, 32)
    epochs: int = 100
    batch: int = 128
    rate: float = 3e-3
    noise: float = 0.1
    dropout: float = 0.2
    decay: float = 0.05


SHIFT_RECIPE = CorrectionRecipe(epochs=60)
WIDTH_RECIPE = CorrectionRecipe()


@dataclass
class Residuals:
    """What the network leaves on n maps.

    Attributes:
        rows: (n, inputs) of ``network_inputs.map_inputs``.
        cells: (n, 3, SAMPLES) truth, answer and calibrated half-width of cells drawn at random, log2 voxels.
        sources: (n,) where the noise level comes from.
        maps: (n,) number of the map, which one map and its half maps share.
        kinds: (n,) what the truth is: of our simulator's maps, or the labels of a user's.
    """

    rows: np.ndarray
    cells: np.ndarray
    sources: np.ndarray
    maps: np.ndarray
    kinds: np.ndarray


def calibrate_corrections(
    model: Any,
    data: Any,
    limit: Optional[int] = None,
    fresh: Sequence[PathLike] = (),
    before: Optional[map_corrections.Corrections] = None,
) -> map_corrections.Corrections:
    """All corrections of a trained local network.

    Args:
        model: network as ``held_out_answers.inference_model`` gives it.
        data: feature set(s) with a validation split.
        limit: at most so many validation maps of each set.
        fresh: sets whose training split the network has not seen: what it leaves on maps that it learned from is too
            little. With ``LEAST_TRAINING_MAPS`` maps the correcting networks are fitted to them.
        before: the model's corrections so far. Without enough fresh maps its correcting networks stay, and only their
            factors on widths are made anew.

    Raises:
        InputError: no set has a validation split, or a fresh set knows one resolution per map only.
    """
    check = load_split(data, "validation", limit)
    # An interval is about what noise leaves open: maps without any have no say in its last scaling.
    reconstructed = [item for item in check if item.info.get("kind") != CLEAN] or check
    enough = sum(1 for _ in _fresh_items(fresh)) >= LEAST_TRAINING_MAPS
    if before is not None and before.arrays and not enough:
        entry = before.calibration[map_corrections.BY_MAP]
        factors = scale_by_source(
            entry["config"], before.arrays, residuals(model, before.calibration, reconstructed)
        )
        by_map = {**entry, "factors": factors}
        return map_corrections.Corrections(
            {**before.calibration, map_corrections.BY_MAP: by_map}, before.arrays
        )
    calibration = calibrate_local(model, check)
    if not enough:
        return map_corrections.Corrections(calibration)
    import_tensorflow()  # what is missing is said before an hour of work, not after it
    left = residuals(model, calibration, _fresh_items(fresh), CROP)
    config, arrays = fit_corrections(left)
    arrays = {name: value.astype(np.float16).astype(np.float32) for name, value in arrays.items()}  # as kept
    factors = scale_by_source(config, arrays, residuals(model, calibration, reconstructed))
    maps = int(np.unique(left.maps).size)
    calibration[map_corrections.BY_MAP] = {"config": config, "factors": factors, "maps": maps}
    return map_corrections.Corrections(calibration, arrays)


def _fresh_items(paths: Sequence[PathLike]) -> Iterator[FeatureItem]:
    """Training maps one after the other; sets without any are passed over."""
    for path in paths:
        with contextlib.suppress(EmptySplitError):
            for item in iterate_items(path, "train"):
                if item.info.get("kind") == KNOWN:
                    raise InputError(
                        f"{path} knows one resolution per map only; local resolution needs a volume per map."
                    )
                yield item


def _variants(item: FeatureItem) -> Iterator[str]:
    yield "single"
    if item.has_half_maps("halves"):
        yield "halves"


def _central_part(item: FeatureItem, edge: int) -> FeatureItem:
    """At most ``edge`` cells along each axis, around the middle of the truth."""
    window = []
    for places, length in zip(np.nonzero(item.truth), item.truth.shape):
        start = int(np.clip(np.ceil(np.median(places)) - edge // 2, 0, max(0, length - edge)))
        window.append(slice(start, start + edge))
    local = {v: values[(slice(None), *window)] for v, values in item.local.items()}
    return FeatureItem(local, item.summary, item.rise, item.truth[tuple(window)], item.info)


def residuals(
    model: Any, calibration: Dict[str, Any], items: Iterable[FeatureItem], edge: Optional[int] = None
) -> Residuals:
    """Truth and answers of cells drawn at random, a row for every map and variant.

    Args:
        model: the network.
        calibration: by width and noise source (``width_calibration.calibrate_local``).
        items: maps with truth.
        edge: only so many cells along each axis, without what lies around them; None takes whole maps. What that
            changes in the widths is made up for by the factors, which whole maps give.
    """
    rng = np.random.default_rng(0)
    rows, cells, sources, numbers, kinds = [], [], [], [], []
    for number, item in enumerate(items):
        part = item if edge is None or not item.truth.any() else _central_part(item, edge)
        if not part.truth.any():
            continue
        for variant in _variants(part):
            truth = np.log2(part.truth_of(variant)[part.truth > 0] / part.info["voxel_size_A"])
            source = network_inputs.noise_source(part.summary[variant])
            p = predict_item(model, part, variant)
            low, middle, high = (quantile(p, q) for q in (0.16, 0.5, 0.84))
            width = map_corrections.calibrated_spread((high - low) / 2, calibration, source)
            chosen = rng.integers(truth.size, size=SAMPLES)
            rows.append(network_inputs.map_inputs(part.summary[variant], part.rise[variant], middle, width))
            cells.append(np.stack([truth, middle, np.maximum(width, LEAST_WIDTH)])[:, chosen])
            sources.append(source)
            numbers.append(number)
            kinds.append(item.info.get("kind", ""))
    return Residuals(
        np.stack(rows),
        np.stack(cells).astype(np.float32),
        np.asarray(sources),
        np.asarray(numbers),
        np.asarray(kinds),
    )


def fit_corrections(
    left: Residuals,
    shift_recipe: CorrectionRecipe = SHIFT_RECIPE,
    width_recipe: CorrectionRecipe = WIDTH_RECIPE,
    members: Optional[int] = None,
) -> Tuple[Dict[str, Any], Dict[str, np.ndarray]]:
    """Fit both networks: least mean error of the shifted answers, then the 68.3 % quantile of what is left.

    Every member of the first leaves out a share of the maps. What is left of a map is what the member leaves that has not
    seen it: errors of maps that a network was fitted to would ask for too narrow intervals.

    Returns:
        the networks' configurations and their arrays by name.

    Raises:
        ValueError: fewer than two members.
    """
    members = members or CORRECTION_MEMBERS
    if members < 2:
        raise ValueError("The members leave out maps for each other: at least two are needed.")
    _, keras = import_tensorflow()
    # A number that hardly varies among training maps must not become a large one on another map.
    scaling = {"input/mean": left.rows.mean(0), "input/scale": left.rows.std(0) + 0.05}
    rows = network_runners.scaled_profile(scaling, left.rows)
    config = {
        name: {
            "widths": list(recipe.widths),
            "inputs": left.rows.shape[1],
            "bins": map_corrections.OUTPUTS[name],
            "members": members,
        }
        for name, recipe in ((map_corrections.SHIFT, shift_recipe), (map_corrections.WIDTH, width_recipe))
    }
    shift = {name: value.astype(np.float32) for name, value in scaling.items()}
    width = dict(shift)
    ratios = np.empty(left.cells[:, 0].shape, np.float32)
    for number, prefix in enumerate(band_networks.member_prefixes(config[map_corrections.SHIFT])):
        keras.utils.set_random_seed(number)
        out = left.maps % members == number
        weights = _fit(
            keras, rows[~out], left.cells[~out], config[map_corrections.SHIFT], shift_recipe, _error
        )
        shift.update({prefix + name: value for name, value in weights.items()})
        alone = {**config[map_corrections.SHIFT], "members": 1}
        found = map_corrections.output(alone, {**scaling, **weights}, left.rows[out])
        found = np.clip(found, -np.asarray(map_corrections.LIMITS[:2]), map_corrections.LIMITS[:2])
        ratios[out] = log_ratios(left.cells[out], found)
    for number, prefix in enumerate(band_networks.member_prefixes(config[map_corrections.WIDTH])):
        keras.utils.set_random_seed(number)
        weights = _fit(keras, rows, ratios, config[map_corrections.WIDTH], width_recipe, _pinball)
        width.update({prefix + name: value for name, value in weights.items()})
    named = {f"{map_corrections.SHIFT}/{k}": v for k, v in shift.items()}
    return config, {**named, **{f"{map_corrections.WIDTH}/{k}": v for k, v in width.items()}}


def _error(ops: Any, cells: Any, found: Any) -> Any:
    """Mean error in octaves of the shifted answers; the tensor form of ``map_corrections.shifted``."""
    truth, middle = cells[:, 0], cells[:, 1]
    away = middle - ops.mean(middle, axis=-1, keepdims=True)
    answer = ops.maximum(middle + found[:, :1] + found[:, 1:] * away, resolution_bins.BIN_LOW)
    return ops.mean(ops.abs(truth - answer), axis=-1)


def _pinball(ops: Any, ratios: Any, found: Any) -> Any:
    """Score that the 68.3 % quantile of the log ratios makes least."""
    over = ratios - found
    return ops.mean(ops.maximum(TARGET * over, (TARGET - 1) * over), axis=-1)


def _fit(
    keras: Any,
    rows: np.ndarray,
    known: np.ndarray,
    config: Dict[str, Any],
    recipe: CorrectionRecipe,
    loss: Callable[[Any, Any, Any], Any],
) -> Dict[str, np.ndarray]:
    """Arrays of one member, fitted to standardised rows."""
    model = band_networks.keras_global_network({"config": config}, keras, recipe.dropout)
    inputs = keras.Input(rows.shape[1:], dtype="float32")
    noisy = keras.Model(inputs, model(keras.layers.GaussianNoise(recipe.noise, dtype="float32")(inputs)))
    steps = recipe.epochs * -(-len(rows) // recipe.batch)
    rate = keras.optimizers.schedules.CosineDecay(recipe.rate, steps)
    noisy.compile(
        keras.optimizers.AdamW(rate, weight_decay=recipe.decay),
        lambda truth, found: loss(keras.ops, truth, found),
    )
    noisy.fit(rows, known, batch_size=recipe.batch, epochs=recipe.epochs, verbose=0)
    return band_networks.weights_of(model)


def log_ratios(cells: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Log of needed over predicted half-width of maps' cells (n, 3, SAMPLES) after shift and tilt (n, 2): (n, SAMPLES)."""
    truth, middle, width = np.moveaxis(cells, 1, 0)
    needed = needed_width(truth, map_corrections.shifted(middle, found[:, :1], found[:, 1:2]))
    return np.log(np.maximum(needed / width, LEAST_RATIO))


def scale_by_source(
    config: Dict[str, Any], arrays: Dict[str, np.ndarray], left: Residuals
) -> Dict[str, float]:
    """What the widths must be multiplied with so that held-out maps are covered to 68.3 %, by noise source and of all.

    Simulators differ in how well their maps can be judged, and no one knows which of them is nearer to a user's map:
    the maps of every generator together count the same.
    """
    outputs = map_corrections.outputs(config, arrays, left.rows)
    ratios = log_ratios(left.cells, outputs) - outputs[:, 2:]
    found = {map_corrections.ALL_SOURCES: _factor(ratios, left.kinds)}
    for source in np.unique(left.sources):
        chosen = left.sources == source
        if chosen.sum() >= LEAST_MAPS:
            found[str(source)] = _factor(ratios[chosen], left.kinds[chosen])
    return found


def _factor(log_ratios: np.ndarray, kinds: np.ndarray) -> float:
    weights = np.repeat(_map_weights(kinds)[:, None], log_ratios.shape[1], axis=1)
    return round(float(np.exp(_weighted_quantile(log_ratios.ravel(), weights.ravel(), TARGET))), 4)


def _map_weights(kinds: np.ndarray) -> np.ndarray:
    """Weights that give every generator's maps the same sum; a map of a generator with few counts as one of the largest."""
    names, number, counts = np.unique(kinds, return_inverse=True, return_counts=True)
    shares = np.where(counts >= LEAST_OF_GENERATOR, 1.0 / counts, 1.0 / counts.max())
    return shares[number]
