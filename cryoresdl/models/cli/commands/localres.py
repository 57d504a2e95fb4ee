"""Local resolution of a map: a volume in angstroms, its classes and its 68 % interval."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...networks.model_files import model_store

HELP = "estimate the local resolution of a map"
EXAMPLE = "cryoresdl localres map.mrc --half1 half1.mrc --half2 half2.mrc --out results"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    from ..argument_types import positive

    parser.add_argument("map", metavar="MAP", help="the map (MRC, CCP4; .gz and .bz2 too)")
    parser.add_argument(
        "--half1", metavar="H1", help="first half map: noise is then measured between the halves"
    )
    parser.add_argument("--half2", metavar="H2", help="second half map")
    parser.add_argument(
        "--mask", metavar="M", help="mask of the molecule, same box (default: made from the map)"
    )
    parser.add_argument(
        "--voxel-size", type=positive, metavar="A", help="angstroms per voxel, instead of the header's"
    )
    parser.add_argument(
        "--model",
        default=model_store.DEFAULT_LOCAL_MODEL,
        metavar="NAME|FILE",
        help="truth, monores, resmap, an installed model's name or a file (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> None:
    """Estimate and write."""
    from ...base.runs import output_folder
    from ...inference import local_resolution
    from ...maps.fsc import half_map_fsc
    from ...maps.mrc import mask_reader, mrc_reader
    from ...networks.model_files import model_store
    from ...results import result_files
    from ..kept_results import begin_run, given_files

    out = Path(args.out)
    inputs = given_files(args, "map", "mask", "half1", "half2")
    inputs["model"] = model_store.resolve(args.model)
    made = begin_run(args, {"voxel_size": args.voxel_size}, inputs)
    if made is None:
        return
    density = mrc_reader.read(args.map, args.voxel_size)
    halves = [
        mrc_reader.read(p, args.voxel_size, "half map") if p else None for p in (args.half1, args.half2)
    ]
    mask = mask_reader.read_mask(args.mask, density) if args.mask else None
    output_folder.prepare_out(out, result_files.LOCAL_FILES, args.overwrite, args.resume, command="localres")
    soft = half_map_fsc.read_soft_mask(args.mask) if args.mask and args.half1 else None
    result = local_resolution.localres(
        density, halves[0], halves[1], mask, args.model, watched=True, soft_mask=soft
    )
    made.stamps()  # refuses a map that has changed meanwhile, before anything is written
    with made.writing():
        result_files.write_local(result, density, out)
    if result.info["quartiles_A"]:
        first, third = result.info["quartiles_A"]
        print(
            f"median {result.info['median_A']:.2f} A, half of the voxels between {first:.2f} and {third:.2f} A"
        )
    for warning in result.info["warnings"]:
        print(f"warning: {warning}")
    print(f"results: {out}")
