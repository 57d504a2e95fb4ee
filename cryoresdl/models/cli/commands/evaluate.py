"""Measure a model on the held-out split of a data set, with intervals, baselines and calibration.

Global models: accuracy, confusion matrix (as Tables 3 and 4 of the paper), sensitivity, specificity, PPV and NPV
(Table 5), calibration. Local models: the paper's metric over all voxels (Table 6) and in-mask accuracy, within one
class, MAE, mean over maps, beside the baselines.
"""

from __future__ import annotations

import argparse

from ..argument_types import count

HELP = "measure a model on a data set, with baselines"
EXAMPLE = "cryoresdl evaluate --data global.h5 --model paper-dnn --out measured"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    parser.add_argument(
        "--data", required=True, metavar="FILE.h5", help="a data set made by 'cryoresdl dataset'"
    )
    parser.add_argument("--model", required=True, metavar="NAME|FILE", help="the model to measure")
    parser.add_argument(
        "--split", choices=("train", "validation", "test"), default="test", help="which part (test)"
    )
    parser.add_argument("--limit", type=count, metavar="N", help="at most N maps, evenly spread")


def run(args: argparse.Namespace) -> None:
    """Write the metrics and print the paths."""
    from ...base.runs import output_folder
    from ...evaluation import class_measures, evaluate_model
    from ...networks.model_files import model_store
    from ..kept_results import begin_run

    inputs = {"data": args.data, "model": model_store.resolve(args.model)}
    made = begin_run(args, {"split": args.split, "limit": args.limit}, inputs)
    if made is None:
        return
    out = output_folder.prepare_out(
        args.out, [class_measures.METRICS], args.overwrite, args.resume, command="evaluate"
    )
    with made.writing():
        paths = evaluate_model.evaluate(args.data, args.model, out, args.split, args.limit)
    for path in paths:
        print(path)
