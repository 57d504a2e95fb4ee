"""A map and a trained model -> classes, angstroms and honest intervals.

The default models run on features (``features``) through ``backend`` without TensorFlow. The paper's networks run as the
paper says. Work is done on the mask's bounding box, in overlapping tiles when that is large, so that time grows with the
molecule; of the whole box only the spectrum is levelled (a Fourier transform, and part of one back, for every map).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
from scipy import ndimage

from . import (
    backend,
    constants,
    corrections,
    features,
    fsc,
    maps,
    model_file,
    progress,
    resolution,
    resolution_bins,
)
from . import feature_networks as fn
from .errors import InputError
from .maps import DensityMap

TILE_CELLS = 64
TILE_HALO = 12
_SMALLEST_MASK = 100
_LOADED: Dict[str, Any] = {}
_RUNNERS: Dict[str, Any] = {}


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
    """

    resolution: np.ndarray
    classes: np.ndarray
    halfwidth: np.ndarray
    mask: np.ndarray
    info: Dict[str, Any] = field(default_factory=dict)
    profile: Optional[np.ndarray] = None


def load_model(name_or_path: Any, kind: str) -> Any:
    """A model by name or file, loaded once per process.

    Raises:
        InputError: no such model, it is of the other kind, or for features of another version.
    """
    path = str(model_file.resolve(name_or_path))
    if path not in _LOADED:
        loaded = model_file.load(path)
        fn.check_features(loaded.card, path)
        _LOADED[path] = loaded
    model = _LOADED[path]
    if model.card["kind"] != kind:
        wanted = "whole maps" if kind == "global" else "local resolution"
        raise InputError(
            f"The model {model.card['name']} is for {model.card['kind']} resolution; choose one for {wanted}."
        )
    return model


def _run(model: Any) -> Any:
    """The function that runs a model's network, built once per process."""
    key = str(model.path)
    if key not in _RUNNERS:
        _RUNNERS[key] = backend.runner(model.card["network"], model.weights)[0]
    return _RUNNERS[key]


def axis_tiles(length: int, core: int = TILE_CELLS, halo: int = TILE_HALO) -> List[Tuple[int, int]]:
    """Overlapping windows over one axis: (start, stop), as few as ``core`` + 2 ``halo`` allow and equally long.

    Windows of the greatest length would overlap by nearly all of it where the axis is little longer: eight times
    the work in three dimensions.
    """
    if length <= core + 2 * halo:
        return [(0, length)]
    count = int(np.ceil((length - 2 * halo) / core))
    size = int(np.ceil((length - 2 * halo) / count)) + 2 * halo
    size = min(size + -size % 4, length)
    starts = np.rint(np.linspace(0, length - size, count)).astype(int)
    return [(int(s), int(s) + size) for s in starts]


def tiles(mask_cells: np.ndarray) -> Iterator[Tuple[slice, slice, slice]]:
    """Overlapping tiles that together cover every masked cell; tiles without one are left out."""
    for z0, z1 in axis_tiles(mask_cells.shape[0]):
        for y0, y1 in axis_tiles(mask_cells.shape[1]):
            for x0, x1 in axis_tiles(mask_cells.shape[2]):
                tile = (slice(z0, z1), slice(y0, y1), slice(x0, x1))
                if mask_cells[tile].any():
                    yield tile


def _blend_weights(shape: Sequence[int], tile: Sequence[slice], whole: Sequence[int]) -> np.ndarray:
    """Weights that fall off linearly over the halo towards inner tile borders, so that seams cannot show."""
    weight = np.ones(shape, np.float32)
    for axis, (piece, length) in enumerate(zip(tile, whole)):
        n = shape[axis]
        ramp = np.ones(n, np.float32)
        rise = np.linspace(0.02, 1, TILE_HALO, dtype=np.float32)[: n // 2]
        if piece.start > 0:
            ramp[: rise.size] = rise
        if piece.stop < length:
            ramp[n - rise.size :] = np.minimum(ramp[n - rise.size :], rise[::-1])
        broadcast = [1, 1, 1]
        broadcast[axis] = n
        weight *= ramp.reshape(broadcast)
    return weight


def _expand(values: np.ndarray, mask_cells: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Cells -> voxels by linear interpolation; cells outside the mask take their nearest masked neighbour's value."""
    if not mask_cells.all():
        nearest = ndimage.distance_transform_edt(~mask_cells, return_distances=False, return_indices=True)
        values = values[tuple(nearest)]
    for axis in range(3):
        n, cells = int(shape[axis]), values.shape[axis]
        place = np.clip((np.arange(n) - (features.STRIDE - 1) / 2) / features.STRIDE, 0, cells - 1)
        low = np.minimum(place.astype(int), max(cells - 2, 0))
        share = (place - low).astype(np.float32)
        broadcast = [1, 1, 1]
        broadcast[axis] = n
        share = share.reshape(broadcast)
        upper = np.take(values, np.minimum(low + 1, cells - 1), axis)
        values = np.take(values, low, axis) * (1 - share) + upper * share
    return values


def cell_estimates(
    model: Any, feats: features.Features, watched: bool = False
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Network over the cells: median and spread in log2(resolution / voxel), and the mean distribution in the mask.

    Args:
        model: the local model.
        feats: of the map.
        watched: show the progress over the tiles where there are several.
    """
    run = _run(model)
    cells = feats.mask_cells
    median, spread, weight = (np.zeros(cells.shape, np.float32) for _ in range(3))
    found = list(tiles(cells))
    for tile in found:
        weight[tile] += _blend_weights(cells[tile].shape, tile, cells.shape)
    total = np.zeros(fn.N_BINS)
    for tile in progress.track(found, "tiles") if watched and len(found) > 1 else found:
        local = feats.local[(slice(None),) + tile]
        shape = local.shape[1:]
        pads = [(0, 0)] + [(0, -n % 4) for n in shape]
        x = np.moveaxis(np.pad(local, pads), 0, -1)[None]
        logits = run({"x": x, "summary": feats.summary[None]})[0][: shape[0], : shape[1], : shape[2]]
        inside = cells[tile]
        chosen = logits[inside].astype(np.float32)
        chosen -= chosen.max(-1, keepdims=True)
        np.exp(chosen, out=chosen)
        chosen /= chosen.sum(-1, keepdims=True)
        low, middle, high = (resolution_bins.quantile(chosen, q) for q in (0.16, 0.5, 0.84))
        share = (_blend_weights(shape, tile, cells.shape) / weight[tile])[inside]
        median[tile][inside] += share * middle
        spread[tile][inside] += share * (high - low) / 2
        total += share @ chosen
    return median, spread, total / max(int(cells.sum()), 1)


def _check_halves(density: DensityMap, half1: Optional[DensityMap], half2: Optional[DensityMap]) -> bool:
    if half1 is None and half2 is None:
        return False
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
    return True


def localres(
    density: DensityMap,
    half1: Optional[DensityMap] = None,
    half2: Optional[DensityMap] = None,
    mask: Optional[np.ndarray] = None,
    model: Any = constants.DEFAULT_LOCAL_MODEL,
    seed: int = 0,
    watched: bool = False,
) -> LocalResult:
    """Local resolution of a map.

    Args:
        density: the map.
        half1: first half map; with ``half2`` the noise is measured between them instead of outside the mask.
        half2: second half map.
        mask: bool (z, y, x); None makes one (``maps.auto_mask``).
        model: name or file of a local model.
        seed: written into the result; inference itself draws nothing.
        watched: show progress where the map is large.

    Returns:
        LocalResult.

    Raises:
        InputError: mask of another box or nearly empty, bad half maps, wrong model.
    """
    begun = time.perf_counter()
    loaded = load_model(model, "local")
    has_halves = _check_halves(density, half1, half2)
    timings = {"load": time.perf_counter() - begun}
    mask, mask_info = _prepare_mask(density, mask)
    timings["mask"] = time.perf_counter() - begun - timings["load"]
    if loaded.card["network"]["name"] == fn.LOCAL_NETWORK:
        result = _band_localres(density, half1, half2, has_halves, mask, loaded, timings, watched)
        weak = _weak_signal(result.info["signal_over_noise"], mask_info.get("contrast"))
        result.info["problems"] += weak
        result.info["warnings"] += weak
    else:
        result = _paper_localres(density, mask, loaded, timings)
    timings["total"] = time.perf_counter() - begun
    result.info["warnings"] += mask_info.get("warnings", [])
    result.info.update(
        mask=mask_info,
        timings_s={k: round(v, 4) for k, v in timings.items()},
        peak_memory_mb=_peak_memory_mb(),
        half_maps=has_halves,
        seed=seed,
        map=density.path,
    )
    return result


def _prepare_mask(density: DensityMap, mask: Optional[np.ndarray]) -> Tuple[np.ndarray, Dict[str, Any]]:
    if mask is None:
        mask, info = maps.auto_mask(density)
        info = dict(info)
    else:
        mask = np.asarray(mask, bool)
        if mask.shape != density.data.shape:
            raise InputError(f"The mask has the box {mask.shape} and the map {density.data.shape} (z, y, x).")
        info = {"source": "given"}
    voxels = int(mask.sum())
    if voxels < _SMALLEST_MASK:
        raise InputError(
            f"The mask of {density.path or 'the map'} holds {voxels} voxels, fewer than {_SMALLEST_MASK}; "
            "give a mask that covers the molecule."
        )
    return mask, {**info, "voxels": voxels}


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
        feats = features.compute((a + b) / 2, mask, voxel, (a - b) / 2)
        a, b, inside = a[feats.region], b[feats.region], mask[feats.region]
        cutoff = fsc.masked_cutoff(a, b, inside, voxel)
        alike = fsc.background_correlation(a, b, inside)
        likeness = fsc.likeness(density.data[feats.region], (a + b) / 2, inside)
    else:
        feats = features.compute(density.data, mask, voxel)
    region, inside = feats.region, mask[feats.region]
    timings["features"] = time.perf_counter() - clock
    clock = time.perf_counter()
    median, spread, mean_distribution = cell_estimates(model, feats, watched)
    cells = feats.mask_cells
    calibration = model.card.get("calibration", {})
    own = median[cells]
    profile_spread = corrections.calibrated_spread(spread[cells], calibration, corrections.PROFILE)
    median[cells], spread[cells] = corrections.corrected(
        corrections.Corrections.of(model), feats.summary, feats.rise, own, spread[cells]
    )
    # By the first answer, as the global network's input: corrections must not move what is said of the whole map.
    filtered = _filtered_to(feats, own)
    u = _expand(median, cells, inside.shape)[inside]
    u = np.maximum(u, np.float32(np.log2(filtered or 2.0)))
    s = _expand(spread, cells, inside.shape)[inside]
    timings["network"] = time.perf_counter() - clock
    values = np.zeros(density.data.shape, np.float32)
    widths = np.zeros(density.data.shape, np.float32)
    values[region][inside] = np.minimum(np.exp2(u) * np.float32(voxel), constants.COARSEST_A)
    widths[region][inside] = (np.exp2(u + s) - np.exp2(u - s)) * np.float32(voxel / 2)
    result = _finish(values, widths, mask, density, model)
    moved = np.exp2(np.mean(median[cells] - own))
    probabilities = resolution_bins.class_probabilities(
        mean_distribution[None], np.asarray(constants.LOCAL_EDGES_A) / moved, voxel
    )[0]
    if filtered:
        probabilities = _not_finer_than(probabilities, filtered * voxel, constants.LOCAL_EDGES_A)
    result.info["mean_class_probabilities"] = {
        label: round(float(p), 5) for label, p in zip(constants.LOCAL_CLASSES, probabilities)
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


LARGEST_MASK = 0.95
"""A mask that covers more of the box is none."""
ALIKE_BACKGROUND = 0.5
"""Independent half maps correlate by about 0 outside the molecule."""
LEAST_LIKENESS = 0.5
"""A map that was made from its half maps, however filtered, agrees with their mean better than this in some shells."""


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
    if likeness is not None and likeness < LEAST_LIKENESS:
        found.append(
            f"The map does not look like the mean of the half maps (FSC {likeness:.2f} at best): they are of another map, "
            "or shifted or turned against it; what is said here is about the half maps."
        )
    return found


def _finish(
    values: np.ndarray, widths: np.ndarray, mask: np.ndarray, density: DensityMap, model: Any
) -> LocalResult:
    from .. import __version__

    classes = resolution.class_of(values).astype(np.int8)
    info = dict(resolution.summarize(values, mask))
    info.update(
        voxel_size_A=density.voxel_size,
        box_zyx=[int(n) for n in density.data.shape],
        nyquist_A=2.0 * density.voxel_size,
        interval_median_A=round(float(np.median(widths[mask])), 4) if mask.any() else None,
        warnings=list(density.warnings),
        model={"name": model.card["name"], "digest": model_file.digest(model)},
        version=__version__,
    )
    return LocalResult(values, classes, widths, mask, info)


MEASURED_INPUTS = slice(features.summary_length() + 8, features.summary_length() + 10)
"""Places in the global network's input of what half maps measure: whether there are any, and their FSC 0.143."""


def global_profile(
    summary: np.ndarray, medians: np.ndarray, spreads: np.ndarray, cutoff: Optional[float] = None
) -> np.ndarray:
    """Input of the default global network: the map's band profile and the local network's answer in a few numbers.

    Args:
        summary: ``Features.summary``.
        medians: log2(resolution / voxel size) of the masked cells.
        spreads: half-widths of their intervals in log2.
        cutoff: resolution in voxels at which the half maps' FSC in the mask falls to 0.143; None without half maps.

    Returns:
        float32 vector.
    """
    levels = np.quantile(medians, (0.02, 0.1, 0.25, 0.5, 0.75, 0.9))
    nyquist_share = float((medians < 1.08).mean())
    measured = [0.0, 0.0] if cutoff is None else [1.0, float(np.log2(cutoff)) - 2.0]
    extra = [*(levels - 2.0), float(np.mean(spreads)), nyquist_share, *measured]
    return np.concatenate([summary, np.asarray(extra), features.crossings(summary) - 2.0]).astype(np.float32)


def has_half_maps(profiles: np.ndarray) -> np.ndarray:
    """Which of the profiles (n, inputs) of :func:`global_profile` come from half maps: bool (n,)."""
    return np.asarray(profiles)[:, MEASURED_INPUTS.start] > 0.5


HALF_MAP_TRUST = 0.3
"""Octaves by which the half maps' FSC may contradict the network and still be the answer (validation split)."""


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


def global_answers(
    network: Dict[str, Any],
    weights: Dict[str, np.ndarray],
    profiles: np.ndarray,
    voxel_size: np.ndarray,
    calibration: Dict[str, Any],
) -> GlobalAnswers:
    """Calibrated answers of the global network.

    The FSC of the half maps in the mask *is* the resolution that one reports, so where there are half maps the network
    only judges it: the estimate is the measurement, the network gives the interval and a share of doubt. Where the two are
    further apart than ``HALF_MAP_TRUST``, the mask is not the molecule's, and the network's own answer stands.

    Args:
        network: a card's ``network`` entry.
        weights: its arrays.
        profiles: (n, inputs) of :func:`global_profile`.
        voxel_size: (n,) angstroms.
        calibration: of the card; ``half_maps`` holds the factors for maps with half maps, an older card has one set.
    """
    halves = has_half_maps(profiles)
    factors = {}
    for name, default in (("temperature", 1.0), ("spread", 1.0), ("doubt", 1.0)):
        alone = float(calibration.get(name, default))
        factors[name] = np.where(halves, float(calibration.get("half_maps", {}).get(name, alone)), alone)
    p = backend.profile_distribution(network, weights, profiles, factors["temperature"][:, None])
    low, own, high = (resolution_bins.quantile(p, q) for q in (0.16, 0.5, 0.84))
    away = np.asarray(profiles, float)[:, MEASURED_INPUTS.stop - 1] + 2.0 - own
    trusted = halves & (np.abs(away) <= HALF_MAP_TRUST)
    middle = np.where(trusted, own + away, own)
    voxels = np.asarray(voxel_size, float)
    three = np.concatenate(
        [
            resolution_bins.class_probabilities(row[None], constants.GLOBAL_EDGES_A, float(size))
            for row, size in zip(p, voxels * 2.0 ** (middle - own))
        ]
    )
    measured = np.eye(3)[resolution.global_class_of(2.0**middle * voxels)]
    doubt = np.where(trusted, factors["doubt"], 1.0)[:, None]
    return GlobalAnswers(
        doubt * three + (1 - doubt) * measured,
        middle - factors["spread"] * (own - low),
        middle,
        middle + factors["spread"] * (high - own),
        own,
        halves & ~trusted,
    )


FILTER_MARGIN = 1.3
"""An answer so many times finer than a filter's edge is refused."""


def _filtered_to(feats: features.Features, u: np.ndarray) -> Optional[float]:
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


def _best_band(feats: features.Features) -> float:
    """Energy inside the mask over the noise, in the band where it is largest."""
    return float(np.exp2(4.0 * feats.summary[: features.N_BANDS].max()))


def _paper_localres(
    density: DensityMap, mask: np.ndarray, model: Any, timings: Dict[str, float]
) -> LocalResult:
    """The paper's U-Net: whole map min-max scaled, masked, 16^3 patches; class centres as angstroms."""
    from . import networks

    if model.card["network"]["name"] != networks.UNET:
        raise InputError(
            f"The model {model.card['name']} has the unknown network {model.card['network']['name']}."
        )
    clock = time.perf_counter()
    scaled = networks.scale01(density.data) * mask
    network = networks.from_weights(networks.build(model.card["network"]), model.weights)
    timings["load"] += time.perf_counter() - clock
    clock = time.perf_counter()
    side = 16
    padded = np.pad(scaled, [(0, -n % side) for n in scaled.shape])
    classes = np.full(padded.shape, -1, np.int8)
    certainty = np.zeros(padded.shape, np.float32)
    corners = [
        (z, y, x)
        for z in range(0, padded.shape[0], side)
        for y in range(0, padded.shape[1], side)
        for x in range(0, padded.shape[2], side)
        if padded[z : z + side, y : y + side, x : x + side].any()
    ]
    for start in range(0, len(corners), 32):
        chosen = corners[start : start + 32]
        batch = np.stack([padded[z : z + side, y : y + side, x : x + side] for z, y, x in chosen])
        probabilities = np.asarray(network(batch[..., None], training=False), np.float32)
        for (z, y, x), p in zip(chosen, probabilities):
            classes[z : z + side, y : y + side, x : x + side] = p.argmax(-1)
            certainty[z : z + side, y : y + side, x : x + side] = p.max(-1)
    crop = tuple(slice(0, n) for n in mask.shape)
    inside = mask & (classes[crop] >= 0)
    middles = np.array([1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5, 9.5, 11.0], np.float32)
    values = np.where(inside, middles[np.maximum(classes[crop], 0)], 0).astype(np.float32)
    values[inside] = np.maximum(values[inside], 2 * density.voxel_size)
    widths = np.where(inside, 0.5 / np.maximum(certainty[crop], 0.1), 0).astype(np.float32)
    timings["network"] = time.perf_counter() - clock
    result = _finish(values, widths, mask, density, model)
    result.info["warnings"].append(
        "The paper's U-Net gives classes only: angstroms are class centres, intervals half a class over certainty."
    )
    return result


def classify(
    density: DensityMap,
    mask: Optional[np.ndarray] = None,
    claimed: Optional[float] = None,
    model: Any = constants.DEFAULT_GLOBAL_MODEL,
    local: Optional[LocalResult] = None,
    half1: Optional[DensityMap] = None,
    half2: Optional[DensityMap] = None,
) -> Dict[str, Any]:
    """Global class, estimate and verdict of a map: one entry of ``classification.json``.

    Args:
        density: the map.
        mask: bool (z, y, x); None makes one.
        claimed: claimed resolution in angstroms, or None.
        model: name or file of a global model.
        local: result of :func:`localres` on the same map with the default model; made here when missing.
        half1: first half map, used when ``local`` is made here.
        half2: second half map.

    Raises:
        InputError: as in :func:`localres`, or a claim that is not positive.
    """
    if claimed is not None:
        claimed = resolution.check_claim(claimed)
    loaded = load_model(model, "global")
    if loaded.card["network"]["name"] != fn.GLOBAL_NETWORK:
        return _paper_classify(density, claimed, loaded)
    if local is None or local.profile is None or local.info["model"]["name"] != constants.DEFAULT_LOCAL_MODEL:
        # The global network learned beside the default local model's answers; a variant's would mislead it.
        local = localres(density, half1, half2, mask if local is None else local.mask)
    return _band_classify(density, claimed, loaded, local)


def _entry(density: DensityMap, loaded: Any, probabilities: np.ndarray) -> Dict[str, Any]:
    named = {k: round(float(p), 6) for k, p in zip(constants.GLOBAL_CLASSES, probabilities)}
    return {
        "map": density.path,
        "voxel_size_A": density.voxel_size,
        "class": constants.GLOBAL_CLASSES[int(np.argmax(probabilities))],
        "probabilities": named,
        "resolution_A": None,
        "interval_A": None,
        "in_distribution": True,
        "warnings": list(density.warnings),
        "claim": None,
        "model": {"name": loaded.card["name"], "digest": model_file.digest(loaded)},
    }


def _band_classify(
    density: DensityMap, claimed: Optional[float], loaded: Any, local: LocalResult
) -> Dict[str, Any]:
    calibration = loaded.card.get("calibration", {})
    rows, voxel = np.asarray(local.profile)[None], density.voxel_size
    answers = global_answers(loaded.card["network"], loaded.weights, rows, np.array([voxel]), calibration)
    low, middle, high = (float(values[0]) for values in (answers.low, answers.middle, answers.high))
    three = answers.probabilities[0]
    finest = local.info.get("filtered_to_A") or 2.0 * voxel
    if finest > 2.0 * voxel:
        three = _not_finer_than(three, finest, constants.GLOBAL_EDGES_A)
    entry = _entry(density, loaded, three)
    estimate = max(2.0**middle * voxel, finest)
    interval = [max(2.0**low * voxel, finest), max(2.0**high * voxel, finest)]
    problems = _unlike_training(backend.scaled_profile(loaded.weights, rows)[0], local, calibration)
    problems += local.info.get("problems", [])
    if answers.contradicted[0]:
        problems.append(
            _contradiction(local.info["half_map_fsc0143_A"], 2.0 ** float(answers.own[0]) * voxel)
        )
    entry.update(
        {
            "resolution_A": round(estimate, 4),
            "interval_A": [round(v, 4) for v in interval],
            "in_distribution": not problems,
            "warnings": list(density.warnings)
            + problems
            + [w for w in local.info.get("warnings", []) if w not in density.warnings + problems],
        }
    )
    if claimed is not None:
        entry["claim"] = resolution.verdict(
            claimed, estimate, interval, entry["probabilities"], not problems, 2.0 * voxel, local.info
        )
    return entry


def _contradiction(measured: float, own: float) -> str:
    """The sentence that says so when half maps and network do not tell the same resolution (both in angstroms)."""
    return (
        f"The half maps agree to {measured:.1f} A inside the mask, but the signal there is that of a map of {own:.1f} A: "
        "the mask is too tight or too loose, or the half maps are not independent; give another mask."
    )


def _not_finer_than(probabilities: np.ndarray, finest: float, edges: Sequence[float]) -> np.ndarray:
    """Probabilities of classes, fine to coarse, of a map that cannot be finer than ``finest``; ``edges`` in angstroms."""
    allowed = probabilities.copy()
    for number, edge in enumerate(edges):
        if finest > edge:
            allowed[number + 1] += allowed[number]
            allowed[number] = 0.0
    return allowed


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


def _paper_classify(density: DensityMap, claimed: Optional[float], loaded: Any) -> Dict[str, Any]:
    from . import networks

    probabilities = networks.paper_predict(loaded, [density.data])[0]
    entry = _entry(density, loaded, probabilities)
    entry["warnings"].append(
        "The paper's networks read the central 64^3 voxels, ignore the voxel size and learned from noiseless maps; "
        "on real maps the paper measured 57-60 % agreement."
    )
    if claimed is not None:
        same = resolution.global_class(claimed) == entry["class"]
        text = f"The claim of {claimed:g} A falls in the class {resolution.global_class(claimed)}"
        entry["claim"] = {
            "claimed_A": claimed,
            "verdict": "supported" if same else "cannot tell",
            "reasons": [text + (", as predicted." if same else f"; the network says {entry['class']}.")],
        }
    return entry


def _peak_memory_mb() -> Optional[float]:
    try:
        import resource
    except ImportError:
        return None
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0, 1)
