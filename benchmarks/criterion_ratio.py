"""FSC 0.5 over FSC 0.143: how much larger the number of a map is by the older criterion.

Usage: python benchmarks/criterion_ratio.py STRUCTURES [--maps 60] [--largest-box 80]

Simulated maps as those of training, of the manifest's training structures; the expected FSC in the molecule's mask.
"""

from __future__ import annotations

import argparse
from typing import List

import numpy as np
from common import heading

from cryoresdl.models.base.errors import CryoResError
from cryoresdl.models.datasets.feature_sets.feature_set_file import CLEAN
from cryoresdl.models.datasets.feature_sets.feature_set_recipes import draw_recipe
from cryoresdl.models.datasets.input_lists import read_manifest
from cryoresdl.models.simulation.realistic_map import simulate
from cryoresdl.models.structures.structure_reader import read_structure

SEED = 99


def ratios(structures: str, count: int, largest: int) -> List[float]:
    """Of as many simulated maps, whose boxes are no larger."""
    rows, found, index = read_manifest(structures, "train"), [], 0
    while len(found) < count:
        recipe = draw_recipe(rows, "train", SEED, index)
        index += 1
        if recipe.kind == CLEAN or recipe.box > largest:
            continue
        try:
            made = simulate(
                read_structure(recipe.path),
                recipe.resolution,
                recipe.box,
                recipe.voxel_size,
                recipe.seed,
                recipe.options,
                truth_stride=2,
                crop=True,
            )
        except CryoResError:
            continue
        found.append(made.info["global_fsc05_A"] / made.info["global_fsc0143_A"])
    return found


def main() -> None:
    """Print the quantiles."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("structures")
    parser.add_argument("--maps", type=int, default=60)
    parser.add_argument("--largest-box", type=int, default=80)
    args = parser.parse_args()
    heading("FSC 0.5 over FSC 0.143")
    found = ratios(args.structures, args.maps, args.largest_box)
    for q in (0.05, 0.16, 0.5, 0.84, 0.95):
        print(f"{100 * q:3.0f} %: {np.quantile(found, q):.2f}")


if __name__ == "__main__":
    main()
