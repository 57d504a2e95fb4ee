"""Angstroms, classes, and whether a claimed resolution holds."""

from __future__ import annotations

import math
import os
import re
from typing import Any, Mapping, Sequence

from ..base.errors import InputError
from ..base.resolution_terms import CANNOT_TELL, CRITERIA, OPTIMISTIC, PESSIMISTIC, SUPPORTED, global_class

DECISION_WIDTH = 1.96
"""Half-width of the interval that decides on a claim, in 68 % half-widths of the estimate (log2 scale).

1.96 is the normal 95 % interval. Measured on held-out simulated maps, 9.5 % of the true claims are called false with it
(docs/explanation/models.md): errors have longer tails than the normal law.
"""
_OLD_NAME = re.compile(r"emd[-_ ]?(\d{4,5})(?!\d)", re.IGNORECASE)
_OLD_ENTRIES = ((1001, 2300), (5001, 5600))
"""Numbers that the EMDB gave before about 2013 (Europe, America)."""
WIDEST_DECISION_LOG2 = 1.0
"""A decision interval of a larger half-width (a factor of 2 to either side) cannot judge any claim."""


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
    measured: bool = False,
    criterion: str = CRITERIA[0],
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
        measured: whether the estimate is the FSC of half maps inside the mask, which the network only gives an interval.
        criterion: of FSC, which claim and estimate are meant by.

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
    if measured:
        reasons.append(_measured_reason(estimate_A, criterion))
    if answer != CANNOT_TELL:
        share = float(probabilities[name])
        reasons.append(f"The claim is of class {name}, which the network gives a probability of {share:.2f}.")
    reasons.extend(_local_reasons(claim, estimate_A, local_summary, measured))
    return {
        "claimed_A": claim,
        "criterion": criterion,
        "verdict": answer,
        "reasons": reasons,
        "estimate_A": float(estimate_A),
        "decision_interval_A": [low, high],
        "nyquist_A": float(nyquist_A),
        "class_of_claim": name,
        "probability_of_that_class": float(probabilities[name]),
    }


def _measured_reason(estimate: float, criterion: str) -> str:
    return (
        f"The estimate of {estimate:.2f} A is where the half maps' FSC, corrected for mask and solvent, falls to "
        f"{criterion}; the network only tells how sure that is."
    )


def other_meaning(by_first: Mapping[str, Any], by_half: Mapping[str, Any], path: str | None) -> list[str]:
    """One sentence where a claim, judged by FSC 0.143, may mean FSC 0.5: it would then hold, or the entry is old.

    Args:
        by_first: verdict by FSC 0.143.
        by_half: verdict by FSC 0.5.
        path: of the map; its name may tell the EMDB entry.
    """
    entry = _OLD_NAME.search(os.path.basename(path or ""))
    number = int(entry.group(1)) if entry else 0
    old = any(first <= number <= last for first, last in _OLD_ENTRIES)
    holds = by_half["verdict"] == SUPPORTED and by_first["verdict"] in (OPTIMISTIC, PESSIMISTIC)
    if not (old or holds):
        return []
    when = f"EMD-{number} is from before about 2013, when most claims meant" if old else "If the claim means"
    then = ": judge it by --criterion 0.5" if old else ", judge it by --criterion 0.5"
    return [f"{when} FSC 0.5{then} (the map then looks like {by_half['estimate_A']:.2f} A)."]


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
        return CANNOT_TELL, [
            "The map is unlike the maps that the network was trained on, or what was given is doubtful (see its warnings)."
        ]
    if not (low > 0 and math.isfinite(high)) or math.log2(high / low) / 2 > WIDEST_DECISION_LOG2:
        return CANNOT_TELL, [f"The estimate is too uncertain to judge a claim: {span}."]
    if claim < low:
        return OPTIMISTIC, [f"The map looks worse than the claimed {claim:.2f} A: {span} is expected."]
    if claim > high:
        return PESSIMISTIC, [f"The map looks better than the claimed {claim:.2f} A: {span} is expected."]
    return SUPPORTED, [f"The claimed {claim:.2f} A is within what the map looks like: {span}."]


def _local_reasons(
    claim: float, estimate: float, summary: Mapping[str, Any] | None, measured: bool
) -> list[str]:
    if not summary or summary.get("median_A") is None:
        return []
    median, (first, third) = summary["median_A"], summary["quartiles_A"]
    by = f", model {summary['by']}" if summary.get("by") else ""
    reasons = [
        f"Half of the molecule is resolved between {first:.1f} and {third:.1f} A (median {median:.1f} A{by})."
    ]
    if claim < first:
        reasons.append("The claim is finer than the local resolution of three quarters of the molecule.")
    elif claim > third:
        reasons.append("The claim is coarser than the local resolution of three quarters of the molecule.")
    cutoff = summary.get("half_map_fsc0143_A")
    if cutoff and not measured:
        reasons.append(
            f"The FSC of the half maps, corrected for mask and solvent, falls to 0.143 at {cutoff:.2f} A."
        )
    if abs(math.log2(estimate / median)) > 0.5:
        reasons.append(
            f"The global estimate ({estimate:.1f} A) and the local median ({median:.1f} A) differ much: "
            "look at the local map before trusting either."
        )
    return reasons
