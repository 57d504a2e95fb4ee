"""Slices of a map with local resolution, interval, disagreement or difference over it."""

from __future__ import annotations

import math
from typing import Any, List, Sequence, Tuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ...results_folder import ResultsFolder
from ..colours import _TEXT, EMPTY, OUTLINE, ColourRange
from ..drawing import _figure, _plain
from .folder_slices import layers_from_folder
from .pointer_words import tell_pointer
from .slice_layers import Layer, _colorbar, _pixels, _style
from .volume_slices import AXES, _extent, _known_axis, _plane, best_index, cut, focus, outline, slice_words


class SliceFigure:
    """Side-by-side slices of volumes on one grid, cheap to move: only pixels change, never the layout.

    Args:
        layers: the panels, at least one; all volumes have the same box.
        voxel_size: A per voxel.
        origin: position (x, y, z) of voxel (0, 0, 0) in A.
        axis: the axis that the slices are perpendicular to.
        index: slice number along ``axis``; by default the one with most estimated voxels.
        span: range of the colours of resolutions.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        voxel_size: float,
        origin: Tuple[float, float, float] = (0.0, 0.0, 0.0),
        axis: str = "z",
        index: int | None = None,
        *,
        span: ColourRange = None,
    ):
        self.layers = list(layers)
        self.shape = tuple(int(n) for n in self.layers[0].data.shape)
        self.voxel_size = float(voxel_size)
        self.origin = tuple(float(v) for v in origin)
        self.axis = _known_axis(axis)
        self.index = self.best_index() if index is None else index
        self._rows, self._columns = _grid(len(self.layers))
        self.figure = _figure(3.7 * self._columns + 0.4, 3.5 * self._rows + 0.3)
        self._styles = [_style(layer, span) for layer in self.layers]
        known = [layer for layer in self.layers if layer.kind in ("resolution", "spread")]
        self.window = focus(known[0].data) if known else tuple((0, n) for n in self.shape)
        self.images: List[Any] = []
        self.edges: List[Any] = []
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
        for layer, image in zip(self.layers, self.images):
            image.set_data(_pixels(cut(layer.data, self.axis, self.index), layer.kind))
        for layer, edge in zip(self.layers, self.edges):
            if edge is not None:
                edge.set_data(_edge_pixels(layer.mask, self.axis, self.index))
        self.heading.set_text(self._heading())
        return self.index

    def position_A(self) -> float:
        """Where the slice lies along its axis."""
        return float(self.origin[2 - AXES.index(self.axis)]) + self.index * self.voxel_size

    def set_axis(self, axis: str, index: int | None = None) -> None:
        """Look along another axis."""
        self.axis = _known_axis(axis)
        self.index = self.best_index() if index is None else index
        self._draw()

    def _heading(self) -> str:
        return slice_words(self.shape, self.axis, self.index, self.position_A())

    def _draw(self) -> None:
        self.index = int(min(max(self.index, 0), self.count - 1))
        self.figure.clear()
        self.edges = []
        grid: Any = self.figure.subplots(self._rows, self._columns, squeeze=False)
        self.axes, self.images = list(grid.ravel()[: len(self.layers)]), []
        for ax in grid.ravel()[len(self.layers) :]:
            ax.axis("off")
        across, up = _plane(self.axis)
        extent = _extent(self.shape, self.voxel_size, self.origin, self.axis)
        for number, (ax, layer, style) in enumerate(zip(self.axes, self.layers, self._styles)):
            pixels = _pixels(cut(layer.data, self.axis, self.index), layer.kind)
            ax.set_facecolor(EMPTY)
            image = ax.imshow(
                pixels,
                origin="lower",
                extent=extent,
                interpolation="nearest",
                cmap=style.cmap,
                norm=style.norm,
            )
            self.images.append(image)
            tell_pointer(ax, image, self.axis, self.position_A, style)
            self.edges.append(_draw_edge(ax, layer.mask, self.axis, self.index, extent))
            self._zoom(ax)
            ax.set_title(_plain(_title(layer), 36), fontsize=10)
            ax.set_xlabel(f"{across} (Å)", fontsize=9)
            ax.set_ylabel(f"{up} (Å)" if number % self._columns == 0 else "", fontsize=9)
            ax.tick_params(labelsize=8)
            ax.xaxis.set_major_locator(MaxNLocator(5))
            ax.yaxis.set_major_locator(MaxNLocator(5))
        for together in self._bars():
            layer = self.layers[together[-1]]
            axes = [self.axes[number] for number in together]
            label = self._styles[together[-1]].label
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


def _title(layer: Layer) -> str:
    return layer.title + (", mask outlined" if layer.mask is not None else "")


def _edge_pixels(mask: Any, axis: str, index: int) -> np.ndarray:
    """The mask's edge on a slice as pixels (rows, columns, 4), 0 to 255, transparent elsewhere."""
    edge = outline(mask, axis, index)
    pixels = np.zeros((*edge.shape, 4), np.uint8)
    pixels[edge] = (*OUTLINE, 255)
    return pixels


def _draw_edge(ax: Any, mask: Any, axis: str, index: int, extent: Any) -> Any:
    """The mask's edge over a panel; None without a mask."""
    if mask is None:
        return None
    pixels = _edge_pixels(mask, axis, index)
    edge = ax.imshow(pixels, origin="lower", extent=extent, interpolation="nearest")
    edge.set_mouseover(False)  # the pointer tells the value of the volume below
    return edge


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


def three_axes(
    density: np.ndarray | None,
    resolution: np.ndarray,
    voxel_size: float,
    origin: Tuple[float, float, float] = (0.0, 0.0, 0.0),
    *,
    mask: Any = None,
    span: ColourRange = None,
) -> Figure:
    """The best slice along z, y and x: the map with the mask's edge above, its local resolution below."""
    rows = [Layer("Map", density, mask=mask)] if density is not None else []
    rows.append(Layer("Local resolution", resolution, "resolution"))
    figure = _figure(10.5, 3.2 * len(rows) + 0.2)
    grid: Any = figure.subplots(len(rows), 3, squeeze=False)
    window = focus(resolution)
    for line, layer in zip(grid, rows):
        style = _style(layer, span)
        for ax, axis in zip(line, AXES):
            index = best_index(resolution, axis)
            across, up = _plane(axis)
            ax.set_facecolor(EMPTY)
            extent = _extent(resolution.shape, voxel_size, origin, axis)
            image = ax.imshow(
                _pixels(cut(layer.data, axis, index), layer.kind),
                origin="lower",
                extent=extent,
                interpolation="nearest",
                cmap=style.cmap,
                norm=style.norm,
            )
            _draw_edge(ax, layer.mask, axis, index, extent)
            _show_window(ax, window, axis, voxel_size, origin)
            position = origin[2 - AXES.index(axis)] + index * voxel_size
            tell_pointer(ax, image, axis, lambda position=position: position, style)  # type: ignore[misc]
            where = slice_words(resolution.shape, axis, index, position)
            ax.set_title(f"{layer.title}, {where}", fontsize=8.5)
            ax.set_xlabel(f"{across} (Å)", fontsize=9)
            ax.set_ylabel(f"{up} (Å)", fontsize=9)
            ax.tick_params(labelsize=8)
        _colorbar(figure, image, list(line), layer.kind, style.label)
    return figure


def slices_from_folder(
    folder: Any,
    kind: str = "slices",
    axis: str = "z",
    index: int | None = None,
    pair: Sequence[str] | None = None,
    *,
    span: ColourRange = None,
) -> SliceFigure | None:
    """A movable slice figure of a results folder, or ``None`` when its volumes are missing.

    Args:
        folder: path or ``ResultsFolder``.
        kind: one of ``SLICE_KINDS``.
        axis: the axis to look along.
        index: the slice number.
        pair: of a difference: the names of two of the compared volumes (the first two).
        span: range of the colours of resolutions.
    """
    results = folder if isinstance(folder, ResultsFolder) else ResultsFolder(folder)
    layers, reference = layers_from_folder(results, kind, pair)
    if reference is None:
        return None
    return SliceFigure(layers, reference.voxel_size, reference.origin, axis, index, span=span)


class MaskFigure(SliceFigure):
    """The map, and the map low-passed, on one slice with a mask over both: to look at a mask, or to choose its threshold.

    Args:
        density: the map (z, y, x).
        smooth: what is cut, on the same grid; None where a mask is only looked at.
        voxel_size: A per voxel.
        origin: position (x, y, z) of voxel (0, 0, 0) in A.
    """

    def __init__(
        self,
        density: np.ndarray,
        smooth: np.ndarray | None,
        voxel_size: float,
        origin: Tuple[float, float, float] = (0.0, 0.0, 0.0),
    ):
        self.smooth = smooth
        self.threshold = math.inf
        self.mask: np.ndarray | None = None
        layers = [Layer("Map, with the mask in blue", density)]
        layers += [] if smooth is None else [Layer("The same, low-passed", smooth)]
        super().__init__(layers, voxel_size, origin)

    def _draw(self) -> None:
        super()._draw()
        self._covers = []
        for ax, image in zip(self.axes, list(self.images)):
            blue = np.zeros((*image.get_array().shape, 4), np.float32)
            options = {"origin": "lower", "extent": image.get_extent(), "interpolation": "nearest"}
            # The pointer tells of the map below.
            self._covers.append(ax.imshow(blue, mouseover=False, **options))
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
        elif self.smooth is not None:
            inside = cut(self.smooth, self.axis, self.index) > self.threshold
        else:
            return
        cover = np.zeros((*inside.shape, 4), np.float32)
        cover[inside] = (0.0, 0.45, 0.7, 0.45)
        for image in self._covers:
            image.set_data(cover)
