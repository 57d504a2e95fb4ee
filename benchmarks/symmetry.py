"""Does the answer move with what carries no information: rotations by 90 degrees, mirrors, rolls, padding?

    python benchmarks/symmetry.py FOLDER [--maps 10] [--given-mask]

FOLDER holds folders with map.mrc.gz and mask.mrc.gz. Every map is turned, mirrored, rolled or padded, its answer is put
back, and compared with that of the map as it is: median and 99th percentile of the change of the local values where both
masks agree (A), agreement of the masks (IoU), and change of the global estimate. Prints a table; asserts nothing.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Callable, Dict, List, Literal, Optional, Tuple

import numpy as np
from common import machine

from cryoresdl.models.inference import global_resolution, local_resolution
from cryoresdl.models.maps.density_map import DensityMap
from cryoresdl.models.maps.mrc import mask_reader, mrc_reader

Change = Callable[[np.ndarray], np.ndarray]
PAD = 16


def _crop(values: np.ndarray) -> np.ndarray:
    return values[PAD:-PAD, PAD:-PAD, PAD:-PAD]


def _padded(mode: Literal["wrap", "edge"]) -> Change:
    return lambda values: np.pad(values, PAD, mode=mode) if values.dtype != bool else np.pad(values, PAD)


def changes() -> Dict[str, Tuple[Change, Change]]:
    """What is done to a map, and what puts its answer back."""
    found: Dict[str, Tuple[Change, Change]] = {}
    for axes in ((0, 1), (0, 2), (1, 2)):
        for turns in (1, 2):
            found[f"rotate {90 * turns} in {axes}"] = (
                lambda v, a=axes, t=turns: np.rot90(v, t, a),
                lambda v, a=axes, t=turns: np.rot90(v, -t, a),
            )
    for axis in range(3):
        found[f"mirror {axis}"] = (lambda v, a=axis: np.flip(v, a), lambda v, a=axis: np.flip(v, a))
    for shift in ((1, 0, 0), (1, 2, 3), (-2, 3, 1), (2, 2, 2)):
        found[f"roll {shift}"] = (
            lambda v, s=shift: np.roll(v, s, (0, 1, 2)),
            lambda v, s=shift: np.roll(v, [-x for x in s], (0, 1, 2)),
        )
    found["pad, periodic"] = (_padded("wrap"), _crop)
    found["pad, faces repeated"] = (_padded("edge"), _crop)
    found["pad, zeros"] = (lambda v: np.pad(v, PAD), _crop)
    return found


def answer(data: np.ndarray, voxel: float, mask: Optional[np.ndarray]) -> Tuple[np.ndarray, float]:
    """Local resolution (A, 0 outside the mask) and global estimate (A)."""
    density = DensityMap(np.ascontiguousarray(data), voxel)
    local = local_resolution.localres(density, mask=None if mask is None else np.ascontiguousarray(mask))
    return local.resolution, float(global_resolution.classify(density, local=local)["resolution_A"])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--maps", type=int, default=10)
    parser.add_argument(
        "--given-mask", action="store_true", help="with each map's own mask, not the automatic one"
    )
    args = parser.parse_args()
    rows: Dict[str, List[List[float]]] = {}
    for path in sorted(args.folder.glob("*/map.mrc.gz"))[: args.maps]:
        density = mrc_reader.read(path)
        mask = mask_reader.read_mask(path.parent / "mask.mrc.gz", density) if args.given_mask else None
        print(path.parent.name, file=sys.stderr, flush=True)
        plain, estimate = answer(density.data, density.voxel_size, mask)
        for name, (there, back) in changes().items():
            moved, other = answer(
                there(density.data), density.voxel_size, None if mask is None else there(mask)
            )
            moved = back(moved)
            both = (plain > 0) & (moved > 0)
            away = np.abs(plain - moved)[both]
            iou = both.sum() / ((plain > 0) | (moved > 0)).sum()
            numbers = [np.median(away), np.percentile(away, 99), iou, abs(other / estimate - 1)]
            rows.setdefault(name, []).append([float(n) for n in numbers])
    print(machine())
    print("| change | median (A) | 99 % (A) | worst 99 % (A) | IoU | global, worst |")
    print("|---|---|---|---|---|---|")
    for name, measured in rows.items():
        table = np.array(measured)
        print(
            f"| {name} | {np.median(table[:, 0]):.3f} | {np.median(table[:, 1]):.3f} | {table[:, 1].max():.3f} "
            f"| {table[:, 2].min():.3f} | {100 * table[:, 3].max():.2f} % |"
        )


if __name__ == "__main__":
    main()
