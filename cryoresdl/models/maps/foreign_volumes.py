"""Local-resolution volumes of any program: read, checked to be in angstroms, their background set to "not estimated".

Every program marks what it did not estimate in its own way; ``docs/reference/other-programs.md`` has the table. One rule
reads them all (`background`), so that solvent enters no statistic, and one check (`check_angstroms`) refuses what is no
local resolution in angstroms.
"""

from __future__ import annotations

import os
import re
from typing import Any

import numpy as np

from ..base.errors import InputError
from ..base.resolution_terms import BY_HALF, COMPARED, RESMAP_NOT_ESTIMATED_A, estimated
from ..base.runs.atomic_files import PathLike, shown
from .density_map import DensityMap, plain_path
from .mrc import mrc_reader

BEYOND_FACES = 0.5
"""A value that fills this part of the box's faces, which no molecule reaches, is background."""
LEVEL_PART = 0.01
"""A background value that is also enclosed by so many of the estimates is one of the program's own levels."""
BELOW_NYQUIST = 0.95
"""Estimates below this part of two voxels are finer than the sampling can carry."""
FINEST_A = 1.0
"""Nothing is resolved better; it bounds what comes without a voxel size."""
WIDEST_SPREAD = 40.0
"""No local resolution spans more between its 2.5 % and its 97.5 % point; a density does."""
FEW = 0.05
DENSITY_CORRELATION = 0.75
"""Above it, values follow the density of the map: they are a filtered copy of it."""

_FILTERED = re.compile(r"(locres|local_?res\w*|locfilt)_?filtered|locfilt", re.IGNORECASE)
_SIBLINGS = (
    (re.compile(r"^(.*locres)_filtered(\.\w+(\.gz|\.bz2)?)$"), r"\1\2"),
    (re.compile(r"^(.*)ResolutionChimera(\.\w+(\.gz|\.bz2)?)$"), r"\1ResolutionMap\2"),
)
"""Names of volumes that are not the estimates themselves, and the names of the estimates beside them."""


def read_resolution(
    path: PathLike,
    like: DensityMap | None = None,
    role: str = "local-resolution volume",
    *,
    grid: DensityMap | None = None,
    mask: np.ndarray | None = None,
) -> DensityMap:
    """Read a local-resolution volume of any program.

    Args:
        path: the file; where its name says that it is RELION's filtered density or MonoRes' volume for Chimera, the
            estimates beside it are read instead, with a warning.
        like: the map that it belongs to; its box is checked, its voxel size and origin are taken.
        role: what the file is to the user, for the messages.
        grid: without a map, another volume whose box, voxel size and origin are taken.
        mask: bool (z, y, x), the molecule; it helps to tell a background from a level of the program.

    Returns:
        Values in A (z, y, x), 0 where nothing was estimated, with ``warnings``.

    Raises:
        InputError: unreadable, of another box, or no local resolution in angstroms.
    """
    chosen = estimates_beside(path)
    volume = mrc_reader.read_values(chosen, like or grid, role)
    volume.data, found = cleaned(volume.data, mask)
    where = f"The {role} {shown(path)}"
    doubt = check_angstroms(volume.data, volume.voxel_size, where, path, like)
    if chosen != plain_path(path):
        volume.warnings.append(
            f"{where} does not hold the estimates; {shown(chosen)} beside it is read instead."
        )
    if found is not None:
        volume.warnings.append(f"{where}: {filled_sentence(found)}")
    if doubt:
        volume.warnings.append(doubt)
    return volume


def criterion_warnings(option: str, title: str) -> list[str]:
    """A sentence about estimates by another FSC than ours.

    Args:
        option: one of ``COMPARED``.
        title: what the volume is called.
    """
    if option not in BY_HALF:
        return []
    program = COMPARED[option]
    named = title if title == program else f"{title} ({program})"
    return [
        f"{named} estimates by FSC 0.5 unless it is told otherwise, which is coarser than by 0.143: where it differs by "
        "the same everywhere, look at the rank correlation."
    ]


def estimates_beside(path: PathLike) -> str:
    """The file that holds the estimates: the one given, or its sibling where the name says that it does not."""
    plain = plain_path(path)
    folder, name = os.path.split(plain)
    for pattern, wanted in _SIBLINGS:
        if pattern.match(name):
            sibling = os.path.join(folder, pattern.sub(wanted, name))
            if os.path.isfile(sibling):
                return sibling
    return plain


def filled_sentence(fill: float) -> str:
    """What is said of a filled background."""
    return f"{fill:g} A fills the background and counts as not estimated."


def cleaned(values: np.ndarray, mask: np.ndarray | None = None) -> tuple[np.ndarray, float | None]:
    """Values with 0 where a program estimated nothing.

    Args:
        values: A (z, y, x).
        mask: as for `background`.

    Returns:
        float32 values, and the constant that filled the background (None where it was 0, below, or 100 and more).
    """
    fill, outside = background(values, mask)
    if outside is None:
        return values, None
    return np.where(outside, np.float32(0), values).astype(np.float32), fill


def background(values: Any, mask: Any = None) -> tuple[float | None, np.ndarray | None]:
    """The constant that fills the background of a local-resolution volume, and where it does.

    It is told by the faces of the box, which no molecule reaches (`BEYOND_FACES`). A program that gives any value
    (RELION) has no estimate of exactly that one. A program of few levels (MonoRes' volume for Chimera) has: then the
    value stays an estimate inside the mask, or without one between other estimates, as far as a closing by one voxel
    reaches.

    Args:
        values: A (z, y, x), perhaps memory-mapped.
        mask: the molecule, (z, y, x); above half of its maximum counts.

    Returns:
        The constant and a bool array (z, y, x); None twice where no constant in the range of estimates fills it.
    """
    fill = filled_with(values)
    if fill is None:
        return None, None
    from scipy import ndimage

    same = np.asarray(values) == np.float32(fill)
    labels, _ = ndimage.label(same)
    edge = np.zeros(labels.max() + 1, bool)
    for axis in range(3):
        for place in (0, -1):
            edge[np.unique(np.take(labels, place, axis))] = True
    edge[0] = False
    outside = edge[labels]
    others = ~same & estimated(values)
    if (same & ~outside).sum() > LEVEL_PART * others.sum():
        if mask is not None:
            return fill, same & ~_inside(mask)
        return fill, outside & ~ndimage.binary_closing(others | (same & ~outside))
    return fill, same


def _inside(mask: Any) -> np.ndarray:
    values = np.asarray(mask)
    return values if values.dtype == bool else values > 0.5 * values.max()


def filled_with(values: Any) -> float | None:
    """The value between 0 and 100 A that fills the faces of the box, or None; only the faces are read, thinly."""
    if len(values.shape) != 3 or not values.size:
        return None
    step = max(1, round((values.size / 2e6) ** (1 / 3)))
    faces = [
        np.asarray(values[tuple(edge if axis == number else slice(None, None, step) for axis in range(3))])
        for number in range(3)
        for edge in (0, -1)
    ]
    found, counts = np.unique(np.concatenate([face.ravel() for face in faces]), return_counts=True)
    fill = float(found[counts.argmax()])
    if not estimated(np.array([fill]))[0] or counts.max() < BEYOND_FACES * counts.sum():
        return None
    thin = np.asarray(values[::step, ::step, ::step])
    return fill if (estimated(thin) & (thin != np.float32(fill))).any() else None


def check_angstroms(
    values: np.ndarray, voxel_size: float, where: str, path: PathLike = "", like: DensityMap | None = None
) -> str:
    """Refuse values that are no local resolution in angstroms.

    Args:
        values: without background, (z, y, x).
        voxel_size: A; without ``like`` it bounds nothing and only makes a warning, because headers of such volumes
            are often wrong.
        where: the file and its role, the beginning of the sentence.
        path: the file; its name may say what it is.
        like: the map, to tell a copy of it.

    Returns:
        A warning about part of the values, or an empty text.

    Raises:
        InputError: a density, another unit, or values no resolution has.
    """
    remedy = _remedy(path)
    known = estimated(values)
    numbers = values[known]
    strange = _uncommon(values, values < 0), _uncommon(values, values >= RESMAP_NOT_ESTIMATED_A)
    if strange[0] > FEW * max(1, strange[0] + numbers.size):
        raise InputError(
            f"{where} holds negative values down to {values.min():.3g}: that is a density; {remedy}"
        )
    if strange[1] > max(numbers.size, FEW * values.size):
        raise InputError(
            f"{where} holds values up to {values.max():.3g}, and local resolution ends at 100 A: that is a density or "
            f"another unit; {remedy}"
        )
    if not numbers.size:
        return ""
    finest = 2 * voxel_size if like is not None else FINEST_A
    below = float((numbers < BELOW_NYQUIST * finest).mean())
    too_fine = float((numbers < BELOW_NYQUIST * 2 * voxel_size).mean())
    low, middle, high = (float(q) for q in np.percentile(numbers, (2.5, 50, 97.5)))
    if below > 0.5:
        raise InputError(
            f"{where} has a median of {middle:.3g}, and {finest:.3g} A is the best possible here: that is no local "
            f"resolution in A but {_guess(middle, voxel_size, finest)}; {remedy}"
        )
    if high > WIDEST_SPREAD * low:
        raise InputError(
            f"{where} spans {low:.3g} to {high:.3g}, as a density does and no resolution; {remedy}"
        )
    if like is not None and _follows(values, known, like.data):
        raise InputError(
            f"{where} follows the density of the map: it is a copy of the map or filtered from it; {remedy}"
        )
    if too_fine > FEW:
        return (
            f"{where}: {100 * too_fine:.0f} % of its estimates are finer than two voxels ({2 * voxel_size:.3g} A); check "
            "its unit and voxel size."
        )
    return ""


def _uncommon(values: np.ndarray, chosen: np.ndarray) -> int:
    """How many of the chosen voxels do not hold the most common of the chosen values, which may be a mark."""
    if not chosen.any():
        return 0
    counts = np.unique(values[chosen], return_counts=True)[1]
    return int(counts.sum() - counts.max())


def _follows(values: np.ndarray, known: np.ndarray, density: np.ndarray) -> bool:
    """Whether the estimates rise and fall with the density."""
    if values.shape != density.shape or known.sum() < 100:
        return False
    a, b = values[known].astype(np.float64), density[known].astype(np.float64)
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return False
    return float(np.corrcoef(a, b)[0, 1]) > DENSITY_CORRELATION


def _guess(middle: float, voxel_size: float, finest: float) -> str:
    """What values of that median may be."""
    units = {
        "1/A": 1 / middle,
        "1/voxel": voxel_size / middle,
        "nm": 10 * middle,
        "voxels": voxel_size * middle,
    }
    likely = [f"{unit} ({value:.2g} A)" for unit, value in units.items() if finest <= value < 50]
    return " or ".join(["a density", *likely])


def _remedy(path: PathLike) -> str:
    """What to give instead."""
    name = os.path.basename(plain_path(path)) if path else ""
    if _FILTERED.search(name):
        return "RELION's local resolution is relion_locres.mrc, in the folder (extra/) of the job that wrote this one."
    return "give the volume of local resolution in A (RELION: relion_locres.mrc, not relion_locres_filtered.mrc)."


class Inside:
    """A local-resolution volume without what is no estimate: 0 outside the mask, and in the background.

    Computed only for the slices that are looked at.

    Args:
        data: A (z, y, x), perhaps memory-mapped.
        mask: where the molecule is, on the same grid; above half of its maximum counts.
        outside: bool (z, y, x), where the background is; see `background`.
    """

    def __init__(self, data: Any, mask: Any = None, outside: np.ndarray | None = None):
        self.data, self.mask, self.outside = data, mask, outside
        self.level = 0.5 * float(np.max(mask)) if mask is not None else 0.0
        self.shape, self.size = data.shape, data.size

    def __getitem__(self, key: Any) -> np.ndarray:
        """The values (A), 0 where there is no estimate."""
        values = np.asarray(self.data[key], np.float32)
        if self.mask is not None:
            values = np.where(np.asarray(self.mask[key]) > self.level, values, np.float32(0))
        return values if self.outside is None else np.where(self.outside[key], np.float32(0), values)


def only_estimates(resolution: Any, mask: Any = None) -> Any:
    """A local-resolution volume of any program as it may be drawn and counted: see `Inside`."""
    if isinstance(resolution, Inside):
        return resolution
    outside = background(resolution, mask)[1]
    return resolution if mask is None and outside is None else Inside(resolution, mask, outside)
