"""Fourier shell correlation against spatial frequency."""

from __future__ import annotations

from typing import Any, List, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from ....base import resolution_terms
from ...fsc_files import CURVE_NAMES
from ..colours import CURVE_COLORS, SOURCE_COLORS
from ..drawing import _figure, _finish, _plain


def fsc_curve(
    frequency: Sequence[float],
    curves: Mapping[str, Sequence[float]],
    cutoffs: Mapping[str, float] | None = None,
) -> Figure:
    """Fourier shell correlation against spatial frequency.

    Args:
        frequency: shell frequencies in 1/A.
        curves: name -> correlation per shell.
        cutoffs: name -> resolution in A, marked.
    """
    figure = _figure(6.4, 4.4)
    ax: Any = figure.subplots()
    for (name, values), color in zip(curves.items(), SOURCE_COLORS):
        ax.plot(frequency, values, color=color, label=_plain(name))
    ax.axhline(resolution_terms.FSC_THRESHOLD, color="#888888", linestyle=":", linewidth=1)
    ax.text(
        0.01,
        resolution_terms.FSC_THRESHOLD,
        " 0.143",
        transform=ax.get_yaxis_transform(),
        va="bottom",
        fontsize=8,
    )
    for (name, value), color in zip((cutoffs or {}).items(), SOURCE_COLORS):
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
    return _finish(figure, (ax,), "Fourier shell correlation")


def half_map_figure(
    found: Mapping[str, Any], claimed_A: float | None = None, estimate_A: float | None = None
) -> Figure:
    """The curves of two half maps with their crossings, a claim and the network's estimate.

    Args:
        found: content of ``fsc.json``.
        claimed_A: A, or None.
        estimate_A: A, or None.
    """
    figure = _figure(8.4, 5.2)
    ax: Any = figure.subplots()
    frequency, curves, cutoffs = found["frequency_per_A"], found["curves"], found["cutoffs_A"]
    for name, color in CURVE_COLORS.items():
        end = cutoffs.get(f"{name}_0143")
        label = CURVE_NAMES[name] + (f", 0.143 at {end:.2f} Å" if end else "")
        dashed = name in ("half_bit", "randomised")
        ax.plot(frequency, curves[name], color=color, label=label, linestyle="--" if dashed else "-")
    for level in (0.143, 0.5):
        ax.axhline(level, color="#888888", linestyle=":", linewidth=1)
        ax.text(0.005, level, f" {level}", transform=ax.get_yaxis_transform(), va="bottom", fontsize=8)
    for value, words, color in ((claimed_A, "claim", "#B04A00"), (estimate_A, "estimate", "#0072B2")):
        if value and 1 / value <= frequency[-1]:
            ax.axvline(1 / value, color=color, linestyle="--", linewidth=1.2, label=f"{words}: {value:.2f} Å")
    ax.set_ylim(-0.1, 1.05)
    ax.set_xlim(0, frequency[-1])
    _angstroms_above(ax)
    ax.set_xlabel("spatial frequency (1/Å)", fontsize=9)
    ax.set_ylabel("Fourier shell correlation", fontsize=9)
    ax.legend(fontsize=8, loc="upper right")
    ax.grid(alpha=0.3)
    return _finish(figure, (ax,), "Fourier shell correlation of the half maps")


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
