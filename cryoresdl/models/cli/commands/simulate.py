"""``cryoresdl simulate``: one structure becomes a map.

Mode pdb2mrc makes the noiseless map that EMAN2's e2pdb2mrc makes. Mode realistic makes a reconstruction
with two noisy half maps, a mask, and the true local resolution.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

from ...base.errors import InputError
from ..argument_types import count, direction, number, positive

HELP = "make a map from an atomic structure"
EXAMPLE = "cryoresdl simulate 1abc.cif.gz --resolution 4 --mode realistic --box 96 --out simulated"
MAP, JSON = "map.mrc", "simulation.json"
REALISTIC_FILES = (MAP, "half1.mrc", "half2.mrc", "mask.mrc", "truth.mrc", JSON)
_REALISTIC: Dict[str, Tuple[Callable[[str], Any], str, str]] = {
    "b_base": (number, "A2", "B-factor of every atom (40 at 3 A, growing with the square of the resolution)"),
    "b_range": (
        number,
        "A2",
        "scale of the B-factors' variation over the molecule (120 at 3 A, growing likewise)",
    ),
    "field_length": (positive, "A", "correlation length of the flexibility field"),
    "solvent": (number, "RATIO", "bulk-solvent density over the mean protein density, 0 = vacuum"),
    "noise_slope": (number, "P", "noise power spectrum (f + 0.02)^P"),
    "noise_profile": (number, "AMPLITUDE", "smooth spatial variation of the noise"),
    "band_limit": (positive, "F", "cycles per voxel above which the reconstruction is empty"),
    "b_sharpen": (number, "A2", "B-factor of sharpening (negative) or blurring (positive)"),
    "low_pass": (number, "A", "low-pass filter of the final map, 0 = none"),
    "mask_margin": (positive, "A", "distance from the nearest atom to the edge of the mask"),
    "copies": (count, "N", "symmetry copies about the z axis"),
    "views": (
        str,
        "VIEWS",
        "distribution of views: uniform, axis:P (P percent of them along one axis), two:P (along two axes at right angles), "
        "cone:N (a missing cone of half-angle N degrees), tilt:T (all tilted by T degrees)",
    ),
    "view_axis": (direction, "Z,Y,X", "the axis of those views (1,0,0)"),
    "view_floor": (
        positive,
        "D",
        "the reconstruction divides by no smaller density of views (0.02 of the mean)",
    ),
}
_CHOICES = {
    "b_source": (("field", "file", "radial", "none"), "where B-factors come from"),
    "background": (("noise", "soft", "hard", "zone", "clipped"), "what the final map holds outside the mask"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("structure", metavar="STRUCTURE", help="PDB or mmCIF file, also .gz or .bz2")
    parser.add_argument("--resolution", type=positive, required=True, metavar="A", help="of the map, in A")
    parser.add_argument("--box", type=count, metavar="N", help="edge of the cubic box in voxels (chosen)")
    parser.add_argument("--voxel-size", type=positive, default=1.0, metavar="A", help="in A (1)")
    parser.add_argument("--mode", choices=("pdb2mrc", "realistic"), default="pdb2mrc", help="(pdb2mrc)")
    parser.add_argument("--model", type=count, metavar="N", help="number of the model (the first)")
    atoms = parser.add_mutually_exclusive_group()  # EMAN2's parser reads every chain
    atoms.add_argument("--chain", metavar="ID", help="only this chain, or 'longest'")
    atoms.add_argument(
        "--eman2-atoms",
        action="store_true",
        help="pdb2mrc: read atoms with the accidents of EMAN2's parser, place and cut as it does (with a warning)",
    )
    like = parser.add_argument_group("mode pdb2mrc")
    like.add_argument(
        "--center", action="store_true", help="move the Z-weighted centre to the middle of the box"
    )
    like.add_argument(
        "--b-factors", action="store_true", help="widths from the file's B-factors, as EMAN2 does"
    )
    real = parser.add_argument_group("mode realistic")
    for name, (kind, metavar, text) in _REALISTIC.items():
        real.add_argument(_flag(name), type=kind, metavar=metavar, help=text)
    for name, (choices, text) in _CHOICES.items():
        real.add_argument(_flag(name), choices=choices, help=text)
    real.add_argument("--weighting", action="store_true", default=None, help="FSC-weight the final map")
    real.add_argument("--draw-options", action="store_true", help="draw the options not given here at random")


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def run(args: argparse.Namespace) -> None:
    """Simulate and write the map, and in realistic mode its halves, mask and truth."""
    from ...base.runs import output_folder
    from ..kept_results import begin_run, given_files

    _refuse_foreign(args)
    names = (MAP, JSON) if args.mode == "pdb2mrc" else REALISTIC_FILES
    own = ("run", "command", "structure", "out", "overwrite", "resume", "quiet")
    request = {k: v for k, v in vars(args).items() if k not in own}
    made = begin_run(args, request, given_files(args, "structure"))
    if made is None:
        return
    out = output_folder.prepare_out(args.out, names, args.overwrite, args.resume, command="simulate")
    with made.writing():
        (_pdb2mrc if args.mode == "pdb2mrc" else _realistic)(args, out)


def _refuse_foreign(args: argparse.Namespace) -> None:
    given = [name for name in (*_REALISTIC, *_CHOICES, "weighting") if getattr(args, name) is not None]
    if args.draw_options:
        given.append("draw_options")
    if args.mode == "pdb2mrc" and given:
        raise InputError(f"{_flag(given[0])} belongs to --mode realistic.")
    own = [name for name in ("eman2_atoms", "center", "b_factors") if getattr(args, name)]
    if args.mode == "realistic" and own:
        raise InputError(f"{_flag(own[0])} belongs to --mode pdb2mrc.")


def _read(args: argparse.Namespace) -> Any:
    from ...structures import structure_reader
    from ...structures.atoms import longest_chain

    atoms = structure_reader.read_structure(args.structure, model=args.model)
    if args.chain == "longest":
        return longest_chain(atoms)
    if args.chain:
        if args.chain not in atoms.chain_names:
            raise InputError(
                f"{args.structure} has no chain {args.chain}; it has {', '.join(atoms.chain_names)}."
            )
        return atoms.select(atoms.chain == atoms.chain_names.index(args.chain))
    return atoms


def _pdb2mrc(args: argparse.Namespace, out: Path) -> None:
    from ...base import machine
    from ...base.runs import atomic_files
    from ...maps.mrc import mrc_writer
    from ...simulation import atom_density
    from ...structures import structure_reader
    from ...structures.atoms import center_of

    warnings: List[str] = []
    if args.eman2_atoms:
        xyz, weights, b_factors = structure_reader.eman2_atoms(args.structure, args.model)
    else:
        atoms = _read(args)
        xyz, weights, b_factors = atoms.xyz, atoms.z_number.astype(float), atoms.b_factor
        warnings += atoms.warnings
    box = args.box or atom_density.eman2_box(xyz, args.resolution, args.voxel_size)
    machine.require_memory(12 * box**3, f"a box of {box} voxels")
    centre = center_of(xyz, weights) if args.center else xyz[0] * 0.0
    fit = atom_density.fit(xyz - centre, weights, args.resolution, box, args.voxel_size)
    if not fit.fits and args.eman2_atoms:
        warnings.append(f"{100 * fit.lost:.1f} % of the density is outside the box and was cut.")
    elif not fit.fits and not args.center:
        centre = center_of(xyz, weights)
        fit = atom_density.fit(xyz - centre, weights, args.resolution, box, args.voxel_size)
        warnings.append("The structure fits the box only centred, so it was centred.")
    if not args.eman2_atoms:
        atom_density.check_fit(fit, box, args.voxel_size, args.structure)
    data = atom_density.pdb2mrc(
        (xyz - centre, weights, b_factors),
        args.resolution,
        box,
        args.voxel_size,
        b_factors=args.b_factors,
        allow_cut=True,
    )
    for warning in warnings:  # also with --quiet: nothing is moved or cut silently
        print(f"cryoresdl: {warning}", file=sys.stderr)
    mrc_writer.write_volume(out / MAP, data, _grid(data, args.voxel_size))
    info = _provenance(args, len(xyz), warnings)
    info.update(
        resolution_A=args.resolution,
        voxel_size_A=args.voxel_size,
        box=box,
        eman2_atoms=args.eman2_atoms,
        moved_by_A=[round(0.0 - float(value), 6) + 0.0 for value in centre],
        density_outside_the_box=round(fit.lost, 6),
    )
    atomic_files.write_json(out / JSON, info)


def _realistic(args: argparse.Namespace, out: Path) -> None:
    from ...base import progress
    from ...base.runs import atomic_files
    from ...maps.mrc import mrc_writer
    from ...simulation import realistic_map

    atoms = _read(args)
    options = _options(args)
    made = realistic_map.simulate(
        atoms, args.resolution, args.box, args.voxel_size, seed=args.seed, options=options, directional=True
    )
    grid = _grid(made.map, args.voxel_size)
    volumes = {
        "half1": made.half1,
        "half2": made.half2,
        "mask": made.mask,
        "truth": made.truth,
        "map": made.map,
    }
    for name, volume in volumes.items():
        mrc_writer.write_volume(out / f"{name}.mrc", volume, grid)
    atomic_files.write_json(out / JSON, {**_provenance(args, len(atoms), atoms.warnings), **made.info})
    reached, median = made.info["global_fsc0143_A"], made.info["truth_median_A"]
    progress.note(f"half maps reach {reached:.2f} A, truth median {median:.2f} A")
    if options.views != "uniform":
        along = made.info["directional_truth"]
        progress.note(f"by direction from {along['best_A']:.2f} to {along['worst_A']:.2f} A")


def _options(args: argparse.Namespace) -> Any:
    import numpy as np

    from ...simulation import imaging_conditions

    # Not the seed itself: the options and the noise are to be independent.
    drawn = (
        imaging_conditions.random_options(np.random.default_rng([args.seed, 1]), args.resolution)
        if args.draw_options
        else imaging_conditions.plain_options(args.resolution)
    )
    given = {
        name: getattr(args, name)
        for name in (*_REALISTIC, *_CHOICES, "weighting")
        if getattr(args, name) is not None
    }
    return dataclasses.replace(drawn, **given)


def _grid(data: Any, voxel_size: float) -> Any:
    """Header as EMAN2 writes it: coordinate 0 is at voxel ``box // 2``."""
    from ...maps.density_map import DensityMap

    start = -(data.shape[0] // 2)
    return DensityMap(data, voxel_size, (start * voxel_size,) * 3, (start,) * 3)


def _provenance(args: argparse.Namespace, atoms: int, warnings: List[str]) -> Dict[str, Any]:
    from .... import __version__
    from ...base.runs import atomic_files

    return {
        "mode": args.mode,
        "structure": Path(args.structure).name,
        "sha256": atomic_files.sha256(args.structure),
        "atoms": atoms,
        "chain": args.chain,
        "seed": args.seed,
        "version": __version__,
        "warnings": warnings,
    }
