"""Local resolution by the default networks."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from ...base import resolution_terms
from ...features import band_energies, map_features
from ...features.network_inputs import global_profile
from ...maps.density_map import DensityMap, mask_box
from ...maps.fsc import half_map_fsc
from ...maps.fsc.half_map_fsc import HalfMapFsc
from ...maps.fsc.half_maps import HalfMaps, matched_half_maps
from ...networks import resolution_bins
from ...networks.resolution_bins import _not_finer_than
from ..answers import LocalResult, _finish
from ..input_doubts import _suspect_inputs
from . import map_corrections
from .cell_estimates import _expand, cell_estimates
from .map_frame import MapFrame, frame_of


@dataclass
class _Cells:
    """What is told of the masked cells, in log2(resolution / voxel size), one number a cell.

    Attributes:
        own: the network's answers.
        median: the corrected ones.
        spread: half-widths of their 68 % intervals.
        profile_spread: the half-widths that the global network reads.
        distribution: the network's mean distribution over the bins.
        filtered: wavelength in voxels that a low-pass filter has left, or None.
    """

    own: np.ndarray
    median: np.ndarray
    spread: np.ndarray
    profile_spread: np.ndarray
    distribution: np.ndarray
    filtered: Optional[float]


@dataclass(frozen=True)
class MeasuredHalves:
    """Two half maps in a mask: the pair on one grey scale, and its curves; turned like the features."""

    pair: HalfMaps
    fsc: HalfMapFsc

    def with_voxel_size(self, ratio: float) -> MeasuredHalves:
        """The same voxels, taken to be so many times larger."""
        return MeasuredHalves(
            replace(self.pair, cutoff_A=self.pair.cutoff_A * ratio),
            replace(self.fsc, frequency=self.fsc.frequency / ratio),
        )


def measure_halves(
    density: DensityMap,
    halves: Tuple[DensityMap, DensityMap],
    mask: np.ndarray,
    frame: MapFrame,
    region: map_features.Region,
    soft_mask: Optional[np.ndarray] = None,
) -> MeasuredHalves:
    """Measure two half maps in a mask.

    Args:
        density: their map.
        halves: on its grid.
        mask: bool (z, y, x), not turned.
        frame: how all of them are turned.
        region: the part of the turned box that is looked at.
        soft_mask: float32 (z, y, x), the mask with its soft edge; None gives it one.
    """
    turned, voxel = frame.view(mask), density.voxel_size
    first, second = (frame.view(half.data) for half in halves)
    pair = matched_half_maps(frame.view(density.data), first, second, turned, region, voxel)
    soft = None if soft_mask is None else frame.view(soft_mask)
    return MeasuredHalves(
        pair, half_map_fsc.measure_fsc(pair.first, pair.second, voxel, turned, region, soft)
    )


def _band_localres(
    density: DensityMap,
    halves: Optional[tuple[DensityMap, DensityMap]],
    mask: np.ndarray,
    model: Any,
    timings: Dict[str, float],
    watched: bool,
    soft_mask: Optional[np.ndarray] = None,
) -> LocalResult:
    """The default network: features of the region, then the U-Net over its cells, both in the map's own frame."""
    clock = time.perf_counter()
    voxel = density.voxel_size
    frame = frame_of([each.data for each in halves or (density,)], mask)
    data, turned = frame.view(density.data), frame.view(mask)
    region = map_features.region_of(turned, cells_of_box=False)
    measured: Optional[MeasuredHalves] = None
    if halves is None:
        feats = map_features.compute(data, turned, voxel, region=region)
    else:
        measured = measure_halves(density, halves, mask, frame, region, soft_mask)
        pair = measured.pair
        feats = map_features.compute(pair.mean(), turned, voxel, pair.difference(), region)
    timings["features"] = time.perf_counter() - clock
    clock = time.perf_counter()
    cells = _estimate(model, feats, watched)
    values, widths, capped = _volumes(cells, feats, mask, voxel, frame)
    timings["network"] = time.perf_counter() - clock
    result = _finish(values, widths, mask, density, model)
    if capped:
        result.info["warnings"].append(
            f"{capped} voxels came out coarser than {resolution_terms.COARSEST_A:g} A and are written as "
            f"{resolution_terms.COARSEST_A:g} A: hardly anything is resolved there."
        )
    _tell(result, cells, feats, mask, voxel, measured)
    return result


NEAR_CELLS, COARSEST_CELLS = 3, 4
"""Cells around the mask that a quick answer looks at, from a cell of the network's coarsest level on."""


def _quick_localres(
    density: DensityMap,
    mask: np.ndarray,
    feats: map_features.Features,
    model: Any,
    measured: Optional[MeasuredHalves] = None,
) -> LocalResult:
    """The default network over the cells of the mask and its surroundings; no volumes are made.

    The region's other cells, most of them, move the answers of the mask by about 0.01 A.

    Args:
        density: the map.
        mask: bool (z, y, x), turned like the features.
        feats: of the map in this mask.
        model: the local model.
        measured: the half maps in this mask, where there are some.

    Returns:
        LocalResult whose volumes are lists: the voxels of the mask, each with its cell's value.
    """
    voxel = density.voxel_size
    edges = mask_box(feats.mask_cells, NEAR_CELLS)
    box = tuple(slice(edge.start - edge.start % COARSEST_CELLS, edge.stop) for edge in edges)
    near = replace(feats, local=feats.local[(slice(None), *box)], mask_cells=feats.mask_cells[box])
    cells = _estimate(model, near, False)
    counts = band_energies.voxels_of_cells(mask[feats.region])[feats.mask_cells]
    u = np.maximum(cells.median, np.float32(np.log2(cells.filtered or 2.0)))
    values = np.minimum(np.exp2(u) * np.float32(voxel), resolution_terms.COARSEST_A)
    widths = (np.exp2(u + cells.spread) - np.exp2(u - cells.spread)) * np.float32(voxel / 2)
    whole = np.ones(int(counts.sum()), bool)
    result = _finish(np.repeat(values, counts), np.repeat(widths, counts), whole, density, model)
    _tell(result, cells, feats, mask, voxel, measured)
    return result


def _tell(
    result: LocalResult,
    cells: _Cells,
    feats: map_features.Features,
    mask: np.ndarray,
    voxel: float,
    measured: Optional[MeasuredHalves],
) -> None:
    """What is told of the whole map, and what the global network reads, into the result."""
    pair, fsc = (None, None) if measured is None else (measured.pair, measured.fsc)
    _describe(result, cells, feats, mask, voxel)
    _describe_halves(result, pair, feats, mask, fsc)
    result.fsc = fsc
    cutoffs: List[float] = []
    if fsc is not None:
        crossed = (fsc.crossing("particle", float(one)) for one in resolution_terms.CRITERIA)
        cutoffs = [(found or 2 * voxel) / voxel for found in crossed]
    result.profile = global_profile(feats.summary, cells.own, cells.profile_spread, cutoffs)


def _estimate(model: Any, feats: map_features.Features, watched: bool) -> _Cells:
    """The network over the cells, and what held-out maps showed of it."""
    median, spread, distribution = cell_estimates(model, feats, watched)
    own, spread = median[feats.mask_cells], spread[feats.mask_cells]
    known = map_corrections.Corrections.of(model)
    better, wider = map_corrections.corrected(known, feats.summary, feats.rise, own, spread)
    return _Cells(
        own=own,
        median=better,
        spread=wider,
        profile_spread=map_corrections.calibrated_spread(spread, known.calibration, map_corrections.PROFILE),
        distribution=distribution,
        # By the first answer, as the global network's input: corrections must not move what is said of the whole map.
        filtered=_filtered_to(feats, own),
    )


def _volumes(
    cells: _Cells, feats: map_features.Features, mask: np.ndarray, voxel: float, frame: MapFrame
) -> Tuple[np.ndarray, np.ndarray, int]:
    """Resolution and half-widths in A on the grid of the map, and how many voxels were held at the coarsest value."""
    turned = frame.view(mask)
    inside = turned[feats.region]
    u, s = (
        _expand(_on_grid(values, feats.mask_cells), feats.mask_cells, inside.shape)[inside]
        for values in (cells.median, cells.spread)
    )
    u = np.maximum(u, np.float32(np.log2(cells.filtered or 2.0)))
    values, widths = (np.zeros(turned.shape, np.float32) for _ in range(2))
    found = np.exp2(u) * np.float32(voxel)
    values[feats.region][inside] = np.minimum(found, resolution_terms.COARSEST_A)
    widths[feats.region][inside] = (np.exp2(u + s) - np.exp2(u - s)) * np.float32(voxel / 2)
    values, widths = (frame.back(volume, mask.shape) for volume in (values, widths))
    return values, widths, int((found > resolution_terms.COARSEST_A).sum())


def _on_grid(values: np.ndarray, mask_cells: np.ndarray) -> np.ndarray:
    grid = np.zeros(mask_cells.shape, np.float32)
    grid[mask_cells] = values
    return grid


def _describe(
    result: LocalResult, cells: _Cells, feats: map_features.Features, mask: np.ndarray, voxel: float
) -> None:
    """Class probabilities and the signal of the map, into the result's numbers."""
    moved = np.exp2(np.mean(cells.median - cells.own))
    probabilities = resolution_bins.class_probabilities(
        cells.distribution[None], np.asarray(resolution_terms.LOCAL_EDGES_A) / moved, voxel
    )[0]
    filtered = cells.filtered
    if filtered:
        probabilities = _not_finer_than(probabilities, filtered * voxel, resolution_terms.LOCAL_EDGES_A)
        result.info["warnings"].append(
            f"The map's spectrum ends at {filtered * voxel:.1f} A, as behind a low-pass filter: nothing finer can be "
            "resolved in it; give the unfiltered map or the half maps to learn what the data hold."
        )
    result.info.update(
        {
            "mean_class_probabilities": {
                label: round(float(p), 5) for label, p in zip(resolution_terms.LOCAL_CLASSES, probabilities)
            },
            "constant_background": round(feats.background_constant, 4),
            "filtered_to_A": round(filtered * voxel, 3) if filtered else None,
            "filter_edge_A": round(feats.finest * voxel, 3) if feats.finest > NO_EDGE else None,
            "signal_over_noise": round(_best_band(feats), 2) if feats.has_noise else None,
        }
    )


def _describe_halves(
    result: LocalResult,
    pair: Optional[HalfMaps],
    feats: map_features.Features,
    mask: np.ndarray,
    fsc: Optional[HalfMapFsc],
) -> None:
    """Where the noise comes from, what the half maps say, and what makes the answer doubtful."""
    alike = likeness = cutoff = None
    if pair is not None:
        alike, likeness = pair.background_correlation, pair.likeness
        result.info["warnings"] += pair.warnings
    if fsc is not None:
        cutoff = fsc.crossing("particle") or result.info["nyquist_A"]
        result.info["warnings"] += half_map_fsc.mask_doubts(fsc)
        result.info["half_map_fsc_cutoffs_A"] = fsc.cutoffs()
    elif not feats.has_noise:
        result.info["warnings"].append(
            "There is no noise outside the mask to measure (masked or cut-out map): the local resolution rests on "
            "the molecule's own spectrum and is less certain; give the half maps or an unmasked map."
        )
    outside = "outside the mask" if feats.has_noise else "inside the mask"
    problems = ([] if pair is None else pair.doubts) + _suspect_inputs(mask, alike, likeness)
    if feats.drowned:
        problems.append(
            "The map was sharpened so far that its lower frequencies are lost in rounding: give the unsharpened map or the "
            "half maps."
        )
    result.info.update(
        {
            "noise_from": outside if pair is None else "half maps",
            "half_map_fsc0143_A": None if cutoff is None else round(cutoff, 4),
            "half_map_background_correlation": None if alike is None else round(alike, 4),
            "half_maps_likeness": None if likeness is None else round(likeness, 4),
            "problems": problems,
        }
    )
    result.info["warnings"] += problems


FILTER_MARGIN = 1.15
"""An answer so many times finer than a filter's edge is refused; the edge itself is known to about a tenth."""
NO_EDGE = 2.05
"""Wavelengths in voxels up to this one are Nyquist's."""


def _filtered_to(feats: map_features.Features, u: np.ndarray) -> Optional[float]:
    """Wavelength in voxels that a low-pass filter has left, if it removed what the spectrum below it promises.

    FSC-weighted maps end, too, near their resolution, and their half maps may agree a little beyond: they are let be, as
    long as half of the molecule does not claim to be finer than the edge by ``FILTER_MARGIN``.

    Args:
        feats: of the map.
        u: log2(resolution / voxel size) of the masked cells, as the network says.
    """
    if feats.finest <= NO_EDGE or np.median(u) >= np.log2(feats.finest / FILTER_MARGIN):
        return None
    return feats.finest


def _best_band(feats: map_features.Features) -> float:
    """Energy inside the mask over the noise, in the band where it is largest."""
    return float(np.exp2(4.0 * feats.summary[: band_energies.N_BANDS].max()))
