"""Is the truth's definition the one that an independent generator of maps used?

    python benchmarks/truth_check.py --maps DIR [--windows 0.35 0.5 0.7 1.0]

DIR holds folders with ``half1``, ``half2``, ``mask`` and ``truth`` volumes (.mrc.gz) made by another program. Where that
truth says t, the band at 1/t of the half maps must hold signal over noise of 0.143 / 0.857 = 0.167 on average over maps,
and vary little from map to map and from band to band.
"""

import argparse
import platform
from pathlib import Path

import numpy as np

from cryoresdl.models.features import band_energies
from cryoresdl.models.maps.mrc import mask_reader, mrc_reader
from cryoresdl.models.simulation.truth import known_local_resolution


def energies(folder, windows):
    """For every window: (cross energy, noise energy, voxels) of each band at the voxels whose truth is that band."""
    half1, half2 = (mrc_reader.read(folder / f"half{k}.mrc.gz") for k in (1, 2))
    truth = mrc_reader.read_values(folder / "truth.mrc.gz", half1).data / half1.voxel_size
    mask = mask_reader.read_mask(folder / "mask.mrc.gz", half1)
    mean = band_energies.Spectrum((half1.data + half2.data) / 2)
    gap = band_energies.Spectrum((half1.data - half2.data) / 2)
    found = {window: [] for window in windows}
    for centre in known_local_resolution.truth_frequencies(truth.shape)[1:-2]:
        at = (
            mask
            & (truth > 0)
            & (
                np.abs(np.log(np.maximum(truth, 1e-3) * centre))
                < np.log(known_local_resolution.TRUTH_RATIO) / 2
            )
        )
        if at.sum() < 100:
            continue
        points = [spectrum.band(centre) ** 2 for spectrum in (mean, gap)]
        for window in windows:
            total, noise = (
                band_energies.smooth_resample(p, truth.shape, truth.shape, 1, window / centre)[at]
                for p in points
            )
            # <h1 h2> = <mean^2> - <gap^2> is the signal's energy, 2 <gap^2> one half map's noise.
            found[window].append(
                (float((total - noise).sum()), float(2 * noise.sum()), int(at.sum()), total / noise)
            )
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--maps", required=True)
    parser.add_argument("--windows", type=float, nargs="+", default=[0.35, 0.5, 0.7, 1.0])
    args = parser.parse_args()
    folders = sorted(f.parent for f in Path(args.maps).glob("*/half1.mrc.gz"))
    rows = {window: [] for window in args.windows}
    for folder in folders:
        for window, values in energies(folder, args.windows).items():
            rows[window].append(values)
    print(f"{platform.machine()}, numpy {np.__version__}; {len(folders)} maps with half maps")
    print(f"expected signal over noise {known_local_resolution.SSNR_THRESHOLD:.4f}")
    print("window, wavelengths   pooled   per map: mean, standard error, sd   per map and band: sd")
    for window, per_map in rows.items():
        sums = [(sum(v[0] for v in m), sum(v[1] for v in m), sum(v[2] for v in m)) for m in per_map if m]
        pooled = sum(s[0] for s in sums) / sum(s[1] for s in sums)
        each = np.array([s[0] / s[1] for s in sums])
        bands = np.array([v[0] / v[1] for m in per_map for v in m])
        print(
            f"{window:19.2f} {pooled:8.4f} {each.mean():14.4f} {each.std(ddof=1) / np.sqrt(len(each)):10.4f}"
            f" {each.std(ddof=1):9.4f} {bands.std(ddof=1):18.4f}"
        )
    print(f"{sum(s[2] for s in sums)} voxels in {len(bands)} bands of {len(sums)} maps")


if __name__ == "__main__":
    main()
