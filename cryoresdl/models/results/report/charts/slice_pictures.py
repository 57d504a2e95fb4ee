"""Slices as small images with captions and a colour bar in HTML."""

from __future__ import annotations

import base64
import io
from typing import Any, List, Sequence, Tuple

import numpy as np
from markupsafe import Markup

from ....base.resolution_terms import RESOLUTION_RANGE_A
from ...figures.colours import RESOLUTION_TICKS_A
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


def slice_picture(
    layer: Layer, style: PanelStyle, place: Tuple[str, int], window: Any, caption: str
) -> Markup:
    """One slice of a volume with its caption.

    Args:
        layer: what to show.
        style: in which colours.
        place: axis that the slice is perpendicular to, and its number.
        window: first and last + 1 voxel along (z, y, x) that are shown.
        caption: words below.
    """
    axis, index = place
    across, up = (window["zyx".index(name)] for name in volume_slices._plane(axis))
    plane = volume_slices.cut(layer.data, axis, index)[slice(*up), slice(*across)]
    step = max(1, -(-max(plane.shape) // MOST_PIXELS))
    pixels = _pixels(plane[::step, ::step], layer.kind)
    colors = np.rint(255 * style.cmap(style.norm(pixels))).astype(np.uint8)[::-1, :, :3]
    picture = '<div class="slice"><img src="{}" alt="{}"><div class="value">{}</div></div>'
    return Markup(picture).format(png_url(colors), layer.title, caption)


def color_bar(kind: str, style: PanelStyle) -> Markup:
    """The colours of a kind of layer with their values in HTML; nothing for a density."""
    if kind == "density":
        return Markup("")
    low, high = float(style.norm.vmin), float(style.norm.vmax)
    if kind == "resolution":
        ticks: List[Tuple[float, str]] = [(v, f"{v:g}") for v in RESOLUTION_TICKS_A]
        low, high = RESOLUTION_RANGE_A
    else:
        ticks = round_ticks(low, high)
    stops = style.cmap(np.linspace(0, 1, 17))[:, :3]
    colors = ",".join("rgb({:.0f},{:.0f},{:.0f})".format(*(255 * stop)) for stop in stops)
    marks = Markup("").join(
        Markup('<span style="left:{}%">{}</span>').format(f"{100 * float(style.norm(value)):.1f}", text)
        for value, text in ticks
    )
    bar = '<div class="colors"><i style="background:linear-gradient(90deg,{})"></i><div class="along">{}</div>{}</div>'
    return Markup(bar).format(colors, marks, style.label)


def layers_pictures(layers: Sequence[Layer], reference: Any) -> Markup:
    """The fullest slice of every layer beside each other, and the colour bars of their kinds.

    Args:
        layers: volumes on one grid.
        reference: the volume (``results_folder.Volume``) whose voxel size and origin they have.
    """
    estimates = next(one.data for one in layers if one.kind in ("resolution", "spread"))
    window, index = volume_slices.focus(estimates), volume_slices.best_index(estimates)
    position = reference.origin[2] + index * reference.voxel_size
    styles = [_style(layer) for layer in layers]
    parts = [
        slice_picture(layer, style, ("z", index), window, f"{layer.title}, z = {position:.1f} Å")
        for layer, style in zip(layers, styles)
    ]
    kinds = {layer.kind: style for layer, style in zip(layers, styles)}
    bars = [color_bar(kind, style) for kind, style in kinds.items() if kind != "density"]
    return grid(parts, 150) + grid(bars, 320)


def three_axes_pictures(layers: Sequence[Layer], reference: Any) -> Markup:
    """The fullest slice along z, y and x of the map and its local resolution.

    Args:
        layers: the map, when there is one, and the local resolution.
        reference: the local resolution's volume.
    """
    window = volume_slices.focus(reference.data)
    parts = []
    for layer in layers:
        style = _style(layer)
        for axis in volume_slices.AXES:
            index = volume_slices.best_index(reference.data, axis)
            position = reference.origin[2 - volume_slices.AXES.index(axis)] + index * reference.voxel_size
            caption = f"{layer.title}, {axis} = {position:.1f} Å"
            parts.append(slice_picture(layer, style, (axis, index), window, caption))
    return Markup('<div class="threes">{}</div>{}').format(
        Markup("").join(parts), color_bar("resolution", style)
    )
