"""A map and a trained model -> classes, angstroms and honest intervals.

The default models run on features (``features.map_features``) through ``network_runners``, without TensorFlow. The
paper's networks run as the paper says. Work is done on the mask's bounding box, in overlapping tiles when that is
large, so that time grows with the molecule; of the whole box only the spectrum is levelled (a Fourier transform, and
part of one back, for every map).
"""

from __future__ import annotations

import time
from typing import Any, Optional, Tuple

import numpy as np

from ..base.errors import InputError
from ..base.machine import one_blas_thread
from ..maps import automatic_mask
from ..maps.density_map import DensityMap, MaskInfo
from ..networks import band_networks
from ..networks.model_files import model_store
from ..networks.network_runners import load_model
from .answers import LocalResult, _peak_memory_mb
from .bands.band_estimates import _band_localres
from .input_doubts import _mask_misses, _weak_signal
from .paper_estimates import _paper_localres

_SMALLEST_MASK = 100


def _checked_halves(
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
    halves = _checked_halves(density, half1, half2)
    timings = {"load": time.perf_counter() - begun}
    mask, mask_info = _prepare_mask(density, mask)
    timings["mask"] = time.perf_counter() - begun - timings["load"]
    if loaded.card["network"]["name"] == band_networks.LOCAL_NETWORK:
        result = _band_localres(density, halves, mask, loaded, timings, watched, soft_mask)
        weak = _weak_signal(result.info["signal_over_noise"], mask_info.get("contrast"))
        result.info["problems"] += weak
        result.info["warnings"] += weak
    else:
        result = _paper_localres(density, mask, loaded, timings)
    doubts = density.doubts + mask_info.pop("doubts", [])
    result.info["problems"] = doubts + result.info.get("problems", [])
    result.info["warnings"] += doubts
    timings["total"] = time.perf_counter() - begun
    result.info["warnings"] += mask_info.get("warnings", [])
    result.info.update(
        {
            "mask": mask_info,
            "timings_s": {k: round(v, 4) for k, v in timings.items()},
            "peak_memory_mb": _peak_memory_mb(),
            "half_maps": halves is not None,
            "seed": seed,
            "map": density.path,
        }
    )
    return result


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
