"""What one panel of a slice figure shows: its volume, colours, pixels and colour bar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, List, Mapping, Tuple

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import Normalize

from ....base import resolution_terms
from ....base.resolution_terms import estimated
from ....maps.foreign_volumes import only_estimates
from ..colours import EMPTY, INTERVAL_RANGE_A, ColourRange, resolution_colors, resolution_ticks
from .volume_slices import Difference, _sample

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CONTRAST = (1.0, 99.7)


@dataclass(frozen=True)
class Layer:
    """One panel of a slice figure.

    Attributes:
        title: the panel's heading.
        data: volume (z, y, x), perhaps memory-mapped; anything with ``shape``, ``size`` and numpy's slicing.
        kind: ``density``, ``resolution``, ``interval``, ``difference`` (signed, A) or ``spread`` (A, from 0).
        mask: whose edge is drawn over it, (z, y, x); None for none.
    """

    title: str
    data: Any
    kind: str = "density"
    mask: Any = None


@dataclass(frozen=True)
class PanelStyle:
    """How a kind of layer is drawn: matplotlib's colour map and norm, and the colour bar's label."""

    cmap: Any
    norm: Any
    label: str


def _layers(
    density: np.ndarray | None, resolution: np.ndarray, interval: np.ndarray | None = None, mask: Any = None
) -> List[Layer]:
    layers = [Layer("Map", density, mask=mask)] if density is not None else []
    layers.append(Layer("Local resolution", resolution, "resolution"))
    if interval is not None:
        layers.append(_interval_layer(interval))
    return layers


def _interval_layer(interval: np.ndarray) -> Layer:
    return Layer("68 % interval, half-width", interval, "interval")


def _estimate_layer(name: str, data: Any) -> Layer:
    """A local resolution of any program; a filled background is not drawn as if it were resolved."""
    return Layer(name, only_estimates(data), "resolution")


def _disagreement_layers(volumes: Mapping[str, Any], disagreement: Any) -> List[Layer]:
    layers = [_estimate_layer(name, data) for name, data in volumes.items()]
    return layers + [Layer("Disagreement: largest - smallest", disagreement, "spread")]


def _difference_layers(names: Tuple[str, str], first: Any, second: Any) -> List[Layer]:
    layers = [_estimate_layer(name, data) for name, data in zip(names, (first, second))]
    signed = Difference(layers[0].data, layers[1].data)
    return [*layers, Layer(f"{names[1]} - {names[0]}", signed, "difference")]


def _style(layer: Layer, span: ColourRange = None) -> PanelStyle:
    if layer.kind == "resolution":
        colors = resolution_colors(span)
        return PanelStyle(colors.cmap, colors.norm, "local resolution (Å)")
    if layer.kind == "density":
        low, high = np.percentile(_sample(layer.data), _CONTRAST)
        return PanelStyle(colormaps["gray"], Normalize(low, high if high > low else low + 1), "density")
    if layer.kind == "difference":
        sample = np.abs(_sample(layer.data))
        top = max(0.5, float(np.percentile(sample, 98)) if sample.size else 0.5)
        return PanelStyle(_clear("PuOr"), Normalize(-top, top), "difference (Å)")
    if layer.kind == "interval":
        return PanelStyle(_clear("cividis"), Normalize(*INTERVAL_RANGE_A), "half-width (Å)")
    sample = _sample(layer.data)
    sample = sample[sample > 0]
    top = max(0.5, float(np.percentile(sample, 98)) if sample.size else 0.5)
    return PanelStyle(_clear("cividis"), Normalize(0, top), "disagreement (Å)")


def _clear(name: str) -> Any:
    cmap = colormaps[name].copy()
    cmap.set_bad(EMPTY)
    return cmap


def _pixels(plane: np.ndarray, kind: str) -> np.ndarray:
    plane = np.asarray(plane, np.float32)
    if kind == "resolution":
        return np.ma.masked_where(~estimated(plane), plane)
    if kind in ("interval", "spread"):
        return np.ma.masked_where(~(plane > 0), plane)
    if kind == "difference":
        return np.ma.masked_invalid(plane)
    return plane


def _colorbar(figure: Figure, image: Any, ax: Any, kind: str, label: str) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

    extend = {"resolution": "both", "interval": "max", "spread": "max", "difference": "both"}.get(
        kind, "neither"
    )
    bar = figure.colorbar(image, ax=ax, shrink=0.82, pad=0.03, extend=extend, aspect=26)
    bar.set_label(label, fontsize=9)
    bar.ax.tick_params(labelsize=8)
    if kind == "resolution":
        low, high = image.norm.vmin, image.norm.vmax
        bar.ax.yaxis.set_major_locator(FixedLocator(resolution_ticks((low, high))))
        bar.ax.yaxis.set_minor_locator(NullLocator())
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        # The classes' edges as thin lines: the picture is continuous, the classes can still be read off.
        bar.ax.hlines(
            [edge for edge in resolution_terms.LOCAL_EDGES_A if low < edge < high],
            0,
            1,
            transform=bar.ax.get_yaxis_transform(),
            colors="white",
            linewidth=0.5,
        )
    elif kind == "density":
        bar.ax.yaxis.set_major_locator(MaxNLocator(4))
