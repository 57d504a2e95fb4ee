"""What held-out maps showed of the local network: its answers are corrected map by map, and its intervals calibrated.

Factors by predicted width and by where the noise level comes from make the 68 % intervals right on average over all
maps (``calibrated_spread``). What is left differs from map to map, and a map's own profile tells much of it: how far
the whole answer is off, and how far the width is: the noise of an unprocessed map is easy to judge, that of a masked or
sharpened one is not. Two small dense networks read that profile and correct both (``corrected``; they are fitted in
``correction_training``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Tuple

import numpy as np

from ...base.errors import InputError
from ...base.runs.array_cache import part_of
from ...features import network_inputs
from ...features.network_inputs import map_inputs
from ...networks import network_runners
from ...networks.resolution_bins import BIN_LOW

PROFILE = "profile"
"""Key of the calibration that the global network's input was made with: calibrating intervals again must not move it."""
BY_MAP = "by_map"
"""Key of the calibration that holds the correcting networks: their ``config``, and factors on widths by noise source."""
WEIGHTS = "correction"
"""What the names of their arrays begin with in a model file."""
SHIFT, WIDTH = "shift", "width"
"""The two networks: shift (octaves) and tilt (octaves per octave from the map's mean answer); log factor on widths."""
OUTPUTS = {SHIFT: 2, WIDTH: 1}
ALL_SOURCES = "all"
"""Key of the factor on widths for noise sources that too few held-out maps have."""
LIMITS = (1.0, 0.5, float(np.log(4.0)))
"""Largest shift, tilt and log factor; held-out maps ask for about a third of it."""


def calibrated_spread(
    spread: np.ndarray, calibration: Dict[str, Any], noise: str = network_inputs.BACKGROUND
) -> np.ndarray:
    """Half-widths of 68 % intervals from the network's own, by a factor that depends on the width.

    Args:
        spread: half-widths in log2, any shape.
        calibration: of the model's card: ``spread`` is one factor for all; ``spread_knots`` (widths, ascending) with
            ``spread_factors`` replace it where they are given; ``half_maps`` and ``no_background`` hold the same for
            maps whose noise comes from there, ``profile`` for the global network's input.
        noise: where it came from (``network_inputs.noise_source``), or ``PROFILE``.
    """
    calibration = calibration.get(noise, calibration)
    if not calibration.get("spread_knots"):
        return spread * np.float32(calibration.get("spread", 1.0))
    knots = np.log(calibration["spread_knots"])
    factors = np.interp(np.log(np.maximum(spread, 1e-4)), knots, calibration["spread_factors"])
    return spread * factors.astype(np.float32)


@dataclass
class Corrections:
    """Of one local model.

    Attributes:
        calibration: of its card.
        arrays: of the correcting networks, by name; empty where the model has none.
    """

    calibration: Dict[str, Any]
    arrays: Dict[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(cls, model: Any) -> Corrections:
        """Of a loaded model (``model_archive.Model``)."""
        return cls(model.card.get("calibration", {}), part_of(model.weights, WEIGHTS + "/"))


def output(config: Dict[str, Any], arrays: Dict[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
    """Mean answer (n, outputs) of a network's members for the rows (n, inputs) of ``network_inputs.map_inputs``."""
    return np.mean(network_runners.profile_outputs(config, arrays, rows), axis=0)


def outputs(config: Dict[str, Any], arrays: Dict[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
    """Shift, tilt and log factor for every row: (n, 3), within ``LIMITS``.

    Raises:
        InputError: networks that were fitted to other numbers of a map.
    """
    wanted = config[SHIFT]["inputs"]
    if rows.shape[1] != wanted:
        raise InputError(
            f"The corrections of this model read {wanted} numbers of a map, and this program computes {rows.shape[1]}: "
            "use the shipped model, or calibrate it again on new maps (`cryoresdl train unet --calibrate-only`)."
        )
    found = [output(config[name], part_of(arrays, name + "/"), rows) for name in OUTPUTS]
    return np.clip(np.concatenate(found, -1), -np.asarray(LIMITS), LIMITS)


def shifted(median: np.ndarray, shift: Any, tilt: Any) -> np.ndarray:
    """Corrected answers in log2 voxels, never beyond Nyquist.

    Args:
        median: (..., cells) of one map or several; the answer has the same shape, float32.
        shift: octaves, a number or (..., 1).
        tilt: octaves per octave from the map's mean answer.
    """
    away = median - median.mean(-1, keepdims=True)
    return np.maximum(median + shift + tilt * away, BIN_LOW).astype(np.float32)


def corrected(
    known: Corrections, summary: np.ndarray, rise: np.ndarray, median: np.ndarray, spread: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Answers and half-widths of 68 % intervals of one map's masked cells, in log2(resolution / voxel size).

    Args:
        known: corrections of the model.
        summary: ``Features.summary``.
        rise: ``Features.rise``.
        median: the network's answers, one dimension.
        spread: the network's own half-widths of the same cells.
    """
    source = network_inputs.noise_source(summary)
    spread = calibrated_spread(spread, known.calibration, source)
    entry = known.calibration.get(BY_MAP)
    if not entry or not median.size:
        return median, spread
    rows = map_inputs(summary, rise, median, spread)[None]
    shift, tilt, log_factor = outputs(entry["config"], known.arrays, rows)[0]
    factors = entry["factors"]
    factor = float(factors.get(source, factors.get(ALL_SOURCES, 1.0))) * np.exp(log_factor)
    return shifted(median, shift, tilt), spread * np.float32(factor)
