"""Resolution by direction as a part of the validation of one map."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Sequence

import numpy as np

from ..inference.answers import LocalResult
from ..inference.directional_resolution import (
    DirectionalResult,
    DirectionalSummary,
    extended_claim,
    resolution_by_direction,
)
from ..maps import automatic_mask
from ..maps.density_map import DensityMap
from .jobs import rounded


def judged_directions(
    density: DensityMap,
    halves: Sequence[DensityMap | None],
    mask: np.ndarray | None,
    local: LocalResult | None,
    entry: Dict[str, Any] | None,
    claimed: float | None,
) -> DirectionalResult:
    """Measure a map's directions; ``entry`` gets the numbers, and a claim's reasons the sentence where directions differ.

    Args:
        density: the map.
        halves: two half maps, or None twice.
        mask: bool (z, y, x); None takes the local answer's, or makes one.
        local: answer of the local network, or None.
        entry: answer of the global network, or None: its estimate sets the level of the noise of one map.
        claimed: A, or None.
    """
    if local is not None:
        mask = local.mask
    elif mask is None:
        mask = automatic_mask.auto_mask(density)[0]
    level, interval = _level(local, entry)
    first, second = halves
    found = resolution_by_direction(
        density.data,
        mask,
        density.voxel_size,
        (first.data, second.data) if first is not None and second is not None else None,
        level,
        interval,
        claimed,
    )
    if entry is not None:
        entry["directional"] = dict(found.summary)
        if entry.get("claim"):
            extended_claim(entry["claim"], found.summary)
    return found


def _level(local: LocalResult | None, entry: Mapping[str, Any] | None) -> tuple[Any, Any]:
    """The global estimate and its interval, or the local median in its place."""
    if entry is not None and entry.get("resolution_A"):
        return entry["resolution_A"], entry["interval_A"]
    return (local.info.get("median_A") if local is not None else None), None


def direction_columns(summary: DirectionalSummary) -> Dict[str, Any]:
    """Columns of the results; None where the directions cannot be told."""
    axis = summary.get("worst_axis_zyx")
    return {
        "direction_best_A": rounded(summary.get("best_A")),
        "direction_median_A": rounded(summary.get("median_A")),
        "direction_worst_A": rounded(summary.get("worst_A")),
        "direction_worst_zyx": " ".join(f"{v:.2f}" for v in axis) if axis else None,
        "anisotropy": rounded(summary.get("anisotropy")),
        "cfar": rounded(summary.get("cfar")),
        "claim_share": rounded(summary.get("claim_share")),
    }
