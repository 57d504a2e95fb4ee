"""What makes an answer doubtful: inputs unlike those of training, weak signal, contradictions."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

import numpy as np

from .answers import LocalResult

LARGEST_MASK = 0.95
"""A mask that covers more of the box is none."""
ALIKE_BACKGROUND = 0.5
"""Independent half maps correlate by about 0 outside the molecule."""
LEAST_LIKENESS = 0.5
"""A map that was made from its half maps, however filtered, agrees with their mean better than this in some shells."""


def _suspect_inputs(mask: np.ndarray, alike: Optional[float], likeness: Optional[float]) -> List[str]:
    """One sentence for a mask of everything, for half maps that share their noise, and for those of another map."""
    found = []
    share = float(mask.mean())
    if share > LARGEST_MASK:
        found.append(
            f"The mask covers {100 * share:.0f} % of the box, solvent and all: give a mask of the molecule."
        )
    if alike is not None and alike > ALIKE_BACKGROUND:
        found.append(
            f"The half maps are alike outside the mask, too (correlation {alike:.2f}): they are not independent, or the "
            "mask leaves out part of the molecule."
        )
    if likeness is not None and likeness < LEAST_LIKENESS:
        found.append(
            f"The map does not look like the mean of the half maps (FSC {likeness:.2f} at best): they are of another map, "
            "or shifted or turned against it; what is said here is about the half maps."
        )
    return found


def _contradiction(measured: float, own: float) -> str:
    """The sentence that says so when half maps and network do not tell the same resolution (both in angstroms)."""
    return (
        f"The half maps agree to {measured:.1f} A inside the mask, but the signal there is that of a map of {own:.1f} A: "
        "the mask is too tight or too loose, or the half maps are not independent; give another mask."
    )


LEAST_CONTRAST = 5.0
"""The low-passed map's peak over its background, in standard deviations; noise alone reaches about 4."""
LEAST_SIGNAL = 2.0
"""A molecule has at least this much more energy inside the mask than there is noise, in its best band."""


def _weak_signal(signal: Optional[float], contrast: Optional[float]) -> List[str]:
    """One sentence where energy over noise in the best band, or an automatic mask's contrast, is that of noise."""
    if (signal is None or signal >= LEAST_SIGNAL) and (contrast is None or contrast >= LEAST_CONTRAST):
        return []
    return [
        "Inside the mask the map is hardly stronger than outside: there is no molecule, the mask misses it, or the map "
        "is noise."
    ]


def _unlike_training(profile: np.ndarray, local: LocalResult, calibration: Dict[str, Any]) -> List[str]:
    """Reasons why the answer may not hold: each is one sentence."""
    problems = []
    distance = float(np.sqrt(np.mean(np.square(profile))))
    limit = float(calibration.get("distance_limit", 2.5))
    if distance > limit:
        problems.append(
            f"The map's spectrum is unlike every training map's (distance {distance:.1f}, limit {limit:.1f}): "
            "extreme sharpening, filtering or an unusual voxel size."
        )
    if local.info["mask"]["voxels"] < 500:
        problems.append("The mask holds fewer than 500 voxels: too few to estimate a resolution from.")
    return problems
