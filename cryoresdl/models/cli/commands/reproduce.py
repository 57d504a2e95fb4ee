"""Make a table or figure of Avramov et al. (2019) with our models, beside the numbers that the paper printed, or all.

'finding' shows why the paper's networks fail on experimental maps: one condition of their training is changed at a time.

Tables 2 to 5 use experimental maps: those in --maps (emd_ID.map.gz), downloaded ones (--download), and the
real maps of the project's shared data where they are at hand. Tables 6 and 7 need patches (--monores,
--resmap).
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

HELP = "make the tables and figures of the paper with our models"
EXAMPLE = "cryoresdl reproduce table5 --out paper"

RESULT_NAMES = (
    "table1",
    "table2",
    "table3",
    "table4",
    "table5",
    "table6",
    "table7",
    "fig2",
    "fig3",
    "fig4",
    "fig5",
    "finding",
)
ALL_RESULTS = "all"
_MODELS = {
    "dnn": "DNN",
    "cnn": "CNN",
    "default": "default",
    "unet-monores": "monores",
    "unet-resmap": "resmap",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    parser.add_argument("what", choices=(*RESULT_NAMES, ALL_RESULTS), help="which table or figure")
    parser.add_argument(
        "--shared", metavar="DIR", help="the project's shared data (default: $CRYORESDL_SHARED)"
    )
    parser.add_argument(
        "--structures", metavar="DIR", help="structures with a manifest.csv that has a test split (table1)"
    )
    parser.add_argument("--maps", metavar="DIR", help="folder with emd_ID.map.gz files (table2 to table5)")
    parser.add_argument("--download", action="store_true", help="fetch the thirty EMDB maps (several GB)")
    parser.add_argument(
        "--monores", metavar="FILE.h5", help="paper-mode patches with MonoRes labels (table6, table7)"
    )
    parser.add_argument(
        "--resmap", metavar="FILE.h5", help="paper-mode patches with ResMap labels (table6, table7)"
    )
    parser.add_argument(
        "--history",
        metavar="DIR|CSV",
        help="a training run to draw (fig2 to fig5; default: the model's card)",
    )
    parser.add_argument(
        "--matrix", action="append", default=[], metavar="CSV", help="a confusion matrix (table5; repeatable)"
    )
    for flag in _MODELS:
        parser.add_argument(
            f"--{flag}", metavar="MODEL", help=f"the model for '{flag}' instead of the shipped one"
        )


def run(args: argparse.Namespace) -> None:
    """Write CSV and PNG and print their paths."""
    from ...base.errors import InputError
    from ...base.runs import output_folder
    from ...paper.tables import all_tables
    from ...paper.tables.context import Context

    names = RESULT_NAMES if args.what == ALL_RESULTS else (args.what,)
    files = [f"{name}{suffix}" for name in names for suffix in (".csv", ".png")]
    out = output_folder.prepare_out(args.out, files, args.overwrite, command="reproduce")
    given = {column: getattr(args, flag.replace("-", "_")) for flag, column in _MODELS.items()}
    shared = _folder(args.shared or os.environ.get("CRYORESDL_SHARED") or "", InputError, bool(args.shared))
    context = Context(
        shared=shared,
        structures=_folder(args.structures or "", InputError, True),
        maps=_folder(args.maps or "", InputError, True),
        models={column: model for column, model in given.items() if model},
        patches={name: getattr(args, name) for name in ("monores", "resmap") if getattr(args, name)},
        history=args.history,
        matrices=args.matrix,
        download=args.download,
        seed=args.seed,
    )
    make = all_tables.everything if args.what == ALL_RESULTS else all_tables.ALL[args.what]
    for path in make(out, context):
        print(path)


def _folder(text: str, error: type[Exception], must_exist: bool) -> Path | None:
    if not text:
        return None
    if not Path(text).is_dir():
        if must_exist:
            raise error(f"There is no folder {text}; give the one with the data.")
        return None
    return Path(text)
