"""Train a network: the paper's (--paper) or ours.

With --paper the DNN, 3D CNN and 3D U-Net of Avramov et al. (2019) are trained exactly as described there,
or with the width, epochs, batch and optimiser that you choose. Without it, 'cnn' trains our global model
and 'unet' our local-resolution model on the features that they read (docs/explanation/models.md). Every epoch is in
history.csv, with its curves in training.png, and the model's card in card.json; training.txt has the error on
the test maps beside that of the best constant. A run that was stopped or killed goes on with --resume to the same
result.
"""

from __future__ import annotations

import argparse
from typing import Any

from ...base import progress
from ...base.errors import InputError
from ..argument_types import count, positive

HELP = "train a network on a training set"
EXAMPLE = "cryoresdl train unet --paper --labels monores --width 0.125 --data patches.h5 --out unet"

_PAPER_ONLY = (
    "width",
    "solver",
    "orientations",
    "optimizer",
    "learning_rate",
    "patience",
    "bfloat16",
    "checkpoint_every",
    "cluster",
    "worker",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    parser.add_argument(
        "network", choices=("dnn", "cnn", "unet"), help="dnn and cnn: global class; unet: local resolution"
    )
    parser.add_argument(
        "--data",
        required=True,
        nargs="+",
        metavar="FILE.h5",
        help="training set(s) made by 'cryoresdl dataset'; one with --paper",
    )
    parser.add_argument(
        "--paper", action="store_true", help="the paper's network, data path and hyper-parameters"
    )
    parser.add_argument(
        "--labels",
        choices=("truth", "monores", "resmap"),
        help="whose local resolution to learn (unet; what the training sets say)",
    )
    parser.add_argument(
        "--name",
        metavar="NAME",
        help="the model's name on its card (the name of the folder --out; paper: of the network)",
    )
    parser.add_argument("--epochs", type=count, metavar="N", help="at most this many passes over the data")
    parser.add_argument(
        "--batch", type=count, metavar="N", help="examples per step (paper: dnn 150, cnn 75, unet 32)"
    )
    parser.add_argument(
        "--start",
        metavar="MODEL",
        help="unet without --paper: go on from this model, or 'none' (default: 'truth' with labels of monores and resmap, "
        "'none' with truth)",
    )
    parser.add_argument(
        "--calibrate-only",
        action="store_true",
        help="unet without --paper: keep the network of --start (truth); calibrate its intervals on the validation maps "
        "of --data, with 300 new training maps also learn how to correct its answers, and measure it on the test maps",
    )
    _add_paper(parser.add_argument_group("with --paper"))


def _add_paper(paper: Any) -> None:
    paper.add_argument(
        "--width", type=positive, metavar="F", help="factor on all filters and neurons, up to 1 (1)"
    )
    paper.add_argument(
        "--optimizer", choices=("sgd", "adam"), help="paper: sgd for dnn and cnn, adam for unet"
    )
    paper.add_argument(
        "--learning-rate", type=positive, metavar="R", help="paper: 0.01 for sgd, 0.001 for adam"
    )
    paper.add_argument(
        "--patience", type=count, metavar="N", help="stop after N epochs without a lower validation loss"
    )
    paper.add_argument(
        "--solver",
        choices=("gram", "keras"),
        help="dnn: gradient descent on inner products of maps, exact and fast (gram, default), or step "
        "by step on all weights (keras)",
    )
    paper.add_argument(
        "--orientations",
        type=int,
        choices=(1, 4, 12, 24),
        help="dnn: show every training map in so many orientations (1; the paper had 7,600 structures instead)",
    )
    paper.add_argument(
        "--cluster",
        metavar="HOST:PORT,...",
        help="share every batch among these workers; run the same command on each, with its own --worker and the "
        "same --out on a shared disk",
    )
    paper.add_argument(
        "--worker", type=int, metavar="N", help="which address of --cluster this process is, from 0"
    )
    paper.add_argument(
        "--bfloat16",
        action="store_true",
        default=None,
        help="compute in bfloat16 (needs AVX-512 BF16 or AMX)",
    )
    paper.add_argument("--checkpoint-every", type=count, metavar="N", help="epochs between checkpoints (1)")


def run(args: argparse.Namespace) -> None:
    """Train and write model, history, card and figures."""
    from ...networks.model_files import model_archive

    if args.name is not None:
        model_archive.check_name(args.name)  # before hours of training, not after them
    if args.paper:
        _train_paper(args)
        return
    for name in _PAPER_ONLY:
        if getattr(args, name) is not None:
            raise InputError(
                f"--{name.replace('_', '-')} belongs to the paper's networks; add --paper or leave it out."
            )
    if args.network == "dnn":
        raise InputError(
            "The DNN exists only as in the paper; add --paper, or train 'cnn' for our global model."
        )
    _train_default(args)


def _calibrate(args: argparse.Namespace) -> Any:
    from ...training import local_network

    start = args.start or "truth"
    useless = [name for name in ("labels", "name", "epochs", "batch", "resume") if getattr(args, name)]
    if args.network != "unet" or start == "none" or useless:
        raise InputError(
            "--calibrate-only takes 'unet', a trained --start, --data and --out; nothing is trained: leave out the rest."
        )
    return local_network.calibrate_again(args.data, start, args.out, args.overwrite)


def _train_paper(args: argparse.Namespace) -> None:
    from ...paper import several_workers, train_paper_network

    if len(args.data) > 1 or args.start or args.calibrate_only:
        raise InputError(
            "The paper's networks train on one --data file and from scratch; leave out the rest."
        )
    if args.labels == "truth" and args.network == "unet":
        progress.note("note: the paper learned from MonoRes and ResMap; truth labels are ours.")
    if args.labels and args.network != "unet":
        raise InputError(
            "--labels is for the U-Net; the global classifiers learn from the data set's resolutions."
        )
    names = (
        "width",
        "epochs",
        "batch",
        "optimizer",
        "learning_rate",
        "patience",
        "solver",
        "orientations",
        "bfloat16",
        "checkpoint_every",
    )
    chosen = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    if (args.cluster is None) != (args.worker is None):
        raise InputError("--cluster and --worker go together.")
    if args.cluster:
        chosen["cluster"] = several_workers.Cluster.parse(args.cluster, args.worker)
    path = train_paper_network.train(
        train_paper_network.PaperTrainingOptions(
            args.network,
            args.data[0],
            args.out,
            labels=args.labels,
            name=args.name,
            seed=args.seed,
            resume=args.resume,
            overwrite=args.overwrite,
            **chosen,
        )
    )
    progress.note(f"wrote {path}")


def _train_default(args: argparse.Namespace) -> None:
    from ...training import global_network, local_network

    chosen: dict[str, Any] = {
        name: getattr(args, name) for name in ("epochs", "batch", "name") if getattr(args, name)
    }
    common = dict(
        resume=args.resume, overwrite=args.overwrite, seed=args.seed, report=progress.note, **chosen
    )
    if args.calibrate_only:
        path = _calibrate(args)
    elif args.network == "unet":
        path = local_network.train_local(args.data, args.out, labels=args.labels, start=args.start, **common)
    else:
        if args.start or args.labels:
            raise InputError(
                "--start and --labels are for 'unet'; the global model learns from all its maps."
            )
        path = global_network.train_global(args.data, args.out, **common)
    progress.note(f"wrote {path}")
