"""A map and a trained model -> classes, angstroms and honest intervals.

The default models run on features (``features.map_features``) through ``network_runners``, without TensorFlow. The
paper's networks run as the paper says. Work is done on the mask's bounding box, in overlapping tiles when that is
large, so that time grows with the molecule; of the whole box only the spectrum is levelled (a Fourier transform, and
part of one back, for every map).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, List, Optional, Sequence, Tuple

import numpy as np

from ..base.errors import InputError
from ..base.machine import one_blas_thread
from ..features import map_features
from ..maps import automatic_mask
from ..maps.density_map import DensityMap, MaskInfo
from ..networks import band_networks
from ..networks.model_files import model_store
from ..networks.network_runners import load_model, precision_of
from .answers import LocalResult, _peak_memory_mb
from .bands.band_estimates import MeasuredHalves, _band_localres, _quick_localres, measure_halves
from .bands.map_frame import MapFrame, frame_of
from .input_doubts import _mask_misses, _weak_signal
from .paper_estimates import _paper_localres

_SMALLEST_MASK = 100


def checked_halves(
    density: DensityMap, half1: Optional[DensityMap], half2: Optional[DensityMap]
) -> Optional[Tuple[DensityMap, DensityMap]]:
    """The pair, or None without half maps."""
    if half1 is None and half2 is None:
        return None
    if half1 is None or half2 is None:
        raise InputError("Half maps come in pairs; give both --half1 and --half2.")
    for half in (half1, half2):
        if half.data.shape != density.data.shape:
            raise InputError(
                f"{half.path or 'A half map'} has the box {half.data.shape} and the map {density.data.shape} "
                "(z, y, x); give half maps of the same reconstruction."
            )
        if abs(half.voxel_size - density.voxel_size) > 0.01 * density.voxel_size:
            raise InputError(
                f"{half.path or 'A half map'} has voxels of {half.voxel_size:.3f} A and the map of "
                f"{density.voxel_size:.3f} A; correct the header or give --voxel-size."
            )
    if np.array_equal(half1.data, half2.data):
        raise InputError(
            f"{half1.path or 'half1'} and {half2.path or 'half2'} are identical; give two independent halves."
        )
    return half1, half2


@one_blas_thread()
def localres(
    density: DensityMap,
    half1: Optional[DensityMap] = None,
    half2: Optional[DensityMap] = None,
    mask: Optional[np.ndarray] = None,
    model: Any = model_store.DEFAULT_LOCAL_MODEL,
    seed: int = 0,
    watched: bool = False,
    soft_mask: Optional[np.ndarray] = None,
) -> LocalResult:
    """Local resolution of a map.

    Args:
        density: the map.
        half1: first half map; with ``half2`` the noise is measured between them instead of outside the mask.
        half2: second half map.
        mask: bool (z, y, x); None makes one (``automatic_mask.auto_mask``).
        model: name or file of a local model.
        seed: written into the result; inference itself draws nothing.
        watched: show progress where the map is large.
        soft_mask: float32 (z, y, x), the mask with its soft edge, for the FSC of the half maps; None gives it one.

    Returns:
        LocalResult.

    Raises:
        InputError: mask of another box or nearly empty, bad half maps, wrong model.
    """
    begun = time.perf_counter()
    loaded = load_model(model, "local")
    halves = checked_halves(density, half1, half2)
    timings = {"load": time.perf_counter() - begun}
    mask, mask_info = _prepare_mask(density, mask)
    timings["mask"] = time.perf_counter() - begun - timings["load"]
    if loaded.card["network"]["name"] == band_networks.LOCAL_NETWORK:
        result = _band_localres(density, halves, mask, loaded, timings, watched, soft_mask)
        result.info["precision"] = precision_of(loaded)
    else:
        result = _paper_localres(density, mask, loaded, timings)
    timings["total"] = time.perf_counter() - begun
    result.info.update(
        {
            "timings_s": {k: round(v, 4) for k, v in timings.items()},
            "peak_memory_mb": _peak_memory_mb(),
            "seed": seed,
        }
    )
    return _with_doubts(result, density, mask_info, halves is not None)


def _with_doubts(result: LocalResult, density: DensityMap, mask_info: MaskInfo, halved: bool) -> LocalResult:
    """A result with what map and mask give cause to doubt."""
    info = result.info
    if "signal_over_noise" in info:
        weak = _weak_signal(info["signal_over_noise"], mask_info.get("contrast"))
        info["problems"] += weak
        info["warnings"] += weak
    doubts = density.doubts + mask_info.pop("doubts", [])
    info["problems"] = doubts + info.get("problems", [])
    info["warnings"] += doubts + mask_info.get("warnings", [])
    info.update({"mask": mask_info, "half_maps": halved, "map": density.path})
    return result


@dataclass(frozen=True)
class SeenMap:
    """A map in a mask as the default networks see it.

    Attributes:
        density: the map.
        mask: bool (z, y, x).
        frame: how the features are turned.
        features: of the map in the mask, or of the mean of its half maps.
        halves: the half maps in the mask, where they are asked.
    """

    density: DensityMap
    mask: np.ndarray
    frame: MapFrame
    features: map_features.Features
    halves: Optional[MeasuredHalves] = None


@one_blas_thread()
def see_map(
    density: DensityMap,
    masks: Sequence[np.ndarray],
    frame: Optional[MapFrame] = None,
    halves: Optional[Tuple[DensityMap, DensityMap]] = None,
    soft_masks: Sequence[Optional[np.ndarray]] = (),
) -> List[SeenMap]:
    """What the default networks see of a map in each of several masks.

    Args:
        density: the map.
        masks: bool (z, y, x) each, not empty; as for `map_features.compute_in_masks`.
        frame: how to turn the map; None takes its own frame in the first mask.
        halves: its half maps, which are then seen in its place.
        soft_masks: float32 (z, y, x), the masks with their soft edges for the FSC of the half maps; None gives one.
    """
    frame = frame or frame_of([each.data for each in halves or (density,)], masks[0])
    turned = [frame.view(mask) for mask in masks]
    region = map_features.region_of(turned[0], cells_of_box=False)
    if halves is None:
        data = frame.view(density.data)
        found = map_features.compute_in_masks(data, turned, density.voxel_size, region=region)
        return [SeenMap(density, mask, frame, features) for mask, features in zip(masks, found)]
    soft = [*soft_masks, *[None] * (len(masks) - len(soft_masks))]
    measured = [measure_halves(density, halves, mask, frame, region, edge) for mask, edge in zip(masks, soft)]
    pair = measured[0].pair
    found = map_features.compute_in_masks(pair.mean(), turned, density.voxel_size, pair.difference(), region)
    return [
        SeenMap(density, mask, frame, features, each) for mask, features, each in zip(masks, found, measured)
    ]


@one_blas_thread()
def quick_answer(seen: SeenMap) -> LocalResult:
    """What `localres` tells of a map as a whole, in half of its time and without volumes.

    Returns:
        LocalResult whose volumes are lists: the voxels of the mask, each with its cell's value.

    Raises:
        InputError: a nearly empty mask.
    """
    loaded = load_model(model_store.DEFAULT_LOCAL_MODEL, "local")
    mask, info = _prepare_mask(seen.density, seen.mask)
    result = _quick_localres(seen.density, seen.frame.view(mask), seen.features, loaded, seen.halves)
    return _with_doubts(result, seen.density, info, seen.halves is not None)


def _prepare_mask(density: DensityMap, mask: Optional[np.ndarray]) -> Tuple[np.ndarray, MaskInfo]:
    if mask is None:
        mask, info = automatic_mask.auto_mask(density)
    else:
        mask = np.asarray(mask, bool)
        if mask.shape != density.data.shape:
            raise InputError(f"The mask has the box {mask.shape} and the map {density.data.shape} (z, y, x).")
        doubts, warnings = _mask_misses(density, mask)
        info = MaskInfo(source="given", doubts=doubts, warnings=warnings)
    voxels = int(mask.sum())
    if voxels < _SMALLEST_MASK:
        raise InputError(
            f"The mask of {density.path or 'the map'} holds {voxels} voxels, fewer than {_SMALLEST_MASK}; "
            "give a mask that covers the molecule."
        )
    info["voxels"] = voxels
    return mask, info
