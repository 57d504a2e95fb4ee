"""``cryoresdl filter``: a map low-passed everywhere at its local resolution.

The local resolution is that of `localres` (the same filters suit any volume in A on the map's grid). Where nothing is
estimated, the map is low-passed at the coarse end of what is.
"""

from __future__ import annotations

import argparse

from ...results import result_files

HELP = "low-pass a map at its local resolution"
EXAMPLE = "cryoresdl filter map.mrc --locres results/local_resolution.mrc --out filtered"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    from ..argument_types import b_factor, positive

    parser.add_argument("map", metavar="MAP", help="the map, or the mean of the half maps")
    parser.add_argument(
        "--locres",
        required=True,
        metavar="VOL",
        help=f"local resolution in A ({result_files.LOCAL_RESOLUTION})",
    )
    parser.add_argument(
        "--b-factor", type=b_factor, default=0.0, metavar="B", help="A^2, applied first; below 0 sharpens (0)"
    )
    parser.add_argument(
        "--voxel-size", type=positive, metavar="A", help="A per voxel, instead of the header's"
    )


def run(args: argparse.Namespace) -> None:
    """Filter and write."""
    from pathlib import Path

    from ...base.errors import InputError
    from ...base.resolution_terms import estimated
    from ...base.runs import atomic_files, output_folder
    from ...maps import foreign_volumes, local_filter
    from ...maps.mrc import mrc_reader
    from ..kept_results import begin_run, given_files

    out = Path(args.out)
    request = {"b_factor": args.b_factor, "voxel_size": args.voxel_size}
    made = begin_run(args, request, given_files(args, "map", "locres"))
    if made is None:
        return
    density = mrc_reader.read(args.map, args.voxel_size)
    volume = foreign_volumes.read_resolution(args.locres, density)
    if not estimated(volume.data).any():
        raise InputError(f"{atomic_files.shown(args.locres)} holds no estimated voxel to filter with.")
    output_folder.prepare_out(out, result_files.FILTER_FILES, args.overwrite, args.resume, command="filter")
    found = local_filter.filter_locally(density.data, volume.data, density.voxel_size, args.b_factor)
    with made.writing():
        result_files.write_filtered(found, density, out, args.locres)
    print(
        f"filters of {found.bank_A[0]:.2f} to {found.bank_A[-1]:.2f} A: {atomic_files.shown(out / result_files.FILTERED)}"
    )
    for warning in density.warnings + volume.warnings:
        print(f"warning: {warning}")
