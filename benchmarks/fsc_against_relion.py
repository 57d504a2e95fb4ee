"""Our FSC curves of half maps beside those of `relion_postprocess`, in the same soft mask; needs RELION on the PATH.

    python benchmarks/fsc_against_relion.py HALF1 HALF2 MASK [--seeds 3]

RELION draws its random phases once: the spread over its seeds is what two runs of RELION differ by.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np

from cryoresdl.models.maps.fsc import half_map_fsc
from cryoresdl.models.maps.mrc import mask_reader, mrc_reader

LABELS = {
    "unmasked": "FourierShellCorrelationUnmaskedMaps",
    "masked": "FourierShellCorrelationMaskedMaps",
    "randomised": "CorrectedFourierShellCorrelationPhaseRandomizedMaskedMaps",
    "corrected": "FourierShellCorrelationCorrected",
}


def relion(folder: Path, voxel_size: float, seed: int) -> dict:
    """The columns of RELION's table of the FSC."""
    words = [
        "relion_postprocess",
        "--i",
        folder / "half1.mrc",
        "--i2",
        folder / "half2.mrc",
        "--mask",
        folder / "mask.mrc",
    ]
    words += [
        "--angpix",
        str(voxel_size),
        "--skip_fsc_weighting",
        "--random_seed",
        str(seed),
        "--o",
        folder / "out",
    ]
    subprocess.run([str(word) for word in words], check=True, capture_output=True)
    lines = (folder / "out.star").read_text().split("data_fsc")[1].split("data_")[0].splitlines()
    names = [line.split()[0][4:] for line in lines if line.startswith("_rln")]
    rows = np.array([line.split() for line in lines if len(line.split()) == len(names) > 1], float)
    return {name: rows[:, names.index(label)] for name, label in LABELS.items()}


def main() -> None:
    """Print the largest and mean difference of each curve before it ends, and the crossings."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs=3, metavar="FILE")
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    one, two = (mrc_reader.read(path, role="half map") for path in args.files[:2])
    mask = mask_reader.read_mask(args.files[2], one)
    given = half_map_fsc.read_soft_mask(args.files[2])
    soft = half_map_fsc.with_soft_edge(mask if given is None else given, one.voxel_size)
    ours = half_map_fsc.half_map_curves(one.data, two.data, soft, one.voxel_size)
    end = int(np.argmax(ours.corrected < 0.143)) or len(ours.corrected)
    print(f"ours: corrected 0.143 at {ours.crossing():.3f} A, masked {ours.crossing('masked'):.3f} A")
    with tempfile.TemporaryDirectory() as name:
        for file, data in (("half1", one.data), ("half2", two.data), ("mask", soft)):
            with mrcfile.new(f"{name}/{file}.mrc") as mrc:
                mrc.set_data(data.astype(np.float32))
                mrc.voxel_size = one.voxel_size
        runs = []
        for seed in range(1, args.seeds + 1):
            found = relion(Path(name), one.voxel_size, seed)
            runs.append(found["corrected"])
            crossing = replace(ours, corrected=found["corrected"]).crossing()
            print(f"RELION, seed {seed}: corrected 0.143 at {crossing:.3f} A")
            for curve, values in found.items():
                apart = np.abs(getattr(ours, curve) - values)[:end]
                print(f"    {curve:12s} largest difference {apart.max():.3f}, mean {apart.mean():.3f}")
        mean = np.mean(runs, axis=0)
        crossing, apart = replace(ours, corrected=mean).crossing(), np.abs(ours.corrected - mean)[:end].max()
        scatter = np.abs(np.asarray(runs) - mean)[:, :end].max()
        print(
            f"mean of RELION's runs: corrected 0.143 at {crossing:.3f} A, ours differs by at most {apart:.3f}"
        )
        print(f"RELION's own runs differ from it by at most {scatter:.3f}")


if __name__ == "__main__":
    main()
