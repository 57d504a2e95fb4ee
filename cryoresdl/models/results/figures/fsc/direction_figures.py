"""Resolution by direction on a globe, and the share of the directions that reach a resolution."""

from __future__ import annotations

from typing import Any, Mapping, Sequence, Tuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from ...compared_results import is_number
from ..colours import ColourRange, resolution_colors
from ..drawing import _figure, _finish

_PIXELS = 180
LEAST_SPAN = 1.3
"""Highest over lowest resolution of the globe's colours, at least: what chance does shall not look like much."""
_NEAR_RIM = 0.25
_BAND = "#c9d6e6"
ALIKE = 1.02
"""Directions whose resolutions differ by less have no worst one."""


def direction_globe(
    table: Mapping[str, Sequence[float]],
    summary: Mapping[str, Any],
    claimed: float | None = None,
    *,
    span: ColourRange = None,
) -> Figure:
    """The half sphere of directions from above, and how many directions are resolved how well.

    Args:
        table: columns z, y, x (unit vectors), resolution_A, low_A and high_A of ``directional.csv``.
        summary: content of ``directional.json``.
        claimed: a claimed resolution in A, drawn as a line.
        span: range of the colours; None is that of the directions, so that they can be told apart.
    """
    axes = np.stack([np.asarray(table[name], float) for name in ("z", "y", "x")], axis=1)
    resolution = np.asarray(table["resolution_A"], float)
    figure = _figure(9.0, 4.4)
    panels: Any = figure.subplots(1, 2, width_ratios=[1.0, 1.1])
    globe, shares = panels
    span = span or _span_of(resolution)
    colours = resolution_colors(span)
    values = _globe(axes, resolution)
    pixels = colours.to_rgba(values)
    pixels[~np.isfinite(values), 3] = 0.0
    globe.imshow(pixels, extent=(-1, 1, -1, 1), origin="lower")
    globe.add_patch(_circle())
    for name, (x, y) in {"z": (0.0, 0.0), "x": (0.93, 0.0), "y": (0.0, 0.93)}.items():
        text = globe.text(x, y, name, ha="center", va="center", fontsize=11, color="white", weight="bold")
        text.set_path_effects([withStroke(linewidth=2.5, foreground="#333333")])
    if resolution.max() > ALIKE * resolution.min():
        _mark(globe, summary.get("worst_axis_zyx"), "worst")
    globe.set_axis_off()
    globe.set_title(f"cones of {summary.get('half_angle_degrees', 20):g}° about each direction", fontsize=10)
    ticks = [value for value in MaxNLocator(6).tick_values(*span) if span[0] <= value <= span[1]]
    bar = figure.colorbar(colours, ax=globe, shrink=0.8, ticks=ticks, format="%g")
    bar.ax.minorticks_off()
    bar.set_label("resolution (Å)", fontsize=9)
    _draw_shares(shares, table, claimed)
    return _finish(figure, [shares], "Resolution by direction")


def _span_of(resolution: np.ndarray) -> Tuple[float, float]:
    low, high = float(resolution.min()), float(resolution.max())
    wider = max(LEAST_SPAN * low / high, 1.0) ** 0.5
    return low / wider, high * wider


def _circle() -> Any:
    from matplotlib.patches import Circle

    return Circle((0, 0), 1.0, fill=False, color="#444444", linewidth=1.0)


def _globe(axes: np.ndarray, resolution: np.ndarray) -> np.ndarray:
    """The half sphere z > 0 in Lambert's equal-area projection, each pixel with the nearest axes' mean; NaN outside."""
    side = (np.arange(_PIXELS) + 0.5) * (2.0 / _PIXELS) - 1.0
    x, y = side[None, :], side[:, None]
    square = x**2 + y**2
    z = np.maximum(1.0 - square, 0.0)
    across = np.sqrt(np.maximum(2.0 - square, 0.0))
    points = np.stack([z, y * across, x * across], axis=-1)
    weight = np.exp(60.0 * (np.abs(points @ axes.T) - 1.0))
    values = np.exp((weight @ np.log(resolution)) / weight.sum(-1))
    return np.where(square <= 1.0, values, np.nan)


def _mark(ax: Any, axis: Any, name: str) -> None:
    if not (isinstance(axis, (list, tuple)) and len(axis) == 3 and all(map(is_number, axis))):
        return
    z, y, x = np.asarray(axis, float) * (1.0 if axis[0] >= 0 else -1.0)
    ends = (
        np.array([[x, y]]) if z > _NEAR_RIM else np.array([[x, y], [-x, -y]])
    )  # the opposite is the same axis
    ends = ends / np.sqrt(1.0 + z)
    ax.plot(
        *ends.T,
        clip_on=False,
        marker="o",
        linestyle="none",
        ms=9,
        mfc="none",
        mec="#d62728",
        mew=2,
        label=name,
    )
    ax.legend(loc="lower left", fontsize=9, frameon=False)


def _draw_shares(ax: Any, table: Mapping[str, Sequence[float]], claimed: float | None) -> None:
    """Share of the directions that reach a resolution, with the 68 % interval of every direction as a band."""
    share = 100.0 * (np.arange(len(table["z"])) + 1.0) / len(table["z"])
    low, middle, high = (np.sort(np.asarray(table[n], float)) for n in ("low_A", "resolution_A", "high_A"))
    ax.fill_betweenx(share, low, high, color=_BAND, label="68 % interval", linewidth=0)
    ax.plot(middle, share, color="#1f4e79", linewidth=1.8, label="directions")
    if is_number(claimed):
        ax.axvline(claimed, color="#d62728", linewidth=1.2, linestyle="--", label="claim")
    ax.set_xlabel("resolution (Å)")
    ax.set_ylabel("directions that reach it (%)")
    ax.set_ylim(0, 100)
    ax.legend(fontsize=9, frameon=False, loc="upper center", bbox_to_anchor=(0.5, 1.12), ncols=3)
