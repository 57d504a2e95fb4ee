"""How wide the 68 % intervals of the local network are: its own spread, corrected by what held-out maps showed.

Two corrections follow each other. Factors by predicted width and by where the noise level comes from make the intervals
right on average over all maps (``calibrated_spread``). What is left differs from map to map, and a map's own profile
tells much of it: the noise of an unprocessed map is easy to judge, that of a masked or sharpened one is not. A small
dense network reads that profile and gives one further factor per map (``map_factor``; it is fitted in
``interval_training``).
"""

from __future__ import annotations

from typing import Any, Dict

import numpy as np

from . import backend, features

PROFILE = "profile"
"""Key of the calibration that the global network's input was made with: calibrating intervals again must not move it."""
BY_MAP = "by_map"
"""Key of the calibration that holds the network of one factor per map: its ``config``, and factors by noise source."""
WEIGHTS = "intervals/"
"""What the names of that network's arrays begin with in a model file."""
LARGEST_FACTOR = 4.0
"""Neither narrower nor wider by more than this: residuals of held-out maps ask for 0.3 to 3."""


def calibrated_spread(
    spread: np.ndarray, calibration: Dict[str, Any], noise: str = features.BACKGROUND
) -> np.ndarray:
    """Half-widths of 68 % intervals from the network's own, by a factor that depends on the width.

    Args:
        spread: half-widths in log2, any shape.
        calibration: of the model's card: ``spread`` is one factor for all; ``spread_knots`` (widths, ascending) with
            ``spread_factors`` replace it where they are given; ``half_maps`` and ``no_background`` hold the same for
            maps whose noise comes from there, ``profile`` for the global network's input.
        noise: where it came from (``features.noise_source``), or ``PROFILE``.
    """
    calibration = calibration.get(noise, calibration)
    if not calibration.get("spread_knots"):
        return spread * np.float32(calibration.get("spread", 1.0))
    knots = np.log(calibration["spread_knots"])
    factors = np.interp(np.log(np.maximum(spread, 1e-4)), knots, calibration["spread_factors"])
    return spread * factors.astype(np.float32)


def map_inputs(summary: np.ndarray, median: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """What the network of one factor per map reads.

    Args:
        summary: ``Features.summary``.
        median: log2(resolution / voxel size) of the masked cells.
        spread: their half-widths after :func:`calibrated_spread`, in log2.

    Returns:
        float32 vector: the summary, the mean log of the widths, the spread and the median of the answer.
    """
    answer = [np.log(np.maximum(spread, 0.01)).mean(), median.std(), np.median(median) - 2.0]
    return np.concatenate([summary, answer]).astype(np.float32)


def log_factors(config: Dict[str, Any], weights: Dict[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
    """Logarithm of the factor for every row (n, inputs) of :func:`map_inputs`, before any held-out scale: (n,)."""
    outputs = backend.profile_outputs(config, weights, rows)
    limit = np.log(LARGEST_FACTOR)
    return np.clip(np.mean(outputs, axis=0)[:, 0], -limit, limit)


def map_factor(model: Any, summary: np.ndarray, median: np.ndarray, spread: np.ndarray) -> float:
    """The factor of one map's half-widths; 1 for a model without such a network.

    Args:
        model: a loaded local model (``model_file.Model``).
        summary: ``Features.summary``.
        median: log2(resolution / voxel size) of the masked cells.
        spread: their half-widths after :func:`calibrated_spread`.
    """
    entry = model.card.get("calibration", {}).get(BY_MAP)
    if not entry or not median.size:
        return 1.0
    weights = {k[len(WEIGHTS) :]: v for k, v in model.weights.items() if k.startswith(WEIGHTS)}
    rows = map_inputs(summary, median, spread)[None]
    held_out = float(entry["factors"].get(features.noise_source(summary), 1.0))
    return held_out * float(np.exp(log_factors(entry["config"], weights, rows)[0]))


def halfwidths(model: Any, summary: np.ndarray, median: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Half-widths of 68 % intervals in log2 of one map's masked cells.

    Args:
        model: a loaded local model.
        summary: ``Features.summary``.
        median: log2(resolution / voxel size) of the masked cells, one dimension.
        spread: the network's own half-widths of the same cells.
    """
    calibration = model.card.get("calibration", {})
    spread = calibrated_spread(spread, calibration, features.noise_source(summary))
    return spread * np.float32(map_factor(model, summary, median, spread))
