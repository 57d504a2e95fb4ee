"""What inference answers: the local result of a map and the global answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, TypedDict, cast

import numpy as np

from ..base import resolution_terms
from ..maps.density_map import DensityMap, MaskInfo
from ..maps.fsc.half_map_fsc import HalfMapFsc
from ..networks.model_files import model_store


class ModelName(TypedDict):
    """Which model answered: its name and its SHA-256."""

    name: str
    digest: str


class LocalInfo(TypedDict, total=False):
    """What ``local_resolution.json`` holds; lengths in A, None where nothing is told."""

    median_A: Optional[float]
    quartiles_A: Optional[List[float]]
    fractions: Dict[str, float]
    n_voxels: int
    coverage: Optional[float]
    voxel_size_A: float
    box_zyx: List[int]
    nyquist_A: float
    interval_median_A: Optional[float]
    warnings: List[str]
    problems: List[str]
    model: ModelName
    version: str
    precision: str
    mean_class_probabilities: Dict[str, float]
    constant_background: float
    filtered_to_A: Any
    filter_edge_A: Optional[float]
    signal_over_noise: Optional[float]
    noise_from: str
    half_maps: bool
    half_map_fsc0143_A: Any
    half_map_fsc_cutoffs_A: Dict[str, Optional[float]]
    half_map_background_correlation: Optional[float]
    half_maps_likeness: Optional[float]
    mask: MaskInfo
    timings_s: Dict[str, float]
    peak_memory_mb: Optional[float]
    seed: int
    map: Optional[str]


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
    info: LocalInfo = field(default_factory=LocalInfo)
    profile: Optional[np.ndarray] = None
    fsc: Optional[HalfMapFsc] = None


def _finish(
    values: np.ndarray, widths: np.ndarray, mask: np.ndarray, density: DensityMap, model: Any
) -> LocalResult:
    from ... import __version__

    classes = resolution_terms.class_of(values).astype(np.int8)
    info = cast(LocalInfo, resolution_terms.summarize(values, mask))
    info.update(
        {
            "voxel_size_A": density.voxel_size,
            "box_zyx": [int(n) for n in density.data.shape],
            "nyquist_A": 2.0 * density.voxel_size,
            "interval_median_A": round(float(np.median(widths[mask])), 4) if mask.any() else None,
            "warnings": list(density.warnings),
            "model": {"name": model.card["name"], "digest": model_store.digest(model)},
            "version": __version__,
        }
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
