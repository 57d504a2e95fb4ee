"""What is drawn for each simulated map of a feature set."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Dict, List, Tuple

import numpy as np

from ...simulation import imaging_conditions
from ...simulation.assemblies import ARRANGEMENTS, PACKED
from ...simulation.molecule_signal import PROTEIN_DENSITY
from .feature_set_file import CLEAN

LARGEST_BOX = 112
MOST_COPIES = 24
MASK_OVER_PROTEIN = 1.9
"""Volume of a mask over that of the protein in it: the margin, and clefts."""
CLEAN_SHARE = 0.1
PLAIN_SHARE = 0.15
"""Maps in white noise that is the same everywhere: without them no noise would ever be what it looks like outside."""


@dataclass
class MapRecipe:
    """One simulated map before it is made: which structure, how fine, how large.

    ``kind`` is "realistic", or "clean" for a noiseless pdb2mrc map, whose truth is its nominal resolution everywhere:
    people feed such maps to every resolution program, and the paper's own tests are made of them.
    """

    path: str
    structure: str
    split: str
    resolution: float
    voxel_size: float
    box: int
    seed: int
    options: imaging_conditions.ImagingConditions
    kind: str = "realistic"


def draw_recipe(rows: List[Dict[str, str]], split: str, seed: int, index: int) -> MapRecipe:
    """Draw structure, resolution, voxel size, box and options of map ``index``.

    The global resolution is log-uniform in voxels (2.05 to 8) for most maps, because that is what a band can see, and
    log-uniform in angstroms (4 to 22) for the rest, so that coarse and fine voxels meet every class.
    """
    code = {"train": 1, "validation": 2, "test": 3}[split]
    rng = np.random.default_rng((seed, code, index))
    row = rows[int(rng.integers(len(rows)))]
    if rng.random() < CLEAN_SHARE:
        return _clean_recipe(row, split, rng)
    kind = rng.random()
    if kind < 0.62:
        voxel = float(np.clip(np.exp(rng.normal(np.log(1.15), 0.35)), 0.5, 4.0))
        resolution = voxel * float(np.exp(rng.uniform(np.log(2.05), np.log(8.0))))
    elif kind < 0.9:
        resolution = float(np.exp(rng.uniform(np.log(4.0), np.log(22.0))))
        voxel = min(max(resolution / float(np.exp(rng.uniform(np.log(2.05), np.log(7.0)))), 0.5), 6.0)
    else:
        resolution = float(np.exp(rng.uniform(np.log(16.0), np.log(40.0))))
        voxel = min(max(resolution / float(np.exp(rng.uniform(np.log(4.0), np.log(9.0)))), 2.0), 6.0)
    options = _draw_options(rng, resolution, voxel)
    copies, extent = _assembly(rng, row, voxel)
    arrangement = str(rng.choice(ARRANGEMENTS, p=[0.2, 0.68, 0.12])) if copies <= 6 else PACKED
    options = replace(options, copies=copies, arrangement=arrangement)
    box = int(extent * float(rng.uniform(1.1, 1.8)) / voxel)
    box = min(max(box + box % 2, 40), LARGEST_BOX)
    return MapRecipe(row["path"], row["id"], split, resolution, voxel, box, int(rng.integers(2**31)), options)


def _assembly(rng: np.random.Generator, row: Dict[str, str], voxel: float) -> Tuple[int, float]:
    """How many copies of a structure make up a complex of a drawn size, and how long it then is in angstroms.

    Deposited molecules have a median edge of 75 A (cube root of the mask's volume, 30 to 130 A), structures at hand 44 A.
    Coarse voxels hold larger ones, up to what the largest box can show.
    """
    alone = float(row["max_extent_A"])
    wanted = float(np.clip(np.exp(rng.normal(np.log(75.0), 0.5)), 25.0, 0.7 * LARGEST_BOX * max(voxel, 0.9)))
    if voxel > 2.5:
        wanted *= float(np.exp(rng.uniform(0.0, np.log(2.2))))
    weight = float(row.get("mw_kda") or 0.0)
    edge = (weight * 1000.0 / PROTEIN_DENSITY * MASK_OVER_PROTEIN) ** (1 / 3) or 0.7 * alone
    copies = int(np.clip(round((wanted / edge) ** 3), 1, MOST_COPIES))
    return copies, alone * (1.0 if copies == 1 else 1.15 * copies ** (1 / 3) + 0.3)


def _draw_options(
    rng: np.random.Generator, resolution: float, voxel: float
) -> imaging_conditions.ImagingConditions:
    drawn = imaging_conditions.random_options(rng, resolution)
    drawn = replace(drawn, deposition=imaging_conditions.random_deposition(rng, resolution, voxel))
    if rng.random() >= PLAIN_SHARE:
        return drawn
    kept = {name: getattr(drawn, name) for name in ("mask_margin", "copies", "auto_mask", "weighting")}
    return replace(imaging_conditions.plain_options(resolution), **kept)


def _clean_recipe(row: Dict[str, str], split: str, rng: np.random.Generator) -> MapRecipe:
    voxel = 1.0 if rng.random() < 0.6 else float(np.exp(rng.uniform(np.log(0.6), np.log(3.0))))
    resolution = float(np.exp(rng.uniform(np.log(1.5 * voxel), np.log(max(17.0, 3 * voxel)))))
    box = int(float(row["max_extent_A"]) * float(rng.uniform(1.1, 1.6)) / voxel + 2 * resolution / voxel)
    box = min(max(box + box % 2, 48), LARGEST_BOX)
    options = imaging_conditions.ImagingConditions(
        mask_margin=float(rng.uniform(2.0, 6.0)), auto_mask=bool(rng.random() < 0.7)
    )
    return MapRecipe(
        row["path"], row["id"], split, resolution, voxel, box, int(rng.integers(2**31)), options, CLEAN
    )
