"""What all figures share: sizes, titles, saving."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any, Sequence

from matplotlib.figure import Figure

from ...base.runs.atomic_files import PathLike, atomic_path

FORMATS = ("png", "svg", "pdf")


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


def save_figure(figure: Figure, path: PathLike, dpi: int = 130) -> Path:
    """Save a figure whole or not at all; the suffix (.png, .svg or .pdf) says the format."""
    path = Path(path)
    kind = path.suffix.lower().lstrip(".")
    # No dates inside: the same results give the same bytes.
    stamp = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format=kind, dpi=dpi, metadata=stamp)
    return path


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
