"""The report's surface: the molecule as small 8-bit volumes that 3Dmol.js draws in the page."""

from __future__ import annotations

import base64
import math
from dataclasses import asdict, dataclass
from typing import Any, Dict, List

import numpy as np
from scipy import ndimage

from ....base.resolution_terms import RESOLUTION_RANGE_A, estimated
from ... import result_files
from ...figures import colours
from ...figures.surface.molecule_surface import MoleculeSurface, surface_of
from ...results_folder import ResultsFolder

SURFACE_SIDE = 72
"""Longest side of the volumes in the page, in voxels: a surface of more triangles turns slowly without a graphics card."""
DRAWN_SMOOTHING = 1.6
"""Voxels; with it the page shows as few holes as the picture of the same surface that is drawn from the map."""
SURFACE_CODE_RANGE_A = (1.0, 40.0)


@dataclass(frozen=True)
class ColourLayer:
    """What can colour the surface: its name, volume (base64 of codes, x slowest), range in A and palette."""

    title: str
    codes: str
    low: float
    high: float
    own_low: float
    own_high: float
    log: bool
    palette: List[str]


@dataclass(frozen=True)
class SurfaceData:
    """The surface of a page; volumes are bytes with x slowest, as 3Dmol.js reads them."""

    size: List[int]
    voxel_A: float
    density: str
    level: int
    factor: int
    layers: List[ColourLayer]

    def plain(self) -> Dict[str, Any]:
        """For the page's script."""
        return asdict(self)


def surface(results: ResultsFolder) -> SurfaceData | None:
    """The surface of a results folder; ``None`` without a map, an estimate or a common grid."""
    resolution, density = results.resolution, results.density
    if resolution is None or density is None or density.shape != resolution.shape:
        return None
    if not estimated(np.asarray(resolution.data)).any():
        return None
    place = (resolution.voxel_size, resolution.origin, SURFACE_SIDE)
    first = surface_of(density.data, resolution.data, resolution.data, *place)
    layers = [
        _layer("local resolution", first, *RESOLUTION_RANGE_A, log=True, own=colours.own_range_of(results))
    ]
    others = (
        ("half-width of the 68 % interval", results.interval, colours.INTERVAL_RANGE_A[1]),
        ("disagreement of the methods", _disagreement(results), 0.0),
    )
    for title, volume, top in others:
        if volume is not None and volume.shape == resolution.shape:
            made = surface_of(density.data, resolution.data, volume.data, *place)
            shown = made.values[made.values > 0]
            if shown.size:
                layers.append(
                    _layer(title, made, 0.0, top or max(0.5, float(np.percentile(shown, 98))), log=False)
                )
    top = float(np.percentile(first.density, 99.95)) or 1.0
    codes = np.clip(first.density / top * 250, 0, 255).round()
    return SurfaceData(
        size=[int(n) for n in reversed(first.density.shape)],
        voxel_A=first.voxel_size,
        density=_bytes(codes),
        level=_drawn_level(codes, first.level / top * 250),
        factor=first.factor,
        layers=layers,
    )


def _drawn_level(codes: np.ndarray, level: float) -> int:
    """The contour at which the page encloses as much as ``level`` does; both in codes.

    3Dmol.js asks of every voxel only whether it lies above the contour, and smooths the surface between: what is thin gets
    thinner, and sheets get holes.
    """
    wanted = np.count_nonzero(codes > level)
    low, high = 2, max(2, int(np.clip(level, 2, 240)))
    while low < high:
        middle = (low + high + 1) // 2
        drawn = ndimage.gaussian_filter((codes >= middle).astype(np.float32), DRAWN_SMOOTHING) > 0.5
        low, high = (middle, high) if np.count_nonzero(drawn) >= wanted else (low, middle - 1)
    return low


def _disagreement(results: ResultsFolder) -> Any:
    return results.volume(result_files.DISAGREEMENT) if results.has(result_files.DISAGREEMENT) else None


def _layer(
    title: str, made: MoleculeSurface, low: float, high: float, log: bool, own: colours.ColourRange = None
) -> ColourLayer:
    """Codes and ranges of what colours the surface; ``own`` (A) is known, or the middle 90 % of what the page shows."""
    values = made.values
    if log:
        bottom, top = SURFACE_CODE_RANGE_A
        place = np.log(np.maximum(values, 1e-6) / bottom) / math.log(top / bottom)
        shades = colours.resolution_colors().to_rgba(np.geomspace(*RESOLUTION_RANGE_A, 64))
    else:
        bottom, top = 0.0, 3 * high
        place = values / top
        shades = colours.interval_colors(np.linspace(*colours.INTERVAL_RANGE_A, 64))
    codes = np.where(values > 0, 1 + np.clip(place, 0, 1) * 254, 0).round()
    known = values[values > 0]
    if own is None:
        own = tuple(np.percentile(known, colours.OWN_PERCENTILES)) if known.size else (low, high)
    palette = [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in np.rint(255 * np.asarray(shades)[:, :3]).astype(int)]
    return ColourLayer(
        title, _bytes(codes), low, high, round(float(own[0]), 2), round(float(own[1]), 2), log, palette
    )


def _bytes(codes: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(codes.astype(np.uint8).transpose(2, 1, 0)).tobytes()).decode(
        "ascii"
    )
