"""Resolution along every direction, of half maps or of one map, and what it means for a claim.

The resolution along an axis is where the FSC of the cone of 20 degrees about it first falls to 0.143. A cone holds few
independent coefficients, so each is filled up with :data:`FILL` of the curve that all directions share times a smooth factor
(``features.direction_model``); with no evidence for differences between directions, that curve stands for all of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence, Tuple, TypedDict

import numpy as np

from ..base.resolution_terms import FSC_THRESHOLD
from ..features import direction_model, direction_sums
from ..maps.fsc import directional_fsc

FILL = 100.0
"""Independent coefficients of the shared curve that every cone is filled up with."""
LEAST_EVIDENCE = 2.0
"""Natural log of the evidence from which on directions are measured each by itself."""
ANISOTROPIC = 1.3
"""Worst over best resolution from which on a map is called anisotropic."""
ACROSS_DEGREES = 70.0
"""Two axes with at least so much between them lie across each other."""
FROM_HALF_MAPS, ONE_MAP = "half maps", "one map"
EVIDENCE_OF_ANISOTROPY = {FROM_HALF_MAPS: LEAST_EVIDENCE, ONE_MAP: 8.0}
"""Natural log of the evidence from which on a map is called anisotropic; backgrounds differ by direction on their own."""
NO_NOISE = (
    "The resolution by direction cannot be told: the background holds no noise to measure by. Give two half maps, or the "
    "map before masking."
)
_LEAST_SLOPE = 1.5
INTERVAL: Dict[str, Tuple[float, float]] = {FROM_HALF_MAPS: (0.045, 0.75), ONE_MAP: (0.03, 0.2)}
"""Of the 68 % interval on the natural log scale: what is always in doubt, and the factor of the counted doubt."""


class DirectionalSummary(TypedDict, total=False):
    """What ``directional.json`` says; axes are unit vectors z, y, x, of which an opposite is the same."""

    source: str
    cannot_tell: str
    half_angle_degrees: float
    axes: int
    worst_A: float
    best_A: float
    median_A: float
    anisotropy: float
    anisotropic: bool
    evidence: float
    worst_axis_zyx: List[float]
    best_axis_zyx: List[float]
    cfar: Optional[float]
    claim_share: float
    sentence: str


@dataclass(frozen=True)
class DirectionalResult:
    """Resolution by direction.

    Attributes:
        axes: unit vectors z, y, x (n, 3); empty where it cannot be told.
        resolution: angstroms along each axis.
        low: finer end of the 68 % interval.
        high: coarser end.
        summary: numbers and the sentence.
    """

    axes: np.ndarray
    resolution: np.ndarray
    low: np.ndarray
    high: np.ndarray
    summary: DirectionalSummary


def resolution_by_direction(
    data: np.ndarray,
    mask: np.ndarray,
    voxel_size: float,
    halves: Optional[Tuple[np.ndarray, np.ndarray]] = None,
    global_A: Optional[float] = None,
    global_interval: Optional[Sequence[float]] = None,
    claimed: Optional[float] = None,
) -> DirectionalResult:
    """Measure the resolution along 250 axes.

    Args:
        data: the map, float32 (z, y, x); read only without half maps.
        mask: bool (z, y, x).
        voxel_size: angstroms.
        halves: two half maps of the same shape.
        global_A: without half maps, the global resolution that sets the level of the noise inside the molecule.
        global_interval: its 68 % interval, whose width every direction shares.
        claimed: a claimed resolution in angstroms.
    """
    source = ONE_MAP if halves is None else FROM_HALF_MAPS
    sums = (
        direction_sums.sums_of_map(data, mask, voxel_size, global_A)
        if halves is None
        else direction_sums.sums_of_halves(*halves, mask, voxel_size)
    )
    if sums is None:
        return _untold(source)
    fit = direction_model.fit_directions(sums)
    curves = _curves(sums, fit, fit.evidence > LEAST_EVIDENCE)
    resolution = voxel_size / directional_fsc.cone_crossings(curves.centres, curves.filled)
    shared = 0.0
    if global_interval is not None and halves is None:
        shared = 0.5 * math.log(global_interval[1] / global_interval[0])
    spread = _spread(curves, fit, resolution, voxel_size, source, shared)
    summary = _summary(source, curves, fit, resolution, claimed)
    return DirectionalResult(
        directional_fsc.cone_axes(),
        resolution,
        np.maximum(resolution * np.exp(-spread), 2 * voxel_size),
        resolution * np.exp(spread),
        summary,
    )


def _untold(source: str) -> DirectionalResult:
    none = np.zeros(0)
    summary = DirectionalSummary(source=source, cannot_tell=NO_NOISE, sentence=NO_NOISE)
    return DirectionalResult(np.zeros((0, 3)), none, none, none, summary)


@dataclass(frozen=True)
class _Curves:
    """FSC by band and axis: as measured, and filled up; independent coefficients; and the slope at the crossing."""

    centres: np.ndarray
    measured: np.ndarray
    filled: np.ndarray
    independent: np.ndarray
    level: np.ndarray


def _curves(sums: direction_sums.DirectionSums, fit: direction_model.DirectionFit, differs: bool) -> _Curves:
    centres = directional_fsc.band_centres(sums.extent)
    stacked = np.stack([sums.counts, sums.common, sums.whole])
    counts, common, whole = directional_fsc.cone_sums(directional_fsc.band_sums(stacked, centres))
    everything = directional_fsc.band_sums(stacked[1:], centres).sum(-1)
    mean = np.clip(everything[0] / np.maximum(everything[1], 1e-300), 1e-4, 1 - 1e-4)
    power = whole / np.maximum(counts, 1e-9)
    power /= power.sum(1, keepdims=True)
    level = np.log(mean / (1 - mean))
    for _ in range(6):
        shared = 1.0 / (1.0 + np.exp(-(level[:, None] + fit.log_factor)))
        slope = (shared * (1 - shared) * power).sum(1)
        level = np.clip(level + (mean - (shared * power).sum(1)) / np.maximum(slope, 1e-6), -9.0, 9.0)
    shared = 1.0 / (1.0 + np.exp(-(level[:, None] + fit.log_factor)))
    measured = common / np.maximum(whole, 1e-300)
    fill = FILL / sums.independent
    filled = (counts * measured + fill * shared) / (counts + fill) if differs else shared
    return _Curves(centres, measured, filled, counts * sums.independent, level)


def _spread(
    curves: _Curves,
    fit: direction_model.DirectionFit,
    resolution: np.ndarray,
    voxel_size: float,
    source: str,
    shared: float,
) -> np.ndarray:
    """Half-width of the 68 % interval of each axis, on the natural log scale."""
    log_frequency = np.log(curves.centres)
    slopes = np.gradient(curves.level, log_frequency)
    at = np.log(voxel_size / resolution)
    steepness = np.maximum(-np.interp(at, log_frequency, slopes), _LEAST_SLOPE)
    counted = np.array([np.interp(at[k], log_frequency, n) for k, n in enumerate(curves.independent.T)])
    # Of log signal over noise at the threshold, n coefficients leave (1 + F)^2 / (2 F^2 n); the fit, its own variance.
    chance = (1 + FSC_THRESHOLD) ** 2 / (2 * FSC_THRESHOLD**2) / (counted + FILL)
    always, factor = INTERVAL[source]
    return np.sqrt(always**2 + factor**2 * (chance + fit.variance) / steepness**2 + shared**2)


def _summary(
    source: str,
    curves: _Curves,
    fit: direction_model.DirectionFit,
    resolution: np.ndarray,
    claimed: Optional[float],
) -> DirectionalSummary:
    axes = directional_fsc.cone_axes()
    worst, best = float(resolution.max()), float(resolution.min())
    summary = DirectionalSummary(
        source=source,
        half_angle_degrees=directional_fsc.HALF_ANGLE,
        axes=len(axes),
        worst_A=worst,
        best_A=best,
        median_A=float(np.median(resolution)),
        anisotropy=worst / best,
        anisotropic=bool(fit.evidence > EVIDENCE_OF_ANISOTROPY[source] and worst / best > ANISOTROPIC),
        evidence=fit.evidence,
        worst_axis_zyx=[round(float(v), 4) for v in directional_fsc.extreme_axis(np.log(resolution))],
        best_axis_zyx=[round(float(v), 4) for v in directional_fsc.extreme_axis(-np.log(resolution))],
        cfar=directional_fsc.conical_area_ratio(curves.centres, curves.measured)
        if source == FROM_HALF_MAPS
        else None,
    )
    if claimed is not None:
        summary["claim_share"] = float(np.mean(resolution <= claimed))
    summary["sentence"] = sentence(summary, claimed)
    return summary


def sentence(summary: DirectionalSummary, claimed: Optional[float] = None) -> str:
    """What a reader should know of the directions, in one sentence."""
    if not summary["anisotropic"]:
        span = (
            f"{summary['best_A']:.1f} to {summary['worst_A']:.1f} A within cones of "
            f"{summary['half_angle_degrees']:.0f} degrees"
        )
        if summary["anisotropy"] > ANISOTROPIC:
            return f"The resolution may depend on the direction ({span}), but chance can explain the differences."
        return f"The resolution is about the same in every direction ({span})."
    across = abs(float(np.dot(summary["best_axis_zyx"], summary["worst_axis_zyx"]))) < math.cos(
        math.radians(ACROSS_DEGREES)
    )
    best = "across it" if across else f"along {axis_name(summary['best_axis_zyx'])}"
    text = (
        f"The resolution depends on the direction: {summary['worst_A']:.1f} A along "
        f"{axis_name(summary['worst_axis_zyx'])}, {summary['best_A']:.1f} A {best} (cones of "
        f"{summary['half_angle_degrees']:.0f} degrees)"
    )
    if claimed is not None:
        text += (
            f"; the claim of {claimed:g} A holds in {100 * summary['claim_share']:.0f} % of all directions"
        )
    return text + "."


def axis_name(axis: Sequence[float]) -> str:
    """``z``, ``y`` or ``x`` for an axis within 15 degrees of it, otherwise its components in that order."""
    part = np.abs(np.asarray(axis))
    if part.max() > math.cos(math.radians(15.0)):
        return "zyx"[int(part.argmax())]
    return "(z, y, x) = ({:.2f}, {:.2f}, {:.2f})".format(*axis)


def extended_claim(claim: Dict[str, Any], summary: DirectionalSummary) -> None:
    """Add what the directions say to the reasons of a claim's verdict, where they differ by more than chance."""
    if summary.get("anisotropic"):
        claim["reasons"].append(summary["sentence"])
