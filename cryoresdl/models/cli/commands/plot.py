"""``cryoresdl plot``: one figure of a results folder as PNG, SVG or PDF, or a folder for ChimeraX."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Sequence

from ...base.errors import InputError
from ...results.result_files import CHIMERAX

HELP = "draw one figure of a results folder"
EXAMPLE = "cryoresdl plot slices results --axis y --format svg"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    from ...results.figures import (
        drawing,
        figure_catalogue,  # half a second: only when this command runs
    )
    from ...results.figures.slices import volume_slices

    kinds = "\n".join(f"  {name:14s} {kind.help}" for name, kind in figure_catalogue.FIGURE_KINDS.items())
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    folder = f"  {CHIMERAX:14s} a folder with the coloured surface for ChimeraX, to take to any machine"
    parser.description = f"{HELP}; KIND is one of\n{kinds}\n{folder}"
    parser.add_argument(
        "kind",
        metavar="KIND",
        choices=[*figure_catalogue.FIGURE_KINDS, CHIMERAX, "all"],
        help="what to draw, or all figures",
    )
    parser.add_argument("folder", metavar="DIR", help="the results folder of another command")
    parser.add_argument("--format", choices=drawing.FORMATS, default="png", help="file format (default: png)")
    parser.add_argument(
        "--axis", choices=volume_slices.AXES, default="z", help="slices: axis to look along (default: z)"
    )
    parser.add_argument(
        "--slice", type=int, metavar="N", help="slices: number from 1 (default: most estimated)"
    )
    parser.add_argument(
        "--pair",
        nargs=2,
        metavar=("A", "B"),
        help="difference, scatter: two of the compared volumes (default: the first two; all pairs)",
    )
    parser.add_argument(
        "--range",
        nargs="+",
        metavar=("own|LOW", "HIGH"),
        help="range of the colours of resolutions: two numbers in A, or own for this map's middle 90 %% (default: 1.5 12)",
    )
    parser.add_argument(
        "--dpi", type=int, default=150, help="dots per inch of PNG files, 30 to 1200 (default: 150)"
    )
    parser.add_argument("--out", metavar="DIR", help="where to write KIND.FORMAT (default: DIR/figures)")


def run(args: argparse.Namespace) -> None:
    """Draw and write the figures; a figure whose files are missing says so."""
    from ...base.runs import atomic_files, output_folder
    from ...results import results_folder
    from ...results.figures import drawing, figure_catalogue

    folder = Path(args.folder)
    if not folder.is_dir():
        raise InputError(f"There is no results folder {folder}; give the --out of the command that made it.")
    if not 30 <= args.dpi <= 1200:
        raise InputError(f"--dpi {args.dpi} is not between 30 and 1200.")
    if args.slice is not None and args.slice < 1:
        raise InputError(f"--slice {args.slice} is not a slice number; the first slice is 1.")
    opened = results_folder.ResultsFolder(folder)
    span = _span(args, opened)
    if args.kind == CHIMERAX:
        _write_chimerax(folder, span, args)
        return
    kinds = figure_catalogue.drawable(opened) if args.kind == "all" else [args.kind]
    if not kinds:
        raise InputError(f"{folder} holds no results of CryoResDL to draw.")
    _refuse_slice(kinds, opened, args)
    _refuse_pair(kinds, opened, args)
    # The folder's own record knows its figures.
    names = [f"{kind}.{args.format}" if args.out else f"figures/{kind}.{args.format}" for kind in kinds]
    curves = _curves(folder, names) if "fsc" in kinds else []
    out = output_folder.prepare_out(args.out or folder, [*names, *curves], args.overwrite, command="plot")
    atomic_files.make_folder((out / names[0]).parent)
    index = None if args.slice is None else args.slice - 1
    for kind, name in zip(kinds, names):
        figure = figure_catalogue.from_folder(kind, opened, args.axis, index, args.pair, span=span)
        print(drawing.save_figure(figure, out / name, args.dpi))
    for name in curves:
        atomic_files.write_text(out / name, (folder / Path(name).name).read_text(encoding="utf-8"))
        print(out / name)


def _span(args: argparse.Namespace, opened: Any) -> tuple[float, float] | None:
    """The range of the colours that was asked for, in A."""
    from ...results.figures import colours, figure_catalogue
    from ..argument_types import positive

    if args.range is None:
        return None
    if args.kind not in (*figure_catalogue.COLOURED, CHIMERAX, "all"):
        raise InputError(
            f"--range is for figures whose colours are resolutions; those of {args.kind} are none."
        )
    if args.range == ["own"]:
        span = colours.own_range_of(opened)
        if span is None:
            raise InputError(
                f"--range own needs a local resolution, and {args.folder} holds none; give two numbers."
            )
        return span
    try:
        low, high = (positive(text) for text in args.range)
    except (ValueError, argparse.ArgumentTypeError) as error:
        raise InputError(f"--range {' '.join(args.range)} is neither own nor two numbers above 0.") from error
    if low >= high:
        raise InputError(
            f"--range {low:g} {high:g}: the first number is the finer resolution, below the second."
        )
    return low, high


def _write_chimerax(folder: Path, span: tuple[float, float] | None, args: argparse.Namespace) -> None:
    from ...base.runs import output_folder
    from ...results.report import chimerax_script

    if args.out:
        raise InputError("plot chimerax writes the folder chimerax in DIR; leave out --out and copy it.")
    output_folder.prepare_out(folder, chimerax_script.CHIMERAX_FILES, args.overwrite, command="plot")
    print(chimerax_script.write_chimerax_script(folder, span=span))


def _curves(folder: Path, names: Sequence[str]) -> list[str]:
    """Files of the curves of half maps that go beside their figure: CSV, STAR and the EMDB's XML."""
    from ...results import fsc_files

    files = (fsc_files.FSC_CSV, fsc_files.FSC_STAR, fsc_files.FSC_XML)
    return [str(Path(names[0]).parent / name) for name in files if (folder / name).is_file()]


def _refuse_slice(kinds: Sequence[str], opened: Any, args: argparse.Namespace) -> None:
    """Another slice than the one that was asked for must not be drawn in its place."""
    from ...results.figures.slices import folder_slices, slice_figure

    if args.slice is None:
        return
    for kind in [kind for kind in kinds if kind in folder_slices.SLICE_KINDS]:
        figure = slice_figure.slices_from_folder(opened, kind, args.axis)
        if figure is not None and args.slice > figure.count:
            raise InputError(
                f"--slice {args.slice} is outside the box; along {args.axis} there are slices 1 to {figure.count}."
            )


def _refuse_pair(kinds: Sequence[str], opened: Any, args: argparse.Namespace) -> None:
    """A name that is not there must not become a picture that says so."""
    from ...base.runs import atomic_files
    from ...results import compared_results

    if args.pair is None or not {"difference", "scatter"} & set(kinds):
        return
    names = list(compared_results.compared_volumes(opened))
    unknown = [name for name in args.pair if name not in names]
    if names and unknown:
        listed = ", ".join(atomic_files.shown(name) for name in names)
        raise InputError(
            f"--pair: {atomic_files.shown(unknown[0])} is not among the volumes compared in "
            f"{atomic_files.shown(opened.folder)}; choose two of {listed}."
        )
