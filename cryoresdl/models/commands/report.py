"""``cryoresdl report``: one HTML file, and the same as JSON and PDF, from a results folder."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "make the report of a results folder again"
EXAMPLE = "cryoresdl report results --overwrite"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("folder", metavar="DIR", help="the results folder of validate or another command")


def run(args: argparse.Namespace) -> None:
    """Write report.html, report.json and report.pdf into the folder and print the page's path."""
    from .. import constants, files, report
    from ..errors import InputError

    folder = Path(args.folder)
    if not folder.is_dir():
        raise InputError(f"There is no results folder {files.shown(folder)}; give the --out of validate.")
    target = folder / constants.REPORT_HTML
    files.prepare_out(folder, [constants.REPORT_HTML], args.overwrite, args.resume)
    # With --resume, too: what is in the folder may have changed, and this takes seconds.
    report.build(folder)
    print(target)
