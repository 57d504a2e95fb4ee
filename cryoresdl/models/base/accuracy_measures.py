"""How good an answer is: classes, calibration, local resolution; each with an interval and the baselines.

Cohen's kappa: Cohen (1960), and with quadratic weights Cohen (1968). One-vs-rest measures: table 5 of the
paper. Wilson's interval: Wilson (1927). Expected calibration error: Guo et al. (2017).
"""

from __future__ import annotations

import math
from typing import Any, Callable, Sequence, Union

import numpy as np

from .errors import InputError
from .quiet_libraries import import_scipy_stats
from .resolution_terms import GLOBAL_CLASSES, LOCAL_CLASSES, class_of, estimated

Z_95 = 1.959963984540054
CALIBRATION_BINS = 15
Numbers = Union[Sequence[float], Sequence[int], np.ndarray]


def confusion(truth: Numbers, predicted: Numbers, classes: int = len(GLOBAL_CLASSES)) -> np.ndarray:
    """Confusion matrix: rows are the truth, columns the prediction.

    Args:
        truth: class numbers 0 ... classes - 1.
        predicted: class numbers of the same length.
        classes: how many there are.

    Returns:
        int64 array (classes, classes).

    Raises:
        InputError: other lengths, or a number that is no class.
    """
    true, said = np.asarray(truth, np.int64).ravel(), np.asarray(predicted, np.int64).ravel()
    if true.shape != said.shape:
        raise InputError(f"{true.size} true classes cannot be compared with {said.size} predicted ones.")
    if true.size and not (0 <= min(true.min(), said.min()) and max(true.max(), said.max()) < classes):
        raise InputError(f"A class is outside 0 ... {classes - 1}; check the labels.")
    return np.bincount(true * classes + said, minlength=classes * classes).reshape(classes, classes)


def one_vs_rest(matrix: np.ndarray, names: Sequence[str] = GLOBAL_CLASSES) -> dict[str, dict[str, Any]]:
    """Sensitivity, specificity, PPV and NPV of every class against the others (paper, table 5).

    Args:
        matrix: confusion matrix, rows = truth.
        names: of the classes.

    Returns:
        For every class the four measures, each None where nothing was counted (0 / 0), with ``_n`` (how many
        were counted) and ``_interval`` (95 %, Wilson) beside each.
    """
    counts = np.asarray(matrix)
    total = counts.sum()
    table = {}
    for index, name in enumerate(names):
        hit = counts[index, index]
        missed = counts[index].sum() - hit
        false_alarm = counts[:, index].sum() - hit
        rest = total - hit - missed - false_alarm
        row: dict[str, Any] = {}
        for measure, good, bad in (
            ("sensitivity", hit, missed),
            ("specificity", rest, false_alarm),
            ("ppv", hit, false_alarm),
            ("npv", rest, missed),
        ):
            row.update(proportion(int(good), int(good + bad), measure))
        table[name] = row
    return table


def proportion(good: int, total: int, name: str) -> dict[str, Any]:
    """A proportion with its sample size and 95 % interval, as ``NAME``, ``NAME_n`` and ``NAME_interval``."""
    if total == 0:
        return {name: None, f"{name}_n": 0, f"{name}_interval": None}
    return {name: good / total, f"{name}_n": total, f"{name}_interval": list(wilson(good, total))}


def accuracy(matrix: np.ndarray) -> dict[str, Any]:
    """Accuracy of a confusion matrix with interval, beside the baseline "always the commonest class"."""
    counts = np.asarray(matrix)
    total = int(counts.sum())
    result = proportion(int(np.trace(counts)), total, "accuracy")
    result["majority_baseline"] = float(counts.sum(1).max() / total) if total else None
    return result


def wilson(good: int, total: int) -> tuple[float, float]:
    """Wilson's score interval of a proportion, 95 %.

    Raises:
        InputError: nothing was counted, or more successes than trials.
    """
    if total <= 0 or not 0 <= good <= total:
        raise InputError(f"{good} of {total} is no proportion.")
    part, z = good / total, Z_95
    middle = part + z * z / (2 * total)
    half = z * math.sqrt(part * (1 - part) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def bootstrap(values: Numbers, statistic: Callable[..., Any] = np.mean, seed: int = 0) -> tuple[float, float]:
    """Percentile bootstrap interval (95 %) over *maps*: voxels of one map are no independent samples.

    Args:
        values: one number per map.
        statistic: function of an array and ``axis``.
        seed: of the resampling.

    Raises:
        InputError: no values.
    """
    data = np.asarray(values, float).ravel()
    if not data.size:
        raise InputError("An interval needs at least one map.")
    if data.size == 1:  # resampling one map gives that map
        only = float(statistic(data, axis=0))
        return only, only
    found = import_scipy_stats().bootstrap(
        (data,),
        statistic,
        n_resamples=2000,
        confidence_level=0.95,
        method="percentile",
        random_state=np.random.default_rng(seed),
    )
    low, high = found.confidence_interval
    return float(low), float(high)


def mean_over_maps(values: Sequence[float | None], seed: int = 0) -> dict[str, Any]:
    """Mean, median and 95 % bootstrap interval of one figure per map; maps without it (None) do not count."""
    known = [float(value) for value in values if value is not None and math.isfinite(value)]
    if not known:
        return {"mean": None, "median": None, "interval": None, "maps": 0}
    return {
        "mean": float(np.mean(known)),
        "median": float(np.median(known)),
        "interval": list(bootstrap(known, seed=seed)),
        "maps": len(known),
    }


def calibration(probabilities: np.ndarray, truth: Numbers) -> dict[str, Any]:
    """Expected calibration error over all classes, and the reliability diagram of the predicted one.

    Every class of every sample is one forecast "this map is of this class"; per class the forecasts are put
    in equally wide bins, and the error is the mean over classes of the count-weighted gap between mean
    probability and frequency ("classwise ECE"); ``ece`` is the same of the predicted class only (Guo et al.).

    Args:
        probabilities: (samples, classes), rows sum to 1.
        truth: class numbers.

    Returns:
        ``ece``, ``ece_classwise``, ``n`` and ``bins``: a list with ``confidence``, ``accuracy``, ``count`` of
        every non-empty bin.

    Raises:
        InputError: no samples, or rows that are no probabilities.
    """
    p = np.asarray(probabilities, float)
    true = np.asarray(truth, np.int64).ravel()
    if p.ndim != 2 or not len(p) or len(p) != len(true):
        raise InputError("Calibration needs one row of probabilities and one class per sample.")
    if (p < -1e-6).any() or not np.allclose(p.sum(1), 1, atol=1e-3):
        raise InputError("The probabilities of a sample do not sum to 1.")
    said = p.argmax(1)
    top = _reliability(p[np.arange(len(p)), said], said == true)
    gaps = [_calibration_error(_reliability(p[:, k], true == k), len(p)) for k in range(p.shape[1])]
    return {
        "ece": _calibration_error(top, len(p)),
        "ece_classwise": float(np.mean(gaps)),
        "n": len(p),
        "bins": top,
    }


def _reliability(confidence: np.ndarray, right: np.ndarray) -> list[dict[str, float]]:
    place = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    rows = []
    for index in np.unique(place):
        inside = place == index
        rows.append(
            {
                "confidence": float(confidence[inside].mean()),
                "accuracy": float(right[inside].mean()),
                "count": int(inside.sum()),
            }
        )
    return rows


def _calibration_error(rows: Sequence[dict[str, float]], total: int) -> float:
    return float(sum(row["count"] * abs(row["confidence"] - row["accuracy"]) for row in rows) / total)


def brier(probabilities: np.ndarray, truth: Numbers) -> float:
    """Mean squared error of the class probabilities (Brier, 1950): 0 is perfect, 2 is surely wrong."""
    p = np.asarray(probabilities, float)
    hit = np.eye(p.shape[1])[np.asarray(truth, np.int64)]
    return float(np.mean(((p - hit) ** 2).sum(1)))


def coverage(truth: np.ndarray, low: np.ndarray, high: np.ndarray) -> float | None:
    """Part of the true values inside their intervals, edges included; None without values."""
    true = np.asarray(truth)
    return float(np.mean((true >= low) & (true <= high))) if true.size else None


def kappa(matrix: np.ndarray, weights: str | None = None) -> float | None:
    """Cohen's kappa of a confusion matrix; ``weights="quadratic"`` counts far errors more.

    Returns:
        Kappa, or None where it is undefined (nothing counted, or both sides use one and the same class).
    """
    counts = np.asarray(matrix, float)
    total = counts.sum()
    if not total:
        return None
    size = len(counts)
    row, column = np.indices((size, size))
    cost = (row - column) ** 2.0 if weights == "quadratic" else (row != column).astype(float)
    expected = np.outer(counts.sum(1), counts.sum(0)) / total
    chance = (cost * expected).sum()
    return float(1 - (cost * counts).sum() / chance) if chance > 0 else None


def pearson(first: np.ndarray, second: np.ndarray) -> float | None:
    """Pearson's correlation, or None where a side is constant or has fewer than two values."""
    a, b = np.asarray(first, np.float64).ravel(), np.asarray(second, np.float64).ravel()
    if _is_flat(a) or _is_flat(b):
        return None
    return float(import_scipy_stats().pearsonr(a, b)[0])


def _is_flat(values: np.ndarray) -> bool:
    """Whether a correlation with these values says nothing; fewer than two are constant."""
    return values.size < 2 or bool(np.ptp(values) <= 1e-12 * np.abs(values).max())


def spearman(first: np.ndarray, second: np.ndarray) -> float | None:
    """Spearman's rank correlation with mean ranks for ties; None as for `pearson`."""
    a, b = np.asarray(first, np.float64).ravel(), np.asarray(second, np.float64).ravel()
    if _is_flat(a) or _is_flat(b):
        return None
    return float(import_scipy_stats().spearmanr(a, b)[0])


def affine_corrected(values: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """``values`` after the straight line that best (least squares) maps them onto ``truth``."""
    x, y = np.asarray(values, np.float64), np.asarray(truth, np.float64)
    spread = float(np.var(x)) if x.size else 0.0
    if spread < 1e-12:
        return np.full_like(x, y.mean() if y.size else 0.0)
    slope = float(np.mean((x - x.mean()) * (y - y.mean()))) / spread
    return y.mean() + slope * (x - x.mean())


def agreement(reference: np.ndarray, values: np.ndarray) -> dict[str, Any]:
    """Agreement of two lists of local resolutions, voxel by voxel.

    Args:
        reference: A, one dimension, all estimated.
        values: A, of the same length; errors count as ``values - reference``.

    Returns:
        ``n_voxels``, ``exact_class``, ``within_one_class`` (parts of the voxels), ``kappa``,
        ``kappa_quadratic``, ``spearman``, ``pearson``, ``bias_A``, ``mae_A`` and ``mae_affine_A`` (after the
        best straight line from values to reference). Undefined ones are None.
    """
    a, b = np.asarray(reference, np.float64).ravel(), np.asarray(values, np.float64).ravel()
    if not a.size:
        keys = "exact_class within_one_class kappa kappa_quadratic spearman pearson bias_A mae_A mae_affine_A"
        return {"n_voxels": 0, **dict.fromkeys(keys.split())}
    one, other = class_of(a), class_of(b)
    apart = np.abs(one.astype(int) - other)
    matrix = confusion(one, other, len(LOCAL_CLASSES))
    return {
        "n_voxels": int(a.size),
        "exact_class": float(np.mean(apart == 0)),
        "within_one_class": float(np.mean(apart <= 1)),
        "kappa": kappa(matrix),
        "kappa_quadratic": kappa(matrix, "quadratic"),
        "spearman": spearman(a, b),
        "pearson": pearson(a, b),
        "bias_A": float(np.mean(b - a)),
        "mae_A": float(np.mean(np.abs(b - a))),
        "mae_affine_A": float(np.mean(np.abs(affine_corrected(b, a) - a))),
    }


def local_metrics(
    truth: np.ndarray,
    predicted: np.ndarray,
    mask: np.ndarray | None = None,
    halfwidth: np.ndarray | None = None,
    global_A: float | None = None,
) -> dict[str, Any]:
    """How good a local-resolution volume of *one map* is, inside the mask, beside the baselines.

    Args:
        truth: A (z, y, x); voxels without truth (see `resolution_terms.estimated`) do not count.
        predicted: A (z, y, x); voxels without an estimate count for ``coverage`` only.
        mask: bool (z, y, x).
        halfwidth: half-width of the 68 % interval, A (z, y, x).
        global_A: the map's global resolution, for the baseline "every voxel has it".

    Returns:
        `agreement` of the estimated voxels; ``coverage``; ``interval_coverage``; and ``baselines`` on the same
        voxels: ``majority_class`` (its exact and within-one-class share), ``best_constant`` (the median of the
        truth) and ``global_value``, each with ``mae_A``.
    """
    known = estimated(truth)
    if mask is not None:
        known = known & mask
    both = known & estimated(predicted)
    true, said = np.asarray(truth)[both], np.asarray(predicted)[both]
    result = agreement(true, said)
    result["coverage"] = float(both.sum() / known.sum()) if known.any() else None
    if halfwidth is not None:
        half = np.asarray(halfwidth)[both]
        result["interval_coverage"] = coverage(true, said - half, said + half)
    result["baselines"] = _baselines(true, global_A) if true.size else {}
    return result


def _baselines(truth: np.ndarray, global_A: float | None) -> dict[str, Any]:
    classes = class_of(truth).astype(int)
    commonest = int(np.bincount(classes, minlength=len(LOCAL_CLASSES)).argmax())
    table: dict[str, Any] = {
        "majority_class": {
            "class": LOCAL_CLASSES[commonest],
            "exact_class": float(np.mean(classes == commonest)),
            "within_one_class": float(np.mean(np.abs(classes - commonest) <= 1)),
        },
        "best_constant": _constant(truth, classes, float(np.median(truth))),
    }
    if global_A is not None:
        table["global_value"] = _constant(truth, classes, float(global_A))
    return table


def _constant(truth: np.ndarray, classes: np.ndarray, value: float) -> dict[str, float]:
    apart = np.abs(classes - int(class_of(np.array([value]))[0]))
    return {
        "value_A": value,
        "mae_A": float(np.mean(np.abs(truth - value))),
        "exact_class": float(np.mean(apart == 0)),
        "within_one_class": float(np.mean(apart <= 1)),
    }


def combine_local(per_map: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Figures of many maps -> mean over maps with a bootstrap interval, for every number they share."""
    keys = [key for key, value in (per_map[0] if per_map else {}).items() if not isinstance(value, dict)]
    return {key: mean_over_maps([row.get(key) for row in per_map]) for key in keys}
