"""The words and numbers of resolution: classes and their edges, what "not estimated" is, and summaries of a volume."""

from __future__ import annotations

from typing import Any

import numpy as np

from .errors import InputError

GLOBAL_CLASSES = ("high", "medium", "low")
GLOBAL_EDGES_A = (5.0, 10.0)
"""Edges of the global classes in angstroms; both edges belong to ``medium`` (paper, section 4.1)."""
GLOBAL_CENTRES_A = (2.5, 6.5, 12.0)
"""Angstroms that stand for each global class."""

LOCAL_EDGES_A = (2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0)
"""Upper edges of local classes 0..8 in angstroms, each closed on the right; class 9 is above the last."""
LOCAL_CENTRES_A = (1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5, 9.5, 11.0)
"""Angstroms that stand for each local class where one number is wanted; few maps are finer than 1 A, hence 1.5."""
LOCAL_CLASSES = ("0-2", "2-3", "3-4", "4-5", "5-6", "6-7", "7-8", "8-9", "9-10", "10+")
NOT_ESTIMATED_CLASS = -1
RESMAP_NOT_ESTIMATED_A = 100.0
"""ResMap writes 100 A where no resolution passed; values at or above it are "not estimated"."""
COARSEST_A = 99.0
"""The coarsest local resolution that is written, for that reason."""

RESOLUTION_RANGE_A = (1.5, 12.0)
"""What the colours of resolutions stand for where they are the same for all maps."""
MOST_B_FACTOR_A2 = 1000.0
"""Of a B-factor's size, in A^2, beyond which no map is sharpened or blurred."""
FSC_THRESHOLD = 0.143
CRITERIA = ("0.143", "0.5")
"""FSC at which a resolution is read; the first is what is meant where nothing is said. Before about 2013 most meant 0.5."""

COMPARED = {
    "monores": "MonoRes",
    "resmap": "ResMap",
    "relion": "RELION",
    "cryosparc": "cryoSPARC",
    "blocres": "blocres",
    "phenix": "Phenix",
    "deepres": "DeepRes",
}
"""Options and columns for local resolutions of other programs, and what these are called."""
BY_HALF = ("cryosparc", "blocres")
"""Those whose estimates are by FSC 0.5 unless they are told otherwise (``docs/reference/other-programs.md``)."""

SUPPORTED, OPTIMISTIC, PESSIMISTIC, CANNOT_TELL = "supported", "optimistic", "pessimistic", "cannot tell"


def estimated(resolution: np.ndarray) -> np.ndarray:
    """Where a local-resolution volume holds a value: above 0 and below 100 A (ResMap's sentinel), not NaN.

    Args:
        resolution: A, any shape.

    Returns:
        bool array of that shape.
    """
    values = np.asarray(resolution)
    with np.errstate(invalid="ignore"):
        return (values > 0) & (values < RESMAP_NOT_ESTIMATED_A)


def class_of(resolution: np.ndarray) -> np.ndarray:
    """Local class of every voxel: (0-2], (2-3], ... (9-10], (10, 100) A are 0 ... 9 (paper, section 4.3).

    Args:
        resolution: A, any shape.

    Returns:
        int8 array of that shape; -1 where nothing was estimated (see `estimated`).
    """
    values = np.asarray(resolution)
    classes = np.zeros(values.shape, np.int8)
    with np.errstate(invalid="ignore"):
        for edge in LOCAL_EDGES_A:  # nine comparisons are faster than a search per voxel
            classes += values > edge
    return np.where(estimated(values), classes, np.int8(NOT_ESTIMATED_CLASS))


def global_class_of(resolution_A: np.ndarray) -> np.ndarray:
    """Index of the global class of many resolutions in angstroms; edges as in :func:`global_class`."""
    low, high = GLOBAL_EDGES_A
    return np.where(resolution_A < low, 0, np.where(resolution_A <= high, 1, 2))


def global_class(resolution_A: float) -> str:
    """``high`` below 5 A, ``medium`` from 5 to 10 A with both edges, ``low`` above 10 A (paper, section 4.1).

    Raises:
        InputError: not a number above 0.
    """
    value = float(resolution_A)
    if not value > 0:
        raise InputError(f"A resolution of {value:g} A has no class; give a number above 0.")
    low, high = GLOBAL_EDGES_A
    if value < low:
        return GLOBAL_CLASSES[0]
    return GLOBAL_CLASSES[1] if value <= high else GLOBAL_CLASSES[2]


def summarize(resolution: np.ndarray, mask: np.ndarray | None = None) -> dict[str, Any]:
    """Summary of a local-resolution volume.

    Args:
        resolution: A (z, y, x).
        mask: bool (z, y, x); voxels outside do not count.

    Returns:
        ``median_A``, ``quartiles_A`` [q1, q3] (None when nothing is estimated), ``fractions`` of the ten
        classes among the estimated voxels, ``n_voxels`` estimated, and ``coverage``: the estimated part of
        the mask (of the volume without one).
    """
    inside = estimated(resolution)
    if mask is not None:
        inside &= mask
    values = np.asarray(resolution)[inside]
    total = int(mask.sum()) if mask is not None else inside.size
    counts = np.bincount(class_of(values), minlength=len(LOCAL_CLASSES)) if values.size else np.zeros(10)
    quartiles = [float(q) for q in np.percentile(values, (25, 50, 75))] if values.size else None
    return {
        "median_A": quartiles[1] if quartiles else None,
        "quartiles_A": [quartiles[0], quartiles[2]] if quartiles else None,
        "fractions": {
            name: float(n) / max(1, values.size) for name, n in zip(LOCAL_CLASSES, counts.tolist())
        },
        "n_voxels": int(values.size),
        "coverage": float(values.size) / max(1, total),
    }
