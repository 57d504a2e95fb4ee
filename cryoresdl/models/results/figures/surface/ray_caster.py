"""A surface of a map seen from outside, calculated with numpy: no display, no OpenGL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Tuple

import numpy as np
from scipy import ndimage

LIGHT = np.array([-0.8, -0.4, 0.45]) / np.linalg.norm([-0.8, -0.4, 0.45])
"""Where the light comes from, as (depth, row, column): behind the viewer, above, to the right."""
AMBIENT, DEPTH_FADE = 0.42, 0.35


@dataclass(frozen=True)
class SurfaceView:
    """What one look at a surface shows; arrays of rows (from the top) and columns.

    Attributes:
        hit: bool, where the surface is seen.
        points: float32 (n, 3), the places (z, y, x) of the pixels that hit, in voxels of the volume.
        shade: float32 (n), brightness of these pixels, 0 to about 1.
    """

    hit: np.ndarray
    points: np.ndarray
    shade: np.ndarray


def look(volume: np.ndarray, level: float, rotation: np.ndarray, pixels: int) -> SurfaceView:
    """Look at the surface of a volume along one direction, without perspective.

    Args:
        volume: float32 (z, y, x).
        level: density of the surface.
        rotation: 3 x 3; its rows are the directions of depth (away from the viewer), up and right as (z, y, x).
        pixels: sides of the picture.
    """
    above = np.argwhere(volume > level)
    if not above.size:
        return SurfaceView(
            np.zeros((pixels, pixels), bool), np.empty((0, 3), np.float32), np.empty(0, np.float32)
        )
    centre = (above.min(axis=0) + above.max(axis=0)) / 2
    reach = float(np.linalg.norm(above - centre, axis=1).max()) + 1.5
    # (depth, row, column) in voxels -> volume (z, y, x): rows count from the top, all from the middle.
    axes = (rotation * np.array([[1.0], [-1.0], [1.0]])).T

    def density(where: np.ndarray) -> np.ndarray:
        places = axes @ where + centre[:, None]
        return ndimage.map_coordinates(volume, places, order=1, mode="constant", cval=float(volume.min()))

    hit, where = _first_hits(density, level, reach, pixels)
    light = np.clip(_normals(density, where) @ LIGHT, 0, 1)
    depth = where[0]
    fade = 1 - DEPTH_FADE * (depth - depth.min(initial=0.0)) / (2 * reach)
    points = (axes @ where + centre[:, None]).T.astype(np.float32)
    return SurfaceView(
        hit, points, ((AMBIENT + (1 - AMBIENT) * light) * np.minimum(fade, 1)).astype(np.float32)
    )


def _first_hits(
    density: Callable[[np.ndarray], np.ndarray], level: float, reach: float, pixels: int
) -> Tuple[np.ndarray, np.ndarray]:
    """Pixels whose ray meets the surface, and where (3, n): first on a coarse grid, then from just before it on."""
    steps = np.arange(-reach, reach, 1.0)
    coarse = max(8, int(reach))
    ends = np.linspace(-reach, reach, coarse)
    grid = np.stack(np.meshgrid(steps, ends, ends, indexing="ij")).reshape(3, -1)
    inside = (density(grid) > level).reshape(len(steps), coarse, coarse)
    first = np.where(inside.any(axis=0), steps[inside.argmax(axis=0)], reach)
    nearest = ndimage.minimum_filter(first, 3)
    picked = np.rint(np.linspace(0, coarse - 1, pixels)).astype(int)
    start = nearest[np.ix_(picked, picked)] - 2
    rows, columns = np.nonzero(start < reach - 3)
    across = np.linspace(-reach, reach, pixels)
    where = np.stack([start[rows, columns], across[rows], across[columns]])
    found = np.zeros(rows.size, bool)
    active, last = np.arange(rows.size), density(where)
    while active.size:
        where[0, active] += 1.0
        now = density(where[:, active])
        met = now > level
        ended = active[met]
        part = (level - last[ended]) / np.maximum(now[met] - last[ended], 1e-12)
        where[0, ended] += np.clip(part, 0, 1) - 1
        found[ended] = True
        last[active] = now
        active = active[~met & (where[0, active] < reach)]
    hit = np.zeros((pixels, pixels), bool)
    hit[rows[found], columns[found]] = True
    return hit, where[:, found]


def _normals(density: Callable[[np.ndarray], np.ndarray], where: np.ndarray) -> np.ndarray:
    """Outward unit normals (n, 3) as (depth, row, column) at places (3, n)."""
    slopes = []
    for axis in range(3):
        step = np.zeros((3, 1))
        step[axis] = 1.2
        slopes.append(density(where + step) - density(where - step))
    gradient = np.stack(slopes, axis=1)
    return -gradient / np.maximum(np.linalg.norm(gradient, axis=1, keepdims=True), 1e-12)


def turned(about_up: float, about_right: float) -> np.ndarray:
    """A rotation for `look`: turned about the vertical axis, then tipped, in degrees.

    At 0, 0 x points right, y up and z towards the viewer, so that the hand of the molecule is right.
    """
    a, b = np.radians([about_up, about_right])
    turn = np.array([[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]])
    tip = np.array([[np.cos(b), np.sin(b), 0], [-np.sin(b), np.cos(b), 0], [0, 0, 1]])
    return tip @ turn @ np.diag([-1.0, 1.0, 1.0])


VIEWS: Tuple[Tuple[str, np.ndarray], ...] = (
    ("front", turned(0, 0)),
    ("turned by 90°", turned(90, 0)),
    ("from above", turned(0, 90)),
)
"""The three views of a static picture."""
