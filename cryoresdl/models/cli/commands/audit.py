"""``cryoresdl audit``: how the answer about a map moves when mask, sharpening, filter, sampling or voxel size change.

Writes audit.json, audit.csv and audit.png, and says in a sentence each what the verdict hangs on. With half maps they are
judged, as by validate, and mask and voxel size change.
"""

from __future__ import annotations

import argparse

from ...results import result_files

HELP = "tell what the answer about a map hangs on"
EXAMPLE = "cryoresdl audit map.mrc --claimed 3.2 --out audit"
AUDIT_FILES = (result_files.AUDIT_JSON, result_files.AUDIT_CSV, result_files.AUDIT_PNG)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    from ..argument_types import add_criterion, positive

    parser.add_argument("map", metavar="MAP", help="the map")
    parser.add_argument("--mask", metavar="M", help="mask of the molecule (default: made from the map)")
    parser.add_argument("--claimed", type=positive, metavar="R", help="claimed resolution in A, to be judged")
    add_criterion(parser)
    parser.add_argument(
        "--half1", metavar="H1", help="first half map: both are then judged in the map's place"
    )
    parser.add_argument("--half2", metavar="H2", help="second half map")
    parser.add_argument(
        "--voxel-size", type=positive, metavar="A", help="A per voxel, instead of the header's"
    )


def run(args: argparse.Namespace) -> None:
    """Ask about the map and its variants, and write."""
    from pathlib import Path

    from ...base.runs import atomic_files, output_folder
    from ...batch import audit_map
    from ...inference import local_resolution
    from ...maps.fsc import half_map_fsc
    from ...maps.mrc import mask_reader, mrc_reader
    from ...results.figures import comparison_figures, drawing
    from ..kept_results import begin_run, given_files

    out = Path(args.out)
    request = {"claimed": args.claimed, "criterion": args.criterion, "voxel_size": args.voxel_size}
    made = begin_run(args, request, given_files(args, "map", "mask", "half1", "half2"))
    if made is None:
        return
    density = mrc_reader.read(args.map, args.voxel_size)
    given = (args.half1, args.half2)
    read = [mrc_reader.read(path, args.voxel_size, "half map") if path else None for path in given]
    halves = local_resolution.checked_halves(density, *read)
    mask = mask_reader.read_mask(args.mask, density) if args.mask else None
    soft = half_map_fsc.read_soft_mask(args.mask) if args.mask and halves else None
    output_folder.prepare_out(out, AUDIT_FILES, args.overwrite, args.resume, command="audit")
    found = audit_map.audit(
        density, mask, args.claimed, criterion=args.criterion, halves=halves, soft_mask=soft
    )
    with made.writing():
        picture = comparison_figures.audit_figure(found.as_json()["cases"], args.claimed)
        drawing.save_figure(picture, out / result_files.AUDIT_PNG)
        audit_map.write_audit(found, out)
    for sentence in found.sentences:
        print(sentence)
    for warning in density.warnings:
        print(f"warning: {warning}")
    print(f"results: {atomic_files.shown(out)}")
