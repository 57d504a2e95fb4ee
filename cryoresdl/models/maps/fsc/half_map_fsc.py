"""Fourier shell correlation of two half maps inside a mask, freed of what the mask itself adds.

A mask multiplies both halves with the same edges, which correlate. Chen et al. (2013, Ultramicroscopy 135, 24-35) measure
that part: beyond a resolution the phases of both halves are made random, so that all that still correlates inside the mask
is the mask's doing, and it is taken off. Shells, rules and limits are those of RELION's ``relion_postprocess``.

What remains still depends on how much solvent a mask holds, because solvent is noise. With the part of the mask that the
molecule fills known, that is taken off, too (Grant et al., 2018, eLife 7, e35383: the FSC of the particle).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Dict, List, Tuple

import numpy as np
import scipy.fft as sf

from ...base.resolution_terms import FSC_THRESHOLD
from ...base.runs.atomic_files import PathLike
from ..automatic_mask import auto_mask
from ..density_map import DensityMap
from ..mrc.mrc_reader import load
from .fourier_shells import WORKERS, frequency_grid, soft_edge

RANDOM_FROM_FSC = 0.8
"""Phases are made random from where the FSC without a mask falls below this (RELION's --randomize_at_fsc)."""
KEPT_SHELLS = 2
"""Shells after that which are left as they are: the edge of the random part disturbs them (RELION)."""
TIGHT_FSC = 0.1
"""More random-phase correlation than this where the corrected curve ends tells of too tight a mask (RELION warns, too)."""
MASK_EDGE_A = 3.0
"""Width of the edge that a mask without one gets: so many angstroms, and at least as many voxels."""
LOOSE = 2.0
"""A mask of more than so many times the molecule's volume is said to be loose."""
CUT_PART = 0.15
"""A mask that leaves out more than this part of the molecule cuts it."""


@dataclass(frozen=True)
class HalfMapFsc:
    """The curves of two half maps; one value per shell, the first shell is the constant.

    Attributes:
        frequency: 1/A.
        unmasked: of the volumes as they are.
        masked: inside the mask.
        randomised: inside the mask, with random phases beyond ``randomised_from``.
        corrected: ``masked`` without the mask's part; what a resolution should be read from.
        particle: ``corrected`` without the solvent inside the mask; the same for loose and for fitting masks.
        half_bit: the half-bit threshold (van Heel and Schatz, 2005) for as many voxels as the mask holds.
        randomised_from: shell from which on the phases are random.
        solvent: volume of the mask over that of the molecule in it.
        cut: part of the molecule that the mask leaves out.
        whole_box: ``unmasked`` is of the whole box, and not only of the part of it around the mask.
    """

    frequency: np.ndarray
    unmasked: np.ndarray
    masked: np.ndarray
    randomised: np.ndarray
    corrected: np.ndarray
    particle: np.ndarray
    half_bit: np.ndarray
    randomised_from: int
    solvent: float = 1.0
    cut: float = 0.0
    whole_box: bool = True

    def crossing(self, curve: str = "corrected", threshold: float | None = FSC_THRESHOLD) -> float | None:
        """Resolution in A where a curve first falls to a threshold (None: the half-bit curve); None if it never does."""
        values = getattr(self, curve)
        level = self.half_bit if threshold is None else np.full_like(values, threshold)
        above = values - level
        # The coarsest shells hold few coefficients: the half-bit curve, high there, counts from where it is met.
        first = int(np.argmax(above[1:] >= 0)) + 1 if threshold is None else 1
        below = np.flatnonzero(above[first:] < 0) + first
        if not below.size:
            return None
        k = int(below[0])
        if k == 1:
            return float(1 / self.frequency[1])
        part = above[k - 1] / (above[k - 1] - above[k])
        return float(1 / (self.frequency[k - 1] + part * (self.frequency[k] - self.frequency[k - 1])))

    def cutoffs(self) -> Dict[str, float | None]:
        """Crossings in A, by curve and criterion; the unmasked curve has one where it is of the whole box."""
        curves = ("unmasked",) if self.whole_box else ()
        found = {
            f"{curve}_0143": self.crossing(curve) for curve in (*curves, "masked", "corrected", "particle")
        }
        found["corrected_05"] = self.crossing(threshold=0.5)
        found["corrected_half_bit"] = self.crossing(threshold=None)
        return found


def half_map_curves(
    half1: np.ndarray,
    half2: np.ndarray,
    soft_mask: np.ndarray,
    voxel_size: float,
    molecule: np.ndarray | None = None,
) -> HalfMapFsc:
    """Measure the curves of two half maps.

    Args:
        half1: float32 (z, y, x).
        half2: float32 (z, y, x).
        soft_mask: float32 (z, y, x), 0 to 1.
        voxel_size: A.
        molecule: bool (z, y, x), where the molecule is; without it the mask is taken to be full of it.
    """
    shells = _Shells(half1.shape)
    first, second = sf.rfftn(half1, workers=WORKERS), sf.rfftn(half2, workers=WORKERS)
    unmasked = shells.correlation(first, second)
    low = np.flatnonzero(unmasked[1:] < RANDOM_FROM_FSC) + 1
    start = int(low[0]) if low.size else shells.count - 1
    masked = shells.correlation(
        sf.rfftn(half1 * soft_mask, workers=WORKERS), sf.rfftn(half2 * soft_mask, workers=WORKERS)
    )
    randomised = _randomised(shells, (first, second), soft_mask, start)
    corrected = masked.copy()
    part = slice(start + KEPT_SHELLS, None)
    true, chance = masked[part], randomised[part]
    corrected[part] = np.where(chance > true, 0.0, (true - chance) / np.maximum(1 - chance, 1e-6))
    independent = shells.size / 2 * float(np.mean(np.square(soft_mask, dtype=np.float64)))
    root = np.sqrt(np.maximum(independent, 1.0))
    half_bit = np.minimum((0.2071 + 1.9102 / root) / (1.2071 + 0.9102 / root), 1.0)
    solvent, cut = _filling(soft_mask, molecule)
    plain = np.clip(corrected, 0, 1)
    particle = np.where(corrected > 0, solvent * plain / (1 + (solvent - 1) * plain), corrected)
    frequency = np.arange(shells.count) / (2.0 * (shells.count - 1) * voxel_size)
    return HalfMapFsc(
        frequency, unmasked, masked, randomised, corrected, particle, half_bit, start, solvent, cut
    )


def _randomised(
    shells: _Shells, transforms: Tuple[np.ndarray, np.ndarray], soft_mask: np.ndarray, start: int
) -> np.ndarray:
    """The FSC inside a mask with random phases, as the mean over all phases that could be drawn.

    Random parts of both halves correlate by nothing on average: what correlates is what the mask spreads of the part whose
    phases are kept. The power of the random part is taken to stay in its shell, as it does ``KEPT_SHELLS`` after ``start``.

    Args:
        shells: of the box.
        transforms: ``rfftn`` of both halves.
        soft_mask: float32 (z, y, x), 0 to 1.
        start: shell from whose middle on the phases are random, as in RELION.
    """
    kept = shells.radius < start - 1e-3  # the grid is of 32-bit numbers
    share = np.float32(np.mean(np.square(soft_mask, dtype=np.float64)))
    spread, powers = [], []
    for transform in transforms:
        low = sf.irfftn(transform * kept, soft_mask.shape, workers=WORKERS, overwrite_x=True)
        low = sf.rfftn(low * soft_mask, workers=WORKERS)
        high = (transform.real**2 + transform.imag**2) * ~kept
        spread.append(low)
        powers.append(shells.sums(low.real**2 + low.imag**2 + share * high))
    cross = shells.sums(spread[0].real * spread[1].real + spread[0].imag * spread[1].imag)
    curve = cross / np.maximum(np.sqrt(powers[0] * powers[1]), 1e-30)
    curve[0] = 1.0
    return curve


def _filling(soft_mask: np.ndarray, molecule: np.ndarray | None) -> Tuple[float, float]:
    """Volume of a mask over that of the molecule in it (at least 1), and the part of the molecule outside it."""
    if molecule is None or not molecule.any():
        return 1.0, 0.0
    inside = float(np.count_nonzero(molecule & (soft_mask > 0.5)))
    whole = float(np.square(soft_mask, dtype=np.float64).sum())
    return max(1.0, whole / max(inside, 1.0)), 1.0 - inside / np.count_nonzero(molecule)


class _Shells:
    """Shells of a box's Fourier transform, up to Nyquist of its shortest side."""

    def __init__(self, shape: Tuple[int, ...]):
        self.count = min(shape) // 2 + 1
        self.radius = frequency_grid(shape) * (2 * (self.count - 1))
        number = (self.radius + 0.5).astype(np.int32)
        self.index = np.minimum(number, self.count).ravel()
        double = np.full(number.shape, 2.0, np.float32)
        double[..., 0] = 1.0
        if shape[2] % 2 == 0:
            double[..., -1] = 1.0
        self.weight = double
        self.size = self.sums(np.ones(number.shape, np.float32))

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sums (shells,) of values that lie as ``rfftn`` of the volume does, both halves of the transform counted."""
        return np.bincount(self.index, (values * self.weight).ravel(), minlength=self.count + 1)[: self.count]

    def correlation(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """The FSC (shells,) of two transforms (``rfftn``)."""
        cross = self.sums(a.real * b.real + a.imag * b.imag)
        powers = [self.sums(t.real**2 + t.imag**2) for t in (a, b)]
        curve = cross / np.maximum(np.sqrt(powers[0] * powers[1]), 1e-30)
        curve[0] = 1.0  # the constant of a volume says nothing
        return curve


def with_soft_edge(mask: np.ndarray, voxel_size: float) -> np.ndarray:
    """A mask for the FSC: one with soft values stays, one of 0 and 1 gets a raised-cosine edge.

    Args:
        mask: bool, or float 0 to 1 (z, y, x).
        voxel_size: A.
    """
    if mask.dtype != bool:
        values = np.clip(np.asarray(mask, np.float32), 0, 1)
        if ((values > 0.02) & (values < 0.98)).any():
            return values
        mask = values > 0.5
    return soft_edge(mask, max(3.0, MASK_EDGE_A / voxel_size))


def measure_fsc(
    half1: np.ndarray,
    half2: np.ndarray,
    voxel_size: float,
    mask: np.ndarray,
    region: Tuple[slice, ...],
    soft_mask: np.ndarray | None = None,
) -> HalfMapFsc:
    """The curves of two half maps in a mask, with the molecule found in their mean.

    Work is done in the part of the box around the mask, whose shells are as fine as the mask asks for. The unmasked curve
    is then of that part, too, until `with_whole_box` measures it.

    Args:
        half1: float32 (z, y, x), the whole box.
        half2: the same.
        voxel_size: A.
        mask: bool (z, y, x).
        region: the part of the box (z, y, x), with some room around the mask.
        soft_mask: float (z, y, x), the same mask where it came with a soft edge; without it, it gets one.
    """
    # A turned map is a view, whose transforms take twice as long.
    first, second = (np.ascontiguousarray(half[region]) for half in (half1, half2))
    molecule = auto_mask(DensityMap((first + second) / 2, voxel_size))[0]
    inside = np.ascontiguousarray((mask if soft_mask is None else soft_mask)[region])
    soft = with_soft_edge(inside, voxel_size)
    found = half_map_curves(first, second, soft, voxel_size, molecule)
    return replace(found, whole_box=first.shape == half1.shape)


def with_whole_box(fsc: HalfMapFsc, half1: np.ndarray, half2: np.ndarray, voxel_size: float) -> HalfMapFsc:
    """The same curves, the unmasked one of the whole box, at the shells of the others.

    Args:
        fsc: measured in the part of the box around the mask.
        half1: float32 (z, y, x), the whole box.
        half2: the same.
        voxel_size: A.
    """
    shells = _Shells(half1.shape)
    curve = shells.correlation(sf.rfftn(half1, workers=WORKERS), sf.rfftn(half2, workers=WORKERS))
    frequency = np.arange(shells.count) / (2.0 * (shells.count - 1) * voxel_size)
    return replace(fsc, unmasked=np.interp(fsc.frequency, frequency, curve), whole_box=True)


def read_soft_mask(path: PathLike) -> np.ndarray | None:
    """The values of a mask file with a soft edge, float32 (z, y, x), 0 to 1; None where it has none."""
    values = load(path, None, "mask", voxel_needed=False).data
    top = float(values.max())
    if not 0.5 < top <= 1.05 or not ((values > 0.02) & (values < 0.98 * top)).any():
        return None
    return np.clip(values / top, 0, 1)


def mask_doubts(fsc: HalfMapFsc) -> List[str]:
    """Sentences about a mask that the half maps speak against: too tight, cutting density, or much too loose."""
    found = []
    tight = tightness(fsc)
    if tight > TIGHT_FSC:
        found.append(
            f"The mask is too tight: with random phases the half maps still correlate by {tight:.2f} inside it; "
            "give a wider one with a softer edge."
        )
    if fsc.cut > CUT_PART:
        found.append(
            f"The mask cuts density: {100 * fsc.cut:.0f} % of the molecule that the half maps show lies outside it; "
            "give a wider one, or take the answer as that of the part inside."
        )
    if fsc.solvent > LOOSE:
        found.append(
            f"The mask is loose: it holds {fsc.solvent:.1f} times the volume of the molecule, so that solvent lowers the "
            "FSC inside it; the figure of the particle takes that off."
        )
    return found


def tightness(fsc: HalfMapFsc) -> float:
    """Random-phase FSC around the shell where the corrected curve falls to 0.143."""
    ends = np.flatnonzero(fsc.corrected[1:] < FSC_THRESHOLD) + 1
    end = max(int(ends[0]) if ends.size else len(fsc.corrected) - 1, fsc.randomised_from + KEPT_SHELLS)
    return float(np.mean(fsc.randomised[max(1, end - 1) : end + 2])) if end < len(fsc.randomised) else 0.0
