"""What makes an answer doubtful: inputs unlike those of training, weak signal, contradictions."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ..maps import automatic_mask
from ..maps.density_map import DensityMap
from ..maps.fsc.half_maps import ALIKE_BACKGROUND, LEAST_LIKENESS, inverted
from .answers import LocalResult

LARGEST_MASK = 0.95
"""A mask that covers more of the box is none."""


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
    if inverted(likeness):
        found.append(
            "The map has the opposite contrast of its half maps: one of them was inverted; what is said here is about the "
            "half maps."
        )
    elif likeness is not None and likeness < LEAST_LIKENESS:
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


LEAST_SEEN, MOST_SEEN = 0.5, 0.8
"""A mask that holds less of what stands out in the map than the first is not the molecule's; below the second it is said."""


def _mask_misses(density: DensityMap, mask: np.ndarray) -> Tuple[List[str], List[str]]:
    """Doubts and warnings where a given mask leaves out much of what stands out in the map."""
    part = automatic_mask.part_inside(density, mask)
    if part is None or part >= MOST_SEEN:
        return [], []
    sentence = f"The mask holds only {100 * part:.0f} % of the density that stands out: what is said here is not about"
    if part >= LEAST_SEEN:
        return [], [sentence + " the rest."]
    return [sentence + " the whole map; give a mask of the molecule, on the map's own grid."], []


LOPSIDED, LONG_ARM_LOG2 = 3.0, 0.6
"""An interval that reaches so many times farther to one side, and this far, has its estimate at its end."""


def _disagreement(estimate: float, interval: Sequence[float], local: Mapping[str, Any]) -> List[str]:
    """One sentence where the global and the local answer contradict each other (all in A).

    They contradict each other where the 68 % interval of the estimate has nothing in common with the span of the local
    values: their quartiles, widened by the half-width of their own 68 % intervals.
    """
    low, high = interval
    found = []
    if local.get("quartiles_A") and local.get("interval_median_A") is not None:
        width = float(local["interval_median_A"])
        first, third = (float(q) for q in local["quartiles_A"])
        if high < first - width or low > third + width:
            found.append(
                f"The global estimate ({estimate:.1f} A, 68 %: {low:.1f} to {high:.1f} A) and the local resolution (half of "
                f"it between {first:.1f} and {third:.1f} A, give or take {width:.1f} A) contradict each other: trust "
                "neither before you have looked at the map."
            )
    return found


def _at_its_end(estimate: float, interval: Sequence[float]) -> List[str]:
    """One sentence where an estimate lies at the end of its own 68 % interval (in A, not yet held at Nyquist)."""
    low, high = interval
    arms = sorted((float(np.log2(estimate / low)), float(np.log2(high / estimate))))
    if arms[1] <= LONG_ARM_LOG2 or arms[1] <= LOPSIDED * arms[0]:
        return []
    return [
        f"The global estimate of {estimate:.1f} A sits at the end of its own 68 % interval ({low:.1f} to {high:.1f} A): "
        "the network sees two resolutions and cannot tell which is the map's."
    ]


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
