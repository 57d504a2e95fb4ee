"""What masks from loose to too tight do to the resolution of half maps: masked, corrected, and corrected for solvent.

    python benchmarks/mask_sweep.py SHARED [--maps N]

The last figure, which estimate and verdict rest on, should stay within 3 % while the mask neither cuts density nor is
too tight; where it does, that is said in words.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from cryoresdl.models.batch.map_variants import grown
from cryoresdl.models.maps.density_map import mask_box
from cryoresdl.models.maps.fsc import half_map_fsc
from cryoresdl.models.maps.mrc import mask_reader, mrc_reader

STEPS_A = (12.0, 8.0, 4.0, 2.0, 0.0, -2.0, -4.0, -6.0)


def main() -> None:
    """Print the figures of every mask, and how far they spread among the masks that nothing is said of."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shared", type=Path)
    parser.add_argument("--maps", type=int, default=10)
    args = parser.parse_args()
    for folder in sorted(path.parent for path in args.shared.glob("local_resolution/*/half1.mrc.gz"))[
        : args.maps
    ]:
        one, two = (mrc_reader.read(folder / f"half{k}.mrc.gz", role="half map") for k in (1, 2))
        given = mask_reader.read_mask(folder / "mask.mrc.gz", one)
        kept = []
        print(f"{folder.name}\n   mask   masked  corrected  particle (A)")
        for step in STEPS_A:
            mask = grown(given, step / one.voxel_size)
            if mask.sum() < 500:
                continue
            fsc = half_map_fsc.measure_fsc(one.data, two.data, one.voxel_size, mask, mask_box(mask, 16))
            figures = [fsc.crossing(curve) or np.nan for curve in ("masked", "corrected", "particle")]
            doubts = half_map_fsc.mask_doubts(fsc)
            if not doubts:
                kept.append(figures)
            words = "; ".join(text.split(":")[0] for text in doubts)
            print(f"{step:+6.0f} A" + "".join(f"{figure:9.2f}" for figure in figures) + f"   {words}")
        if kept:
            spread = 100 * (np.max(kept, axis=0) / np.min(kept, axis=0) - 1)
            print(
                f"   spread of {len(kept)} masks that nothing is said of: "
                + " ".join(f"{s:.1f} %" for s in spread)
            )


if __name__ == "__main__":
    main()
