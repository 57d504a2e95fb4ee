"""The report's slice browser: volumes as sprites in the page."""

from __future__ import annotations

import io
import math
from typing import Any, Dict, List

import numpy as np
from matplotlib.colors import to_rgb

from ....base import resolution_terms
from ....base.resolution_terms import estimated
from ...compared_results import _mask_of
from ...figures import colours
from ...figures.slices import volume_slices
from ...results_folder import ResultsFolder
from . import page_colours
from .slice_pictures import data_url

BROWSER_SIDE = 144
"""Longest side, in pixels, of the volumes in the slice browser; larger boxes are binned by a whole factor."""
CODE_RANGE_A = (1.0, 40.0)
INTERVAL_TOP_A = 6.0


def browser(results: ResultsFolder) -> Dict[str, Any]:
    """Volumes for the page's slice browser: 8-bit images with the slices along z laid out in a grid.

    Returns:
        An empty dictionary without a local resolution; else ``box`` (z, y, x pixels), ``corner`` (first voxel
        shown, z, y, x: the empty box around the molecule is left out), ``grid`` (the whole box), ``columns``,
        ``mask`` (data URL of the mask, empty where there is none), ``outline`` (colour of its edge), ``pixel_A``,
        ``origin`` (x, y, z of the first pixel's centre in A), ``factor`` (binning), ``start`` (the fullest slices
        along z, y, x) and ``layers``, each with ``title``, ``unit``, ``image`` (data URL), ``palette`` (256 colours),
        ``own`` (those of the map's own range of resolutions, or none) and ``values`` (text of each code).
    """
    resolution = results.resolution
    if resolution is None:
        return {}
    window = volume_slices.focus(resolution.data)
    part = tuple(slice(*edges) for edges in window)
    values = resolution.data[part]
    factor = max(1, math.ceil(max(values.shape) / BROWSER_SIDE))
    layers = []
    density, interval = results.density, results.interval
    if density is not None and density.shape == resolution.shape:
        layers.append(_density_layer(_binned(density.data[part], factor)))
    inside = estimated(values)
    coarse = _binned(np.where(inside, values, 0), factor, inside)
    layers.append(_resolution_layer(coarse, colours.own_range_of(results)))
    if interval is not None and interval.shape == resolution.shape:
        layers.append(_interval_layer(_binned(np.where(inside, interval.data[part], 0), factor, inside)))
    box = coarse.shape
    fullest = [
        volume_slices.best_index(resolution.data, axis) for axis in volume_slices.AXES
    ]  # as the figures
    first = [edges[0] + 0.5 * (factor - 1) for edges in reversed(window)]
    columns = math.ceil(math.sqrt(box[0]))
    for layer in layers:
        layer["image"] = _sprite(layer.pop("codes"), columns)
    mask = _mask_of(results, resolution.shape)
    covered = None if mask is None else _binned(np.asarray(mask[part]) > 0.5, factor) >= 0.5
    return {
        "mask": "" if covered is None else _sprite(255 * covered.astype(np.uint8), columns),
        "outline": list(colours.OUTLINE),
        "grid": list(resolution.shape),
        "browse": [
            {
                **{name: layer.get(name) for name in ("palette", "own", "values")},
                "outlined": covered is not None and layer["unit"] == "density",
            }
            for layer in layers
        ],
        "box": list(box),
        "columns": columns,
        "factor": factor,
        "pixel_A": resolution.voxel_size * factor,
        "corner": [edges[0] for edges in window],
        "origin": [o + f * resolution.voxel_size for o, f in zip(resolution.origin, first)],
        "start": [(best - edges[0]) // factor for best, edges in zip(fullest, window)],
        "layers": layers,
        "legend": [
            {"text": text, "color": f"var({name})"}
            for text, name in zip(resolution_terms.LOCAL_CLASSES, page_colours.LOCAL_INKS)
        ],
    }


def _binned(data: np.ndarray, factor: int, inside: np.ndarray | None = None) -> np.ndarray:
    """Mean over blocks of ``factor`` voxels; with ``inside``, over those, 0 where fewer than half are."""
    if factor == 1:
        return np.asarray(data, np.float32)
    sums = _block_sums(np.asarray(data, np.float32), factor)
    if inside is None:
        return sums / _block_sums(np.ones(data.shape, np.float32), factor)
    count = _block_sums(inside.astype(np.float32), factor)
    return np.where(count * 2 >= factor**3, sums / np.maximum(count, 1), 0).astype(np.float32)


def _block_sums(data: np.ndarray, factor: int) -> np.ndarray:
    for axis in range(3):
        data = np.add.reduceat(data, np.arange(0, data.shape[axis], factor), axis=axis)
    return data


def _density_layer(data: np.ndarray) -> Dict[str, Any]:
    low, high = np.percentile(data, (0.5, 99.8))
    span = (high - low) or 1.0
    # 64 grey levels: the eye sees no more, and noise packs a quarter smaller.
    codes = (np.clip((data - low) / span, 0, 1) * 63).round().astype(np.uint8) * 4
    values = [f"{low + span * min(code, 252) / 252:.3g} (density)" for code in range(256)]
    grey = [[min(255, round(code * 255 / 252))] * 3 for code in range(256)]
    return {"title": "Map", "unit": "density", "codes": codes, "palette": grey, "values": values}


def _resolution_layer(data: np.ndarray, own: colours.ColourRange) -> Dict[str, Any]:
    low, high = CODE_RANGE_A
    with np.errstate(divide="ignore"):
        place = np.log(np.maximum(data, 1e-6) / low) / math.log(high / low)
    codes = np.where(data > 0, 1 + np.clip(place, 0, 1) * 254, 0).round().astype(np.uint8)
    centres = low * (high / low) ** ((np.arange(1, 256) - 1) / 254)
    palettes = {"palette": _palette(colours.resolution_colors().to_rgba(centres))}
    if own is not None:
        palettes["own"] = _palette(colours.resolution_colors(own).to_rgba(centres))
    values = ["not estimated", *(f"{value:.2f} Å" for value in centres)]
    return {"title": "Local resolution", "unit": "Å", "codes": codes, "values": values, **palettes}


def _interval_layer(data: np.ndarray) -> Dict[str, Any]:
    codes = np.where(data > 0, 1 + np.clip(data / INTERVAL_TOP_A, 0, 1) * 254, 0).round().astype(np.uint8)
    centres = (np.arange(1, 256) - 1) / 254 * INTERVAL_TOP_A
    shades = colours.interval_colors(centres)
    values = ["not estimated", *(f"± {value:.2f} Å" for value in centres)]
    return {
        "title": "68 % interval",
        "unit": "Å",
        "codes": codes,
        "palette": _palette(shades),
        "values": values,
    }


def _palette(colors: np.ndarray) -> List[List[int]]:
    empty = [round(255 * v) for v in to_rgb(colours.EMPTY)]
    return [empty, *(np.rint(255 * colors[:, :3]).astype(int).tolist())]


def _sprite(codes: np.ndarray, columns: int) -> str:
    """The slices along z, row by row in one grey PNG, as a data URL."""
    from PIL import Image

    depth, height, width = codes.shape
    rows = math.ceil(depth / columns)
    sheet = np.zeros((rows * columns, height, width), np.uint8)
    sheet[:depth] = codes
    sheet = sheet.reshape(rows, columns, height, width).swapaxes(1, 2).reshape(rows * height, columns * width)
    stream = io.BytesIO()
    # Level 9 takes three times as long for 1 % fewer bytes.
    Image.fromarray(sheet, "L").save(stream, "PNG", optimize=False, compress_level=4)
    return data_url(stream.getvalue())
