"""Every figure of CryoResDL: data in, :class:`matplotlib.figure.Figure` out; no window, no pyplot.

The command line, the report, the viewers and the protocols all draw through this module, so the same
resolution has the same colour everywhere: viridis on a logarithmic axis from 1.5 to 12 A (dark blue is fine,
yellow is coarse), which any colour vision, and a grey printer, puts in the same order. Volumes are (z, y, x).
"""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Sequence, Tuple

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize, to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from . import constants
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
SLICE_KINDS = ("slices", "interval", "disagreement", "truth")
"""The kinds that can be moved through; see :func:`slices_from_folder`."""
STANDARD = ("verdict", "slices", "histogram")
"""The figures that ``validate`` leaves in ``figures/``."""

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
        data: volume (z, y, x), perhaps memory-mapped.
        kind: ``density``, ``resolution``, ``interval``, ``difference`` (signed, A) or ``spread`` (A, from 0).
    """

    title: str
    data: np.ndarray
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
        self.figure = _figure(3.7 * len(self.layers) + 0.4, 3.7)
        self._styles = [_style(layer) for layer in self.layers]
        estimates = [layer.data for layer in self.layers if layer.kind in ("resolution", "spread")]
        self.window = focus(estimates[0]) if estimates else tuple((0, n) for n in self.shape)
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
            image.set_data(_pixels(cut(layer.data, self.axis, self.index), layer.kind, style))
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
        grid = self.figure.subplots(1, len(self.layers), squeeze=False)[0]
        self.axes, self.images = list(grid), []
        across, up = _plane(self.axis)
        extent = _extent(self.shape, self.voxel_size, self.origin, self.axis)
        for ax, layer, style in zip(self.axes, self.layers, self._styles):
            pixels = _pixels(cut(layer.data, self.axis, self.index), layer.kind, style)
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
            ax.set_ylabel(f"{up} (Å)" if ax is self.axes[0] else "", fontsize=9)
            ax.tick_params(labelsize=8)
            ax.xaxis.set_major_locator(MaxNLocator(5))
            ax.yaxis.set_major_locator(MaxNLocator(5))
            _colorbar(self.figure, image, ax, layer.kind, style["label"])
        self.heading = self.figure.suptitle(self._heading(), fontsize=10, color=_TEXT)

    def _zoom(self, ax: Any) -> None:
        """Show the molecule, not the empty box around it; the toolbar can zoom out."""
        sides = []
        for name in _plane(self.axis):
            number = "zyx".index(name)
            start = self.origin[2 - number] - 0.5 * self.voxel_size
            sides.append(tuple(start + edge * self.voxel_size for edge in self.window[number]))
        ax.set_xlim(*sides[0])
        ax.set_ylim(*sides[1])


def focus(resolution: np.ndarray, margin: float = 0.15) -> Tuple[Tuple[int, int], ...]:
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
    return np.asarray(np.take(data, index, axis=AXES.index(axis)))


def best_index(resolution: np.ndarray, axis: str = "z") -> int:
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
    """The map on one slice with a mask over it, for choosing the mask's threshold.

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
        super().__init__([Layer("Map, with the mask in blue", density)], voxel_size, origin)
        self.figure.set_size_inches(5.6, 4.9)

    def _draw(self) -> None:
        super()._draw()
        ax, image = self.axes[0], self.images[0]
        blue = np.zeros((*image.get_array().shape, 4), np.float32)
        self.images.append(
            ax.imshow(blue, origin="lower", extent=image.get_extent(), interpolation="nearest")
        )
        self._cover()

    def set_index(self, index: int) -> int:
        """Show slice ``index``, moved into the box; returns the slice shown."""
        shown = super().set_index(index)
        self._cover()
        return shown

    def set_threshold(self, threshold: float) -> None:
        """Show what lies above ``threshold`` of the low-passed map."""
        self.threshold = float(threshold)
        self._cover()

    def _cover(self) -> None:
        inside = cut(self.smooth, self.axis, self.index) > self.threshold
        cover = np.zeros((*inside.shape, 4), np.float32)
        cover[inside] = (0.0, 0.45, 0.7, 0.45)
        self.images[1].set_data(cover)


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
        both = estimated(truth) & estimated(estimate)
        layers.append(Layer("Estimate", estimate, "resolution"))
        layers.append(Layer("Estimate - truth", np.where(both, estimate - truth, np.nan), "difference"))
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
    figure = _figure(10.5, 3.4 * len(rows) + 0.4)
    grid: Any = figure.subplots(len(rows), 3, squeeze=False)
    for line, layer in zip(grid, rows):
        style = _style(layer)
        for ax, axis in zip(line, AXES):
            index = best_index(resolution, axis)
            across, up = _plane(axis)
            ax.set_facecolor(EMPTY)
            image = ax.imshow(
                _pixels(cut(layer.data, axis, index), layer.kind, style),
                origin="lower",
                extent=_extent(resolution.shape, voxel_size, origin, axis),
                interpolation="nearest",
                cmap=style["cmap"],
                norm=style["norm"],
            )
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
    sources: Mapping[str, Sequence[float]], voxels: Mapping[str, int] | None = None, title: str = ""
) -> Figure:
    """Bars of the ten classes and of the three, and the cumulative curve, for one or more sources.

    Args:
        sources: name -> ten fractions (of the estimated voxels; they sum to 1).
        voxels: name -> number of estimated voxels, for the legend.
        title: heading.
    """
    figure = _figure(10.0, 6.4)
    grid = figure.add_gridspec(2, 2, width_ratios=(1, 1.6), height_ratios=(1.25, 1))
    ten, three, total = (
        figure.add_subplot(grid[0, :]),
        figure.add_subplot(grid[1, 0]),
        figure.add_subplot(grid[1, 1]),
    )
    colors = class_colors()
    names = list(sources)
    width = 0.84 / max(1, len(names))
    for number, name in enumerate(names):
        fractions = np.asarray(sources[name], float)
        shown = _plain(name, 40)
        label = f"{shown} ({voxels[name]:,} voxels)" if voxels and name in voxels else shown
        shift = (number - (len(names) - 1) / 2) * width
        single = len(names) == 1
        edge = _SOURCE_COLORS[number % len(_SOURCE_COLORS)]
        hatch = None if number == 0 else ("///", "...", "xxx", "\\\\\\", "++", "oo")[(number - 1) % 6]
        for ax, values, fill in (
            (ten, fractions, colors),
            (three, global_fractions(fractions), list(global_colors().values())),
        ):
            bars = ax.bar(
                np.arange(len(values)) + shift,
                100 * values,
                width * 0.94,
                color=fill,
                edgecolor="#555555" if single else edge,
                linewidth=0.6 if single else 1.4,
                hatch=hatch,
                label=label if ax is ten else None,
            )
            if single or len(values) == 3 and len(names) <= 3:
                ax.bar_label(
                    bars, [f"{100 * v:.0f} %" if v >= 0.005 else "" for v in values], fontsize=8, padding=1
                )
        total.step(
            np.append(0.0, constants.LOCAL_EDGES_A),
            100 * np.append(0.0, np.cumsum(fractions)[:9]),
            where="post",
            color=edge,
            label=label,
        )
    ten.set_xticks(range(10), constants.LOCAL_CLASSES)
    ten.set_xlabel("local resolution class (Å)", fontsize=9)
    ten.set_ylabel("voxels (%)", fontsize=9)
    three.set_xticks(range(3), ["high\n< 5 Å", "medium\n5-10 Å", "low\n> 10 Å"])
    three.set_ylabel("voxels (%)", fontsize=9)
    total.set_xlabel("local resolution (Å)", fontsize=9)
    total.set_ylabel("voxels at or finer (%)", fontsize=9)
    total.set_xlim(0, 10)
    total.set_ylim(0, 102)
    total.grid(alpha=0.3)
    for ax in (ten, three):
        ax.margins(y=0.14)
        ax.set_ylim(bottom=0)
    if len(names) > 1 or voxels:
        total.legend(fontsize=8, loc="best")
    return _finish(figure, (ten, three, total), title or "How the voxels inside the mask are resolved")


# ------------------------------------------------------------------------------------------------- verdict


def verdict_panel(entry: Mapping[str, Any], summary: Mapping[str, Any] | None = None) -> Figure:
    """Claim, class with probabilities, estimate with interval, reasons, in one look.

    Args:
        entry: one entry of ``classification.json``.
        summary: ``local_resolution.json``, for the spread inside the map.
    """
    lines = verdict_lines(entry, summary)
    wrapped = [piece for line in lines for piece in (textwrap.wrap(line, 96) or [""])]
    text_height = 0.21 * len(wrapped) + 0.1
    figure = _figure(9.2, 3.9 + text_height)
    grid = figure.add_gridspec(3, 1, height_ratios=(text_height, 2.2, 1.3))
    words, scale, chances = (figure.add_subplot(grid[i]) for i in range(3))
    words.axis("off")
    words.text(
        0, 1, "\n".join(wrapped), va="top", fontsize=10, color=_TEXT, linespacing=1.35, parse_math=False
    )
    _scale(scale, entry, summary)
    _probability_bar(chances, entry.get("probabilities") or {})
    figure.suptitle(verdict_title(entry), fontsize=13, fontweight="bold", x=0.01, ha="left", parse_math=False)
    return figure


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
    lines += [f"Why: {reason}" for reason in _sentences(claim.get("reasons"))]
    if entry.get("in_distribution") is False:
        lines.append("This map is unlike those that the network learned from: do not rely on the estimate.")
    lines += [f"Warning: {warning}" for warning in _sentences(entry.get("warnings"))]
    return lines or ["classification.json holds no result for this map."]


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
        ax.annotate(f"{value:.1f} Å", (value, y), (0, 8), textcoords="offset points", ha="center", fontsize=9)
    claim = (entry.get("claim") or {}).get("claimed_A")
    if is_number(claim):
        ax.axvline(claim, color="#D55E00", linewidth=2, linestyle="--")
        ax.annotate(
            f"claim {claim:g} Å",
            (claim, 0.02),
            (4, 6),
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
    ax.legend(fontsize=8, ncol=3, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)


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
        counts: number of maps or voxels in each bin.
        error: expected calibration error, 0 to 1.
        title: heading.
    """
    figure = _figure(5.6, 5.6)
    if counts is not None:
        pair: Any = figure.subplots(2, 1, gridspec_kw={"height_ratios": (4, 1)}, sharex=True)
        ax, low = pair
        low.bar(100 * np.asarray(confidence), counts, width=4, color="#56B4E9")
        low.set_ylabel("n", fontsize=9)
        low.tick_params(labelsize=8)
    else:
        ax = low = figure.subplots()
    ax.plot([0, 100], [0, 100], "--", color="#888888", label="perfectly calibrated")
    ax.plot(
        100 * np.asarray(confidence), 100 * np.asarray(accuracy), "o-", color="#0072B2", label="this model"
    )
    ax.set_xlim(0, 100)
    ax.set_ylim(0, 100)
    ax.set_ylabel("observed frequency (%)", fontsize=9)
    low.set_xlabel("predicted probability (%)", fontsize=9)
    ax.legend(fontsize=8, loc="upper left")
    ax.grid(alpha=0.3)
    if error is not None:
        ax.text(97, 4, f"expected calibration error {error:.3f}", ha="right", fontsize=9)
    return _finish(figure, (ax,), title or "Calibration")


def training_curves(history: Mapping[str, Sequence[float]], title: str = "") -> Figure:
    """Training and validation curves from the columns of ``history.csv``; a panel per quantity."""
    columns = {name: np.asarray(values, float) for name, values in history.items()}
    length = max((len(values) for values in columns.values()), default=0)
    step = next((name for name in ("epoch", "step", "iteration") if name in columns), None)
    x = columns[step] if step else np.arange(1, length + 1)
    hidden = {step, "seconds", "time", "time_s", "elapsed_s", "rate", "lr", "learning_rate", "seed"}
    bases = list(dict.fromkeys(_without_prefix(name) for name in columns if name not in hidden))
    curves = {base: _training_and_validation(columns, base) for base in bases}
    bases = [base for base in bases if any(np.isfinite(v).any() for v in curves[base].values())]
    if not bases:
        return missing("The training history holds no finished epoch yet.", title)
    bases = sorted(bases, key=lambda name: (name != "loss", bases.index(name)))[:9]
    figure = _figure(4.3 * min(3, len(bases)) + 0.6, 3.5 * math.ceil(len(bases) / 3) + 0.3)
    grid: Any = figure.subplots(math.ceil(len(bases) / 3), min(3, len(bases)), squeeze=False).ravel()
    for ax, name in zip(grid, bases):
        for label, color in (("training", "#0072B2"), ("validation", "#E69F00")):
            if label in curves[name]:
                ax.plot(x, curves[name][label], color=color, marker="." if length < 30 else None, label=label)
        ax.legend(fontsize=8)
        ax.set_xlabel(step or "epoch", fontsize=9)
        ax.set_ylabel(_plain(_quantity(name)), fontsize=9)
        ax.grid(alpha=0.3)
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    for ax in grid[len(bases) :]:
        ax.axis("off")
    return _finish(figure, grid[: len(bases)], title or "Training")


def _without_prefix(name: str) -> str:
    for prefix in _VALIDATION:
        if name.startswith(prefix):
            return name[len(prefix) :]
    return name


def _training_and_validation(columns: Mapping[str, np.ndarray], base: str) -> Dict[str, np.ndarray]:
    """The columns of one quantity: measured while training, and on held-out maps; either may be missing."""
    found = {"training": columns[base]} if base in columns else {}
    held_out = next((columns[prefix + base] for prefix in _VALIDATION if prefix + base in columns), None)
    if held_out is not None:
        found["validation"] = held_out
    return found


def confusion_matrix(matrix: Sequence[Sequence[float]], names: Sequence[str], title: str = "") -> Figure:
    """Counts of true (rows) against predicted (columns) classes, shaded by the share of each row."""
    table = np.asarray(matrix, float)
    share = table / np.maximum(1, table.sum(axis=1, keepdims=True))
    side = max(4.2, 0.62 * len(names) + 1.8)
    figure = _figure(side + 0.8, side)
    ax: Any = figure.subplots()
    image = ax.imshow(100 * share, cmap="Blues", vmin=0, vmax=100)
    for (row, column), value in np.ndenumerate(table):
        ink = "white" if share[row, column] > 0.55 else _TEXT
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
    table = np.asarray(matrix, float)
    side = max(4.0, 0.9 * len(names) + 1.6)
    figure = _figure(side + 0.9, side)
    ax: Any = figure.subplots()
    image = ax.imshow(table, cmap="cividis", vmin=0, vmax=1)
    for (row, column), value in np.ndenumerate(table):
        if np.isfinite(value):
            ink = "black" if value > 0.55 else "white"
            ax.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=10, color=ink)
    _name_axes(ax, names)
    figure.colorbar(image, ax=ax, shrink=0.8, extend="min" if np.nanmin(table) < 0 else "neither").set_label(
        "agreement (1 = the same)", fontsize=9
    )
    return _finish(figure, (ax,), title or "Agreement")


def comparison_scatter(
    first: np.ndarray, second: np.ndarray, names: Tuple[str, str] = ("first", "second"), title: str = ""
) -> Figure:
    """Voxel-by-voxel density of two local-resolution volumes (A), where both have an estimate."""
    both = estimated(first) & estimated(second)
    x, y = np.asarray(first)[both], np.asarray(second)[both]
    figure = _figure(5.6, 5.2)
    ax: Any = figure.subplots()
    if not x.size:
        return missing(f"{names[0]} and {names[1]} have no estimated voxel in common.", title)
    top = float(min(40.0, max(np.percentile(x, 99.5), np.percentile(y, 99.5)) * 1.1))
    counts, _, _, image = ax.hist2d(x, y, bins=80, range=((0, top), (0, top)), cmap="cividis", norm=LogNorm())
    ax.plot([0, top], [0, top], "--", color="#D55E00", linewidth=1)
    ax.set_facecolor("#fafafa")
    ax.set_aspect("equal")
    ax.set_xlabel(f"{_plain(names[0])} (Å)", fontsize=9)
    ax.set_ylabel(f"{_plain(names[1])} (Å)", fontsize=9)
    figure.colorbar(image, ax=ax, shrink=0.85).set_label("voxels", fontsize=9)
    bias, spread = float(np.mean(y - x)), float(np.mean(np.abs(y - x)))
    ax.set_title(
        f"{x.size:,} voxels, mean difference {bias:+.2f} Å, mean absolute {spread:.2f} Å", fontsize=9
    )
    return _finish(figure, (ax,), title, labels=False)


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
    ax.set_xlabel("spatial frequency (1/Å)", fontsize=9)
    ax.set_ylabel("Fourier shell correlation", fontsize=9)
    ax.legend(fontsize=8)
    ax.grid(alpha=0.3)
    return _finish(figure, (ax,), title or "Fourier shell correlation")


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
    instead: str = ""
    """A file that can stand for the last of ``needs``."""

    def ready(self, results: ResultsFolder) -> bool:
        """Whether the files are there."""
        *others, last = self.needs
        return all(results.has(name) for name in others) and any(map(results.has, (last, self.instead)))


def from_folder(kind: str, folder: Any, axis: str = "z", index: int | None = None) -> Figure:
    """Draw any figure from a results folder; what is missing is said in the figure, never raised.

    Args:
        kind: a key of ``KINDS``.
        folder: path of a results folder, or an open ``ResultsFolder``.
        axis: for slices, the axis to look along.
        index: for slices, the slice number.

    Raises:
        KeyError: no such kind (a programming error; the command line offers a choice).
    """
    recipe = KINDS[kind]
    results = folder if isinstance(folder, ResultsFolder) else ResultsFolder(folder)
    title = recipe.help[0].upper() + recipe.help[1:]
    try:
        figure = recipe.draw(results, axis=axis, index=index)
    except Exception as error:  # files of another version may miss any key; a viewer must outlive that
        problem = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return missing(
            f"The {kind} figure cannot be drawn from {results.folder}: its files are damaged or of another "
            f"version ({problem}). Run the command again.",
            title,
        )
    return figure if figure is not None else missing(results.missing(*recipe.needs), title)


def slices_from_folder(
    folder: Any, kind: str = "slices", axis: str = "z", index: int | None = None
) -> SliceFigure | None:
    """A movable slice figure of a results folder, or ``None`` when its volumes are missing.

    Args:
        folder: path or ``ResultsFolder``.
        kind: ``slices``, ``interval``, ``disagreement`` or ``truth``.
        axis: the axis to look along.
        index: the slice number.
    """
    results = folder if isinstance(folder, ResultsFolder) else ResultsFolder(folder)
    layers, reference = _SLICES[kind](results)
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
    volumes = {name: volume.data for name, volume in list(compared_volumes(results).items())[:3]}
    return _disagreement_layers(volumes, spread.data), spread


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
            found[str(name)] = volume
    return found


def _listed_volume(results: ResultsFolder, name: str) -> Dict[str, Any]:
    """The entry of ``comparison.json`` about one volume."""
    listed = (results.comparison or {}).get("volumes") or []
    return next((v for v in listed if isinstance(v, dict) and v.get("name") == name), {})


def _draw_slices(kind: str) -> Callable[..., Figure | None]:
    def draw(results: ResultsFolder, axis: str = "z", index: int | None = None) -> Figure | None:
        shown = slices_from_folder(results, kind, axis, index)
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


def _draw_histogram(results: ResultsFolder, **_: Any) -> Figure | None:
    sources, voxels = histogram_sources(results)
    return class_histogram(sources, voxels) if sources else None


def histogram_sources(results: ResultsFolder) -> Tuple[Dict[str, List[float]], Dict[str, int]]:
    """Ten class fractions and voxel counts of the map's estimate and of every method compared with it."""
    sources: Dict[str, List[float]] = {}
    voxels: Dict[str, int] = {}
    summary = results.summary
    if summary and isinstance(summary.get("fractions"), dict):
        fractions = summary["fractions"]
        sources["this estimate"] = [float(fractions.get(name, 0.0)) for name in constants.LOCAL_CLASSES]
        if is_number(summary.get("n_voxels")):
            voxels["this estimate"] = int(summary["n_voxels"])
    elif results.resolution is not None:
        data = results.resolution.data
        sources["this estimate"] = list(class_fractions(data))
        voxels["this estimate"] = int(estimated(data).sum())
    for name, volume in compared_volumes(results).items():
        if Path(volume.path).name == constants.LOCAL_RESOLUTION and sources:
            continue
        listed = _listed_volume(results, name)
        if isinstance(listed.get("fractions"), dict):
            sources[name] = [float(listed["fractions"].get(c, 0.0)) for c in constants.LOCAL_CLASSES]
            voxels[name] = int(listed.get("n_voxels") or 0)
        else:
            sources[name] = list(class_fractions(volume.data))
            voxels[name] = int(estimated(volume.data).sum())
    return sources, voxels


def _draw_curves(results: ResultsFolder, **_: Any) -> Figure | None:
    history = results.table(HISTORY_CSV)
    return None if history is None else training_curves(history)


def _draw_confusion(results: ResultsFolder, **_: Any) -> Figure | None:
    found = _find(_metrics(results), "confusion", "confusion_matrix")
    if found is None:
        return None
    matrix: Any = found.get("matrix") or found.get("counts") if isinstance(found, dict) else found
    names = found.get("classes") or found.get("names") if isinstance(found, dict) else None
    default = constants.GLOBAL_CLASSES if len(matrix) == 3 else constants.LOCAL_CLASSES
    return confusion_matrix(matrix, names or default)


def _draw_reliability(results: ResultsFolder, **_: Any) -> Figure | None:
    metrics = _metrics(results)
    if metrics is None and results.has(constants.CLASSIFICATION_JSON):
        metrics = _card_of((results.classification or {}).get("model"))
    figure = reliability_from(_table_of_bins(metrics))
    if figure is None and metrics is not None:
        return missing("The model's card holds no calibration table, so nothing can be said.", "Calibration")
    return figure


def _metrics(results: ResultsFolder) -> Any:
    """What is known about a model in this folder: ``metrics.json`` of evaluate, or the card of a training."""
    if results.has(TRAINED) and not results.has(METRICS_JSON) and not results.has(CARD_JSON):
        return _card_of(str(results.folder / TRAINED))
    return results.json(METRICS_JSON if results.has(METRICS_JSON) else CARD_JSON)


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


def reliability_from(found: Any) -> Figure | None:
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
        [bins["confidence"][i] for i in kept], [bins["accuracy"][i] for i in kept], counted, error
    )


def _draw_agreement(results: ResultsFolder, **_: Any) -> Figure | None:
    names, matrix = agreement(results.comparison or {}, "kappa")
    return agreement_matrix(names, matrix, "Cohen's kappa on the ten classes") if names else None


def agreement(comparison: Mapping[str, Any], measure: str) -> Tuple[List[str], List[List[float]]]:
    """Names and square matrix of one ``measure`` of ``comparison.json``; empty when it has none."""
    pairs = comparison.get("pairs")
    if not isinstance(pairs, list):
        return [], []
    names: List[str] = []
    for pair in pairs:
        names += [name for name in pair_names(pair) if name not in names]
    matrix = [[1.0 if a == b else float("nan") for b in names] for a in names]
    for pair in pairs:
        first, second = (names.index(name) for name in pair_names(pair))
        if is_number(pair.get(measure)):
            matrix[first][second] = matrix[second][first] = float(pair[measure])
    return names, matrix


def _draw_scatter(results: ResultsFolder, **_: Any) -> Figure | None:
    volumes = list(compared_volumes(results).items())
    if len(volumes) < 2:
        return None
    (first, a), (second, b) = volumes[:2]
    return comparison_scatter(a.data, b.data, (first, second))


def _draw_fsc(results: ResultsFolder, **_: Any) -> Figure | None:
    found = results.json(SIMULATION_JSON)
    fsc = _find(found, "fsc", "global_fsc")
    if not isinstance(fsc, dict):
        return None
    frequency: Any = fsc.get("frequency") or fsc.get("frequency_per_A") or fsc.get("frequencies_per_A")
    curves = {
        k: v
        for k, v in fsc.items()
        if isinstance(v, list) and v is not frequency and len(v) == len(frequency)
    }
    cutoffs = fsc.get("cutoffs_A") or {
        "expected, 0.143": found.get("global_fsc0143_A"),
        "measured, 0.143": found.get("measured_fsc0143_masked_A"),
    }
    return fsc_curve(frequency, curves, {k: v for k, v in cutoffs.items() if is_number(v) and v > 0})


_SLICES: Dict[str, Callable[[ResultsFolder], Tuple[List[Layer], Volume | None]]] = {
    "slices": _slice_layers,
    "interval": _interval_layers,
    "disagreement": _disagreement_slice_layers,
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
        constants.COMPARISON_JSON,
    ),
    "disagreement": Kind(
        "where the methods disagree", _draw_slices("disagreement"), (constants.DISAGREEMENT,)
    ),
    "agreement": Kind("pairwise agreement of the methods", _draw_agreement, (constants.COMPARISON_JSON,)),
    "scatter": Kind("two methods, voxel by voxel", _draw_scatter, (constants.COMPARISON_JSON,)),
    "reliability": Kind(
        "calibration of the probabilities", _draw_reliability, (METRICS_JSON,), constants.CLASSIFICATION_JSON
    ),
    "confusion": Kind("true against predicted classes", _draw_confusion, (METRICS_JSON,), CARD_JSON),
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


def _disagreement_layers(volumes: Mapping[str, np.ndarray], disagreement: np.ndarray) -> List[Layer]:
    layers = [Layer(name, data, "resolution") for name, data in volumes.items()]
    if len(volumes) == 2:  # of more than two there is no one difference
        (first, a), (second, b) = volumes.items()
        both = estimated(a) & estimated(b)
        signed = np.where(both, np.asarray(b, np.float32) - np.asarray(a, np.float32), np.float32(np.nan))
        layers.append(Layer(f"{second} - {first}", signed, "difference"))
    return layers + [Layer("Disagreement", disagreement, "spread")]


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


def _pixels(plane: np.ndarray, kind: str, style: Mapping[str, Any]) -> np.ndarray:
    plane = np.asarray(plane, np.float32)
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
    name = name.replace("_A", " (Å)") if name.endswith("_A") else name
    name = name.replace("mae (Å)", "mean absolute error (Å)").replace("rho", "rank correlation")
    return {"mae": "mean absolute error (Å)", "accuracy": "accuracy (0 to 1)"}.get(
        name, name.replace("_", " ")
    )


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
