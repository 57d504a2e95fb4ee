"""How far signal over noise differs between directions beyond chance: a smooth factor, fitted with its doubt.

Uneven views multiply signal over noise by a factor of the direction alone, whatever the frequency (``docs/simulation.md``).
So all bands tell of one smooth function ``h(u)``, the log of that factor::

    FSC(f, u) = q / (1 + q)    log q = g(f) + h(u)

``h`` is a sum of even spherical harmonics with a normal prior, whose width the data choose (empirical Bayes): where the
differences are what so few coefficients leave by chance, the width is 0 and every direction gets the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Tuple

import numpy as np
from scipy import special

from ..maps.fsc import directional_fsc
from .direction_sums import DirectionSums

DEGREES = (2, 4, 6)
GROUP_RINGS, GROUP_SECTORS = 6, 12
"""Patches are fitted in groups of 4 x 4."""
DIRECTION_BAND_RATIO = 1.12
LOWEST_WAVES = 3.0
"""Waves per edge of the region in the lowest band: below, the shape of the molecule is what differs."""
LEAST_FSC, MOST_FSC = 0.05, 0.98
"""FSC of the bands that tell of directions; the first one below the least ends them."""
NEIGHBOURHOOD = 25.0
PRIOR_WIDTHS = np.concatenate([[1e-6], np.geomspace(1e-4, 9.0, 40)])
_STEPS = 8


@dataclass(frozen=True)
class DirectionFit:
    """The fitted factor along the cones' axes.

    Attributes:
        log_factor: natural log of signal over noise over that of all directions' curve, (axes,).
        variance: its posterior variance, (axes,).
        evidence: natural log of the evidence for any difference over none; 0 where the data ask for none.
    """

    log_factor: np.ndarray
    variance: np.ndarray
    evidence: float


def _harmonics(directions: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Real harmonics of mean square 1 at (n, 3) unit vectors z, y, x: (n, k), and the degree of each."""
    z, y, x = directions.T
    polar, azimuth = np.arccos(np.clip(z, -1.0, 1.0)), np.arctan2(y, x)
    columns, degrees = [], []
    for degree in DEGREES:
        for order in range(-degree, degree + 1):
            value = special.sph_harm(abs(order), degree, azimuth, polar)
            part = value.real if order >= 0 else value.imag
            columns.append(part * np.sqrt(4 * np.pi * (2.0 if order else 1.0)))
            degrees.append(degree)
    return np.stack(columns, axis=1), np.asarray(degrees)


@lru_cache(maxsize=1)
def _group_directions() -> np.ndarray:
    rings, sectors = directional_fsc.RINGS, directional_fsc.SECTORS
    patches = directional_fsc.patch_directions().reshape(
        GROUP_RINGS, rings // GROUP_RINGS, GROUP_SECTORS, sectors // GROUP_SECTORS, 3
    )
    middle = patches.mean(axis=(1, 3)).reshape(-1, 3)
    return middle / np.linalg.norm(middle, axis=1, keepdims=True)


def _grouped(sums: np.ndarray, extent: int) -> np.ndarray:
    """(k, shells, patches) summed over disjoint bands and groups of patches: (k, bands, groups)."""
    kinds, shells, _ = sums.shape
    rings, sectors = directional_fsc.RINGS, directional_fsc.SECTORS
    split = (GROUP_RINGS, rings // GROUP_RINGS, GROUP_SECTORS, sectors // GROUP_SECTORS)
    groups = sums.reshape(kinds, shells, *split).sum(axis=(3, 5)).reshape(kinds, shells, -1)
    frequency = np.arange(shells) / (2.0 * (shells - 1))
    edges = [LOWEST_WAVES / extent]
    while edges[-1] < 0.5:
        edges.append(max(edges[-1] * DIRECTION_BAND_RATIO, edges[-1] + 1.0 / extent))
    band = np.digitize(frequency, edges) - 1
    found = [groups[:, band == k].sum(axis=1) for k in range(len(edges) - 1) if (band == k).any()]
    return np.stack(found, axis=1)


def fit_directions(sums: DirectionSums) -> DirectionFit:
    """Fit the factor of the direction to what was measured; all zeros where no band tells of it."""
    counts, common, whole = _grouped(np.stack([sums.counts, sums.common, sums.whole]), sums.extent)
    mean = common.sum(1) / np.maximum(whole.sum(1), 1e-300)
    ended = np.logical_or.accumulate(mean < LEAST_FSC)
    used = ~ended & (mean < MOST_FSC)
    axes, degrees = _harmonics(directional_fsc.cone_axes())
    if not used.any():
        return DirectionFit(np.zeros(len(axes)), np.zeros(len(axes)), 0.0)
    counts, common, whole, mean = counts[used], common[used], whole[used], mean[used]
    weights, _ = _harmonics(_group_directions())
    near = np.abs(_group_directions() @ _group_directions().T) > np.cos(np.radians(NEIGHBOURHOOD))
    power = (whole @ near) / np.maximum(counts @ near, 1e-9)
    factors, level = np.zeros(weights.shape[1]), np.log(mean / (1 - mean))
    for _ in range(_STEPS):
        level = _level(level, weights @ factors, common, whole)
        fsc = _logistic(level[:, None] + weights @ factors)
        residual = common - fsc * whole
        # Variance of the residual of correlated Gaussian coefficients; strong signal speckles, so it counts for less.
        information = 2 * counts * sums.independent * fsc**2 / (1 + fsc) ** 2 * (1 - fsc)
        step = residual / np.maximum(fsc * (1 - fsc) * power * counts, 1e-300)
        precision = (weights * information.sum(0)[:, None]).T @ weights
        target = weights.T @ (information * step).sum(0) + precision @ factors
        factors, covariance, evidence = _shrunk(precision, target, degrees)
    return DirectionFit(axes @ factors, np.einsum("ij,jk,ik->i", axes, covariance, axes), evidence)


def _logistic(value: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-value))


def _level(level: np.ndarray, factor: np.ndarray, common: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """``g`` of every band, so that the whole band has the FSC that was measured."""
    for _ in range(5):
        fsc = _logistic(level[:, None] + factor)
        slope = (fsc * (1 - fsc) * whole).sum(1)
        level = np.clip(level + (common - fsc * whole).sum(1) / np.maximum(slope, 1e-300), -6.0, 6.0)
    return level


def _shrunk(
    precision: np.ndarray, target: np.ndarray, degrees: np.ndarray
) -> Tuple[np.ndarray, np.ndarray, float]:
    """Coefficients, their covariance and the evidence, with the width of the prior that has most of it."""
    root = 2.0 / degrees  # the prior's deviation falls with the degree
    values, vectors = np.linalg.eigh(root[:, None] * precision * root)
    values, along = np.maximum(values, 0.0), vectors.T @ (root * target)
    widths = PRIOR_WIDTHS[:, None]
    evidence = 0.5 * (widths * along**2 / (1 + widths * values) - np.log1p(widths * values)).sum(1)
    best = int(evidence.argmax())
    covariance = np.linalg.inv(precision + np.diag(1.0 / (PRIOR_WIDTHS[best] * root**2)))
    return np.clip(covariance @ target, -3.0, 3.0), covariance, max(float(evidence[best]), 0.0)
