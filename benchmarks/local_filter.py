"""Error of the locally filtered map against the noiseless one, beside no filter and the best of several global filters.

    python benchmarks/local_filter.py STRUCTURE... [--voxel-size 1.2]

Each structure is simulated twice with one seed: with its noise, and without. The filter reads the true local resolution,
or with --predict that of the shipped network from the half maps.
"""

from __future__ import annotations

import argparse
from unittest import mock

import numpy as np
import scipy.fft as sf

from cryoresdl.models.inference import local_resolution
from cryoresdl.models.maps import density_map, local_filter
from cryoresdl.models.maps.fsc.fourier_shells import frequency_grid
from cryoresdl.models.simulation import realistic_map
from cryoresdl.models.structures import structure_reader


def main() -> None:
    """Print one line per structure and how often the local filter was the best."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("structures", nargs="+")
    parser.add_argument("--voxel-size", type=float, default=1.2)
    parser.add_argument("--predict", action="store_true")
    args = parser.parse_args()
    wins, voxel = 0, args.voxel_size
    rng = np.random.default_rng(1)
    for number, path in enumerate(args.structures):
        atoms, target = structure_reader.read_structure(path), float(rng.uniform(3.2, 8.0))
        made = realistic_map.simulate(atoms, target, voxel_size=voxel, seed=number)
        with mock.patch.object(realistic_map, "_noise", lambda shape, *rest: np.zeros(shape, np.float32)):
            clean = realistic_map.simulate(atoms, target, voxel_size=voxel, seed=number).half1
        mean, mask, resolution = (made.half1 + made.half2) / 2, made.mask, made.truth
        if args.predict:
            maps = [density_map.DensityMap(data, voxel) for data in (mean, made.half1, made.half2)]
            resolution = local_resolution.localres(*maps, mask=mask).resolution
        scale = np.linalg.norm(clean[mask] - clean[mask].mean())
        transform, frequency = sf.rfftn(mean), frequency_grid(mean.shape) / np.float32(voxel)
        cutoff = made.info["measured_fsc0143_masked_A"]
        errors = {"none": np.linalg.norm((mean - clean)[mask]) / scale}
        for factor in (0.85, 1.0, 1.15, 1.3):
            one = sf.irfftn(transform * local_filter.low_pass(frequency, factor * cutoff), mean.shape)
            errors[f"global x{factor:g}"] = np.linalg.norm((one - clean)[mask]) / scale
        found = local_filter.filter_locally(mean, resolution, voxel).data
        local = np.linalg.norm((found - clean)[mask]) / scale
        wins += local < min(errors.values())
        told = ", ".join(f"{name} {value:.3f}" for name, value in errors.items())
        print(f"{path}: {target:.1f} A, local {local:.3f}; {told}", flush=True)
    print(f"the local filter is the best on {wins} of {len(args.structures)} maps")


if __name__ == "__main__":
    main()
