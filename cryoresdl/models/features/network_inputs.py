"""The named layout of the networks' inputs."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from ..base.resolution_terms import CRITERIA
from . import band_energies
from .band_energies import BAND_CENTRES, N_BANDS

NEAR_OCTAVES = np.arange(-4, 5) * 0.2
"""Octaves from the median answer at which the map's profiles are read."""


def map_inputs(summary: np.ndarray, rise: np.ndarray, median: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """What the correcting networks read of a map.

    Ratios inside over noise, which no radial filter changes; the slopes of the map's own spectrum are left out, for
    sharpening and blurring change them and must not move the answer. The profiles are given twice, as they are and from
    the map's median answer on: how steeply they fall there decides how well the crossing can be placed. Noise that
    rises towards the molecule tells of noise inside it, and noise that does not that the map is what it looks like.

    Args:
        summary: ``Features.summary``.
        rise: ``Features.rise``.
        median: log2(resolution / voxel size) of the masked cells.
        spread: their half-widths after ``map_corrections.calibrated_spread``, in log2.

    Returns:
        float32 vector.
    """
    middle = float(np.median(median))
    answer = [np.log(np.maximum(spread, 0.01)).mean(), median.std(), middle - 2.0]
    ratios = summary[: RATIO_BLOCKS * band_energies.N_BANDS]
    flags = summary[SUMMARY_BLOCKS * band_energies.N_BANDS :]
    frequency = np.log2(band_energies.BAND_CENTRES)
    profiles = ratios.reshape(RATIO_BLOCKS, -1)
    near = [np.interp(-(middle + NEAR_OCTAVES), frequency, profile) for profile in profiles]
    ends = np.clip(crossings(summary) - middle, -2.0, 2.0)
    return np.concatenate([ratios, flags, answer, ends, *near, rise]).astype(np.float32)


VERSION = 2
"""Of the features: feature sets of another version are refused. Since 2 the noise level comes from near the molecule."""
READABLE = (1, 2)
"""Versions whose networks read these features: the arrays and their meaning are the same."""

N_LOCAL = N_BANDS + 2
SUMMARY_BLOCKS = 6
RATIO_BLOCKS = 4
"""So many of the blocks come first that are energies over the noise, which no radial filter changes."""
SUMMARY_FLAGS = 5
HALF_MAPS_FLAG = SUMMARY_BLOCKS * N_BANDS + 1
"""Place in ``Features.summary`` that is 1 when the noise comes from half maps."""
NOISE_FLAG = HALF_MAPS_FLAG + 1
"""Place that is 1 when the noise level comes from the map or its halves, 0 when only from inside the mask."""
BACKGROUND, HALF_MAPS, NO_BACKGROUND = "background", "half_maps", "no_background"


def summary_length() -> int:
    """Length of ``Features.summary``: six profiles over the bands and five flags."""
    return SUMMARY_BLOCKS * N_BANDS + SUMMARY_FLAGS


def noise_source(summary: np.ndarray) -> str:
    """Where a map's noise level comes from: ``BACKGROUND`` (outside the mask), ``HALF_MAPS``, or ``NO_BACKGROUND``."""
    if summary[HALF_MAPS_FLAG] > 0.5:
        return HALF_MAPS
    return BACKGROUND if summary[NOISE_FLAG] > 0.5 else NO_BACKGROUND


CROSSING_RATIOS = (1.1, 1.2, 1.33, 1.6, 2.2, 4.0, 10.0)
"""Energy over noise at which a profile is said to end; 1.33 is FSC 0.143 of two halves if noise is the same inside."""


def crossings(summary: np.ndarray) -> np.ndarray:
    """Where the map's own profiles end: log2 of the wavelength in voxels.

    For each ratio of :data:`CROSSING_RATIOS` and each of the profiles (mean energy inside over noise, and its 10 %,
    50 % and 90 % quantiles), the first fall below that ratio, going up in frequency, and the last band above it.

    Args:
        summary: as in :class:`.map_features.Features`.

    Returns:
        float32 vector of 2 x 7 x 4 numbers.
    """
    profiles = 4.0 * summary[: RATIO_BLOCKS * N_BANDS].reshape(RATIO_BLOCKS, N_BANDS)
    place = -np.log2(np.asarray(BAND_CENTRES))
    beyond = place[-1] - 0.2
    found = []
    for level in np.log2(CROSSING_RATIOS):
        for profile in profiles:
            low = np.flatnonzero(profile < level)
            high = np.flatnonzero(profile >= level)
            first = _between(profile, place, int(low[0]) - 1, level) if low.size else beyond
            last = _between(profile, place, int(high[-1]), level) if high.size else place[0]
            found += [first, last]
    return np.asarray(found, np.float32)


def _between(profile: np.ndarray, place: np.ndarray, k: int, level: float) -> float:
    """Where a profile passes a level between bands k and k + 1; the first band's place before it, beyond the last."""
    if k < 0:
        return float(place[0])
    if k + 1 >= place.size:
        return float(place[-1] - 0.2)
    share = (profile[k] - level) / max(profile[k] - profile[k + 1], 1e-6)
    return float(place[k] + (place[k + 1] - place[k]) * min(max(share, 0.0), 1.0))


MEASURED_INPUTS = slice(summary_length() + 8, summary_length() + 10)
"""Places in the global network's input of what half maps measure: whether there are any, and their FSC 0.143.

Their FSC 0.5 comes last of all: networks that do not know of it cut it off.
"""


def global_profile(
    summary: np.ndarray, medians: np.ndarray, spreads: np.ndarray, cutoffs: Sequence[float] = ()
) -> np.ndarray:
    """Input of the default global network: the map's band profile and the local network's answer in a few numbers.

    Args:
        summary: ``Features.summary``.
        medians: log2(resolution / voxel size) of the masked cells.
        spreads: half-widths of their intervals in log2.
        cutoffs: resolutions in voxels at which the half maps' FSC in the mask falls to each of ``CRITERIA``; none without
            half maps.

    Returns:
        float32 vector.
    """
    levels = np.quantile(medians, (0.02, 0.1, 0.25, 0.5, 0.75, 0.9))
    nyquist_share = float((medians < 1.08).mean())
    crossed = [float(np.log2(one)) - 2.0 for one in cutoffs] or [0.0] * len(CRITERIA)
    measured = [float(len(cutoffs) > 0), crossed[0]]
    extra = [*(levels - 2.0), float(np.mean(spreads)), nyquist_share, *measured]
    return np.concatenate([summary, np.asarray(extra), crossings(summary) - 2.0, crossed[1:]]).astype(
        np.float32
    )


def measured_at(profiles: np.ndarray, criterion: str) -> np.ndarray:
    """Where the FSC of half maps falls to one of ``CRITERIA``, log2 voxels (n,), of profiles (n, inputs)."""
    place = MEASURED_INPUTS.stop - 1 if criterion == CRITERIA[0] else -1
    return np.asarray(profiles, float)[:, place] + 2.0


def has_half_maps(profiles: np.ndarray) -> np.ndarray:
    """Which of the profiles (n, inputs) of :func:`global_profile` come from half maps: bool (n,)."""
    return np.asarray(profiles)[:, MEASURED_INPUTS.start] > 0.5
