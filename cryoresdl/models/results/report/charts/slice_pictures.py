"""Slices as small images with captions and a colour bar in HTML."""

from __future__ import annotations

import base64
import io
from typing import Any, List, Mapping, Sequence, Tuple

import numpy as np
from markupsafe import Markup

from ...figures.colours import OUTLINE, ColourRange, resolution_ticks
from ...figures.slices import volume_slices
from ...figures.slices.slice_layers import Layer, PanelStyle, _pixels, _style
from .chart import grid, round_ticks

MOST_PIXELS = 220
"""Longest side of a slice's image; the browser enlarges it, larger slices are thinned."""


def data_url(png: bytes) -> str:
    """A PNG as an address that holds it."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def png_url(colors: np.ndarray) -> str:
    """Colours (rows, columns, 3 or 4; 0 to 255), the first row on top, as a PNG's data URL."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(colors, np.uint8)).save(stream, "PNG")
    return data_url(stream.getvalue())


Styles = Mapping[str, PanelStyle]
"""How a layer is drawn: always, under the name "", or for either choice of the page's colours, "same" and "own"."""


def styles_of(layer: Layer, own: ColourRange) -> Styles:
    """The colours of a layer; a resolution has those of every map and, with ``own``, those of this map's range."""
    if layer.kind != "resolution" or own is None:
        return {"": _style(layer)}
    return {"same": _style(layer), "own": _style(layer, own)}


def slice_picture(layer: Layer, styles: Styles, place: Tuple[str, int], window: Any, caption: str) -> Markup:
    """One slice of a volume with its caption.

    Args:
        layer: what to show.
        styles: in which colours.
        place: axis that the slice is perpendicular to, and its number.
        window: first and last + 1 voxel along (z, y, x) that are shown.
        caption: words below.
    """
    axis, index = place
    across, up = (window["zyx".index(name)] for name in volume_slices._plane(axis))
    plane = volume_slices.cut(layer.data, axis, index)[slice(*up), slice(*across)]
    step = max(1, -(-max(plane.shape) // MOST_PIXELS))
    pixels = _pixels(plane[::step, ::step], layer.kind)
    pictures = []
    for name, style in styles.items():
        colors = np.rint(255 * style.cmap(style.norm(pixels))).astype(np.uint8)[:, :, :3]
        if layer.mask is not None:
            edge = volume_slices.outline(layer.mask, axis, index)[slice(*up), slice(*across)]
            colors[_any_of(edge, step)] = OUTLINE
        words = Markup('<img src="{}" alt="{}"{}>').format(png_url(colors[::-1]), layer.title, _class(name))
        pictures.append(words)
    picture = '<div class="slice">{}<div class="value">{}</div></div>'
    return Markup(picture).format(Markup("").join(pictures), caption)


def _any_of(plane: np.ndarray, step: int) -> np.ndarray:
    """A bool plane thinned: where a block of ``step`` pixels holds one that is true."""
    for axis in (0, 1):
        plane = np.logical_or.reduceat(plane, np.arange(0, plane.shape[axis], step), axis=axis)
    return plane


def _class(name: str, *others: str) -> Markup:
    """The attribute of an element that a choice of colours shows."""
    names = " ".join(filter(None, (*others, name)))
    return Markup(' class="{}"').format(names) if names else Markup("")


def color_bars(kind: str, styles: Styles) -> Markup:
    """The colours of a kind of layer with their values in HTML, for each choice; nothing for a density."""
    if kind == "density":
        return Markup("")
    return Markup("").join(_color_bar(kind, style, name) for name, style in styles.items())


def _color_bar(kind: str, style: PanelStyle, name: str) -> Markup:
    low, high = float(style.norm.vmin), float(style.norm.vmax)
    ticks: List[Tuple[float, str]] = round_ticks(low, high)
    if kind == "resolution":
        ticks = [(v, f"{v:g}") for v in resolution_ticks((low, high))]
    stops = style.cmap(np.linspace(0, 1, 17))[:, :3]
    colors = ",".join("rgb({:.0f},{:.0f},{:.0f})".format(*(255 * stop)) for stop in stops)
    marks = Markup("").join(
        Markup('<span style="left:{}%">{}</span>').format(f"{100 * float(style.norm(value)):.1f}", text)
        for value, text in ticks
    )
    bar = '<div{}><i style="background:linear-gradient(90deg,{})"></i><div class="along">{}</div>{}</div>'
    return Markup(bar).format(_class(name, "colors"), colors, marks, style.label)


def layers_pictures(layers: Sequence[Layer], reference: Any, own: ColourRange = None) -> Markup:
    """The fullest slice of every layer beside each other, and the colour bars of their kinds.

    Args:
        layers: volumes on one grid.
        reference: the volume (``results_folder.Volume``) whose voxel size and origin they have.
        own: the map's own range of resolutions, which the page can switch to.
    """
    estimates = next(one.data for one in layers if one.kind in ("resolution", "spread"))
    window, index = volume_slices.focus(estimates), volume_slices.best_index(estimates)
    position = reference.origin[2] + index * reference.voxel_size
    where = volume_slices.slice_words(reference.shape, "z", index, position)
    styles = [styles_of(layer, own) for layer in layers]
    parts = [
        slice_picture(layer, each, ("z", index), window, f"{layer.title}, {where}")
        for layer, each in zip(layers, styles)
    ]
    kinds = {layer.kind: each for layer, each in zip(layers, styles)}
    bars = [color_bars(kind, each) for kind, each in kinds.items() if kind != "density"]
    return grid(parts, 150) + grid(bars, 320)


def three_axes_pictures(layers: Sequence[Layer], reference: Any, own: ColourRange = None) -> Markup:
    """The fullest slice along z, y and x of the map and its local resolution.

    Args:
        layers: the map, when there is one, and the local resolution.
        reference: the local resolution's volume.
        own: the map's own range of resolutions, which the page can switch to.
    """
    window = volume_slices.focus(reference.data)
    parts = []
    for layer in layers:
        styles = styles_of(layer, own)
        for axis in volume_slices.AXES:
            index = volume_slices.best_index(reference.data, axis)
            position = reference.origin[2 - volume_slices.AXES.index(axis)] + index * reference.voxel_size
            where = volume_slices.slice_words(reference.shape, axis, index, position)
            caption = f"{layer.title}, {where}"
            parts.append(slice_picture(layer, styles, (axis, index), window, caption))
    return Markup('<div class="threes">{}</div>{}').format(
        Markup("").join(parts), color_bars("resolution", styles)
    )
