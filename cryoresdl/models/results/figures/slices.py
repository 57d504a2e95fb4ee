"""Slices of a map with local resolution, interval, disagreement or difference over it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Sequence, Tuple

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from ...base import resolution_terms
from ...base.resolution_terms import estimated
from ..foreign_volumes import only_estimates
from .colours import _TEXT, EMPTY, INTERVAL_RANGE_A, RESOLUTION_TICKS_A, resolution_colors
from .drawing import _figure, _plain
from .volume_slices import AXES, Difference, _extent, _known_axis, _plane, _sample, best_index, cut, focus

_CONTRAST = (1.0, 99.7)


@dataclass(frozen=True)
class Layer:
    """One panel of a slice figure.

    Attributes:
        title: the panel's heading.
        data: volume (z, y, x), perhaps memory-mapped; anything with ``shape``, ``size`` and numpy's slicing.
        kind: ``density``, ``resolution``, ``interval``, ``difference`` (signed, A) or ``spread`` (A, from 0).
    """

    title: str
    data: Any
    kind: str = "density"


class SliceFigure:
    """Side-by-side slices of volumes on one grid, cheap to move: only pixels change, never the layout.

    Args:
        layers: the panels, at least one; all volumes have the same box.
        voxel_size: A per voxel.
        origin: position (x, y, z) of voxel (0, 0, 0) in A.
        axis: the axis that the slices are perpendicular to.
        index: slice number along ``axis``; by default the one with most estimated voxels.
        title: heading of the figure.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        voxel_size: float,
        origin: Tuple[float, float, float] = (0.0, 0.0, 0.0),
        axis: str = "z",
        index: int | None = None,
        title: str = "",
    ):
        self.layers = list(layers)
        self.shape = tuple(int(n) for n in self.layers[0].data.shape)
        self.voxel_size = float(voxel_size)
        self.origin = tuple(float(v) for v in origin)
        self.title = title
        self.axis = _known_axis(axis)
        self.index = self.best_index() if index is None else index
        self._rows, self._columns = _grid(len(self.layers))
        self.figure = _figure(3.7 * self._columns + 0.4, 3.5 * self._rows + 0.3)
        self._styles = [_style(layer) for layer in self.layers]
        known = [layer for layer in self.layers if layer.kind in ("resolution", "spread")]
        self.window = focus(known[0].data) if known else tuple((0, n) for n in self.shape)
        self.images: List[Any] = []
        self.axes: List[Any] = []
        self.heading: Any = None
        self._draw()

    @property
    def count(self) -> int:
        """Number of slices along the current axis."""
        return self.shape[AXES.index(self.axis)]

    def best_index(self) -> int:
        """The slice along the current axis with most estimated voxels (the middle one without estimates)."""
        number = AXES.index(self.axis)
        for layer in self.layers:
            if layer.kind == "resolution":
                return best_index(layer.data, self.axis)
        return self.shape[number] // 2

    def set_index(self, index: int) -> int:
        """Show slice ``index``, moved into the box; returns the slice shown."""
        self.index = int(min(max(index, 0), self.count - 1))
        for layer, image, style in zip(self.layers, self.images, self._styles):
            image.set_data(_pixels(cut(layer.data, self.axis, self.index), layer, style))
        self.heading.set_text(self._heading())
        return self.index

    def set_axis(self, axis: str, index: int | None = None) -> None:
        """Look along another axis."""
        self.axis = _known_axis(axis)
        self.index = self.best_index() if index is None else index
        self._draw()

    def _heading(self) -> str:
        number = AXES.index(self.axis)
        position = self.origin[2 - number] + self.index * self.voxel_size
        where = f"slice {self.index + 1} of {self.count} along {self.axis} ({self.axis} = {position:.1f} Å)"
        return f"{self.title}: {where}" if self.title else where

    def _draw(self) -> None:
        self.index = int(min(max(self.index, 0), self.count - 1))
        self.figure.clear()
        grid: Any = self.figure.subplots(self._rows, self._columns, squeeze=False)
        self.axes, self.images = list(grid.ravel()[: len(self.layers)]), []
        for ax in grid.ravel()[len(self.layers) :]:
            ax.axis("off")
        across, up = _plane(self.axis)
        extent = _extent(self.shape, self.voxel_size, self.origin, self.axis)
        for number, (ax, layer, style) in enumerate(zip(self.axes, self.layers, self._styles)):
            pixels = _pixels(cut(layer.data, self.axis, self.index), layer, style)
            ax.set_facecolor(EMPTY)
            image = ax.imshow(
                pixels,
                origin="lower",
                extent=extent,
                interpolation="nearest",
                cmap=style["cmap"],
                norm=style["norm"],
            )
            self.images.append(image)
            self._zoom(ax)
            ax.set_title(_plain(layer.title, 36), fontsize=10)
            ax.set_xlabel(f"{across} (Å)", fontsize=9)
            ax.set_ylabel(f"{up} (Å)" if number % self._columns == 0 else "", fontsize=9)
            ax.tick_params(labelsize=8)
            ax.xaxis.set_major_locator(MaxNLocator(5))
            ax.yaxis.set_major_locator(MaxNLocator(5))
        for together in self._bars():
            layer = self.layers[together[-1]]
            axes = [self.axes[number] for number in together]
            label = self._styles[together[-1]]["label"]
            _colorbar(self.figure, self.images[together[-1]], axes, layer.kind, label)
        self.heading = self.figure.suptitle(self._heading(), fontsize=10, color=_TEXT)

    def _bars(self) -> List[List[int]]:
        """The panels that share a colour bar: resolutions beside each other have one scale, so one bar will do."""
        shared: List[List[int]] = []
        for number, layer in enumerate(self.layers):
            left = self.layers[number - 1] if number % self._columns else None
            if left is not None and layer.kind == left.kind == "resolution":
                shared[-1].append(number)
            else:
                shared.append([number])
        return shared

    def _zoom(self, ax: Any) -> None:
        """Show the molecule, not the empty box around it; the toolbar can zoom out."""
        _show_window(ax, self.window, self.axis, self.voxel_size, self.origin)


def _grid(panels: int) -> Tuple[int, int]:
    """Rows and columns of so many panels: one row of up to four, then two."""
    return (1, panels) if panels <= 4 else (2, math.ceil(panels / 2))


def _show_window(
    ax: Any, window: Sequence[Tuple[int, int]], axis: str, voxel_size: float, origin: Sequence[float]
) -> None:
    """Limit the axes of a slice to first and last + 1 voxels along (z, y, x)."""
    sides = []
    for name in _plane(axis):
        number = "zyx".index(name)
        start = origin[2 - number] - 0.5 * voxel_size
        sides.append(tuple(start + edge * voxel_size for edge in window[number]))
    ax.set_xlim(*sides[0])
    ax.set_ylim(*sides[1])


class MaskFigure(SliceFigure):
    """The map, and the map low-passed, on one slice with a mask over both, for choosing the mask's threshold.

    Args:
        density: the map (z, y, x).
        smooth: what is cut, on the same grid.
        voxel_size: A per voxel.
        origin: position (x, y, z) of voxel (0, 0, 0) in A.
    """

    def __init__(
        self,
        density: np.ndarray,
        smooth: np.ndarray,
        voxel_size: float,
        origin: Tuple[float, float, float] = (0.0, 0.0, 0.0),
    ):
        self.smooth = smooth
        self.threshold = math.inf
        self.mask: np.ndarray | None = None
        layers = [Layer("Map, with the mask in blue", density), Layer("The same, low-passed", smooth)]
        super().__init__(layers, voxel_size, origin)

    def _draw(self) -> None:
        super()._draw()
        self._covers = []
        for ax, image in zip(self.axes, list(self.images)):
            blue = np.zeros((*image.get_array().shape, 4), np.float32)
            options = {"origin": "lower", "extent": image.get_extent(), "interpolation": "nearest"}
            self._covers.append(ax.imshow(blue, **options))
        self.images += self._covers
        self._cover()

    def set_index(self, index: int) -> int:
        """Show slice ``index``, moved into the box; returns the slice shown."""
        shown = super().set_index(index)
        self._cover()
        return shown

    def set_threshold(self, threshold: float) -> None:
        """Show what lies above ``threshold`` of the low-passed map."""
        self.threshold, self.mask = float(threshold), None
        self._cover()

    def set_mask(self, mask: np.ndarray) -> None:
        """Show a mask (bool, z, y, x) until the threshold is moved."""
        self.mask = mask
        self._cover()

    def _cover(self) -> None:
        if self.mask is not None:
            inside = cut(self.mask, self.axis, self.index)
        else:
            inside = cut(self.smooth, self.axis, self.index) > self.threshold
        cover = np.zeros((*inside.shape, 4), np.float32)
        cover[inside] = (0.0, 0.45, 0.7, 0.45)
        for image in self._covers:
            image.set_data(cover)


def resolution_slices(
    density: np.ndarray | None,
    resolution: np.ndarray,
    voxel_size: float,
    axis: str = "z",
    index: int | None = None,
    origin: Tuple[float, float, float] = (0.0, 0.0, 0.0),
    interval: np.ndarray | None = None,
) -> Figure:
    """The map, its local resolution and, when given, the interval, side by side on one slice."""
    layers = _layers(density, resolution, interval)
    return SliceFigure(layers, voxel_size, origin, axis, index).figure


def interval_slices(
    resolution: np.ndarray,
    interval: np.ndarray,
    voxel_size: float,
    axis: str = "z",
    index: int | None = None,
    origin: Tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Figure:
    """Local resolution beside the half-width of its 68 % interval (both A)."""
    layers = [Layer("Local resolution", resolution, "resolution"), _interval_layer(interval)]
    return SliceFigure(layers, voxel_size, origin, axis, index).figure


def disagreement_slices(
    volumes: Mapping[str, np.ndarray],
    disagreement: np.ndarray,
    voxel_size: float,
    axis: str = "z",
    index: int | None = None,
    origin: Tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Figure:
    """Local resolutions of several methods beside how far they are apart (A)."""
    return SliceFigure(_disagreement_layers(volumes, disagreement), voxel_size, origin, axis, index).figure


def difference_slices(
    first: np.ndarray,
    second: np.ndarray,
    voxel_size: float,
    names: Tuple[str, str] = ("first", "second"),
    axis: str = "z",
    index: int | None = None,
    origin: Tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Figure:
    """Two local resolutions (A) and their signed difference, second minus first."""
    return SliceFigure(_difference_layers(names, first, second), voxel_size, origin, axis, index).figure


def truth_vs_map(
    density: np.ndarray,
    truth: np.ndarray,
    voxel_size: float,
    estimate: np.ndarray | None = None,
    axis: str = "z",
    index: int | None = None,
    origin: Tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Figure:
    """A simulated map beside its true local resolution and, when given, an estimate and its error."""
    layers = [Layer("Simulated map", density), Layer("True local resolution", truth, "resolution")]
    if estimate is not None:
        layers.append(Layer("Estimate", estimate, "resolution"))
        layers.append(Layer("Estimate - truth", Difference(truth, estimate), "difference"))
    return SliceFigure(layers, voxel_size, origin, axis, index).figure


def three_axes(
    density: np.ndarray | None,
    resolution: np.ndarray,
    voxel_size: float,
    origin: Tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Figure:
    """The best slice along z, y and x: the map above, its local resolution below."""
    rows = [Layer("Map", density)] if density is not None else []
    rows.append(Layer("Local resolution", resolution, "resolution"))
    figure = _figure(10.5, 3.2 * len(rows) + 0.2)
    grid: Any = figure.subplots(len(rows), 3, squeeze=False)
    window = focus(resolution)
    for line, layer in zip(grid, rows):
        style = _style(layer)
        for ax, axis in zip(line, AXES):
            index = best_index(resolution, axis)
            across, up = _plane(axis)
            ax.set_facecolor(EMPTY)
            image = ax.imshow(
                _pixels(cut(layer.data, axis, index), layer, style),
                origin="lower",
                extent=_extent(resolution.shape, voxel_size, origin, axis),
                interpolation="nearest",
                cmap=style["cmap"],
                norm=style["norm"],
            )
            _show_window(ax, window, axis, voxel_size, origin)
            position = origin[2 - AXES.index(axis)] + index * voxel_size
            ax.set_title(f"{layer.title}, {axis} = {position:.1f} Å", fontsize=10)
            ax.set_xlabel(f"{across} (Å)", fontsize=9)
            ax.set_ylabel(f"{up} (Å)", fontsize=9)
            ax.tick_params(labelsize=8)
        _colorbar(figure, image, list(line), layer.kind, style["label"])
    return figure


def _layers(
    density: np.ndarray | None, resolution: np.ndarray, interval: np.ndarray | None = None
) -> List[Layer]:
    layers = [Layer("Map", density)] if density is not None else []
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


def _style(layer: Layer) -> Dict[str, Any]:
    if layer.kind == "resolution":
        colors = resolution_colors()
        return {"cmap": colors.cmap, "norm": colors.norm, "label": "local resolution (Å)"}
    if layer.kind == "density":
        low, high = np.percentile(_sample(layer.data), _CONTRAST)
        return {
            "cmap": colormaps["gray"],
            "norm": Normalize(low, high if high > low else low + 1),
            "label": "density",
        }
    if layer.kind == "difference":
        sample = np.abs(_sample(layer.data))
        top = max(0.5, float(np.percentile(sample, 98)) if sample.size else 0.5)
        return {"cmap": _clear("PuOr"), "norm": Normalize(-top, top), "label": "difference (Å)"}
    if layer.kind == "interval":
        return {"cmap": _clear("cividis"), "norm": Normalize(*INTERVAL_RANGE_A), "label": "half-width (Å)"}
    sample = _sample(layer.data)
    sample = sample[sample > 0]
    top = max(0.5, float(np.percentile(sample, 98)) if sample.size else 0.5)
    return {"cmap": _clear("cividis"), "norm": Normalize(0, top), "label": "disagreement (Å)"}


def _clear(name: str) -> Any:
    cmap = colormaps[name].copy()
    cmap.set_bad(EMPTY)
    return cmap


def _pixels(plane: np.ndarray, layer: Layer, style: Mapping[str, Any]) -> np.ndarray:
    plane, kind = np.asarray(plane, np.float32), layer.kind
    if kind == "resolution":
        return np.ma.masked_where(~estimated(plane), plane)
    if kind in ("interval", "spread"):
        return np.ma.masked_where(~(plane > 0), plane)
    if kind == "difference":
        return np.ma.masked_invalid(plane)
    return plane


def _colorbar(figure: Figure, image: Any, ax: Any, kind: str, label: str) -> None:
    extend = {"resolution": "both", "interval": "max", "spread": "max", "difference": "both"}.get(
        kind, "neither"
    )
    bar = figure.colorbar(image, ax=ax, shrink=0.82, pad=0.03, extend=extend, aspect=26)
    bar.set_label(label, fontsize=9)
    bar.ax.tick_params(labelsize=8)
    if kind == "resolution":
        bar.ax.yaxis.set_major_locator(FixedLocator(RESOLUTION_TICKS_A))
        bar.ax.yaxis.set_minor_locator(NullLocator())
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        # The classes' edges as thin lines: the picture is continuous, the classes can still be read off.
        bar.ax.hlines(
            resolution_terms.LOCAL_EDGES_A,
            0,
            1,
            transform=bar.ax.get_yaxis_transform(),
            colors="white",
            linewidth=0.5,
        )
    elif kind == "density":
        bar.ax.yaxis.set_major_locator(MaxNLocator(4))
