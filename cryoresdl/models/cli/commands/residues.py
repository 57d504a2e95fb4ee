"""Local resolution of every residue and chain of an atomic model that was fitted to the map.

Writes residues.csv, chains.csv, residues.defattr, which ChimeraX opens after the model:
  open model.pdb; open residues.defattr; color byattribute r:local_resolution palette viridis
and model_resolution.cif, the model with the resolution (A) in its B-factor column (0: no estimate).
"""

from __future__ import annotations

import argparse

from ...results import result_files
from ..argument_types import positive

HELP = "list the local resolution of every residue of an atomic model"
EXAMPLE = "cryoresdl residues results/local_resolution.mrc model.cif --out residues"
RESIDUE_FILES = ("residues.csv", "chains.csv", "residues.defattr", "model_resolution.cif")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument(
        "volume", metavar="RES_VOLUME", help=f"local resolution in A ({result_files.LOCAL_RESOLUTION})"
    )
    parser.add_argument("structure", metavar="STRUCTURE", help="PDB or mmCIF file in the map's frame")
    parser.add_argument(
        "--interval",
        metavar="VOL",
        help=f"half-widths of the 68 %% interval in A ({result_files.LOCAL_INTERVAL})",
    )
    parser.add_argument(
        "--map", metavar="MAP", help="the map, for voxel size and origin (MonoRes' volumes carry neither)"
    )
    parser.add_argument(
        "--voxel-size", type=positive, metavar="A", help="A per voxel, instead of the header's"
    )
    parser.add_argument(
        "--origin",
        nargs=3,
        type=float,
        metavar=("X", "Y", "Z"),
        help="place of the first voxel in the model's frame, in A, instead of the header's",
    )


def run(args: argparse.Namespace) -> None:
    """Sample, average and write."""
    from pathlib import Path

    from ...base.runs import atomic_files, output_folder
    from ...maps import foreign_volumes
    from ...maps.mrc import mrc_reader
    from ...results import residue_resolution
    from ...structures import structure_reader, structure_writer
    from ..kept_results import begin_run, given_files

    out = Path(args.out)
    place = {"voxel_size": args.voxel_size, "origin": args.origin}
    made = begin_run(args, place, given_files(args, "volume", "structure", "interval", "map"))
    if made is None:
        return
    like = mrc_reader.read(args.map, args.voxel_size) if args.map else None
    volume = foreign_volumes.read_resolution(args.volume, like)
    if args.voxel_size:
        volume.voxel_size = args.voxel_size
    if args.origin:
        x, y, z = args.origin
        volume.origin, volume.nstart = (x, y, z), (0, 0, 0)
    interval = mrc_reader.read_values(args.interval, volume, "interval volume") if args.interval else None
    atoms = structure_reader.read_structure(args.structure, hydrogens=False)
    rows, warnings = residue_resolution.residue_table(atoms, volume, interval)
    warnings = volume.warnings + warnings
    output_folder.prepare_out(out, RESIDUE_FILES, args.overwrite, args.resume, command="residues")
    with made.writing():
        residue_resolution.write_residues(out / RESIDUE_FILES[0], rows)
        residue_resolution.write_chains(out / RESIDUE_FILES[1], rows)
        residue_resolution.write_attributes(out / RESIDUE_FILES[2], rows)
        values = {
            (r.chain, r.number, r.insertion): r.resolution_A for r in rows if r.resolution_A is not None
        }
        structure_writer.write_with_b_factors(args.structure, values, out / RESIDUE_FILES[3])
    for item in residue_resolution.chains(rows):
        value = "no estimate" if item["resolution_A"] is None else f"{item['resolution_A']:.2f} A"
        print(f"chain {item['chain']}: {value} ({item['residues_estimated']} of {item['residues']} residues)")
    for warning in warnings:
        print(f"warning: {warning}")
    print(f"results: {atomic_files.shown(out)}")
