"""Resolution by direction on a globe, and the share of the directions that reach a resolution."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from ...compared_results import is_number
from ..colours import ColourRange, resolution_colors, resolution_ticks
from ..drawing import _figure, _finish

_PIXELS = 180
_TICKS = (1.5, 2, 3, 4, 6, 8, 12)
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
        span: range of the colours.
    """
    axes = np.stack([np.asarray(table[name], float) for name in ("z", "y", "x")], axis=1)
    resolution = np.asarray(table["resolution_A"], float)
    figure = _figure(9.0, 4.4)
    panels: Any = figure.subplots(1, 2, width_ratios=[1.0, 1.1])
    globe, shares = panels
    colours = resolution_colors(span)
    values = _globe(axes, resolution)
    pixels = colours.to_rgba(values)
    pixels[~np.isfinite(values), 3] = 0.0
    globe.imshow(pixels, extent=(-1, 1, -1, 1), origin="lower")
    globe.add_patch(_circle())
    for name, (x, y) in {"z": (0.0, 0.0), "x": (0.93, 0.0), "y": (0.0, 0.93)}.items():
        globe.text(x, y, name, ha="center", va="center", fontsize=11, color="white", weight="bold")
    if resolution.max() > ALIKE * resolution.min():
        _mark(globe, summary.get("worst_axis_zyx"), "worst")
    globe.set_axis_off()
    globe.set_title(f"cones of {summary.get('half_angle_degrees', 20):g}° about each direction", fontsize=10)
    bar = figure.colorbar(
        colours, ax=globe, shrink=0.8, ticks=_TICKS if span is None else resolution_ticks(span), format="%g"
    )
    bar.ax.minorticks_off()
    bar.set_label("resolution (Å)", fontsize=9)
    _draw_shares(shares, table, claimed)
    return _finish(figure, [shares], "Resolution by direction")


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
    shrink = 1.0 / np.sqrt(1.0 + z)
    ax.plot(
        [x * shrink],
        [y * shrink],
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
