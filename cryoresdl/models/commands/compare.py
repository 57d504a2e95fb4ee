"""Agreement of local-resolution volumes of one map: network, MonoRes, ResMap, RELION, truth.

Values at or below 0 and at or above 100 A are "not estimated". RELION fills its background with the global
resolution: give the mask, or it is recognised by being one value in much of the box.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from .. import constants

HELP = "measure how far local-resolution volumes agree"
EXAMPLE = "cryoresdl compare locres.mrc=network monores.mrc=MonoRes --mask mask.mrc --out agreement"
FIGURES = ("agreement", "disagreement", "scatter", "histogram")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument(
        "volumes", nargs="+", metavar="VOL=NAME", help="a volume in A and its name in tables and figures"
    )
    parser.add_argument("--mask", metavar="M", help="the molecule; voxels outside do not count")
    parser.add_argument("--map", metavar="MAP", help="the map itself, for the voxel size and the origin")


def run(args: argparse.Namespace) -> None:
    """Compare, write and draw."""
    from .. import comparison, files, maps

    out = Path(args.out)
    made = _made(args)
    if args.resume and made.complete():
        print(f"{files.shown(out)} is already complete.")
        return
    like = maps.read(args.map) if args.map else None
    estimates, grid = comparison.load(args.volumes, like)
    mask = maps.read_mask(args.mask, grid) if args.mask else None
    files.prepare_out(out, [constants.COMPARISON_JSON, constants.DISAGREEMENT], args.overwrite, args.resume)
    for estimate in estimates:
        estimate.path = os.path.abspath(estimate.path)
    with made.writing():
        result = comparison.write(out, estimates, mask, grid, args.mask)
        draw(out)
    for line in lines(result):
        print(line)
    print(f"results: {files.shown(out)}")


def _made(args: argparse.Namespace) -> Any:
    """What is compared, for ``--resume``."""
    from .. import comparison, files, maps

    words = [comparison.parse(word) for word in args.volumes]
    inputs = {f"volume {number}": maps.plain_path(path) for number, (path, _) in enumerate(words, 1)}
    given = {"mask": args.mask, "map": args.map}
    inputs.update({name: maps.plain_path(path) for name, path in given.items() if path})
    request = {"command": "compare", "names": [name for _, name in words]}
    return files.Run(args.out, request, inputs)


def draw(out: Path) -> None:
    """The figures of a comparison, into ``figures`` of the results folder."""
    from .. import plots

    results = plots.ResultsFolder(out)
    (out / "figures").mkdir(exist_ok=True)
    for kind in FIGURES:
        plots.save(plots.from_folder(kind, results), out / "figures" / f"{kind}.png")


def lines(result: dict[str, Any]) -> list[str]:
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
