"""How well can the truth itself agree with a local-resolution volume that changes from voxel to voxel?

    python benchmarks/rough_reference.py SHARED [--maps 20]

RELION's volume of beta-galactosidase in SHARED/maps changes within a voxel of 3.5 A, although it is about waves of 7 to 14 A. Here
maps like that one are simulated (validation structures of 110 to 260 A, voxels of 3.54 A, 7.6 to 9 A, noise that is 2.5 to 4 times
higher inside the molecule and falls towards the faces), and a local FSC is computed between their half maps in Gaussian windows, one of
which makes volumes as rough as RELION's. Printed: rank correlation of neighbours (one and two voxels apart) in RELION's volume and
in those, and the rank correlation of those with the truth, with our estimates from one map and from half maps, and with the energy of
the top band. Means over maps with 95 % bootstrap intervals over maps.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import scipy.fft as sf
from local_accuracy import interval
from scipy import ndimage
from scipy.stats import spearmanr

from cryoresdl.models.datasets import input_lists
from cryoresdl.models.features import band_energies
from cryoresdl.models.inference import local_resolution
from cryoresdl.models.maps.density_map import DensityMap
from cryoresdl.models.maps.fsc.fourier_shells import frequency_grid
from cryoresdl.models.maps.mrc import mask_reader, mrc_reader
from cryoresdl.models.simulation import imaging_conditions, realistic_map
from cryoresdl.models.structures.structure_reader import read_structure

VOXEL_A = 3.54
WINDOWS = (0.7, 1.0, 1.4, 2.0)
"""Standard deviations of the windows, in voxels."""


def neighbours(volume: np.ndarray, mask: np.ndarray, distance: int) -> float:
    """Rank correlation of voxels that lie ``distance`` apart along an axis, both in the mask."""
    found = []
    for axis in range(3):
        values, inside = np.moveaxis(volume, axis, 0), np.moveaxis(mask, axis, 0)
        both = inside[:-distance] & inside[distance:]
        found.append(spearmanr(values[:-distance][both], values[distance:][both])[0])
    return float(np.mean(found))


def local_fsc(half1: np.ndarray, half2: np.ndarray, window: float) -> np.ndarray:
    """Wavelength in voxels at which the FSC in a Gaussian window first falls to 0.143."""
    f = frequency_grid(half1.shape)
    transforms = sf.rfftn(half1), sf.rfftn(half2)
    found = np.full(half1.shape, 1 / 0.49, np.float32)
    still = np.ones(half1.shape, bool)
    for centre in np.arange(0.12, 0.4901, 0.01):
        band = np.exp(-(((f - centre) / 0.02) ** 2))
        a, b = (sf.irfftn(transform * band, s=half1.shape) for transform in transforms)
        ab, aa, bb = (ndimage.gaussian_filter(product, window) for product in (a * b, a * a, b * b))
        fallen = still & (ab < 0.143 * np.sqrt(aa * bb))
        found[fallen] = 1 / centre
        still &= ~fallen
    return found


def simulated(rows: list, number: int) -> realistic_map.RealisticMap:
    """A map like beta-galactosidase's."""
    rng = np.random.default_rng((17, number))
    row = rows[int(rng.integers(len(rows)))]
    target = float(rng.uniform(7.6, 9.0))
    options = imaging_conditions.plain_options(target)
    options.noise_inside, options.noise_fall = float(rng.uniform(1.5, 3.0)), float(rng.uniform(0.3, 0.8))
    return realistic_map.simulate(read_structure(row["path"]), target, None, VOXEL_A, number, options)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shared", type=Path)
    parser.add_argument("--maps", type=int, default=20)
    args = parser.parse_args()
    density = mrc_reader.read(args.shared / "maps" / "relion_betagal.map.gz")
    mask = mask_reader.read_mask(args.shared / "maps" / "relion_betagal_mask.mrc.gz", density)
    relion = mrc_reader.read_values(args.shared / "maps" / "relion_betagal_locres.map.gz").data
    print(f"RELION's volume: neighbours {[round(neighbours(relion, mask, k), 2) for k in (1, 2)]}")
    listed = input_lists.read_manifest(args.shared / "structures", "validation")
    rows = [row for row in listed if 110 <= float(row["max_extent_A"]) <= 260]
    found: dict = {}
    for number in range(args.maps):
        made = simulated(rows, number)
        inside = made.mask & (made.truth > 0)
        one, *halves = (DensityMap(data, VOXEL_A) for data in (made.map, made.half1, made.half2))
        energy = ndimage.gaussian_filter(band_energies.Spectrum(made.map).band(0.46) ** 2, 0.35 / 0.46)
        estimates = {
            "truth": made.truth,
            "one map": local_resolution.localres(one, mask=made.mask).resolution,
            "half maps": local_resolution.localres(one, *halves, mask=made.mask).resolution,
            "energy of the top band": -energy,
        }
        for window in WINDOWS:
            rough = local_fsc(made.half1, made.half2, window)
            for distance in (1, 2):
                found.setdefault((window, f"neighbours {distance}"), []).append(
                    neighbours(rough, inside, distance)
                )
            for name, values in estimates.items():
                found.setdefault((window, name), []).append(spearmanr(rough[inside], values[inside])[0])
    for window in WINDOWS:
        print(f"window of {window} voxels (n = {args.maps} maps)")
        for (size, name), values in found.items():
            if size == window:
                mean, low, high = interval(values)
                print(f"  {name:24s} {mean:5.2f} [{low:.2f}, {high:.2f}]")


if __name__ == "__main__":
    main()
