"""What inference answers: the local result of a map and the global answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Optional

import numpy as np

from ..base import resolution_terms
from ..maps.density_map import DensityMap
from ..maps.fsc.half_map_fsc import HalfMapFsc
from ..networks.model_files import model_store


@dataclass
class LocalResult:
    """Local resolution of one map; volumes are (z, y, x) on the input's grid.

    Attributes:
        resolution: float32 angstroms; 0 where not estimated.
        classes: int8 local class 0..9; -1 where not estimated.
        halfwidth: float32 half-width of the 68 % interval in angstroms; 0 where not estimated.
        mask: bool, the voxels asked for.
        info: what ``local_resolution.json`` holds.
        profile: input of the default global network, or None for the paper's networks.
        fsc: the curves of the half maps, or None without them.
    """

    resolution: np.ndarray
    classes: np.ndarray
    halfwidth: np.ndarray
    mask: np.ndarray
    info: Dict[str, Any] = field(default_factory=dict)
    profile: Optional[np.ndarray] = None
    fsc: Optional[HalfMapFsc] = None


def _finish(
    values: np.ndarray, widths: np.ndarray, mask: np.ndarray, density: DensityMap, model: Any
) -> LocalResult:
    from ... import __version__

    classes = resolution_terms.class_of(values).astype(np.int8)
    info = dict(resolution_terms.summarize(values, mask))
    info.update(
        voxel_size_A=density.voxel_size,
        box_zyx=[int(n) for n in density.data.shape],
        nyquist_A=2.0 * density.voxel_size,
        interval_median_A=round(float(np.median(widths[mask])), 4) if mask.any() else None,
        warnings=list(density.warnings),
        model={"name": model.card["name"], "digest": model_store.digest(model)},
        version=__version__,
    )
    return LocalResult(values, classes, widths, mask, info)


@dataclass
class GlobalAnswers:
    """What is told of n maps; resolutions in log2 voxels.

    Attributes:
        probabilities: (n, 3) of the classes.
        low: (n,) lower end of the 68 % interval.
        middle: (n,) the estimate.
        high: (n,) upper end.
        own: (n,) the network's estimate, whatever the half maps measure.
        contradicted: (n,) bool: half maps and network are too far apart.
    """

    probabilities: np.ndarray
    low: np.ndarray
    middle: np.ndarray
    high: np.ndarray
    own: np.ndarray
    contradicted: np.ndarray


def _entry(density: DensityMap, loaded: Any, probabilities: np.ndarray) -> Dict[str, Any]:
    named = {k: round(float(p), 6) for k, p in zip(resolution_terms.GLOBAL_CLASSES, probabilities)}
    return {
        "map": density.path,
        "voxel_size_A": density.voxel_size,
        "class": resolution_terms.GLOBAL_CLASSES[int(np.argmax(probabilities))],
        "probabilities": named,
        "resolution_A": None,
        "interval_A": None,
        "in_distribution": True,
        "warnings": list(density.warnings),
        "claim": None,
        "model": {"name": loaded.card["name"], "digest": model_store.digest(loaded)},
    }


def _peak_memory_mb() -> Optional[float]:
    try:
        import resource
    except ImportError:
        return None
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0, 1)
