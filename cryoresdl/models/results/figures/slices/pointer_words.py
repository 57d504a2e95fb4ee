"""What a window says of the point of a slice that the mouse is over: its place along all three axes, and the value there."""

from __future__ import annotations

from typing import Any, Callable

import numpy as np

from .slice_layers import PanelStyle
from .volume_slices import _plane


def tell_pointer(ax: Any, image: Any, axis: str, position_A: Callable[[], float], style: PanelStyle) -> None:
    """Let the toolbar of a window name place and value; without this it prints bare numbers.

    Args:
        ax: the axes of the slice, in A.
        image: the slice.
        axis: the axis that the slice is perpendicular to.
        position_A: gives where it lies along that axis now.
        style: names the values and their unit.
    """
    across, up = _plane(axis)

    def place(x: float, y: float) -> str:
        found = {across: x, up: y, axis: position_A()}
        return ", ".join(f"{name} = {found[name]:.1f} Å" for name in "xyz")

    ax.format_coord = place
    image.format_cursor_data = lambda value: value_words(value, style)


def value_words(value: Any, style: PanelStyle) -> str:
    """A value with its name and unit, as ``local resolution 3.42 Å``."""
    if value is None or np.ma.is_masked(value) or not np.isfinite(value):
        return "not estimated"
    name, _, unit = style.label.partition(" (")
    if not unit:
        return f"{name} {float(value):.3g} (the map's units)"
    sign = "+" if name == "difference" else ""
    return f"{name} {float(value):{sign}.2f} {unit.rstrip(')')}"
