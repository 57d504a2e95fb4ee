"""``cryoresdl report``: one HTML file, and the same as JSON and, with ``--pdf``, as PDF, from a results folder."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "make the report of a results folder again"
EXAMPLE = "cryoresdl report results --overwrite"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("folder", metavar="DIR", help="the results folder of validate or another command")
    parser.add_argument("--pdf", action="store_true", help="also write report.pdf")


def run(args: argparse.Namespace) -> None:
    """Write report.html and report.json (and report.pdf) into the folder and print the page's path."""
    from ...base.errors import InputError
    from ...base.runs import atomic_files, output_folder
    from ...results import result_files
    from ...results.report import build_report

    folder = Path(args.folder)
    if not folder.is_dir():
        raise InputError(
            f"There is no results folder {atomic_files.shown(folder)}; give the --out of validate."
        )
    target = folder / result_files.REPORT_HTML
    others = [result_files.REPORT_JSON, *([result_files.REPORT_PDF] if args.pdf else [])]
    output_folder.prepare_out(
        folder, [result_files.REPORT_HTML], args.overwrite, command="report", may_remain=others
    )
    build_report.write_report(folder, args.pdf)
    print(target)
