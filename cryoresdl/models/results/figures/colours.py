"""Colours of resolutions, intervals and classes."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, to_hex

from ...base import resolution_terms
from ...base.resolution_terms import RESOLUTION_RANGE_A
from ..results_folder import ResultsFolder

RESOLUTION_TICKS_A = (1.5, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12)
INTERVAL_RANGE_A = (0.0, 2.0)
OWN_PERCENTILES = (5, 95)
"""Between these percentiles of a map's own local resolution lies the range that is its own."""

ColourRange = Optional[Tuple[float, float]]
"""Lowest and highest resolution (A) of a colour scale; None is the absolute scale, `RESOLUTION_RANGE_A`."""

SOURCE_COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
"""Okabe and Ito's colour-blind-safe set, for lines and bars of several sources."""
ANSWER_COLORS = {
    "supported": "#009E73",
    "optimistic": "#D55E00",
    "pessimistic": "#0072B2",
    "cannot tell": "#888888",
}
"""Colours of the verdicts on a claim."""
CURVE_COLORS = {
    "unmasked": "#009E73",
    "masked": "#E69F00",
    "randomised": "#D55E00",
    "corrected": "#000000",
    "particle": "#0072B2",
    "half_bit": "#999999",
}
"""Colours of the FSC curves of half maps."""
EMPTY = "#ededed"
_TEXT = "#222222"
OUTLINE = (255, 140, 26)
"""Colour of a mask's edge over a map in grey: red, green, blue, 0 to 255."""


def resolution_colors(span: ColourRange = None) -> ScalarMappable:
    """The shared colour scale of resolutions in A: norm and colour map in one object.

    ``resolution_colors().to_rgba(values)`` colours anything; use its ``norm`` and ``cmap`` for images.

    Args:
        span: another range than the absolute one.
    """
    cmap = colormaps["viridis"].copy()
    cmap.set_bad(EMPTY)
    return ScalarMappable(norm=LogNorm(*(span or RESOLUTION_RANGE_A), clip=True), cmap=cmap)


def resolution_color(value_A: float, span: ColourRange = None) -> str:
    """The colour of one resolution, as ``#rrggbb``."""
    return _color(float(value_A), *(span or RESOLUTION_RANGE_A))


@lru_cache(maxsize=256)
def _color(value_A: float, low_A: float, high_A: float) -> str:
    red, green, blue, _ = resolution_colors((low_A, high_A)).to_rgba(np.array([value_A], float))[0]
    return to_hex((red, green, blue))


def class_colors(span: ColourRange = None) -> List[str]:
    """The colours of the ten local classes, those of the resolutions at their centres."""
    return [resolution_color(value, span) for value in resolution_terms.LOCAL_CENTRES_A]


def global_colors(span: ColourRange = None) -> Dict[str, str]:
    """The colours of ``high``, ``medium`` and ``low``."""
    centres = resolution_terms.GLOBAL_CENTRES_A
    return dict(zip(resolution_terms.GLOBAL_CLASSES, (resolution_color(value, span) for value in centres)))


def own_range(resolution: Any) -> ColourRange:
    """The range that a map's own local resolution covers: its middle 90 %, at least 10 % wide.

    Args:
        resolution: A (z, y, x), perhaps memory-mapped.

    Returns:
        A; None where nothing is estimated.
    """
    step = max(1, round((resolution.size / 4e6) ** (1 / 3)))
    values = np.asarray(resolution[::step, ::step, ::step], np.float32)
    known = values[resolution_terms.estimated(values)]
    if not known.size:
        return None
    low, high = (float(value) for value in np.percentile(known, OWN_PERCENTILES))
    if high < 1.1 * low:
        low, high = low / 1.05, high * 1.05
    return low, high


def own_range_of(results: ResultsFolder) -> ColourRange:
    """The `own_range` of a results folder, found once; None without a local resolution."""
    resolution = results.resolution
    return None if resolution is None else results.once("own range", lambda: own_range(resolution.data))


def resolution_ticks(span: ColourRange = None) -> Sequence[float]:
    """Resolutions (A) that are marked on a scale: those of the absolute one as far as the range holds them, or finer."""
    low, high = span or RESOLUTION_RANGE_A
    held = [value for value in RESOLUTION_TICKS_A if low <= value <= high]
    if len(held) >= 3:
        return held
    return [float(f"{value:.3g}") for value in np.geomspace(low, high, 5)]


def shade(level: float) -> Tuple[str, bool]:
    """The colour of a share from 0 (the worst) to 1, and whether white text is read on it."""
    red, green, blue, _ = colormaps["cividis"](min(max(float(level), 0.0), 1.0))
    return to_hex((red, green, blue)), level < 0.55


def interval_colors(values: np.ndarray) -> np.ndarray:
    """RGBA (0 to 1) of half-widths in A."""
    low, high = INTERVAL_RANGE_A
    return colormaps["cividis"](np.clip((values - low) / (high - low), 0, 1))
