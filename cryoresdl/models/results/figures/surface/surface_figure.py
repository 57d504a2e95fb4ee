"""The surface of a map coloured by its local resolution, as a picture of three views."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy import ndimage

from ..colours import ColourRange, resolution_colors
from ..slices.slice_layers import _colorbar
from .molecule_surface import MoleculeSurface, surface_of
from .ray_caster import VIEWS, look

SIDE = 110
"""Longest side of the volume that is looked at, in voxels."""
PIXELS = 400


def surface_figure(density: Any, resolution: Any, voxel_size: float, *, span: ColourRange = None) -> Figure:
    """Three views of the map's surface in the colours of the local resolution.

    Args:
        density: the map (z, y, x).
        resolution: local resolution (z, y, x), A.
        voxel_size: A.
        span: range of the colours.
    """
    surface = surface_of(density, resolution, resolution, voxel_size, (0.0, 0.0, 0.0), SIDE)
    colors = resolution_colors(span)
    # A layout that is calculated costs a quarter of the picture's time; here nothing has to be kept clear of.
    figure = Figure(figsize=(11.0, 4.1), facecolor="white")
    figure.subplots_adjust(0.0, 0.02, 1.09, 0.92, wspace=0.0)
    axes: Any = figure.subplots(1, len(VIEWS))
    pictures = [picture(surface, rotation, colors) for _, rotation in VIEWS]
    for ax, (name, _), image in zip(axes, VIEWS, pictures):
        ax.imshow(image, interpolation="bicubic")
        ax.set_title(name, fontsize=10)
        ax.axis("off")
    bar = axes[-1].imshow(
        np.full((1, 1), np.nan), cmap=colors.cmap, norm=colors.norm, extent=(0, 1, 0, 1), zorder=-1
    )
    axes[-1].set_xlim(-0.5, pictures[-1].shape[1] - 0.5)
    axes[-1].set_ylim(pictures[-1].shape[0] - 0.5, -0.5)
    _colorbar(figure, bar, list(axes), "resolution", "local resolution (Å)")
    return figure


def picture(surface: MoleculeSurface, rotation: np.ndarray, colors: Any, pixels: int = PIXELS) -> np.ndarray:
    """One view as an image.

    Args:
        surface: the molecule.
        rotation: see `ray_caster.look`.
        colors: turns values into colours (``to_rgba``).
        pixels: sides of the picture.

    Returns:
        float32 (rows, columns, 3), white where nothing is.
    """
    seen = look(surface.density, surface.level, rotation, pixels)
    values = ndimage.map_coordinates(surface.values, seen.points.T, order=1, mode="nearest")
    paint = colors.to_rgba(np.maximum(values, 0.1))[:, :3]
    paint[values < 0.5] = 0.72  # beyond what is estimated
    image = np.ones((pixels, pixels, 3), np.float32)
    image[seen.hit] = np.clip(paint * seen.shade[:, None] * 1.08, 0, 1)
    return image
