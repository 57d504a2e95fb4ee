"""Our resolutions by direction beside the conical FSC as 3DFSC and cryoSPARC define it: shell by shell, in exact cones.

    python benchmarks/directional_definition.py HALF1 HALF2 MASK

The cones of 20 degrees are taken coefficient by coefficient, without patches, bands or anything shared by directions (Tan et
al., 2017). Both sides see the same half maps in the same soft mask.
"""

import argparse

import numpy as np
import scipy.fft as sf
from common import heading

from cryoresdl.models.features import direction_sums
from cryoresdl.models.inference import directional_resolution
from cryoresdl.models.maps.fsc import directional_fsc, fourier_shells
from cryoresdl.models.maps.mrc import mrc_reader


def defined_curves(first, second):
    """FSC of every shell in the cone of every axis: centres (shells,) in cycles per voxel, and (shells, axes)."""
    a, b = sf.fftn(first), sf.fftn(second)
    grid = np.stack(np.meshgrid(*[sf.fftfreq(n) for n in a.shape], indexing="ij"), axis=-1)
    radius = np.sqrt((grid**2).sum(-1))
    shells = min(a.shape) // 2
    shell = np.round(radius * 2 * shells).astype(int)
    used = (shell > 0) & (shell <= shells)
    direction, shell = grid[used] / radius[used][:, None], shell[used]
    parts = (a * b.conj()).real[used], np.abs(a[used]) ** 2, np.abs(b[used]) ** 2
    columns = []
    for axis in directional_fsc.cone_axes():
        inside = np.abs(direction @ axis) > np.cos(np.radians(directional_fsc.HALF_ANGLE))
        common, left, right = (np.bincount(shell[inside], p[inside], shells + 1)[1:] for p in parts)
        power = np.sqrt(left * right)
        columns.append(np.where(power > 0, common / np.where(power > 0, power, 1.0), 1.0))
    return np.arange(1, shells + 1) / (2.0 * shells), np.stack(columns, axis=1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("half1", "half2", "mask"):
        parser.add_argument(name)
    args = parser.parse_args()
    heading("Resolution by direction against the definition of the conical FSC")
    halves = [mrc_reader.read(path) for path in (args.half1, args.half2)]
    mask, voxel = mrc_reader.read_values(args.mask).data > 0, halves[0].voxel_size
    found = directional_resolution.resolution_by_direction(
        halves[0].data, mask, voxel, (halves[0].data, halves[1].data)
    )
    width = max(direction_sums.EDGE, direction_sums.EDGE / voxel)
    region = direction_sums.region_around(mask, int(np.ceil(width)) + 1)
    soft = fourier_shells.soft_edge(mask[region], width)
    centres, curves = defined_curves(*((half.data[region] - half.data.mean()) * soft for half in halves))
    defined = voxel / directional_fsc.cone_crossings(centres, curves)
    difference = np.abs(np.log(found.resolution / defined))
    cfar = directional_fsc.conical_area_ratio(centres, curves)
    angle = abs(directional_fsc.extreme_axis(np.log(defined)) @ np.asarray(found.summary["worst_axis_zyx"]))
    print(
        f"region of {soft.shape[0]} voxels, {len(defined)} axes; defined from {defined.min():.2f} to {defined.max():.2f} A"
    )
    print(
        f"resolutions differ by {100 * np.median(difference):.1f} % (median), {100 * np.quantile(difference, 0.9):.1f} % (90 %)"
    )
    print(f"correlation of their logs {np.corrcoef(np.log(found.resolution), np.log(defined))[0, 1]:.3f}")
    print(f"worst axes differ by {np.degrees(np.arccos(min(angle, 1.0))):.0f} degrees")
    print(f"cFAR {found.summary['cfar']:.3f}, by shells {cfar:.3f}")


if __name__ == "__main__":
    main()
