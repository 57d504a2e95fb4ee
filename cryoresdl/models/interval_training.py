"""Fits the corrections of ``intervals`` on maps whose truth is known: coverage of 68.3 %, every map counting the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from . import feature_networks as fn
from . import features, intervals
from .errors import InputError
from .feature_sets import Item
from .feature_training import import_tensorflow, load_split, predict_item
from .resolution_bins import quantile

TARGET = 0.683
LEAST_MAPS = 20
"""Maps of a kind that calibration factors of its own can rest on."""
WIDTH_BINS = 8
"""Groups of equal weight, by predicted width, that get calibration factors of their own."""


def calibrate_local(model: Any, items: Sequence[Item]) -> Dict[str, Any]:
    """Factors on the spread that give 68.3 % coverage on held-out maps, every map counting the same.

    Returns:
        ``spread`` (one factor for all), ``spread_knots`` and ``spread_factors`` (factors by predicted half-width in
        log2: narrow intervals of easy maps and wide ones of hard maps are not wrong by the same factor),
        ``coverage_before`` and ``maps``; of single maps with noise outside the mask, and under ``half_maps`` and
        ``no_background`` the same of half maps and of single maps without such noise. Single maps are taken
        together where either kind has fewer than :data:`LEAST_MAPS`.
    """
    kinds: Dict[str, List[Item]] = {features.BACKGROUND: [], features.NO_BACKGROUND: []}
    for item in items:
        kinds[features.noise_source(item.summary["single"])].append(item)
    if min(len(kind) for kind in kinds.values()) < LEAST_MAPS:
        kinds = {features.BACKGROUND: list(items)}
    found = _calibrate_variant(model, kinds[features.BACKGROUND], "single")
    if features.NO_BACKGROUND in kinds:
        found[features.NO_BACKGROUND] = _calibrate_variant(model, kinds[features.NO_BACKGROUND], "single")
    halved = [item for item in items if item.has_half_maps("halves")]
    if halved:
        found[features.HALF_MAPS] = _calibrate_variant(model, halved, "halves")
    return found


def _calibrate_variant(model: Any, items: Sequence[Item], variant: str) -> Dict[str, Any]:
    ratios, weights, widths, before = [], [], [], []
    for item in items:
        u = np.log2(item.truth[item.truth > 0] / item.info["voxel_size_A"])
        p = predict_item(model, item, variant)
        low, middle, high = (quantile(p, q) for q in (0.16, 0.5, 0.84))
        width = np.maximum((high - low) / 2, 1e-3)
        ratio = np.abs(u - middle) / width
        ratios.append(ratio)
        widths.append(width)
        weights.append(np.full(ratio.size, 1.0 / ratio.size))
        before.append(float((ratio <= 1).mean()))
    ratio, weight, width = (np.concatenate(parts) for parts in (ratios, weights, widths))
    order = np.argsort(width, kind="stable")
    group = np.minimum(np.cumsum(weight[order]) / weight.sum() * WIDTH_BINS, WIDTH_BINS - 1).astype(int)
    knots: List[float] = []
    factors: List[float] = []
    for number in range(WIDTH_BINS):
        chosen = order[group == number]
        knot = _weighted_quantile(width[chosen], weight[chosen], 0.5) if chosen.size else 0.0
        if knot > (knots[-1] * 1.02 if knots else 0.0):
            knots.append(knot)
            factors.append(_weighted_quantile(ratio[chosen], weight[chosen], TARGET))
    return {
        "spread": _weighted_quantile(ratio, weight, TARGET),
        "spread_knots": [round(k, 5) for k in knots],
        "spread_factors": [round(f, 4) for f in factors],
        "coverage_before": float(np.mean(before)),
        "maps": len(items),
    }


def _weighted_quantile(values: np.ndarray, weights: np.ndarray, q: float) -> float:
    order = np.argsort(values)
    share = np.cumsum(weights[order]) / weights.sum()
    return float(values[order][min(int(np.searchsorted(share, q)), values.size - 1)])


LEAST_TRAINING_MAPS = 300
"""Training maps that the network of one factor per map can be fitted to; with fewer, every map's factor is 1."""
CROP = 32
"""Edge in cells of the part of a training map whose residuals are taken: whole maps would take ten times as long."""
SAMPLES = 200
"""Cells of every map that the fit sees."""
MEMBERS = 5
LEAST_RATIO = 1e-3
"""Errors of less than this share of the half-width are as good as none."""


@dataclass
class IntervalRecipe:
    """Hyper-parameters of the network of one factor per map (chosen by cross-validation on training maps).

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
    epochs: int = 30
    batch: int = 64
    rate: float = 2e-3
    noise: float = 0.2
    dropout: float = 0.3
    decay: float = 1e-2


@dataclass
class Residuals:
    """What the network leaves on n maps.

    Attributes:
        rows: (n, inputs) of ``intervals.map_inputs``.
        ratios: (n, SAMPLES) log of error over calibrated half-width, of cells drawn at random.
        sources: (n,) where the noise level comes from.
    """

    rows: np.ndarray
    ratios: np.ndarray
    sources: np.ndarray


def calibrate(
    model: Any, data: Any, limit: Optional[int] = None
) -> Tuple[Dict[str, Any], Dict[str, np.ndarray]]:
    """Both corrections of a trained local network.

    Args:
        model: network as ``feature_training.inference_model`` gives it.
        data: feature set(s) with a validation split; a training split of at least ``LEAST_TRAINING_MAPS`` maps gives
            every map a factor of its own.
        limit: at most so many validation maps of each set.

    Returns:
        the card's ``calibration`` and the arrays for the model file, by name; none without enough training maps.

    Raises:
        InputError: no set has a validation split.
    """
    check = load_split(data, "validation", limit)
    calibration = calibrate_local(model, check)
    try:
        train = load_split(data, "train")
    except InputError:
        return calibration, {}
    if len(train) < LEAST_TRAINING_MAPS:
        return calibration, {}
    left = residuals(model, calibration, train, CROP)
    config, arrays = fit_map_factors(left)
    factors = scale_by_source(config, arrays, residuals(model, calibration, check))
    calibration[intervals.BY_MAP] = {"config": config, "factors": factors, "maps": len(train)}
    return calibration, {intervals.WEIGHTS + name: value for name, value in arrays.items()}


def _variants(item: Item) -> Iterator[str]:
    yield "single"
    if item.has_half_maps("halves"):
        yield "halves"


def _central_part(item: Item, edge: int) -> Item:
    """At most ``edge`` cells along each axis, around the middle of the truth."""
    window = []
    for places, length in zip(np.nonzero(item.truth), item.truth.shape):
        start = int(np.clip(np.ceil(np.median(places)) - edge // 2, 0, max(0, length - edge)))
        window.append(slice(start, start + edge))
    local = {v: values[(slice(None), *window)] for v, values in item.local.items()}
    return Item(local, item.summary, item.truth[tuple(window)], item.info)


def residuals(
    model: Any, calibration: Dict[str, Any], items: Sequence[Item], edge: Optional[int] = None, seed: int = 0
) -> Residuals:
    """Errors of the network over its calibrated half-widths, a row for every map and variant.

    Args:
        model: the network.
        calibration: by width and noise source (:func:`calibrate_local`).
        items: maps with truth.
        edge: only so many cells along each axis; None takes whole maps.
        seed: of the cells drawn.
    """
    rng = np.random.default_rng(seed)
    rows, ratios, sources = [], [], []
    for item in items:
        part = item if edge is None else _central_part(item, edge)
        truth = np.log2(part.truth[part.truth > 0] / part.info["voxel_size_A"])
        if not truth.size:
            continue
        for variant in _variants(part):
            source = features.noise_source(part.summary[variant])
            p = predict_item(model, part, variant)
            low, middle, high = (quantile(p, q) for q in (0.16, 0.5, 0.84))
            width = intervals.calibrated_spread((high - low) / 2, calibration, source)
            ratio = np.abs(truth - middle) / np.maximum(width, 1e-3)
            rows.append(intervals.map_inputs(part.summary[variant], middle, width))
            ratios.append(np.log(np.maximum(ratio[rng.integers(ratio.size, size=SAMPLES)], LEAST_RATIO)))
            sources.append(source)
    return Residuals(np.stack(rows), np.stack(ratios).astype(np.float32), np.asarray(sources))


def fit_map_factors(
    left: Residuals, recipe: Optional[IntervalRecipe] = None, members: int = MEMBERS
) -> Tuple[Dict[str, Any], Dict[str, np.ndarray]]:
    """Fit the network of one factor per map: the 68.3 % quantile of every map's residuals from its profile.

    Returns:
        the network's configuration and its arrays by name.
    """
    recipe = recipe or IntervalRecipe()
    _, keras = import_tensorflow()
    keras.mixed_precision.set_global_policy("float32")
    # A number that hardly varies among training maps must not become a large one on another map.
    mean, scale = left.rows.mean(0), left.rows.std(0) + 0.05
    config = {
        "widths": list(recipe.widths),
        "inputs": left.rows.shape[1],
        "bins": 1,
        "members": members,
        "features": features.VERSION,
    }
    arrays: Dict[str, np.ndarray] = {"input/mean": mean, "input/scale": scale}
    scaled = ((left.rows - mean) / scale).astype(np.float32)
    for number, prefix in enumerate(fn.member_prefixes(config)):
        keras.utils.set_random_seed(number)
        weights = _fit_member(keras, scaled, left.ratios, config, recipe)
        arrays.update({prefix + name: value for name, value in weights.items()})
    return config, {name: value.astype(np.float32) for name, value in arrays.items()}


def _fit_member(
    keras: Any, rows: np.ndarray, ratios: np.ndarray, config: Dict[str, Any], recipe: IntervalRecipe
) -> Dict[str, np.ndarray]:
    ops = keras.ops
    model = fn.build_global({"config": config}, keras, recipe.dropout)
    inputs = keras.Input(rows.shape[1:])
    noisy = keras.Model(inputs, model(keras.layers.GaussianNoise(recipe.noise)(inputs)))

    def pinball(truth: Any, found: Any) -> Any:
        over = truth - found
        return ops.mean(ops.maximum(TARGET * over, (TARGET - 1) * over), axis=-1)

    steps = recipe.epochs * -(-len(rows) // recipe.batch)
    rate = keras.optimizers.schedules.CosineDecay(recipe.rate, steps)
    noisy.compile(keras.optimizers.AdamW(rate, weight_decay=recipe.decay), pinball)
    noisy.fit(rows, ratios, batch_size=recipe.batch, epochs=recipe.epochs, verbose=0)
    return fn.weights_of(model)


def scale_by_source(
    config: Dict[str, Any], arrays: Dict[str, np.ndarray], left: Residuals
) -> Dict[str, float]:
    """What the factors must be multiplied with so that held-out maps are covered to 68.3 %, by noise source."""
    ratios = left.ratios - intervals.log_factors(config, arrays, left.rows)[:, None]
    found = {}
    for source in np.unique(left.sources):
        chosen = left.sources == source
        if chosen.sum() >= LEAST_MAPS:
            found[str(source)] = round(float(np.exp(np.quantile(ratios[chosen], TARGET))), 4)
    return found
