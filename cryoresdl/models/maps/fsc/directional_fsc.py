"""Fourier shell correlation by direction: sums over cones about many axes, from one Fourier transform.

Every coefficient falls into one of about a thousand small patches of directions and into one shell. Cones are sums of
patches, and bands weighted sums of shells, so any number of cones costs two small matrix products.

The *conical FSC* of an axis at frequency f is the correlation over the coefficients within 20 degrees of the axis, on
either side of the origin, weighted over shells by the band ``exp(-(|k| - f)^2 / w^2)`` with ``w = 0.1 f`` (never below 0.008
cycles per voxel): the band of the simulator's local truth. The resolution along the axis is where it first falls to 0.143.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Callable, Sequence, Tuple

import numpy as np
import scipy.fft as sf

from ...base.resolution_terms import FSC_THRESHOLD

HALF_ANGLE = 20.0
"""Of every cone, in degrees."""
CONE_AXES = 250
RINGS, SECTORS = 24, 48
"""Patches of the half sphere x > 0: rings of 3.75 degrees about the x axis, and sectors of azimuth."""
PATCHES = RINGS * SECTORS
CONE_RELATIVE_WIDTH, CONE_MIN_WIDTH = 0.1, 0.008
FINEST, COARSEST, BAND_STEP = 0.49, 0.02, 1.06
"""Bands in cycles per voxel, and the ratio of neighbouring ones."""
SMOOTHING_DEGREES = 18.0
"""Standard deviation of the neighbours' weights where the axis of the worst or the best direction is sought."""
_CLUSTER_DEGREES = 60.0
_FINER = 3
"""Each patch is divided by this number in both directions, to tell which share of it a cone holds."""

Planes = Callable[[int], Tuple[np.ndarray, ...]]


def sphere_points(count: int) -> np.ndarray:
    """``count`` unit vectors (n, 3) z, y, x, spread evenly over the half sphere z > 0 on a Fibonacci spiral."""
    z = (np.arange(count) + 0.5) / count
    turn = np.pi * (1.0 + np.sqrt(5.0)) * np.arange(count)
    across = np.sqrt(1.0 - z**2)
    return np.stack([z, across * np.sin(turn), across * np.cos(turn)], axis=1)


@lru_cache(maxsize=1)
def cone_axes() -> np.ndarray:
    """The axes of the cones: (250, 3) unit vectors z, y, x; an axis and its opposite are one."""
    return sphere_points(CONE_AXES)


@lru_cache(maxsize=1)
def _neighbour_weights() -> np.ndarray:
    square = np.square(cone_axes() @ cone_axes().T)
    weights = np.exp((square - 1.0) / (2.0 * np.radians(SMOOTHING_DEGREES) ** 2))
    return weights / weights.sum(axis=1, keepdims=True)


def smooth_over_axes(values: np.ndarray) -> np.ndarray:
    """Mean over the neighbours of every axis, weighted with ``exp(-sin^2 / (2 d^2))`` of the angle to them.

    Args:
        values: (axes,), in the order of `cone_axes`.
    """
    return _neighbour_weights() @ values


def extreme_axis(values: np.ndarray) -> np.ndarray:
    """The axis about which the highest values gather: the middle of a flat maximum, not one of its corners.

    A cone of a small map holds few coefficients, so the values are smoothed first. Of the highest quarter, what lies within
    60 degrees of the highest is averaged, with what it stands out by as its weight.

    Args:
        values: (axes,), in the order of `cone_axes`.

    Returns:
        unit vector (z, y, x).
    """
    axes, smooth = cone_axes(), smooth_over_axes(values)
    weight = np.clip(smooth - np.quantile(smooth, 0.75), 0.0, None)
    peak = axes[int(smooth.argmax())]
    weight = weight * (np.abs(axes @ peak) > np.cos(np.radians(_CLUSTER_DEGREES)))
    if not weight.any():
        return peak
    axis = np.linalg.eigh((axes * weight[:, None]).T @ axes)[1][:, -1]
    return axis if axis[np.abs(axis).argmax()] > 0 else -axis


@lru_cache(maxsize=4)
def patch_directions(finer: int = 1) -> np.ndarray:
    """Middle of every patch, or of its parts: (RINGS, finer, SECTORS, finer, 3) unit vectors z, y, x."""
    polar = (np.arange(RINGS * finer) + 0.5) * (np.pi / 2 / (RINGS * finer))
    angle = (np.arange(SECTORS * finer) + 0.5) * (2 * np.pi / (SECTORS * finer)) - np.pi
    across = np.sin(polar)[:, None]
    z, y = across * np.cos(angle), across * np.sin(angle)
    points = np.stack([z, y, np.broadcast_to(np.cos(polar)[:, None], z.shape)], axis=-1)
    return points.reshape(RINGS, finer, SECTORS, finer, 3)


@lru_cache(maxsize=1)
def cone_shares() -> np.ndarray:
    """Share of every patch that lies in every cone: float64 (axes, patches)."""
    inside = np.abs(patch_directions(_FINER) @ cone_axes().T) >= np.cos(np.radians(HALF_ANGLE))
    return inside.mean(axis=(1, 3)).reshape(PATCHES, CONE_AXES).T.copy()


def direction_sums(planes: Planes, shape: Sequence[int]) -> np.ndarray:
    """Sums over the coefficients of each shell and patch of directions, up to Nyquist.

    Args:
        planes: gives, for a plane z of ``rfftn``'s coefficients, one or more float arrays (y, x) to be summed.
        shape: of the volume (z, y, x).

    Returns:
        float64 (1 + arrays, shells, patches): the number of coefficients (of the whole sphere), then the sums. Shell
        ``s`` lies at ``s / (2 (shells - 1))`` cycles per voxel.
    """
    shells = min(shape) // 2 + 1
    fy, fx = (
        sf.fftfreq(shape[1])[:, None].astype(np.float32),
        sf.rfftfreq(shape[2])[None, :].astype(np.float32),
    )
    twice = np.full((shape[1], shape[2] // 2 + 1), 2.0)
    twice[:, 0] = 1.0
    if shape[2] % 2 == 0:
        twice[:, -1] = 1.0
    total = np.zeros((1 + len(planes(0)), shells * PATCHES))
    for plane, fz in enumerate(sf.fftfreq(shape[0]).astype(np.float32)):
        values = planes(plane)
        radius = np.sqrt(fz * fz + fy * fy + fx * fx)
        shell = (radius * np.float32(2 * (shells - 1)) + np.float32(0.5)).astype(np.int32)
        chosen = (shell < shells) & (shell > 0)
        angle = np.arctan2(fy, fz) * np.float32(SECTORS / (2 * np.pi)) + np.float32(SECTORS / 2)
        sector = np.clip(angle.astype(np.int32), 0, SECTORS - 1)
        polar = np.arccos(np.minimum(fx / np.maximum(radius, np.float32(1e-9)), np.float32(1.0)))
        ring = np.minimum((polar * np.float32(RINGS / (np.pi / 2))).astype(np.int32), RINGS - 1)
        index = ((shell * RINGS + ring) * SECTORS + sector)[chosen]
        weight = twice[chosen]
        if not index.size:
            continue
        low, high = int(index.min()), int(index.max()) + 1
        index = index - low
        total[0, low:high] += np.bincount(index, weight, high - low)
        for row, value in zip(total[1:], values):
            row[low:high] += np.bincount(index, value[chosen] * weight, high - low)
    return total.reshape(-1, shells, PATCHES)


def band_centres(extent: float) -> np.ndarray:
    """Centres of the bands (bands,) in cycles per voxel, low to high; the lowest has two waves in ``extent`` voxels."""
    lowest = min(max(COARSEST, 2.0 / extent), FINEST / BAND_STEP)
    count = int(np.floor(np.log(FINEST / lowest) / np.log(BAND_STEP))) + 1
    return FINEST / BAND_STEP ** np.arange(count - 1, -1, -1)


def band_sums(sums: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Weighted sums over the shells of each band.

    Args:
        sums: (..., shells, n), shells from 0 to Nyquist.
        centres: (bands,), cycles per voxel.

    Returns:
        (..., bands, n).
    """
    shells = sums.shape[-2]
    frequency = np.arange(shells) / (2.0 * (shells - 1))
    width = np.maximum(np.maximum(CONE_RELATIVE_WIDTH * centres, CONE_MIN_WIDTH), 0.5 / (shells - 1) / 2)
    weights = np.exp(-(((frequency[None, :] - centres[:, None]) / width[:, None]) ** 2))
    return weights @ sums


def cone_sums(bands: np.ndarray) -> np.ndarray:
    """Sums over the patches of each cone: (..., patches) -> (..., axes)."""
    return bands @ cone_shares().T


def cone_crossings(centres: np.ndarray, fsc: np.ndarray, threshold: float = FSC_THRESHOLD) -> np.ndarray:
    """Frequency where each column of ``fsc`` (bands, axes) first falls to the threshold; the last band's if it never does.

    Interpolated linearly, as every FSC here; a column that begins below has the first band's.
    """
    below = fsc < threshold
    first = np.where(below.any(0), below.argmax(0), len(centres) - 1)
    before = np.maximum(first - 1, 0)
    columns = np.arange(fsc.shape[1])
    high, low = fsc[before, columns], fsc[first, columns]
    share = np.clip((high - threshold) / np.maximum(high - low, 1e-12), 0.0, 1.0)
    return centres[before] + (centres[first] - centres[before]) * np.where(first > 0, share, 0.0)


def conical_area_ratio(centres: np.ndarray, fsc: np.ndarray, threshold: float = FSC_THRESHOLD) -> float:
    """cFAR: the smallest over the largest area under the conical FSC (bands, axes) up to its first crossing.

    Below the first band the curves are taken as level.
    """
    ends = cone_crossings(centres, fsc, threshold)
    fine = np.linspace(0.0, centres[-1], 400)
    areas = np.empty(fsc.shape[1])
    for axis, end in enumerate(ends):
        curve = np.clip(np.interp(fine, centres, fsc[:, axis]), 0.0, 1.0)
        areas[axis] = curve[fine <= end].sum()
    return float(areas.min() / max(areas.max(), 1e-12))
