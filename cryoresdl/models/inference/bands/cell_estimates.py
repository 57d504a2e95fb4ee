"""A network run over cells, in overlapping tiles where the map is large."""

from __future__ import annotations

from typing import Any, Iterator, List, Sequence, Tuple

import numpy as np
from scipy import ndimage

from ...base import progress
from ...features import band_energies, map_features
from ...networks import resolution_bins
from ...networks.network_runners import _run

TILE_CELLS = 64
TILE_HALO = 12


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
    """Overlapping tiles (z, y, x) that cover every True cell of a bool (z, y, x); tiles without one are left out."""
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
        place = np.clip((np.arange(n) - (band_energies.STRIDE - 1) / 2) / band_energies.STRIDE, 0, cells - 1)
        low = np.minimum(place.astype(int), max(cells - 2, 0))
        share = (place - low).astype(np.float32)
        broadcast = [1, 1, 1]
        broadcast[axis] = n
        share = share.reshape(broadcast)
        upper = np.take(values, np.minimum(low + 1, cells - 1), axis)
        values = np.take(values, low, axis) * (1 - share) + upper * share
    return values


def cell_estimates(
    model: Any, feats: map_features.Features, watched: bool = False
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Network over the cells: median and spread in log2(resolution / voxel), and the mean distribution in the mask.

    Args:
        model: the local model.
        feats: of the map.
        watched: show the progress over the tiles where there are several.

    Returns:
        median and spread, float32 cells (z, y, x), 0 outside the mask; the distribution (bins,).
    """
    run = _run(model)
    cells = feats.mask_cells
    median, spread, weight = (np.zeros(cells.shape, np.float32) for _ in range(3))
    found = list(tiles(cells))
    for tile in found:
        weight[tile] += _blend_weights(cells[tile].shape, tile, cells.shape)
    total = np.zeros(resolution_bins.N_BINS)
    for tile in progress.track(found, "tiles") if watched and len(found) > 1 else found:
        local = feats.local[(slice(None),) + tile]
        shape = local.shape[1:]
        pads = [(0, 0)] + [(0, -n % 4) for n in shape]
        x = np.moveaxis(np.pad(local, pads), 0, -1)[None]
        logits = run({"x": x, "summary": feats.summary[None]})[0][: shape[0], : shape[1], : shape[2]]
        inside = cells[tile]
        chosen = resolution_bins.softmax(logits[inside].astype(np.float32))
        low, middle, high = (resolution_bins.quantile(chosen, q) for q in (0.16, 0.5, 0.84))
        share = (_blend_weights(shape, tile, cells.shape) / weight[tile])[inside]
        median[tile][inside] += share * middle
        spread[tile][inside] += share * (high - low) / 2
        total += share @ chosen
    return median, spread, total / max(int(cells.sum()), 1)
