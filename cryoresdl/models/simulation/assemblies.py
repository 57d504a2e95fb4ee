"""How copies of a molecule stand together: rings, packed complexes, helices, and crowds that fill a box."""

from __future__ import annotations

from typing import Iterator, List, Tuple

import numpy as np
from scipy.spatial import cKDTree

from ..structures.atoms import random_rotation

RING, PACKED, HELIX = "ring", "packed", "helix"
ARRANGEMENTS = (RING, PACKED, HELIX)
CONTACT_A = 5.0
"""Distance at which two molecules touch, between the atoms of the sample that stands for each."""
_SAMPLE = 150
_STEP_A = 3.0

Placement = Tuple[np.ndarray, np.ndarray]
"""A rotation (3, 3) and a shift (3,) in angstroms: atoms go to ``xyz @ rotation.T + shift``."""


def placements(xyz: np.ndarray, copies: int, arrangement: str, rng: np.random.Generator) -> List[Placement]:
    """Where the copies of a molecule go.

    Args:
        xyz: (n, 3) in angstroms, centred.
        copies: how many there are.
        arrangement: "ring" around the z axis, "packed" (each against the others, in any orientation), or "helix"
            along the z axis.
        rng: decides orientations, places and the helix's turn.

    Returns:
        One placement per copy; the first leaves the molecule where it is, but for a ring's radius.
    """
    if copies <= 1:
        return [(np.eye(3), np.zeros(3))]
    if arrangement == PACKED:
        return list(_packed(_sample(xyz), copies, rng))
    if arrangement == HELIX:
        return _helix(_sample(xyz), copies, rng)
    return _ring(xyz, copies)


def _sample(xyz: np.ndarray) -> np.ndarray:
    return xyz[:: max(1, len(xyz) // _SAMPLE)]


def _about_z(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def _ring(xyz: np.ndarray, copies: int) -> List[Placement]:
    """Copies around the z axis, placed by their extent: neighbours overlap a little."""
    radius = 0.5 * np.ptp(xyz[:, 0]) / np.sin(np.pi / copies) * 0.55
    turns = [_about_z(2 * np.pi * k / copies) for k in range(copies)]
    return [(turn, turn @ np.array([radius, 0.0, 0.0])) for turn in turns]


def _packed(sample: np.ndarray, copies: int, rng: np.random.Generator) -> Iterator[Placement]:
    """Each copy is brought in from a random direction until it touches one of those that are there."""
    there = sample
    yield np.eye(3), np.zeros(3)
    for _ in range(copies - 1):
        turn = random_rotation(rng)
        direction = rng.normal(size=3)
        direction /= np.linalg.norm(direction)
        turned, tree = sample @ turn.T, cKDTree(there)
        centre = there.mean(0)
        # From the inside out: the first place that is free is the closest.
        distance = 0.0
        while tree.query(turned + centre + distance * direction)[0].min() < CONTACT_A:
            distance += _STEP_A
        shift = centre + distance * direction
        yield turn, shift
        there = np.concatenate([there, turned + shift])


def _helix(sample: np.ndarray, copies: int, rng: np.random.Generator) -> List[Placement]:
    """Copies along the z axis with one turn and one rise, as close to each other as they can be."""
    turn = float(rng.uniform(0.3, 3.0))
    away = np.array([float(rng.uniform(0.25, 0.6)) * np.ptp(sample[:, 0]), 0.0, 0.0])
    moved = sample + away
    tree, rise = cKDTree(moved), 1.0
    # Not only the next neighbour but also those of the following turns must not overlap.
    while any(
        tree.query(moved @ _about_z(k * turn).T + [0.0, 0.0, k * rise])[0].min() < CONTACT_A
        for k in range(1, min(copies, 14))
    ):
        rise += 1.5
    middle = (copies - 1) / 2
    return [
        (_about_z(k * turn), _about_z(k * turn) @ away + np.array([0.0, 0.0, (k - middle) * rise]))
        for k in range(copies)
    ]
