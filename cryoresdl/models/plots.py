"""Every figure of CryoResDL: data in, :class:`matplotlib.figure.Figure` out; no window, no pyplot.

The command line, the report, the viewers and the protocols all draw through this module, so the same
resolution has the same colour everywhere: viridis on a logarithmic axis from 1.5 to 12 A (dark blue is fine,
yellow is coarse), which any colour vision, and a grey printer, puts in the same order. Volumes are (z, y, x).
"""

from __future__ import annotations

import math
import re
import textwrap
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Sequence, Tuple

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize, to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from . import constants
from .evaluation import wilson
from .files import PathLike, atomic_path
from .resolution import CANNOT_TELL, OPTIMISTIC, PESSIMISTIC, SUPPORTED, class_of, estimated
from .results import (
    CARD_JSON,
    HISTORY_CSV,
    METRICS_JSON,
    SIMULATED_MAP,
    SIMULATION_JSON,
    TRAINED,
    TRUTH,
    ResultsFolder,
    Volume,
)

RESOLUTION_RANGE_A = (1.5, 12.0)
RESOLUTION_TICKS_A = (1.5, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12)
INTERVAL_RANGE_A = (0.0, 2.0)
AXES = ("z", "y", "x")
FORMATS = ("png", "svg", "pdf")
SLICE_KINDS = ("slices", "interval", "disagreement", "difference", "truth")
"""The kinds that can be moved through; see :func:`slices_from_folder`."""
STANDARD = ("verdict", "slices", "histogram")
"""The figures that ``validate`` leaves in ``figures/``."""
OURS = "CryoResDL"
"""What the network's own estimate is called beside those of other programs."""
MOST_COMPARED = 4
"""Volumes that one figure of a comparison shows; of more, pairs can be chosen."""

_CLASS_CENTRES_A = (1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5, 9.5, 12.0)
_GLOBAL_CENTRES_A = (2.5, 6.5, 12.0)
_SOURCE_COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
"""Okabe and Ito's colour-blind-safe set, for lines and bars of several sources."""
_ANSWERS = {
    SUPPORTED: "supported",
    OPTIMISTIC: "optimistic (the map looks worse)",
    PESSIMISTIC: "pessimistic (the map looks better)",
    CANNOT_TELL: "cannot tell",
}
EMPTY = "#ededed"
_TEXT = "#222222"
_CONTRAST = (1.0, 99.7)
_SAMPLES = 200_000
_VALIDATION = ("val_", "validation_")
_VARIANTS = {"single_": "validation, one map", "halves_": "validation, half maps"}
_CURVES = {
    "training": "#0072B2",
    "validation": "#E69F00",
    "validation, one map": "#E69F00",
    "validation, half maps": "#009E73",
}


# ---------------------------------------------------------------------------------------- one colour scale


def resolution_colors() -> ScalarMappable:
    """The shared colour scale of resolutions in A: norm and colour map in one object.

    ``resolution_colors().to_rgba(values)`` colours anything; use its ``norm`` and ``cmap`` for images.
    """
    cmap = colormaps["viridis"].copy()
    cmap.set_bad(EMPTY)
    return ScalarMappable(norm=LogNorm(*RESOLUTION_RANGE_A, clip=True), cmap=cmap)


def resolution_color(value_A: float) -> str:
    """The colour of one resolution, as ``#rrggbb``."""
    red, green, blue, _ = resolution_colors().to_rgba(np.array([value_A], float))[0]
    return to_hex((red, green, blue))


def class_colors() -> List[str]:
    """The colours of the ten local classes, those of the resolutions at their centres."""
    return [resolution_color(value) for value in _CLASS_CENTRES_A]


def global_colors() -> Dict[str, str]:
    """The colours of ``high``, ``medium`` and ``low``."""
    return dict(zip(constants.GLOBAL_CLASSES, (resolution_color(v) for v in _GLOBAL_CENTRES_A)))


# -------------------------------------------------------------------------------------------------- slices


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


class Inside:
    """A local-resolution volume without what is no estimate: 0 outside the mask, or in a filled background.

    Computed only for the slices that are looked at.

    Args:
        data: A (z, y, x), perhaps memory-mapped.
        mask: where the molecule is, on the same grid; above half of its maximum counts.
        fill: without a mask, the value that fills the background; see `filled_background`.
    """

    def __init__(self, data: Any, mask: Any = None, fill: float | None = None):
        self.data, self.mask, self.fill = data, mask, fill
        self.level = 0.5 * float(np.max(mask)) if mask is not None else 0.0
        self.shape, self.size = data.shape, data.size

    def __getitem__(self, key: Any) -> np.ndarray:
        """The values (A), 0 where there is no estimate."""
        values = np.asarray(self.data[key], np.float32)
        if self.mask is not None:
            return np.where(np.asarray(self.mask[key]) > self.level, values, np.float32(0))
        return (
            values if self.fill is None else np.where(values == np.float32(self.fill), np.float32(0), values)
        )


class Difference:
    """The signed difference of two local-resolution volumes, computed only for the slices that are looked at.

    Args:
        first: A (z, y, x).
        second: A (z, y, x), on the same grid.
    """

    def __init__(self, first: Any, second: Any):
        self.first, self.second = first, second
        self.shape, self.size = first.shape, first.size

    def __getitem__(self, key: Any) -> np.ndarray:
        """``second - first`` where both have an estimate, NaN elsewhere (A)."""
        a, b = np.asarray(self.first[key], np.float32), np.asarray(self.second[key], np.float32)
        return np.where(estimated(a) & estimated(b), b - a, np.float32(np.nan))


def filled_background(resolution: Any) -> float | None:
    """The value that fills the background of a local-resolution volume, or ``None``.

    RELION writes the global resolution outside its mask. It is told by the faces of the box, which no molecule
    reaches: half of their voxels or more hold one and the same value, and other values exist inside.
    """
    if len(resolution.shape) != 3 or not resolution.size:
        return None
    step = max(1, round((resolution.size / 2e6) ** (1 / 3)))
    faces = [
        np.asarray(
            resolution[tuple(edge if axis == number else slice(None, None, step) for axis in range(3))]
        )
        for number in range(3)
        for edge in (0, -1)
    ]
    values, counts = np.unique(np.concatenate([face.ravel() for face in faces]), return_counts=True)
    fill = float(values[counts.argmax()])
    if not estimated(np.array([fill]))[0] or 2 * counts.max() < counts.sum():
        return None
    inside = np.asarray(resolution[::step, ::step, ::step])
    return fill if (estimated(inside) & (inside != np.float32(fill))).any() else None


def only_estimates(resolution: Any, mask: Any = None) -> Any:
    """A local-resolution volume of any program as it may be drawn and counted: see `Inside`."""
    if isinstance(resolution, Inside):
        return resolution
    fill = filled_background(resolution) if mask is None else None
    return resolution if mask is None and fill is None else Inside(resolution, mask, fill)


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


def focus(resolution: Any, margin: float = 0.15) -> Tuple[Tuple[int, int], ...]:
    """First and last + 1 voxel along (z, y, x) of a box around the estimated voxels, with a margin.

    Args:
        resolution: A (z, y, x); the whole box is taken when nothing is estimated.
        margin: part of the longest side of the estimated region, added on each side.
    """
    step = max(1, round((resolution.size / 2e6) ** (1 / 3)))
    there = estimated(resolution[::step, ::step, ::step])
    if not there.any():
        return tuple((0, n) for n in resolution.shape)
    edges = []
    for number in range(3):
        found = np.flatnonzero(there.any(axis=tuple(i for i in range(3) if i != number))) * step
        edges.append((int(found[0]), int(found[-1]) + step))
    extra = math.ceil(margin * max(last - first for first, last in edges))
    return tuple(
        (max(0, first - extra), min(n, last + extra)) for (first, last), n in zip(edges, resolution.shape)
    )


def cut(data: np.ndarray, axis: str, index: int) -> np.ndarray:
    """Slice ``index`` of a (z, y, x) volume perpendicular to ``axis``: (y, x), (z, x) or (z, y)."""
    key: List[Any] = [slice(None)] * 3
    key[AXES.index(axis)] = index
    return np.asarray(data[tuple(key)])


def best_index(resolution: Any, axis: str = "z") -> int:
    """The slice with most estimated voxels; the one nearest the centre wins a tie, and an empty volume."""
    number = AXES.index(_known_axis(axis))
    step = max(1, round((resolution.size / 2e6) ** (1 / 2)))
    thin = [slice(None, None, step)] * 3
    thin[number] = slice(None)
    others = tuple(i for i in range(3) if i != number)
    counts = estimated(resolution[tuple(thin)]).sum(axis=others)
    centre = resolution.shape[number] // 2
    best = np.flatnonzero(counts == counts.max())
    return int(best[np.argmin(np.abs(best - centre))])


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


# ---------------------------------------------------------------------------------------------- histograms


def class_fractions(resolution: np.ndarray) -> np.ndarray:
    """Part of the estimated voxels in each of the ten local classes; zeros when nothing is estimated."""
    values = np.asarray(resolution)
    classes = class_of(values[estimated(values)])
    return np.bincount(classes, minlength=len(constants.LOCAL_CLASSES)) / max(1, classes.size)


def global_fractions(fractions: Sequence[float] | np.ndarray) -> np.ndarray:
    """Ten local fractions summed into 0-5, 5-10 and above 10 A."""
    ten = np.asarray(fractions, float)
    return np.array([ten[:4].sum(), ten[4:9].sum(), ten[9:].sum()])


def class_histogram(
    sources: Mapping[str, Sequence[float]],
    voxels: Mapping[str, int] | None = None,
    title: str = "",
    curves: Mapping[str, Tuple[np.ndarray, np.ndarray]] | None = None,
    narrow: bool = False,
) -> Figure:
    """Bars of the ten classes and of the three, and the cumulative curve, for one or more sources.

    One source has bars in the colours of the resolutions; several have a colour each, and the colours of the
    resolutions lie below the bars.

    Args:
        sources: name -> ten fractions (of the estimated voxels; they sum to 1).
        voxels: name -> number of estimated voxels, for the legend.
        title: heading.
        curves: name -> resolutions (A) and part of the voxels at or finer; points at the classes' edges are
            joined where a source has none.
        narrow: the panels below each other.
    """
    figure = _figure(*((4.0, 8.2) if narrow else (10.0, 6.4)))
    if narrow:
        panels: Any = figure.subplots(3, 1)
        ten, three, total = panels
    else:
        grid = figure.add_gridspec(2, 2, width_ratios=(1, 1.6), height_ratios=(1.25, 1))
        ten, three, total = (figure.add_subplot(part) for part in (grid[0, :], grid[1, 0], grid[1, 1]))
    names = list(sources)
    labels = {
        name: _plain(name, 40) + (f" ({voxels[name]:,} voxels)" if voxels and name in voxels else "")
        for name in names
    }
    for number, name in enumerate(names):
        fractions = np.asarray(sources[name], float)
        place = (number, len(names))
        _class_bars(ten, fractions, place, class_colors(), labels[name])
        _class_bars(three, global_fractions(fractions), place, list(global_colors().values()), "")
        _cumulative(total, fractions, place, (curves or {}).get(name), labels[name])
    if len(names) > 1:
        _class_strip(ten, class_colors())
        _class_strip(three, list(global_colors().values()))
        ten.legend(fontsize=8, loc="best")
    ten.set_xticks(range(10), constants.LOCAL_CLASSES)
    ten.set_xlabel("local resolution class (Å)", fontsize=9)
    ten.set_ylabel("voxels (%)", fontsize=9)
    three.set_xticks(range(3), ["high\n< 5 Å", "medium\n5-10 Å", "low\n> 10 Å"])
    three.set_ylabel("voxels (%)", fontsize=9)
    total.set_xlabel("local resolution (Å)", fontsize=9)
    total.set_ylabel("voxels at or finer (%)", fontsize=9)
    total.set_ylim(0, 102)
    total.grid(alpha=0.3)
    for ax in (ten, three):
        ax.margins(y=0.14)
        ax.set_ylim(bottom=0)
    if len(names) == 1 and voxels:
        total.legend(fontsize=8, loc="best")
    title = title or "How the voxels inside the mask are resolved"
    return _finish(figure, (ten, three, total), "" if narrow else title)


def _class_bars(
    ax: Any, fractions: np.ndarray, place: Tuple[int, int], colors: Sequence[str], label: str
) -> None:
    """The bars of one source; ``place``: its number and how many there are."""
    number, count = place
    width = 0.84 / count
    bars = ax.bar(
        np.arange(len(fractions)) + (number - (count - 1) / 2) * width,
        100 * fractions,
        width * 0.94,
        color=list(colors) if count == 1 else _SOURCE_COLORS[number % len(_SOURCE_COLORS)],
        edgecolor="#555555",
        linewidth=[0.6 if value > 0 else 0 for value in fractions],
        label=label or None,
    )
    if count == 1 or (len(fractions) == 3 and count <= 3):
        texts = [f"{100 * value:.0f} %" if value >= 0.005 else "" for value in fractions]
        ax.bar_label(bars, texts, fontsize=8, padding=1)


def _class_strip(ax: Any, colors: Sequence[str]) -> None:
    """The colours of the classes as a strip below the bars."""
    for number, color in enumerate(colors):
        ax.axvspan(number - 0.46, number + 0.46, ymin=-0.025, ymax=0, color=color, clip_on=False, linewidth=0)
    ax.tick_params(axis="x", length=0, pad=8)


def _cumulative(
    ax: Any,
    fractions: np.ndarray,
    place: Tuple[int, int],
    curve: Tuple[np.ndarray, np.ndarray] | None,
    label: str,
) -> None:
    """Part of the voxels at or finer than each resolution."""
    color = _SOURCE_COLORS[place[0] % len(_SOURCE_COLORS)]
    edges = np.append(0.0, constants.LOCAL_EDGES_A)
    x, y = curve if curve is not None else (edges, np.append(0.0, np.cumsum(fractions)[:9]))
    ax.plot(x, 100 * np.asarray(y), color=color, label=label, marker=None if curve is not None else "o")
    reached = float(x[min(len(x) - 1, int(np.searchsorted(y, 0.995)))])
    ax.set_xlim(0, max(10.0, ax.get_xlim()[1] if place[0] else 0.0, reached))


def cumulative(resolution: Any) -> Tuple[np.ndarray, np.ndarray] | None:
    """How the estimated voxels of a volume add up: resolutions (A) and the part that is at or finer.

    A regular subset of about two million voxels is asked; ``None`` when nothing is estimated there.
    """
    step = max(1, round((resolution.size / 2e6) ** (1 / 3)))
    thin = np.asarray(resolution[::step, ::step, ::step])
    values = np.sort(thin[estimated(thin)])
    if not values.size:
        return None
    x = np.linspace(0.0, 40.0, 801)
    return x, np.searchsorted(values, x, side="right") / values.size


# ------------------------------------------------------------------------------------------------- verdict


def verdict_panel(
    entry: Mapping[str, Any], summary: Mapping[str, Any] | None = None, in_words: bool = True
) -> Figure:
    """Claim, class with probabilities, estimate with interval, reasons, in one look.

    Args:
        entry: one entry of ``classification.json``.
        summary: ``local_resolution.json``, for the spread inside the map.
        in_words: write the verdict and its reasons above; without, for a page that says them itself.
    """
    if not in_words:
        figure = _figure(9.2, 3.6)
        _verdict_axes(figure, entry, summary)
        return figure
    wrapped = []
    for line in verdict_lines(entry, summary):
        wrapped += textwrap.wrap(line, 104, subsequent_indent="    ") or [""]
    text_height = 0.45 + 0.2 * len(wrapped)
    figure = _figure(9.2, 3.4 + text_height)
    parts: Any = figure.subfigures(2, 1, height_ratios=(text_height, 3.4))
    words = parts[0].subplots()
    words.axis("off")
    words.text(
        0, 1, "\n".join(wrapped), va="top", fontsize=10, color=_TEXT, linespacing=1.35, parse_math=False
    )
    _verdict_axes(parts[1], entry, summary)
    title = verdict_title(entry)
    parts[0].suptitle(title, fontsize=13, fontweight="bold", x=0.01, ha="left", parse_math=False)
    return figure


def _verdict_axes(figure: Any, entry: Mapping[str, Any], summary: Mapping[str, Any] | None) -> None:
    """The resolution scale and the probabilities, in a figure or a part of one."""
    scale, chances = figure.subplots(2, 1, gridspec_kw={"height_ratios": (3.2, 0.6)})
    _scale(scale, entry, summary)
    _probability_bar(chances, entry.get("probabilities") or {})


def probabilities(values: Mapping[str, float], title: str = "") -> Figure:
    """The three class probabilities as one bar."""
    figure = _figure(7.5, 1.7)
    ax: Any = figure.subplots()
    _probability_bar(ax, values)
    return _finish(figure, (ax,), title)


def verdict_title(entry: Mapping[str, Any]) -> str:
    """The one line that a reader remembers."""
    claim = entry.get("claim") or {}
    if claim:
        said = f"{claim['claimed_A']:g} Å" if is_number(claim.get("claimed_A")) else "a resolution"
        answer = str(claim.get("verdict", "no verdict"))
        return f"Claimed {said}: {_ANSWERS.get(answer, answer)}"
    name = entry.get("class")
    return f"{str(name).capitalize()} resolution" if name else "No class was given"


def verdict_lines(entry: Mapping[str, Any], summary: Mapping[str, Any] | None = None) -> List[str]:
    """What the verdict panel says in words, one sentence per line."""
    lines = []
    name, values = entry.get("class"), entry.get("probabilities") or {}
    if name:
        chance: Any = values.get(name)
        sure = f" with probability {100 * chance:.0f} %" if is_number(chance) else ""
        lines.append(f"Global class: {name} ({_class_range(str(name))}){sure}.")
    if is_number(entry.get("resolution_A")):
        low, high = _interval(entry)
        between = f", 68 % interval {low:.1f} to {high:.1f} Å" if low is not None and high is not None else ""
        lines.append(f"Estimate: {entry['resolution_A']:.1f} Å{between}.")
    claim = entry.get("claim") or {}
    if summary and is_number(summary.get("median_A")) and not claim:
        quarter = summary.get("quartiles_A") or []
        middle = (
            f"; the middle half of the voxels lies at {quarter[0]:.1f} to {quarter[1]:.1f} Å"
            if len(quarter) == 2
            else ""
        )
        lines.append(f"Local resolution: median {summary['median_A']:.1f} Å{middle}.")
    for number, reason in enumerate(_sentences(claim.get("reasons"))):
        lines.append(("" if number else "Why: ") + with_unit(reason))
    if entry.get("in_distribution") is False:
        lines.append("This map is unlike those that the network learned from: do not rely on the estimate.")
    lines += [f"Warning: {with_unit(warning)}" for warning in _sentences(entry.get("warnings"))]
    return lines or ["classification.json holds no result for this map."]


def with_unit(text: str) -> str:
    """A sentence of the engine for reading: its numbers in ``A`` are written with ``Å``."""
    return re.sub(r"(?<=\d) A\b", " Å", text)


def _scale(ax: Any, entry: Mapping[str, Any], summary: Mapping[str, Any] | None) -> None:
    """Claim, estimate and spread on one resolution axis with the three classes behind them."""
    low, high = 1.5, 25.0
    for left, right, name in zip((low, 5.0, 10.0), (5.0, 10.0, high), constants.GLOBAL_CLASSES):
        ax.axvspan(left, right, color=global_colors()[name], alpha=0.16, linewidth=0)
        ax.text(math.sqrt(left * right), 3.42, name, ha="center", va="center", fontsize=9, color="#555555")
    rows = []
    if summary and is_number(summary.get("median_A")):
        quarter = summary.get("quartiles_A") or [None, None]
        rows.append(
            ("local resolution\n(median, quartiles)", summary["median_A"], quarter[0], quarter[1], "#009E73")
        )
    if is_number(entry.get("resolution_A")):
        rows.append(("estimate\n(68 % interval)", entry["resolution_A"], *_interval(entry), "#0072B2"))
        wide = (entry.get("claim") or {}).get("decision_interval_A") or ()
        if len(wide) == 2 and all(is_number(v) for v in wide):
            # A claim inside this thin line is "supported"; see resolution.verdict.
            ax.plot(wide, [0.7 + 1.3 * (len(rows) - 1)] * 2, color="#0072B2", linewidth=1.2)
    ticks = []
    for number, (label, value, left, right, color) in enumerate(rows):
        y = 0.7 + 1.3 * number
        ticks.append((y, label))
        if is_number(left) and is_number(right):
            ax.plot([left, right], [y, y], color=color, linewidth=7, alpha=0.45, solid_capstyle="butt")
        ax.plot([value], [y], "o", color=color, markersize=8)
        ax.annotate(
            f"{value:.1f} Å",
            (value, y),
            (0, 9),
            textcoords="offset points",
            ha="center",
            fontsize=9,
            zorder=5,
            bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8},
        )
    claim: Any = (entry.get("claim") or {}).get("claimed_A")
    if is_number(claim):
        ax.axvline(claim, color="#D55E00", linewidth=2, linestyle="--")
        left_side = math.sqrt(low * high) < claim
        ax.annotate(
            f"claim {claim:g} Å",
            (claim, 0.02),
            (-4 if left_side else 4, 5),
            ha="right" if left_side else "left",
            textcoords="offset points",
            fontsize=9,
            color="#B04A00",
        )
    ax.set_xscale("log")
    ax.set_xlim(low, high)
    ax.set_ylim(0, 3.8)
    ax.xaxis.set_major_locator(FixedLocator([2, 3, 4, 5, 6, 8, 10, 15, 20]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.set_yticks([y for y, _ in ticks], [label for _, label in ticks])
    ax.set_xlabel("resolution (Å)", fontsize=9)
    ax.tick_params(labelsize=9)


def _probability_bar(ax: Any, values: Mapping[str, Any]) -> None:
    left = 0.0
    ink = {"high": "white", "medium": "black", "low": "black"}
    for name in constants.GLOBAL_CLASSES:
        value: Any = values.get(name)
        value = float(value) if is_number(value) else 0.0
        ax.barh(
            [0],
            [100 * value],
            left=left,
            color=global_colors()[name],
            height=0.7,
            label=f"{name} {100 * value:.0f} %",
        )
        if value >= 0.17:
            ax.text(
                left + 50 * value,
                0,
                f"{name} {100 * value:.0f} %",
                ha="center",
                va="center",
                fontsize=9,
                color=ink[name],
            )
        left += 100 * value
    ax.set_xlim(0, 100)
    ax.set_yticks([])
    ax.set_xlabel("probability of the global class (%)", fontsize=9)
    ax.tick_params(labelsize=9)
    ax.legend(
        fontsize=8,
        ncol=3,
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        frameon=False,
        columnspacing=1.0,
        handlelength=1.2,
        handletextpad=0.4,
    )


# ----------------------------------------------------------------------------------- how good, how trained


def reliability(
    confidence: Sequence[float],
    accuracy: Sequence[float],
    counts: Sequence[int] | None = None,
    error: float | None = None,
    title: str = "",
) -> Figure:
    """Calibration: how often the network is right against how sure it is.

    Args:
        confidence: mean predicted probability of each bin, 0 to 1.
        accuracy: part of each bin that is right, 0 to 1.
        counts: number of maps or voxels in each bin; with them come 95 % intervals (Wilson's).
        error: expected calibration error, 0 to 1.
        title: heading.
    """
    figure = _figure(5.6, 5.6)
    sure, right = 100 * np.asarray(confidence, float), 100 * np.asarray(accuracy, float)
    if counts is not None:
        pair: Any = figure.subplots(2, 1, gridspec_kw={"height_ratios": (4, 1)}, sharex=True)
        ax, low = pair
        low.bar(sure, counts, width=3, color="#56B4E9")
        low.set_yscale("log")
        low.set_ylim(bottom=0.7)
        low.set_ylabel("n per point", fontsize=9)
        low.tick_params(labelsize=8)
        ends = np.array([wilson(round(r / 100 * n), int(n)) for r, n in zip(right, counts) if n > 0])
        ax.vlines(
            [one for one, n in zip(sure, counts) if n > 0],
            *(100 * ends.T),
            color="#0072B2",
            alpha=0.45,
            label="95 % interval of the point",
        )
    else:
        ax = low = figure.subplots()
    ax.plot([0, 100], [0, 100], "--", color="#888888", label="perfectly calibrated")
    ax.plot(sure, right, "o-", color="#0072B2", label="this network")
    ax.set_xlim(min(30.0, 10 * math.floor(sure.min() / 10)) if sure.size else 0, 101)
    ax.set_ylim(0, 102)
    ax.set_ylabel("how often it is right (%)", fontsize=9)
    low.set_xlabel("how sure it is: probability of the class it names (%)", fontsize=9)
    ax.legend(fontsize=8, loc="lower right")
    ax.grid(alpha=0.3)
    if error is not None:
        ax.set_title(f"expected calibration error {100 * error:.1f} %", fontsize=9)
    return _finish(figure, (ax,), title or "Calibration")


def training_curves(history: Mapping[str, Sequence[float]], title: str = "") -> Figure:
    """Training and validation curves from the columns of ``history.csv``; a panel per quantity."""
    columns = {name: np.asarray(values, float) for name, values in history.items()}
    length = max((len(values) for values in columns.values()), default=0)
    step = next((name for name in ("epoch", "step", "iteration") if name in columns), None)
    x = columns[step] if step else np.arange(1, length + 1)
    starts = _starts(x) if step == "epoch" and length else [slice(0, length)]
    if length and step == "epoch" and x[0] == 0:
        x = x + 1  # Keras counts from 0
    hidden = {step, "seconds", "time", "time_s", "elapsed_s", "rate", "lr", "learning_rate", "seed"}
    panels: Dict[str, List[Tuple[str, str]]] = {}
    for name in columns:
        if name not in hidden and np.isfinite(columns[name]).any():
            quantity, curve = _what_is_measured(name)
            panels.setdefault(quantity, []).append((curve, name))
    if not panels:
        return missing("The training history holds no finished epoch yet.", title)
    shown = sorted(panels, key=lambda quantity: quantity != "loss")[:9]
    across = min(3, len(shown))
    down = math.ceil(len(shown) / across)
    figure = _figure(4.2 * across + 0.6, 3.3 * down + 0.3)
    grid: Any = figure.subplots(down, across, squeeze=False).ravel()
    for ax, quantity in zip(grid, shown):
        for curve, name in panels[quantity]:
            several = f" ({len(starts)} networks)" if len(starts) > 1 else ""
            for number, part in enumerate(starts):
                ax.plot(
                    x[part],
                    columns[name][part],
                    color=_CURVES.get(curve, "#000000"),
                    linestyle="--" if curve.endswith("half maps") else "-",
                    marker="." if length < 30 else None,
                    alpha=1.0 if number == len(starts) - 1 else 0.45,
                    label=None if number else curve + several,
                )
        ax.legend(fontsize=8)
        ax.set_xlabel(step or "epoch", fontsize=9)
        ax.set_ylabel(_plain(_quantity(quantity)), fontsize=9)
        ax.grid(alpha=0.3)
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    for ax in grid[len(shown) :]:
        ax.axis("off")
    return _finish(figure, grid[: len(shown)], title or "Training")


def _starts(epochs: np.ndarray) -> List[slice]:
    """The pieces of a history in which the epochs only go up: a network may be trained once per member."""
    edges = [0, *(np.flatnonzero(np.diff(epochs) <= 0) + 1), len(epochs)]
    return [slice(int(first), int(last)) for first, last in zip(edges, edges[1:])]


def _what_is_measured(name: str) -> Tuple[str, str]:
    """Column of a history -> (quantity, curve): what is measured, and on which maps."""
    base = next((name[len(prefix) :] for prefix in _VALIDATION if name.startswith(prefix)), None)
    if base is None:
        return {"log2_error": "log2"}.get(name, name), "training"
    for start, curve in _VARIANTS.items():
        if base.startswith(start):
            return base[len(start) :], curve
    return base, "validation"


def confusion_matrix(matrix: Sequence[Sequence[float]], names: Sequence[str], title: str = "") -> Figure:
    """Counts of true (rows) against predicted (columns) classes, shaded by the share of each row."""
    table = np.asarray(matrix, float)
    share = table / np.maximum(1, table.sum(axis=1, keepdims=True))
    side = max(4.2, 0.62 * len(names) + 1.8)
    figure = _figure(side + 0.8, side)
    ax: Any = figure.subplots()
    image = ax.imshow(100 * share, cmap="Blues", vmin=0, vmax=100)
    for (row, column), value in np.ndenumerate(table):
        ink = "white" if share[row, column] > 0.55 else _TEXT if value else "#c0c0c0"
        ax.text(
            column,
            row,
            _short(float(value)),
            ha="center",
            va="center",
            fontsize=9 if len(names) < 6 else 7,
            color=ink,
        )
    _name_axes(ax, names)
    ax.set_xlabel("predicted class" + (" (Å)" if len(names) == 10 else ""), fontsize=9)
    ax.set_ylabel("true class" + (" (Å)" if len(names) == 10 else ""), fontsize=9)
    figure.colorbar(image, ax=ax, shrink=0.8).set_label("share of the true class (%)", fontsize=9)
    total = float(table.sum())
    right = f", accuracy {100 * np.trace(table) / total:.1f} % of {_short(total)}" if total else ""
    return _finish(figure, (ax,), (title or "Confusion matrix") + right)


def agreement_matrix(names: Sequence[str], matrix: Sequence[Sequence[float]], title: str = "") -> Figure:
    """Pairwise agreement of methods, for example Cohen's kappa or Spearman's rho (-1 to 1)."""
    return agreement_matrices(names, {title or "agreement (1 = the same)": matrix})


def agreement_matrices(names: Sequence[str], tables: Mapping[str, Any], title: str = "") -> Figure:
    """A matrix per measure of agreement, the methods along both sides.

    Args:
        names: of the methods.
        tables: measure -> square matrix; one whose name ends in ``(Å)`` is a distance (0 is the best), the
            others lie between -1 and 1 (1 is the best).
        title: heading.
    """
    side = max(3.4, 0.8 * len(names) + 1.5)
    # No wider than a window: one that is squeezed cuts the slanted names below.
    width = min(side * len(tables) + 0.9, max(12.4, 3.0 * len(tables)))
    figure = _figure(width, min(side, width / len(tables)) + 0.8)
    axes: Any = figure.subplots(1, len(tables), squeeze=False)[0]
    for ax, (measure, matrix) in zip(axes, tables.items()):
        table = np.array(matrix, float)
        distance = measure.endswith("(Å)")
        others = table[~np.eye(len(names), dtype=bool)] if len(names) > 1 else table.ravel()
        top = max(0.5, float(np.nanmax(others))) if distance and np.isfinite(others).any() else 1.0
        shown = np.where(np.eye(len(names), dtype=bool), np.nan, table)
        ax.set_facecolor(EMPTY)
        image = ax.imshow(shown, cmap="cividis_r" if distance else "cividis", vmin=0, vmax=top)
        for (row, column), value in np.ndenumerate(table):
            if np.isfinite(value):
                bright = (value < 0.45 * top) if distance else value > 0.55
                ink = "#888888" if row == column else "black" if bright else "white"
                text = f"{value:.2f}".replace("-0.00", "0.00")
                ax.text(column, row, text, ha="center", va="center", fontsize=10, color=ink)
        _name_axes(ax, names)
        if ax is not axes[0]:
            ax.set_yticklabels([])
        extend = "min" if np.nanmin(table) < 0 else "neither"
        figure.colorbar(image, ax=ax, shrink=0.75, extend=extend).ax.tick_params(labelsize=8)
        ax.set_title(measure, fontsize=10, parse_math=False)
    return _finish(figure, axes, title)


def comparison_scatter(
    first: np.ndarray, second: np.ndarray, names: Tuple[str, str] = ("first", "second"), title: str = ""
) -> Figure:
    """Voxel-by-voxel density of two local-resolution volumes (A), where both have an estimate."""
    figure = scatter_grid({names[0]: first, names[1]: second}, title=title)
    return figure if figure is not None else missing(_nothing_in_common(*names), title)


def scatter_grid(
    volumes: Mapping[str, Any],
    pairs: Sequence[Tuple[str, str]] | None = None,
    title: str = "",
) -> Figure | None:
    """A panel per pair of local-resolution volumes: how often each pair of values (A) occurs at a voxel.

    Args:
        volumes: name -> A (z, y, x), on one grid.
        pairs: names of two volumes each; all pairs when missing.
        title: heading.

    Returns:
        The figure, or ``None`` when no pair has an estimated voxel in common.
    """
    pairs = list(combinations(volumes, 2)) if pairs is None else list(pairs)
    part = _around_mask(volumes)
    cleaned = {name: np.asarray(only_estimates(data)[part]) for name, data in volumes.items()}
    found = {pair: _common(cleaned, pair) for pair in pairs}
    everything = [values for each in found.values() for values in each if values.size]
    if not everything:
        return None
    low, high = _value_range(everything)
    columns = min(3, len(pairs))
    rows = math.ceil(len(pairs) / columns)
    figure = _figure(3.9 * columns + 1.3, 3.9 * rows + 0.5) if len(pairs) > 1 else _figure(5.8, 5.2)
    grid: Any = figure.subplots(rows, columns, squeeze=False)
    images = []
    for ax, (pair, (x, y)) in zip(grid.ravel(), found.items()):
        images += _scatter_panel(ax, pair, x, y, (low, high))
    for ax in grid.ravel()[len(pairs) :]:
        ax.axis("off")
    for image in images:
        image.set_norm(LogNorm(1, max(2.0, *(float(one.get_array().max()) for one in images))))
    figure.colorbar(images[0], ax=grid, shrink=0.85, aspect=30).set_label("voxels", fontsize=9)
    _finish(figure, (), title or "The same voxel by two methods")
    # Square panels beside one long colour bar: matplotlib's layout takes two rounds to find room for the titles.
    figure.draw_without_rendering()
    return figure


def _around_mask(volumes: Mapping[str, Any]) -> Any:
    """The smallest box around the mask that the volumes share, to spare the empty rest; all where they have none."""
    masks = [data.mask for data in volumes.values() if isinstance(data, Inside) and data.mask is not None]
    if len(masks) < len(volumes) or any(mask is not masks[0] for mask in masks):
        return ...
    inside = np.asarray(masks[0]) > next(iter(volumes.values())).level
    if not inside.any():
        return ...
    plane = inside.any(axis=0)
    flat = (inside.any(axis=(1, 2)), plane.any(axis=1), plane.any(axis=0))
    return tuple(slice(int(np.argmax(line)), len(line) - int(np.argmax(line[::-1]))) for line in flat)


def _common(volumes: Mapping[str, np.ndarray], pair: Tuple[str, str]) -> Tuple[np.ndarray, np.ndarray]:
    """The values of both volumes where both have an estimate (A)."""
    a, b = (volumes[name] for name in pair)
    both = estimated(a) & estimated(b)
    return a[both], b[both]


def _value_range(samples: Sequence[np.ndarray]) -> Tuple[float, float]:
    """From the finest to the coarsest value that matters, with a little room (A)."""
    low = min(float(np.percentile(values, 0.2)) for values in samples)
    high = min(40.0, max(float(np.percentile(values, 99.5)) for values in samples))
    room = max(0.25, 0.06 * (high - low))
    return max(0.0, low - room), high + room


def _scatter_panel(
    ax: Any, pair: Tuple[str, str], x: np.ndarray, y: np.ndarray, limits: Tuple[float, float]
) -> List[Any]:
    ax.set_xlabel(f"{_plain(pair[0], 24)} (Å)", fontsize=9)
    ax.set_ylabel(f"{_plain(pair[1], 24)} (Å)", fontsize=9)
    ax.tick_params(labelsize=8)
    ax.set_facecolor("#fafafa")
    ax.set_xlim(*limits)
    ax.set_ylim(*limits)
    ax.set_box_aspect(1)
    ax.plot(limits, limits, "--", color="#D55E00", linewidth=1)
    if not x.size:
        ax.set_title(_nothing_in_common(*pair), fontsize=8, wrap=True)
        return []
    image = ax.hist2d(x, y, bins=70, range=(limits, limits), cmap="cividis", cmin=1, rasterized=True)[3]
    bias, apart = float(np.mean(y - x)), float(np.mean(np.abs(y - x)))
    words = f"{x.size:,} voxels, mean difference {bias:+.2f} Å,\nmean absolute {apart:.2f} Å"
    ax.set_title(words, fontsize=9)
    return [image]


def _nothing_in_common(first: str, second: str) -> str:
    return f"{first} and {second} have no estimated voxel in common."


def fsc_curve(
    frequency: Sequence[float],
    curves: Mapping[str, Sequence[float]],
    cutoffs: Mapping[str, float] | None = None,
    title: str = "",
) -> Figure:
    """Fourier shell correlation against spatial frequency.

    Args:
        frequency: shell frequencies in 1/A.
        curves: name -> correlation per shell.
        cutoffs: name -> resolution in A, marked.
        title: heading.
    """
    figure = _figure(6.4, 4.4)
    ax: Any = figure.subplots()
    for (name, values), color in zip(curves.items(), _SOURCE_COLORS):
        ax.plot(frequency, values, color=color, label=_plain(name))
    ax.axhline(constants.FSC_THRESHOLD, color="#888888", linestyle=":", linewidth=1)
    ax.text(
        0.01, constants.FSC_THRESHOLD, " 0.143", transform=ax.get_yaxis_transform(), va="bottom", fontsize=8
    )
    for (name, value), color in zip((cutoffs or {}).items(), _SOURCE_COLORS):
        ax.axvline(
            1 / value, color=color, linestyle="--", linewidth=1, label=f"{_plain(name)}: {value:.2f} Å"
        )
    ax.set_ylim(min(-0.1, float(np.nanmin([np.nanmin(v) for v in curves.values()]))), 1.05)
    ax.set_xlim(left=0)
    _angstroms_above(ax)
    ax.set_xlabel("spatial frequency (1/Å)", fontsize=9)
    ax.set_ylabel("Fourier shell correlation", fontsize=9)
    ax.legend(fontsize=8)
    ax.grid(alpha=0.3)
    return _finish(figure, (ax,), title or "Fourier shell correlation")


def _angstroms_above(ax: Any) -> None:
    """The same axis above, read in A."""
    last = ax.get_xlim()[1]
    values = [v for v in (50, 20, 10, 7, 5, 4, 3.5, 3, 2.5, 2.2, 2, 1.8, 1.6, 1.4, 1.2, 1) if 1 / v <= last]
    kept: List[float] = []
    for value in values:
        if not kept or 1 / value - 1 / kept[-1] > 0.055 * last:
            kept.append(value)
    above = ax.secondary_xaxis("top")
    above.set_xticks([1 / value for value in kept], [f"{value:g}" for value in kept])
    above.set_xlabel("resolution (Å)", fontsize=9)
    above.tick_params(labelsize=8)


def missing(message: str, title: str = "") -> Figure:
    """A figure that says why there is nothing to draw."""
    lines = [piece for line in message.splitlines() for piece in (textwrap.wrap(line, 68) or [""])]
    figure = _figure(6.8, max(1.8, 0.3 * len(lines) + 1.0))
    ax: Any = figure.subplots()
    ax.axis("off")
    text = "\n".join(lines)
    ax.text(
        0.5, 0.5, text, ha="center", va="center", fontsize=11, color="#555555", wrap=False, parse_math=False
    )
    figure.suptitle(title or "Nothing to show yet", fontsize=12, parse_math=False)
    return figure


# ----------------------------------------------------------------------------------- from a results folder


@dataclass(frozen=True)
class Kind:
    """One kind of figure: what it shows and how to draw it from a folder (``None``: files missing)."""

    help: str
    draw: Callable[..., Figure | None]
    needs: Tuple[str, ...]
    instead: Tuple[str, ...] = ()
    """Files of which each can stand for the last of ``needs``."""
    holds: Callable[[ResultsFolder], Any] | None = None
    """What the figure is drawn from, where a file may be there without it: metrics, or a model's card."""

    def ready(self, results: ResultsFolder) -> bool:
        """Whether the files are there."""
        *others, last = self.needs
        there = all(map(results.has, others)) and any(map(results.has, (last, *self.instead)))
        if not there or self.holds is None:
            return there
        try:
            return self.holds(results) is not None
        except Exception:  # a damaged card: the figure says so, and others can be drawn
            return True


def from_folder(
    kind: str,
    folder: Any,
    axis: str = "z",
    index: int | None = None,
    pair: Sequence[str] | None = None,
    narrow: bool = False,
) -> Figure:
    """Draw any figure from a results folder; what is missing is said in the figure, never raised.

    Args:
        kind: a key of ``KINDS``.
        folder: path of a results folder, or an open ``ResultsFolder``.
        axis: for slices, the axis to look along.
        index: for slices, the slice number.
        pair: for ``difference`` and ``scatter``, the names of two of the compared volumes.
        narrow: for ``histogram``, its panels below each other.

    Raises:
        KeyError: no such kind (a programming error; the command line offers a choice).
    """
    recipe = KINDS[kind]
    results = folder if isinstance(folder, ResultsFolder) else ResultsFolder(folder)
    title = recipe.help[0].upper() + recipe.help[1:]
    try:
        figure = recipe.draw(results, axis=axis, index=index, pair=pair, narrow=narrow)
    except Exception as error:  # files of another version may miss any key; a viewer must outlive that
        problem = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return missing(
            f"The {kind} figure cannot be drawn from {results.folder}: its files are damaged or of another "
            f"version ({problem}). Run the command again.",
            title,
        )
    if figure is None and pair is not None and (names := list(compared_volumes(results))):
        return missing(f"{' and '.join(pair)} are not both among the volumes: {', '.join(names)}.", title)
    return figure if figure is not None else missing(results.missing(*recipe.needs), title)


def slices_from_folder(
    folder: Any,
    kind: str = "slices",
    axis: str = "z",
    index: int | None = None,
    pair: Sequence[str] | None = None,
) -> SliceFigure | None:
    """A movable slice figure of a results folder, or ``None`` when its volumes are missing.

    Args:
        folder: path or ``ResultsFolder``.
        kind: one of ``SLICE_KINDS``.
        axis: the axis to look along.
        index: the slice number.
        pair: of a difference: the names of two of the compared volumes (the first two).
    """
    results = folder if isinstance(folder, ResultsFolder) else ResultsFolder(folder)
    layers, reference = _SLICES[kind](results, pair) if kind == "difference" else _SLICES[kind](results)
    if reference is None or len({layer.data.shape for layer in layers}) > 1:
        return None
    return SliceFigure(layers, reference.voxel_size, reference.origin, axis, index)


def drawable(folder: Any) -> List[str]:
    """The kinds whose files are all in the folder, in the order of ``KINDS``."""
    results = folder if isinstance(folder, ResultsFolder) else ResultsFolder(folder)
    return [name for name, kind in KINDS.items() if kind.ready(results)]


def save(figure: Figure, path: PathLike, dpi: int = 130) -> Path:
    """Save a figure whole or not at all; the suffix (.png, .svg or .pdf) says the format."""
    path = Path(path)
    kind = path.suffix.lower().lstrip(".")
    # No dates inside: the same results give the same bytes.
    stamp = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format=kind, dpi=dpi, metadata=stamp)
    return path


def write_standard(folder: PathLike) -> List[Path]:
    """Write the figures that ``validate`` leaves in ``figures/``: those whose files are there.

    Returns:
        The files written.
    """
    results = ResultsFolder(folder)
    target = results.folder / "figures"
    written = []
    for kind in STANDARD:
        if KINDS[kind].ready(results):
            target.mkdir(exist_ok=True)
            written.append(save(from_folder(kind, results), target / f"{kind}.png"))
    return written


def _slice_layers(results: ResultsFolder) -> Tuple[List[Layer], Volume | None]:
    resolution = results.resolution
    if resolution is None:
        return [], None
    interval, density = results.interval, results.density
    return (
        _layers(_like(density, resolution), resolution.data, _like(interval, resolution)),
        resolution,
    )


def _interval_layers(results: ResultsFolder) -> Tuple[List[Layer], Volume | None]:
    resolution, interval = results.resolution, results.interval
    if resolution is None or interval is None:
        return [], None
    return [
        Layer("Local resolution", resolution.data, "resolution"),
        _interval_layer(interval.data),
    ], resolution


def _disagreement_slice_layers(results: ResultsFolder) -> Tuple[List[Layer], Volume | None]:
    spread = results.volume(constants.DISAGREEMENT)
    if spread is None:
        return [], None
    volumes = {name: volume.data for name, volume in list(compared_volumes(results).items())[:MOST_COMPARED]}
    layers = _disagreement_layers(volumes, spread.data)
    density = _like(results.density, spread)
    return ([Layer("Map", density)] if density is not None else []) + layers, spread


def _difference_slice_layers(
    results: ResultsFolder, pair: Sequence[str] | None = None
) -> Tuple[List[Layer], Volume | None]:
    chosen = _pair_of(results, pair)
    if chosen is None:
        return [], None
    (first, a), (second, b) = chosen
    return _difference_layers((first, second), a.data, b.data), a


def _pair_of(
    results: ResultsFolder, pair: Sequence[str] | None
) -> Tuple[Tuple[str, Volume], Tuple[str, Volume]] | None:
    """Two of the compared volumes: those named, or the first two; ``None`` when they are not there."""
    volumes = compared_volumes(results)
    names = list(pair or list(volumes)[:2])
    if len(names) != 2 or any(name not in volumes for name in names):
        return None
    return (names[0], volumes[names[0]]), (names[1], volumes[names[1]])


def _truth_layers(results: ResultsFolder) -> Tuple[List[Layer], Volume | None]:
    density, truth = results.volume(SIMULATED_MAP), results.volume(TRUTH)
    if density is None or truth is None:
        return [], None
    layers = [Layer("Simulated map", density.data), Layer("True local resolution", truth.data, "resolution")]
    return layers, density


def compared_volumes(results: ResultsFolder) -> Dict[str, Volume]:
    """The volumes that ``comparison.json`` is about, as far as they are still there and on one grid."""
    listed = (results.comparison or {}).get("volumes") or {}
    pairs = listed.items() if isinstance(listed, dict) else ((v.get("name"), v) for v in listed)
    found: Dict[str, Volume] = {}
    for name, value in pairs:
        path = value.get("path") or value.get("file") if isinstance(value, dict) else value
        volume = results.volume(str(path).split(":mrc")[0]) if path else None
        if volume is not None and (not found or volume.shape == next(iter(found.values())).shape):
            found[str(name)] = replace(
                volume, data=only_estimates(volume.data, _mask_of(results, volume.shape))
            )
    return found


def _mask_of(results: ResultsFolder, shape: Tuple[int, int, int]) -> Any:
    """The mask inside which the volumes of this folder were compared, or ``None``."""
    said = (results.comparison or {}).get("mask")
    name = constants.MASK_USED if results.has(constants.MASK_USED) else str(said) if said else None
    mask = results.volume(name) if name else None
    return mask.data if mask is not None and mask.shape == shape else None


def listed_volume(results: ResultsFolder, name: str) -> Dict[str, Any]:
    """The entry of ``comparison.json`` about one volume."""
    listed = (results.comparison or {}).get("volumes") or []
    return next((v for v in listed if isinstance(v, dict) and v.get("name") == name), {})


def _draw_slices(kind: str) -> Callable[..., Figure | None]:
    def draw(
        results: ResultsFolder,
        axis: str = "z",
        index: int | None = None,
        pair: Sequence[str] | None = None,
        **_: Any,
    ) -> Figure | None:
        shown = slices_from_folder(results, kind, axis, index, pair)
        return shown.figure if shown else None

    return draw


def _draw_axes(results: ResultsFolder, **_: Any) -> Figure | None:
    resolution = results.resolution
    if resolution is None:
        return None
    density = _like(results.density, resolution)
    return three_axes(density, resolution.data, resolution.voxel_size, resolution.origin)


def _draw_verdict(results: ResultsFolder, **_: Any) -> Figure | None:
    entry = results.classification
    return None if entry is None else verdict_panel(entry, results.summary)


def _draw_probabilities(results: ResultsFolder, **_: Any) -> Figure | None:
    entry = results.classification
    return None if entry is None else probabilities(entry.get("probabilities") or {}, verdict_title(entry))


def _draw_histogram(results: ResultsFolder, narrow: bool = False, **_: Any) -> Figure | None:
    sources, voxels = histogram_sources(results)
    if not sources:
        return None
    return class_histogram(sources, voxels, curves=_cumulative_curves(results), narrow=narrow)


def _cumulative_curves(results: ResultsFolder) -> Dict[str, Tuple[np.ndarray, np.ndarray]]:
    """The cumulative curve of every source of the histogram whose volume is there, inside the mask."""
    own = results.resolution
    volumes = {} if own is None else {OURS: own}
    for name, volume in compared_volumes(results).items():
        if not _is_own(volume, results):
            volumes[name] = volume
    found = {}
    for name, volume in volumes.items():
        curve = cumulative(volume.data)
        if curve is not None:
            found[name] = curve
    return found


def _is_own(volume: Volume, results: ResultsFolder) -> bool:
    """Whether a compared volume is the one of this very folder, which is shown in any case."""
    return Path(volume.path).resolve() == (results.folder / constants.LOCAL_RESOLUTION).resolve()


def histogram_sources(results: ResultsFolder) -> Tuple[Dict[str, List[float]], Dict[str, int]]:
    """Ten class fractions and voxel counts of the map's estimate and of every method compared with it."""
    sources: Dict[str, List[float]] = {}
    voxels: Dict[str, int] = {}
    summary = results.summary
    if summary and isinstance(summary.get("fractions"), dict):
        fractions = summary["fractions"]
        sources[OURS] = [float(fractions.get(name, 0.0)) for name in constants.LOCAL_CLASSES]
        if is_number(summary.get("n_voxels")):
            voxels[OURS] = int(summary["n_voxels"])
    elif results.resolution is not None:
        data = results.resolution.data
        sources[OURS] = list(class_fractions(data))
        voxels[OURS] = int(estimated(data).sum())
    for name, volume in compared_volumes(results).items():
        if _is_own(volume, results):
            continue
        listed = listed_volume(results, name)
        if isinstance(listed.get("fractions"), dict):
            sources[name] = [float(listed["fractions"].get(c, 0.0)) for c in constants.LOCAL_CLASSES]
            voxels[name] = int(listed.get("n_voxels") or 0)
        else:
            sources[name] = list(class_fractions(volume.data[...]))
            voxels[name] = int(estimated(volume.data[...]).sum())
    return sources, voxels


def _draw_curves(results: ResultsFolder, **_: Any) -> Figure | None:
    history = results.table(HISTORY_CSV)
    return None if history is None else training_curves(history)


def _draw_confusion(results: ResultsFolder, **_: Any) -> Figure | None:
    found = _confusion_of(results)
    if found is None:
        known = _metrics(results) is not None
        return (
            missing(f"The network's card holds no confusion matrix. {_EVALUATE}", _CONFUSION)
            if known
            else None
        )
    matrix: Any = found.get("matrix") or found.get("counts") if isinstance(found, dict) else found
    names = found.get("classes") or found.get("names") if isinstance(found, dict) else None
    default = constants.GLOBAL_CLASSES if len(matrix) == 3 else constants.LOCAL_CLASSES
    return confusion_matrix(matrix, names or default, _CONFUSION)


_CONFUSION = "Confusion matrix, held-out maps"
_EVALUATE = "'cryoresdl evaluate --data FILE.h5 --model MODEL --out DIR' measures it."


def _confusion_of(results: ResultsFolder) -> Any:
    return _find(_metrics(results), "confusion", "confusion_matrix")


def _draw_reliability(results: ResultsFolder, **_: Any) -> Figure | None:
    title, found = _calibration_of(results)
    if found is None:
        text = f"The network's card holds no calibration table, so nothing can be said. {_EVALUATE}"
        return missing(text, "Calibration") if title else None
    return reliability_from(found, title)


def _calibration_of(results: ResultsFolder) -> Tuple[str, Any]:
    """Title and table of the calibration figure: of the network trained or measured here, or of the one used."""
    metrics, title = _metrics(results), "Calibration on maps kept apart for testing"
    if metrics is None and results.has(constants.CLASSIFICATION_JSON):
        metrics = _card_of((results.classification or {}).get("model"))
        title = f"Calibration of '{metrics.get('name')}' on maps it never saw"
    return ("", None) if metrics is None else (title, _table_of_bins(metrics))


def _metrics(results: ResultsFolder) -> Any:
    """What is known about a model in this folder: ``metrics.json`` of evaluate, or the card of a training."""
    if results.has(TRAINED) and not results.has(METRICS_JSON) and not results.has(CARD_JSON):
        return _card_of(str(results.folder / TRAINED))
    found = next((name for name in (METRICS_JSON, CARD_JSON) if results.has(name)), None)
    return results.json(found) if found else None


def _card_of(model: Any) -> Dict[str, Any]:
    from . import model_file  # only here: most figures need no model

    return model_file.read_card(model["name"] if isinstance(model, dict) else str(model))


def _table_of_bins(metrics: Any) -> Any:
    """The dictionary that holds ``bins``, wherever it is."""
    level = [metrics]
    while level:
        for item in level:
            if isinstance(item, dict) and isinstance(item.get("bins"), (list, dict)):
                return item
        level = [v for item in level if isinstance(item, dict) for v in item.values()]
    return None


def reliability_from(found: Any, title: str = "") -> Figure | None:
    """The figure of a ``calibration`` table of metrics or of a model card; ``None`` without bins."""
    bins = found.get("bins") if isinstance(found, dict) else found
    if isinstance(bins, list):
        bins = {key: [b.get(key) for b in bins] for key in ("confidence", "accuracy", "count")}
    elif isinstance(found, dict) and "confidence" in found:
        bins = found
    if not isinstance(bins, dict) or not bins.get("confidence"):
        return None
    counts = bins.get("count") or bins.get("counts")
    kept = [
        i
        for i, (c, a) in enumerate(zip(bins["confidence"], bins["accuracy"]))
        if is_number(c) and is_number(a)
    ]
    counted = [counts[i] for i in kept] if counts and is_number(counts[0]) else None
    error = found.get("ece") if isinstance(found, dict) else None
    return reliability(
        [bins["confidence"][i] for i in kept], [bins["accuracy"][i] for i in kept], counted, error, title
    )


_FSC_NAMES = {"masked": "half maps, inside the mask", "unmasked": "half maps, whole box"}

AGREEMENT = {
    "kappa": "Cohen's kappa, ten classes",
    "spearman": "rank correlation",
    "mae_A": "mean absolute difference (Å)",
}
"""Measures of ``comparison.json`` that the agreement figure shows, and what they are called."""


def _draw_agreement(results: ResultsFolder, **_: Any) -> Figure | None:
    tables = {}
    for measure, title in AGREEMENT.items():
        names, matrix = agreement(results.comparison or {}, measure)
        if names and np.isfinite(np.array(matrix)[~np.eye(len(names), dtype=bool)]).any():
            tables[title] = matrix
    if not tables:
        return None
    return agreement_matrices(names, tables, "Agreement of the methods, voxel by voxel")


def agreement(comparison: Mapping[str, Any], measure: str) -> Tuple[List[str], List[List[float]]]:
    """Names and square matrix of one ``measure`` of ``comparison.json``; empty when it has none."""
    pairs = comparison.get("pairs")
    if not isinstance(pairs, list):
        return [], []
    names: List[str] = []
    for pair in pairs:
        names += [name for name in pair_names(pair) if name not in names]
    same = 0.0 if measure.endswith("_A") else 1.0
    matrix = [[same if a == b else float("nan") for b in names] for a in names]
    for pair in pairs:
        first, second = (names.index(name) for name in pair_names(pair))
        if is_number(pair.get(measure)):
            matrix[first][second] = matrix[second][first] = float(pair[measure])
    return names, matrix


def _draw_scatter(results: ResultsFolder, pair: Sequence[str] | None = None, **_: Any) -> Figure | None:
    volumes = {name: volume.data for name, volume in list(compared_volumes(results).items())}
    if pair is not None:
        chosen = _pair_of(results, pair)
        volumes = {name: volume.data for name, volume in chosen} if chosen else {}
    if len(volumes) < 2:
        return None
    left_out = list(volumes)[MOST_COMPARED:]
    shown = {name: volumes[name] for name in list(volumes)[:MOST_COMPARED]}
    title = f"The same voxel by two methods (without {', '.join(left_out)})" if left_out else ""
    figure = scatter_grid(shown, title=_plain(title, 90))
    return figure or missing("No two of the volumes have an estimated voxel in common.")


def _draw_fsc(results: ResultsFolder, **_: Any) -> Figure | None:
    found = results.json(SIMULATION_JSON)
    fsc = _find(found, "fsc", "global_fsc")
    if not isinstance(fsc, dict):
        return None
    frequency: Any = fsc.get("frequency") or fsc.get("frequency_per_A") or fsc.get("frequencies_per_A")
    curves = {
        _FSC_NAMES.get(str(k), str(k)): v
        for k, v in fsc.items()
        if isinstance(v, list) and v is not frequency and len(v) == len(frequency)
    }
    cutoffs = fsc.get("cutoffs_A") or {
        "0.143, expected": found.get("global_fsc0143_A"),
        "0.143, measured": found.get("measured_fsc0143_masked_A"),
    }
    return fsc_curve(frequency, curves, {k: v for k, v in cutoffs.items() if is_number(v) and v > 0})


_SLICES: Dict[str, Callable[..., Tuple[List[Layer], Volume | None]]] = {
    "slices": _slice_layers,
    "interval": _interval_layers,
    "disagreement": _disagreement_slice_layers,
    "difference": _difference_slice_layers,
    "truth": _truth_layers,
}

KINDS: Dict[str, Kind] = {
    "verdict": Kind("claim, class, estimate and reasons", _draw_verdict, (constants.CLASSIFICATION_JSON,)),
    "probabilities": Kind(
        "probabilities of the three classes", _draw_probabilities, (constants.CLASSIFICATION_JSON,)
    ),
    "slices": Kind(
        "map, local resolution and interval side by side",
        _draw_slices("slices"),
        (constants.LOCAL_RESOLUTION,),
    ),
    "axes": Kind("slices along z, y and x", _draw_axes, (constants.LOCAL_RESOLUTION,)),
    "interval": Kind(
        "local resolution and its 68 % interval",
        _draw_slices("interval"),
        (constants.LOCAL_RESOLUTION, constants.LOCAL_INTERVAL),
    ),
    "histogram": Kind(
        "voxels per class: ten, three, cumulative",
        _draw_histogram,
        (constants.LOCAL_JSON,),
        (constants.COMPARISON_JSON,),
    ),
    "disagreement": Kind(
        "where the methods disagree", _draw_slices("disagreement"), (constants.DISAGREEMENT,)
    ),
    "difference": Kind(
        "two methods and their signed difference", _draw_slices("difference"), (constants.COMPARISON_JSON,)
    ),
    "agreement": Kind("pairwise agreement of the methods", _draw_agreement, (constants.COMPARISON_JSON,)),
    "scatter": Kind("every two methods, voxel by voxel", _draw_scatter, (constants.COMPARISON_JSON,)),
    "reliability": Kind(
        "calibration of the probabilities",
        _draw_reliability,
        (METRICS_JSON,),
        (CARD_JSON, TRAINED, constants.CLASSIFICATION_JSON),
        lambda results: _calibration_of(results)[1],
    ),
    "confusion": Kind(
        "true against predicted classes",
        _draw_confusion,
        (METRICS_JSON,),
        (CARD_JSON, TRAINED),
        _confusion_of,
    ),
    "curves": Kind("training history", _draw_curves, (HISTORY_CSV,)),
    "truth": Kind(
        "simulated map and its true local resolution", _draw_slices("truth"), (SIMULATED_MAP, TRUTH)
    ),
    "fsc": Kind("Fourier shell correlation of a simulation", _draw_fsc, (SIMULATION_JSON,)),
}


# ------------------------------------------------------------------------------------------------- details


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def _finish(figure: Figure, axes: Sequence[Any], title: str, labels: bool = True) -> Figure:
    for ax in axes:
        if labels:
            ax.tick_params(labelsize=9)
        for side in ("top", "right"):
            ax.spines[side].set_visible(False)
    if title:
        figure.suptitle(title, fontsize=12, parse_math=False)
    return figure


def _known_axis(axis: str) -> str:
    if axis not in AXES:
        raise ValueError(f"axis is {axis!r}, not one of z, y, x")
    return axis


def _plane(axis: str) -> Tuple[str, str]:
    return {"z": ("x", "y"), "y": ("x", "z"), "x": ("y", "z")}[axis]


def _extent(
    shape: Sequence[int], voxel_size: float, origin: Sequence[float], axis: str
) -> Tuple[float, float, float, float]:
    """Edges of a slice in A; pixel centres lie on voxel positions."""
    sides = []
    for name in _plane(axis):
        number = "xyz".index(name)
        start = origin[number] - 0.5 * voxel_size
        sides += [start, start + shape[2 - number] * voxel_size]
    return tuple(sides)  # type: ignore[return-value]


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


def _like(volume: Volume | None, reference: Volume) -> np.ndarray | None:
    """The data, if it is on the reference's grid: another map must not be mixed into the picture."""
    return volume.data if volume is not None and volume.shape == reference.shape else None


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


def _sample(data: np.ndarray) -> np.ndarray:
    """Finite values on a regular subset of voxels: contrast needs no more, and a 512^3 map stays quick."""
    step = max(1, int(round((data.size / _SAMPLES) ** (1 / 3))))
    values = np.asarray(data[::step, ::step, ::step], np.float32)
    return values[np.isfinite(values)]


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
            constants.LOCAL_EDGES_A,
            0,
            1,
            transform=bar.ax.get_yaxis_transform(),
            colors="white",
            linewidth=0.5,
        )
    elif kind == "density":
        bar.ax.yaxis.set_major_locator(MaxNLocator(4))


def _name_axes(ax: Any, names: Sequence[str]) -> None:
    turned = len(names) > 4 or max(len(str(n)) for n in names) > 10
    rotation = {"rotation": 35, "ha": "right"} if turned else {}
    ax.set_xticks(range(len(names)), [_plain(n, 22) for n in names], **rotation)
    ax.set_yticks(range(len(names)), [_plain(n, 22) for n in names])


def _plain(text: Any, longest: int = 60) -> str:
    """A name of the user's as matplotlib shows it literally: no formulas, no line breaks, not too long."""
    text = " ".join(str(text).split()).encode("utf-8", "replace").decode("utf-8")
    text = text if len(text) <= longest else text[: longest - 3] + "..."
    return text.replace("$", r"\$")


def _short(value: float) -> str:
    return f"{value / 1e6:.1f}M" if value >= 1e6 else f"{value / 1e3:.0f}k" if value >= 1e4 else f"{value:g}"


def _quantity(name: str) -> str:
    known = {
        "mae": "mean absolute error (Å)",
        "mae_A": "mean absolute error (Å)",
        "log2": "error (log2 of the ratio)",
        "rho": "rank correlation (-1 to 1)",
        "within1": "within one class (0 to 1)",
        "accuracy": "accuracy (0 to 1)",
    }
    if name in known:
        return known[name]
    return (name[: -len("_A")] + " (Å)" if name.endswith("_A") else name).replace("_", " ")


def _class_range(name: str) -> str:
    return {"high": "better than 5 Å", "medium": "5 to 10 Å", "low": "worse than 10 Å"}.get(
        name, "unknown class"
    )


def _interval(entry: Mapping[str, Any]) -> Tuple[float | None, float | None]:
    value = entry.get("interval_A")
    if isinstance(value, (list, tuple)) and len(value) == 2 and all(is_number(v) for v in value):
        return float(value[0]), float(value[1])
    return None, None


def _sentences(value: Any) -> List[str]:
    if isinstance(value, str):
        return [value]
    return [str(v) for v in value] if isinstance(value, (list, tuple)) else []


def is_number(value: Any) -> bool:
    """Whether a value from a JSON file is a finite number."""
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool) and math.isfinite(value)


def pair_names(pair: Mapping[str, Any]) -> Tuple[str, str]:
    """The two methods that one entry of ``pairs`` in ``comparison.json`` is about."""
    names = (
        pair.get("names")
        or pair.get("pair")
        or (pair.get("a", pair.get("first")), pair.get("b", pair.get("second")))
    )
    return str(names[0]), str(names[1])


def _find(value: Any, *keys: str) -> Any:
    """The first of ``keys`` anywhere in nested dictionaries, nearest the top first."""
    level = [value]
    while level:
        below = []
        for item in level:
            if isinstance(item, dict):
                for key in keys:
                    if item.get(key):
                        return item[key]
                below += list(item.values())
        level = below
    return None
