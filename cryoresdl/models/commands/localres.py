"""Local resolution of a map: a volume in angstroms, its classes and its 68 % interval."""

from __future__ import annotations

import argparse
from pathlib import Path

from .. import constants

HELP = "estimate the local resolution of a map"
EXAMPLE = "cryoresdl localres map.mrc --half1 half1.mrc --half2 half2.mrc --out results"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    from ..cli import positive

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
        default=constants.DEFAULT_LOCAL_MODEL,
        metavar="NAME|FILE",
        help="truth, monores, resmap, an installed model's name or a file (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> None:
    """Estimate and write."""
    from .. import files, inference, maps, model_file, outputs

    out = Path(args.out)
    given = {name: getattr(args, name) for name in ("map", "mask", "half1", "half2")}
    inputs = {name: maps.plain_path(path) for name, path in given.items() if path}
    inputs["model"] = str(model_file.resolve(args.model))
    request = {"command": "localres", "voxel_size": args.voxel_size, "seed": args.seed}
    made = files.Run(out, request, inputs)
    if args.resume and made.complete():
        print(f"{files.shown(out)} is already complete.")
        return
    density = maps.read(args.map, args.voxel_size)
    halves = [maps.read(p, args.voxel_size, "half map") if p else None for p in (args.half1, args.half2)]
    mask = maps.read_mask(args.mask, density) if args.mask else None
    files.prepare_out(out, outputs.LOCAL_FILES, args.overwrite, args.resume)
    result = inference.localres(density, halves[0], halves[1], mask, args.model, args.seed, True)
    with made.writing():
        outputs.write_local(result, density, out)
    first, third = result.info["quartiles_A"]
    print(f"median {result.info['median_A']:.2f} A, half of the voxels between {first:.2f} and {third:.2f} A")
    for warning in result.info["warnings"]:
        print(f"warning: {warning}")
    print(f"results: {out}")
