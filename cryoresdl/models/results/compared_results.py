"""The compared volumes of a results folder and their agreement."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence, Tuple

import numpy as np

from ..base import resolution_terms
from ..base.resolution_terms import class_of, estimated
from ..maps.density_map import mask_box
from ..maps.foreign_volumes import Inside, only_estimates
from . import result_files
from .results_folder import ResultsFolder, Volume

OURS = "CryoResDL"
"""What the network's own estimate is called beside those of other programs."""
MOST_COMPARED = 4
"""Volumes that one figure of a comparison shows; of more, pairs can be chosen."""


def class_fractions(resolution: np.ndarray) -> np.ndarray:
    """Part of the estimated voxels in each of the ten local classes; zeros when nothing is estimated."""
    values = np.asarray(resolution)
    classes = class_of(values[estimated(values)])
    return np.bincount(classes, minlength=len(resolution_terms.LOCAL_CLASSES)) / max(1, classes.size)


def _pair_of(
    results: ResultsFolder, pair: Sequence[str] | None
) -> Tuple[Tuple[str, Volume], Tuple[str, Volume]] | None:
    """Two of the compared volumes: those named, or the first two; ``None`` when they are not there."""
    volumes = compared_volumes(results)
    names = list(pair or list(volumes)[:2])
    if len(names) != 2 or any(name not in volumes for name in names):
        return None
    return (names[0], volumes[names[0]]), (names[1], volumes[names[1]])


def compared_volumes(results: ResultsFolder) -> Dict[str, Volume]:
    """The volumes that ``comparison.json`` is about, as far as they are still there and on one grid."""
    found: Dict[str, Volume] = {}
    for value in (results.comparison or {}).get("volumes") or []:
        name, path = value.get("name"), value.get("path")
        volume = results.volume(str(path)) if path else None
        if volume is not None and (not found or volume.shape == next(iter(found.values())).shape):
            found[str(name)] = replace(
                volume, data=only_estimates(volume.data, _mask_of(results, volume.shape))
            )
    return found


def _mask_of(results: ResultsFolder, shape: Tuple[int, int, int]) -> Any:
    """The mask inside which the volumes of this folder were compared, or ``None``."""
    said = (results.comparison or {}).get("mask")
    name = result_files.MASK_USED if results.has(result_files.MASK_USED) else str(said) if said else None
    mask = results.volume(name) if name else None
    return mask.data if mask is not None and mask.shape == shape else None


def listed_volume(results: ResultsFolder, name: str) -> Dict[str, Any]:
    """The entry of ``comparison.json`` about one volume."""
    listed = (results.comparison or {}).get("volumes") or []
    return next((v for v in listed if isinstance(v, dict) and v.get("name") == name), {})


def _is_own(volume: Volume, results: ResultsFolder) -> bool:
    """Whether a compared volume is the one of this very folder, which is shown in any case."""
    return Path(volume.path).resolve() == (results.folder / result_files.LOCAL_RESOLUTION).resolve()


def histogram_sources(results: ResultsFolder) -> Tuple[Dict[str, List[float]], Dict[str, int]]:
    """Ten class fractions and voxel counts of the map's estimate and of every method compared with it."""
    sources: Dict[str, List[float]] = {}
    voxels: Dict[str, int] = {}
    summary = results.summary
    if summary and isinstance(summary.get("fractions"), dict):
        fractions = summary["fractions"]
        sources[OURS] = [float(fractions.get(name, 0.0)) for name in resolution_terms.LOCAL_CLASSES]
        if is_number(summary.get("n_voxels")):
            voxels[OURS] = int(summary["n_voxels"])
    elif results.resolution is not None:
        data = results.resolution.data
        sources[OURS] = list(class_fractions(data))
        voxels[OURS] = int(estimated(data).sum())
    for name, volume in compared_volumes(results).items():
        if _is_own(volume, results):
            continue
        listed = listed_volume(results, name)
        if isinstance(listed.get("fractions"), dict):
            sources[name] = [float(listed["fractions"].get(c, 0.0)) for c in resolution_terms.LOCAL_CLASSES]
            voxels[name] = int(listed.get("n_voxels") or 0)
        else:
            sources[name] = list(class_fractions(volume.data[...]))
            voxels[name] = int(estimated(volume.data[...]).sum())
    return sources, voxels


AGREEMENT = {
    "kappa": "Cohen's kappa, ten classes",
    "spearman": "rank correlation",
    "mae_A": "mean absolute difference (Å)",
}
"""Measures of ``comparison.json`` that the agreement figure shows, and what they are called."""


def volumes_agreement(comparison: Mapping[str, Any], measure: str) -> Tuple[List[str], List[List[float]]]:
    """Names and square matrix of one ``measure`` of ``comparison.json``; empty when it has none."""
    pairs = comparison.get("pairs")
    if not isinstance(pairs, list):
        return [], []
    names: List[str] = []
    for pair in pairs:
        names += [name for name in pair_names(pair) if name not in names]
    same = 0.0 if measure.endswith("_A") else 1.0
    matrix = [[same if a == b else float("nan") for b in names] for a in names]
    for pair in pairs:
        first, second = (names.index(name) for name in pair_names(pair))
        if is_number(pair.get(measure)):
            matrix[first][second] = matrix[second][first] = float(pair[measure])
    return names, matrix


def is_number(value: Any) -> bool:
    """Whether a value from a JSON file is a finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        return False
    return bool(abs(float(value)) < 1e300)


def pair_names(pair: Mapping[str, Any]) -> Tuple[str, str]:
    """The two methods that one entry of ``pairs`` in ``comparison.json`` is about."""
    names = pair["names"]
    return str(names[0]), str(names[1])


def global_fractions(fractions: Sequence[float] | np.ndarray) -> np.ndarray:
    """Ten local fractions summed into 0-5, 5-10 and above 10 A."""
    ten = np.asarray(fractions, float)
    return np.array([ten[:4].sum(), ten[4:9].sum(), ten[9:].sum()])


def cumulative(resolution: Any) -> Tuple[np.ndarray, np.ndarray] | None:
    """How the estimated voxels of a volume add up: resolutions (A) and the part that is at or finer.

    A regular subset of about two million voxels is asked; ``None`` when nothing is estimated there.
    """
    step = max(1, round((resolution.size / 2e6) ** (1 / 3)))
    thin = np.asarray(resolution[::step, ::step, ::step])
    values = np.sort(thin[estimated(thin)])
    if not values.size:
        return None
    x = np.linspace(0.0, 40.0, 801)
    return x, np.searchsorted(values, x, side="right") / values.size


def cumulative_curves(results: ResultsFolder) -> Dict[str, Tuple[np.ndarray, np.ndarray]]:
    """The cumulative curve of every source of the histogram whose volume is there, inside the mask."""
    own = results.resolution
    volumes = {} if own is None else {OURS: own}
    for name, volume in compared_volumes(results).items():
        if not _is_own(volume, results):
            volumes[name] = volume
    found = {}
    for name, volume in volumes.items():
        curve = cumulative(volume.data)
        if curve is not None:
            found[name] = curve
    return found


def common_values(
    volumes: Mapping[str, Any], pairs: Sequence[Tuple[str, str]] | None = None
) -> Dict[Tuple[str, str], Tuple[np.ndarray, np.ndarray]]:
    """The values (A) of every two volumes where both have an estimate.

    Args:
        volumes: name -> A (z, y, x), on one grid.
        pairs: names of two volumes each; all pairs when missing.
    """
    part = _around_mask(volumes)
    cleaned = {name: np.asarray(only_estimates(data)[part]) for name, data in volumes.items()}
    found = {}
    for first, second in combinations(volumes, 2) if pairs is None else pairs:
        both = estimated(cleaned[first]) & estimated(cleaned[second])
        found[first, second] = (cleaned[first][both], cleaned[second][both])
    return found


def value_range(samples: Sequence[np.ndarray]) -> Tuple[float, float]:
    """From the finest to the coarsest value that matters, with a little room (A)."""
    low = min(float(np.percentile(values, 0.2)) for values in samples)
    high = min(40.0, max(float(np.percentile(values, 99.5)) for values in samples))
    room = max(0.25, 0.06 * (high - low))
    return max(0.0, low - room), high + room


def _around_mask(volumes: Mapping[str, Any]) -> Any:
    """The smallest box around the mask that the volumes share, to spare the empty rest; all where they have none."""
    masks = [data.mask for data in volumes.values() if isinstance(data, Inside) and data.mask is not None]
    if len(masks) < len(volumes) or any(mask is not masks[0] for mask in masks):
        return ...
    inside = np.asarray(masks[0]) > next(iter(volumes.values())).level
    return mask_box(inside) if inside.any() else ...
