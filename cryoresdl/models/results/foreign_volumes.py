"""Local-resolution volumes of other programs: which voxels are estimates and which are background."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..base.resolution_terms import estimated

FILLED_PART = 0.4
"""One and the same value in this part of the box is no estimate but a filled background (RELION's global value)."""


def without_background(values: np.ndarray, mask: np.ndarray | None) -> tuple[np.ndarray, float | None]:
    """Set a filled background to 0 ("not estimated") where no mask tells it apart.

    RELION's ``locres`` carries the global resolution outside the molecule.

    Returns:
        The values, and the value that filled the background (None when there was none).
    """
    if mask is not None:
        return values, None
    found, counts = np.unique(values[estimated(values)], return_counts=True)
    if not found.size or counts.max() < FILLED_PART * values.size:
        return values, None
    fill = found[counts.argmax()]
    return np.where(values == fill, 0, values).astype(np.float32), float(fill)


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
