"""Agreement of local-resolution volumes of one map: network, MonoRes, ResMap, RELION, truth.

Values at or below 0 and at or above 100 A are "not estimated", and so is one value that fills the faces of the box, as
RELION's global resolution does. Give a mask where a program estimates solvent too. Volumes that are not in A are refused.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from ...results import result_files

HELP = "measure how far local-resolution volumes agree"
EXAMPLE = "cryoresdl compare locres.mrc=network monores.mrc=MonoRes --mask mask.mrc --out agreement"
COMPARISON_FIGURES = ("agreement", "disagreement", "scatter", "histogram")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument(
        "volumes", nargs="+", metavar="VOL=NAME", help="a volume in A and its name in tables and figures"
    )
    parser.add_argument("--mask", metavar="M", help="the molecule; voxels outside do not count")
    parser.add_argument("--map", metavar="MAP", help="the map itself, for the voxel size and the origin")


def run(args: argparse.Namespace) -> None:
    """Compare, write and draw."""
    from ...base.runs import atomic_files, output_folder
    from ...maps import foreign_volumes
    from ...maps.mrc import mask_reader, mrc_reader
    from ...results import volume_comparison
    from ..kept_results import begin_run, given_files

    out = Path(args.out)
    words = [volume_comparison.parse(word) for word in args.volumes]
    inputs = {f"volume {number}": path for number, (path, _) in enumerate(words, 1)}
    made = begin_run(
        args, {"names": [name for _, name in words]}, {**inputs, **given_files(args, "mask", "map")}
    )
    if made is None:
        return
    like = mrc_reader.read(args.map) if args.map else None
    first = like or mrc_reader.read_values(foreign_volumes.estimates_beside(words[0][0]))
    mask = mask_reader.read_mask(args.mask, first) if args.mask else None
    estimates, grid = volume_comparison.load_volumes(words, like, mask)
    output_folder.prepare_out(
        out,
        [result_files.COMPARISON_JSON, result_files.DISAGREEMENT],
        args.overwrite,
        args.resume,
        command="compare",
        may_remain=[f"figures/{kind}.png" for kind in COMPARISON_FIGURES],
    )
    for estimate in estimates:
        estimate.path = os.path.abspath(estimate.path)
    with made.writing():
        result = volume_comparison.write_comparison(out, estimates, mask, grid, made.inputs.get("mask"))
        draw_comparison(out)
    for line in comparison_lines(result) + [f"warning: {text}" for text in (like.warnings if like else [])]:
        print(line)
    print(f"results: {atomic_files.shown(out)}")


def draw_comparison(out: Path) -> None:
    """The figures of a comparison, into ``figures`` of the results folder."""
    from ...results import results_folder
    from ...results.figures import drawing, figure_catalogue

    results = results_folder.ResultsFolder(out)
    (out / "figures").mkdir(exist_ok=True)
    for kind in COMPARISON_FIGURES:
        drawing.save_figure(figure_catalogue.from_folder(kind, results), out / "figures" / f"{kind}.png")


def comparison_lines(result: dict[str, Any]) -> list[str]:
    """The comparison as lines of text."""
    text = []
    for pair in result["pairs"]:
        first, second = pair["names"]
        if not pair["n_voxels"]:
            text.append(f"{first} / {second}: no voxel in common")
            continue
        measures = ", ".join(
            f"{label} {'undefined' if pair[key] is None else format(pair[key], form)}"
            for label, key, form in (
                ("kappa", "kappa", ".2f"),
                ("Spearman", "spearman", ".2f"),
                ("bias", "bias_A", "+.2f"),
                ("MAE", "mae_A", ".2f"),
                ("within one class", "within_one_class", ".0%"),
            )
        )
        text.append(f"{first} / {second}: {measures} ({pair['n_voxels']} voxels)")
    return text + [f"warning: {warning}" for warning in result["warnings"]]
