"""Local resolution by the default networks."""

from __future__ import annotations

import time
from typing import Any, Dict, Optional

import numpy as np

from ..base import resolution_terms
from ..features import band_energies, map_features
from ..features.network_inputs import global_profile
from ..maps import fourier_shells
from ..maps.density_map import DensityMap
from ..networks import resolution_bins
from ..networks.resolution_bins import _not_finer_than
from . import map_corrections
from .answers import LocalResult, _finish
from .cell_estimates import _expand, cell_estimates
from .input_doubts import _suspect_inputs


def _band_localres(
    density: DensityMap,
    half1: Optional[DensityMap],
    half2: Optional[DensityMap],
    has_halves: bool,
    mask: np.ndarray,
    model: Any,
    timings: Dict[str, float],
    watched: bool,
) -> LocalResult:
    """The default network: features of the region, then the U-Net over its cells."""
    clock = time.perf_counter()
    voxel = density.voxel_size
    cutoff: Optional[float] = None
    alike: Optional[float] = None
    likeness: Optional[float] = None
    if has_halves and half1 is not None and half2 is not None:
        a, b = half1.data, half2.data
        feats = map_features.compute((a + b) / 2, mask, voxel, (a - b) / 2)
        a, b, inside = a[feats.region], b[feats.region], mask[feats.region]
        cutoff = fourier_shells.masked_cutoff(a, b, inside, voxel)
        alike = fourier_shells.background_correlation(a, b, inside)
        likeness = fourier_shells.likeness(density.data[feats.region], (a + b) / 2, inside)
    else:
        feats = map_features.compute(density.data, mask, voxel)
    region, inside = feats.region, mask[feats.region]
    timings["features"] = time.perf_counter() - clock
    clock = time.perf_counter()
    median, spread, mean_distribution = cell_estimates(model, feats, watched)
    cells = feats.mask_cells
    calibration = model.card.get("calibration", {})
    own = median[cells]
    profile_spread = map_corrections.calibrated_spread(spread[cells], calibration, map_corrections.PROFILE)
    median[cells], spread[cells] = map_corrections.corrected(
        map_corrections.Corrections.of(model), feats.summary, feats.rise, own, spread[cells]
    )
    # By the first answer, as the global network's input: corrections must not move what is said of the whole map.
    filtered = _filtered_to(feats, own)
    u = _expand(median, cells, inside.shape)[inside]
    u = np.maximum(u, np.float32(np.log2(filtered or 2.0)))
    s = _expand(spread, cells, inside.shape)[inside]
    timings["network"] = time.perf_counter() - clock
    values = np.zeros(density.data.shape, np.float32)
    widths = np.zeros(density.data.shape, np.float32)
    values[region][inside] = np.minimum(np.exp2(u) * np.float32(voxel), resolution_terms.COARSEST_A)
    widths[region][inside] = (np.exp2(u + s) - np.exp2(u - s)) * np.float32(voxel / 2)
    result = _finish(values, widths, mask, density, model)
    moved = np.exp2(np.mean(median[cells] - own))
    probabilities = resolution_bins.class_probabilities(
        mean_distribution[None], np.asarray(resolution_terms.LOCAL_EDGES_A) / moved, voxel
    )[0]
    if filtered:
        probabilities = _not_finer_than(probabilities, filtered * voxel, resolution_terms.LOCAL_EDGES_A)
    result.info["mean_class_probabilities"] = {
        label: round(float(p), 5) for label, p in zip(resolution_terms.LOCAL_CLASSES, probabilities)
    }
    result.info["noise_from"] = (
        "half maps" if has_halves else ("outside the mask" if feats.has_noise else "inside the mask")
    )
    result.info["constant_background"] = round(feats.background_constant, 4)
    result.info["filtered_to_A"] = round(filtered * voxel, 3) if filtered else None
    result.info["signal_over_noise"] = round(_best_band(feats), 2) if feats.has_noise else None
    if filtered:
        result.info["warnings"].append(
            f"The map holds nothing beyond {filtered * voxel:.1f} A: it was low-pass filtered or resampled, and nothing "
            "finer can be resolved in it."
        )
    if not has_halves and not feats.has_noise:
        result.info["warnings"].append(
            "There is no noise outside the mask to measure (masked or cut-out map): the local resolution rests on "
            "the molecule's own spectrum and is less certain; give the half maps or an unmasked map."
        )
    result.info["half_map_fsc0143_A"] = None if cutoff is None else round(cutoff, 4)
    result.info["half_map_background_correlation"] = None if alike is None else round(alike, 4)
    result.info["half_maps_likeness"] = None if likeness is None else round(likeness, 4)
    result.info["problems"] = _suspect_inputs(mask, alike, likeness)
    if feats.drowned:
        result.info["problems"].append(
            "The map was sharpened so far that its lower frequencies are lost in rounding: give the unsharpened map or the "
            "half maps."
        )
    result.info["warnings"] += result.info["problems"]
    result.profile = global_profile(
        feats.summary,
        own,
        profile_spread,
        None if cutoff is None else cutoff / voxel,
    )
    return result


FILTER_MARGIN = 1.3
"""An answer so many times finer than a filter's edge is refused."""


def _filtered_to(feats: map_features.Features, u: np.ndarray) -> Optional[float]:
    """Wavelength in voxels that a low-pass filter has left, if it removed what the spectrum below it promises.

    FSC-weighted maps end, too, near their resolution, and their half maps may agree a little beyond: they are let be, as
    long as half of the molecule does not claim to be finer than the edge by ``FILTER_MARGIN``.

    Args:
        feats: of the map.
        u: log2(resolution / voxel size) of the masked cells, as the network says.
    """
    if feats.finest <= 2.05 or np.median(u) >= np.log2(feats.finest / FILTER_MARGIN):
        return None
    return feats.finest


def _best_band(feats: map_features.Features) -> float:
    """Energy inside the mask over the noise, in the band where it is largest."""
    return float(np.exp2(4.0 * feats.summary[: band_energies.N_BANDS].max()))
