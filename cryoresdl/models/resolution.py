"""Angstroms, classes, and whether a claimed resolution holds."""

from __future__ import annotations

import math
from typing import Any, Mapping, Sequence

import numpy as np

from .constants import (
    GLOBAL_CLASSES,
    GLOBAL_EDGES_A,
    LOCAL_CLASSES,
    LOCAL_EDGES_A,
    NOT_ESTIMATED_CLASS,
    RESMAP_NOT_ESTIMATED_A,
)
from .errors import InputError

SUPPORTED, OPTIMISTIC, PESSIMISTIC, CANNOT_TELL = "supported", "optimistic", "pessimistic", "cannot tell"

DECISION_WIDTH = 1.96
"""Half-width of the interval that decides on a claim, in 68 % half-widths of the estimate (log2 scale).

1.96 is the normal 95 % interval. Measured on held-out simulated maps, 9.5 % of the true claims are called false with it
(docs/models.md): errors have longer tails than the normal law.
"""
WIDEST_DECISION_LOG2 = 1.5
"""A decision interval of a larger half-width (a factor of 2.8 to either side) cannot judge any claim."""


def estimated(resolution: np.ndarray) -> np.ndarray:
    """Where a local-resolution volume holds a value: above 0 and below 100 A (ResMap's sentinel), not NaN.

    Args:
        resolution: A, any shape.

    Returns:
        bool array of that shape.
    """
    values = np.asarray(resolution)
    with np.errstate(invalid="ignore"):
        return (values > 0) & (values < RESMAP_NOT_ESTIMATED_A)


def class_of(resolution: np.ndarray) -> np.ndarray:
    """Local class of every voxel: (0-2], (2-3], ... (9-10], (10, 100) A are 0 ... 9 (paper, section 4.3).

    Args:
        resolution: A, any shape.

    Returns:
        int8 array of that shape; -1 where nothing was estimated (see `estimated`).
    """
    values = np.asarray(resolution)
    classes = np.zeros(values.shape, np.int8)
    with np.errstate(invalid="ignore"):
        for edge in LOCAL_EDGES_A:  # nine comparisons are faster than a search per voxel
            classes += values > edge
    return np.where(estimated(values), classes, np.int8(NOT_ESTIMATED_CLASS))


def global_class_of(resolution_A: np.ndarray) -> np.ndarray:
    """Index of the global class of many resolutions in angstroms; edges as in :func:`global_class`."""
    low, high = GLOBAL_EDGES_A
    return np.where(resolution_A < low, 0, np.where(resolution_A <= high, 1, 2))


def global_class(resolution_A: float) -> str:
    """``high`` below 5 A, ``medium`` from 5 to 10 A with both edges, ``low`` above 10 A (paper, section 4.1).

    Raises:
        InputError: not a number above 0.
    """
    value = float(resolution_A)
    if not value > 0:
        raise InputError(f"A resolution of {value:g} A has no class; give a number above 0.")
    low, high = GLOBAL_EDGES_A
    if value < low:
        return GLOBAL_CLASSES[0]
    return GLOBAL_CLASSES[1] if value <= high else GLOBAL_CLASSES[2]


def summarize(resolution: np.ndarray, mask: np.ndarray | None = None) -> dict[str, Any]:
    """Summary of a local-resolution volume.

    Args:
        resolution: A (z, y, x).
        mask: bool (z, y, x); voxels outside do not count.

    Returns:
        ``median_A``, ``quartiles_A`` [q1, q3] (None when nothing is estimated), ``fractions`` of the ten
        classes among the estimated voxels, ``n_voxels`` estimated, and ``coverage``: the estimated part of
        the mask (of the volume without one).
    """
    inside = estimated(resolution)
    if mask is not None:
        inside &= mask
    values = np.asarray(resolution)[inside]
    total = int(mask.sum()) if mask is not None else inside.size
    counts = np.bincount(class_of(values), minlength=len(LOCAL_CLASSES)) if values.size else np.zeros(10)
    quartiles = [float(q) for q in np.percentile(values, (25, 50, 75))] if values.size else None
    return {
        "median_A": quartiles[1] if quartiles else None,
        "quartiles_A": [quartiles[0], quartiles[2]] if quartiles else None,
        "fractions": {
            name: float(n) / max(1, values.size) for name, n in zip(LOCAL_CLASSES, counts.tolist())
        },
        "n_voxels": int(values.size),
        "coverage": float(values.size) / max(1, total),
    }


def check_claim(claimed_A: float) -> float:
    """The claim as a number.

    Raises:
        InputError: not a finite number above 0.
    """
    try:
        value = float(claimed_A)
    except (TypeError, ValueError):
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise InputError(f"The claimed resolution {claimed_A} is not above 0 A; give it in angstroms.")
    return value


def decision_interval(
    estimate_A: float, interval_A: Sequence[float], width: float = DECISION_WIDTH
) -> tuple[float, float]:
    """Widen the 68 % interval of an estimate, on the log2 scale, to the interval that judges claims."""
    low, high = interval_A
    return (
        float(estimate_A * (low / estimate_A) ** width),
        float(estimate_A * (high / estimate_A) ** width),
    )


def verdict(
    claimed_A: float,
    estimate_A: float,
    interval_A: Sequence[float],
    probabilities: Mapping[str, float],
    in_distribution: bool,
    nyquist_A: float,
    local_summary: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Judge a claimed resolution.

    Criteria, in this order:

    1. finer than Nyquist (two voxels): "optimistic", whatever the network says;
    2. the map is unlike the training maps, or the decision interval is wider than `WIDEST_DECISION_LOG2`:
       "cannot tell";
    3. below the decision interval (`DECISION_WIDTH` times the 68 % half-width, on the log2 scale):
       "optimistic"; above it: "pessimistic"; inside, edges included: "supported".

    Args:
        claimed_A: the claim.
        estimate_A: the network's global estimate.
        interval_A: its 68 % interval (low, high), around the estimate.
        probabilities: of the classes "high", "medium", "low".
        in_distribution: the map is like those that the network was trained on.
        nyquist_A: two voxels.
        local_summary: `summarize` of the local resolution, for the reasons.

    Returns:
        ``claimed_A``, ``verdict``, ``reasons`` (sentences) and the numbers: ``estimate_A``,
        ``decision_interval_A``, ``nyquist_A``, ``class_of_claim`` and ``probability_of_that_class``.

    Raises:
        InputError: the claim is not above 0.
    """
    claim = check_claim(claimed_A)
    low, high = decision_interval(estimate_A, interval_A)
    name = global_class(claim)
    answer, reasons = _judge(claim, low, high, in_distribution, nyquist_A)
    if answer != CANNOT_TELL:
        share = float(probabilities[name])
        reasons.append(f"The claim is of class {name}, which the network gives a probability of {share:.2f}.")
    reasons.extend(_local_reasons(claim, estimate_A, local_summary))
    return {
        "claimed_A": claim,
        "verdict": answer,
        "reasons": reasons,
        "estimate_A": float(estimate_A),
        "decision_interval_A": [low, high],
        "nyquist_A": float(nyquist_A),
        "class_of_claim": name,
        "probability_of_that_class": float(probabilities[name]),
    }


def _judge(
    claim: float, low: float, high: float, in_distribution: bool, nyquist: float
) -> tuple[str, list[str]]:
    span = f"{low:.1f} to {high:.1f} A"
    # Headers round voxel sizes: a claim at Nyquist itself is not beyond it.
    if claim < nyquist * (1 - 1e-3):
        return OPTIMISTIC, [
            f"The claim of {claim:.2f} A is finer than the sampling allows: Nyquist is {nyquist:.2f} A."
        ]
    if not in_distribution:
        return CANNOT_TELL, ["The map is unlike the maps that the network was trained on (see its warnings)."]
    if not (low > 0 and math.isfinite(high)) or math.log2(high / low) / 2 > WIDEST_DECISION_LOG2:
        return CANNOT_TELL, [f"The estimate is too uncertain to judge a claim: {span}."]
    if claim < low:
        return OPTIMISTIC, [f"The map looks worse than the claimed {claim:.2f} A: {span} is expected."]
    if claim > high:
        return PESSIMISTIC, [f"The map looks better than the claimed {claim:.2f} A: {span} is expected."]
    return SUPPORTED, [f"The claimed {claim:.2f} A is within what the map looks like: {span}."]


def _local_reasons(claim: float, estimate: float, summary: Mapping[str, Any] | None) -> list[str]:
    if not summary or summary.get("median_A") is None:
        return []
    median, (first, third) = summary["median_A"], summary["quartiles_A"]
    reasons = [
        f"Half of the molecule is resolved between {first:.1f} and {third:.1f} A (median {median:.1f} A)."
    ]
    if claim < first:
        reasons.append("The claim is finer than the local resolution of three quarters of the molecule.")
    elif claim > third:
        reasons.append("The claim is coarser than the local resolution of three quarters of the molecule.")
    cutoff = summary.get("half_map_fsc0143_A")
    if cutoff:
        reasons.append(f"The FSC of the half maps inside the mask falls to 0.143 at {cutoff:.2f} A.")
    if abs(math.log2(estimate / median)) > 0.5:
        reasons.append(
            f"The global estimate ({estimate:.1f} A) and the local median ({median:.1f} A) differ much: "
            "look at the local map before trusting either."
        )
    return reasons
