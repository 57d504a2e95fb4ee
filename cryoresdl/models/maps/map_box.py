"""The box of a map without padding, which carries no information."""

from __future__ import annotations

import numpy as np

SMALLEST_BOX = 16
"""Nothing smaller is left of a padded box, in voxels."""


def without_copies(data: np.ndarray) -> tuple[slice, ...]:
    """The box that a map had before it was padded with its own faces or periodically.

    Faces that hold one value are left: such padding may be an earlier mask's.

    Args:
        data: (z, y, x).

    Returns:
        slices (z, y, x); of a periodic map the middle period.
    """
    return tuple(_without_copies(np.moveaxis(data, axis, 0)) for axis in range(3))


def _without_copies(faces: np.ndarray) -> slice:
    low, high = 0, len(faces)
    while high - low > SMALLEST_BOX and _copied(faces[low], faces[low + 1]):
        low += 1
    while high - low > SMALLEST_BOX and _copied(faces[high - 1], faces[high - 2]):
        high -= 1
    length = high - low
    line = faces[low:high, faces.shape[1] // 2, faces.shape[2] // 2]
    for period in range(max(SMALLEST_BOX, length // 2 + 1), length):
        if not np.array_equal(line[: length - period], line[period:]):
            continue
        copied = faces[low : high - period]
        if np.array_equal(copied, faces[low + period : high]) and (copied != copied.flat[0]).any():
            low += (length - period) // 2
            return slice(low, low + period)
    return slice(low, high)


def _copied(face: np.ndarray, other: np.ndarray) -> bool:
    return bool(np.array_equal(face, other) and (face != face.flat[0]).any())


def without_border(data: np.ndarray) -> tuple[slice, ...]:
    """The box without faces that hold nothing but one and the same value: padding carries no information."""
    value = data[0, 0, 0]
    window = []
    for axis in range(3):
        low, high = 0, data.shape[axis]
        while high - low > SMALLEST_BOX and (np.take(data, low, axis) == value).all():
            low += 1
        while high - low > SMALLEST_BOX and (np.take(data, high - 1, axis) == value).all():
            high -= 1
        window.append(slice(low, high))
    return tuple(window)
