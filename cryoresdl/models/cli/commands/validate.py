"""Validate maps: global class and claim, local resolution, comparison with other methods, and a report.

One map: everything goes into --out. Several maps, or a CSV list with the columns
map,mask,voxel_size,claimed,half1,half2,monores,resmap,criterion (only map is needed, further ones are kept): one
sub-folder per map, results.csv and results.jsonl, which grow as maps are finished, and one report of all.
A map that fails is a row with its error; the exit code is 0 as long as one map could be validated, or with
--strict only when all could. After any end, --resume does the rest. The tasks of a job array each
do one --piece; the same line without --piece and with --resume then gathers them, and does what they did not.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ...base import resolution_terms
from ...networks.model_files import model_store
from ...results import result_files, verdict_words

HELP = "validate maps: global class, local resolution, comparison and report"
EXAMPLE = "cryoresdl validate map.mrc --claimed 3.2 --half1 half1.mrc --half2 half2.mrc --out results"
SINGLE = ("half1", "half2", *resolution_terms.COMPARED)
"""Options that belong to one map, and are columns of a list."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    from ..argument_types import add_criterion, positive

    parser.add_argument(
        "maps",
        nargs="+",
        metavar="MAP|EMD-NNNN|LIST.csv",
        help="maps, entries of the EMDB, or one list of maps",
    )
    parser.add_argument("--mask", metavar="M", help="mask of the molecule (default: made from the map)")
    parser.add_argument(
        "--voxel-size", type=positive, metavar="A", help="A per voxel, instead of the header's"
    )
    parser.add_argument("--claimed", type=positive, metavar="R", help="claimed resolution in A, to be judged")
    add_criterion(parser)
    parser.add_argument(
        "--half1", metavar="H1", help="first half map: noise is then measured between the halves"
    )
    parser.add_argument("--half2", metavar="H2", help="second half map")
    for option, program in resolution_terms.COMPARED.items():
        parser.add_argument(
            f"--{option}", metavar="VOL[=NAME]", help=f"local resolution by {program}, to compare with"
        )
    parser.add_argument(
        "--networks", choices=("both", "global", "local"), default="both", help="which to run (%(default)s)"
    )
    parser.add_argument(
        "--model-global", default=model_store.DEFAULT_GLOBAL_MODEL, metavar="NAME|FILE", help="(%(default)s)"
    )
    parser.add_argument(
        "--model-local", default=model_store.DEFAULT_LOCAL_MODEL, metavar="NAME|FILE", help="(%(default)s)"
    )
    _add_results(parser)
    _add_lists(parser)


def _add_results(parser: argparse.ArgumentParser) -> None:
    """Options of what is written beside the answers."""
    from ..argument_types import b_factor, number

    parser.add_argument("--no-report", action="store_true", help="no report")
    parser.add_argument(
        "--filtered", action="store_true", help="also write the map low-passed at its local resolution"
    )
    parser.add_argument(
        "--b-factor",
        type=b_factor,
        default=0.0,
        metavar="B",
        help="of --filtered: A^2, applied before; below 0 sharpens (0)",
    )
    parser.add_argument(
        "--audit",
        action="store_true",
        help="also tell what the verdict hangs on: mask, sharpening, filter, sampling (as long as five more maps)",
    )
    parser.add_argument("--pdf", action="store_true", help="the report as PDF, too")
    parser.add_argument(
        "--deposit",
        metavar="DIR",
        help="of one map with half maps: a folder for the EMDB, too, with maps, mask, FSC, local resolution and a checklist",
    )
    parser.add_argument(
        "--contour",
        type=number,
        metavar="LEVEL",
        help="of --deposit: recommended contour (default: one is found)",
    )


def _add_lists(parser: argparse.ArgumentParser) -> None:
    """Options of lists of maps."""
    from ..argument_types import count

    parser.add_argument("--map-reports", action="store_true", help="of a list: a report for every map, too")
    parser.add_argument(
        "--strict", action="store_true", help="of a list: end with exit code 2 when any map failed"
    )
    parser.add_argument("--workers", type=count, default=1, metavar="N", help="of a list: processes (1)")
    parser.add_argument(
        "--dask",
        metavar="ADDRESS|slurm:N|local:N",
        help="of a list: fan out to the workers of a Dask scheduler, to N jobs of a queue (slurm, pbs, sge, lsf, oar, "
        "htcondor), or to N local processes",
    )
    parser.add_argument(
        "--piece",
        type=piece,
        metavar="I/N",
        help="of a list: only every N-th map from the I-th on, into a sub-folder of --out (for job arrays)",
    )


def piece(text: str) -> tuple[int, int]:
    """Type for argparse: ``3/100`` is the third of a hundred pieces."""
    number, _, pieces = text.partition("/")
    if not (number.isdecimal() and pieces.isdecimal() and 1 <= int(number) <= int(pieces)):
        raise argparse.ArgumentTypeError(f"{text!r} is not I/N with I from 1 to N")
    return int(number), int(pieces)


def run(args: argparse.Namespace) -> None:
    """Validate one map or many."""
    from dataclasses import replace

    from ...base.errors import InputError
    from ...batch import job_list
    from ...batch.jobs import ValidationOptions

    several = len(args.maps) > 1 or args.maps[0].lower().endswith(".csv")
    options = ValidationOptions(
        networks=args.networks,
        model_global=args.model_global,
        model_local=args.model_local,
        report=not args.no_report and (not several or args.map_reports),
        filtered=args.filtered,
        b_factor=args.b_factor,
        pdf=args.pdf,
        audit=args.audit,
    )
    if args.audit and args.networks != "both":
        raise InputError("--audit asks both networks; leave out --networks.")
    if args.filtered and args.networks == "global":
        raise InputError("--filtered needs the local network; leave out --networks global.")
    if args.b_factor and not args.filtered:
        raise InputError("--b-factor belongs to --filtered; give both or neither.")
    if args.criterion != resolution_terms.CRITERIA[0] and args.networks == "local":
        raise InputError(f"--criterion {args.criterion} is about the whole map; leave out --networks local.")
    if args.claimed is not None and args.networks == "local":
        raise InputError("--claimed is about the whole map; leave out --networks local.")
    options = replace(options, digests=_digests(options))
    shared = {
        name: getattr(args, name)
        for name in ("mask", "voxel_size", "claimed", "criterion")
        if getattr(args, name)
    }
    alone = [f"--{name}" for name in SINGLE if getattr(args, name)]
    if not several:
        if args.piece:
            raise InputError("--piece belongs to a list of maps; give a CSV list.")
        _check_deposit(args)
        own = {name: getattr(args, name) for name in SINGLE if getattr(args, name)}
        titles = _titles(own)
        job = job_list.jobs_of(args.maps, options, {**shared, **own})[0]
        # The names belong to the results, so that --resume with others is no complete run.
        key = " ".join([job.key, *(f"{name}={title}" for name, title in titles.items())])
        _run_one(replace(job, titles=titles, key=key), options, args)
        return
    if args.deposit:
        raise InputError("--deposit belongs to one map; give that map and its half maps alone.")
    if alone:
        raise InputError(f"{alone[0]} belongs to one map; use the column {alone[0][2:]} of a CSV list.")
    if len(args.maps) == 1:
        jobs = job_list.read_list(args.maps[0], options, shared)
    elif any(path.lower().endswith(".csv") for path in args.maps):
        raise InputError("Give either maps or one CSV list, not both.")
    else:
        jobs = job_list.jobs_of(args.maps, options, shared)
    _run_many(jobs, options, args)


def _titles(own: dict[str, str]) -> dict[str, str]:
    """The names given as VOL=NAME, by option; ``own`` keeps the volumes alone.

    Raises:
        InputError: one name for two volumes, or that of the network's own estimate.
    """
    from ...base.errors import InputError
    from ...maps.density_map import plain_path
    from ...results import volume_comparison
    from ...results.compared_results import OURS

    titles = {}
    for name in resolution_terms.COMPARED:
        word = own.get(name, "")
        if "=" in word and not Path(plain_path(word)).exists():
            own[name], titles[name] = volume_comparison.parse(word)
    programs = resolution_terms.COMPARED.items()
    called = [OURS, *(titles.get(name, program) for name, program in programs if name in own)]
    twice = next((name for name in called if called.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"The name {twice} is given twice; name the volumes apart with VOL=NAME.")
    return titles


def _check_deposit(args: argparse.Namespace) -> None:
    """Refuse a folder for the EMDB that could not be filled."""
    import os

    from ...base.errors import InputError
    from ...maps import emdb_download

    if args.contour is not None and not args.deposit:
        raise InputError("--contour belongs to --deposit; give both or neither.")
    if not args.deposit:
        return
    if emdb_download.entry_number(args.maps[0]):
        raise InputError("--deposit is for a map that is not in the EMDB yet; give it as a file.")
    if not (args.half1 and args.half2):
        raise InputError(
            "--deposit needs both half maps, without which the EMDB takes no map of single particles; give --half1 and "
            "--half2."
        )
    if args.networks == "global":
        raise InputError("--deposit needs the local network; leave out --networks global.")
    if os.path.realpath(args.deposit) == os.path.realpath(args.out):
        raise InputError("--deposit and --out are one folder; name another one for --deposit.")


def _digests(options: Any) -> str:
    """Digests of the models; one that is missing or damaged is said once, at once, and not by every map."""
    from ...base.errors import InputError
    from ...networks.model_files import model_store

    found = []
    for name, kind, other in (
        (options.model_global, "global", "local"),
        (options.model_local, "local", "global"),
    ):
        if options.networks != other:
            model = model_store.load_named(name)
            if model.card["kind"] != kind:
                raise InputError(f"--model-{kind} {name} is a {model.card['kind']} network; choose another.")
            found.append(model_store.digest(model))
    return " ".join(found)


def _run_one(job: Any, options: Any, args: argparse.Namespace) -> None:
    from dataclasses import replace

    from ...base.runs import atomic_files, output_folder
    from ...batch import validate_map
    from ...results import deposition

    out = Path(args.out)
    job = replace(job, folder="")
    plan = validate_map.DepositionPlan(Path(args.deposit), args.contour) if args.deposit else None
    if args.resume and validate_map.is_complete(job, out, plan):
        print(f"{atomic_files.shown(out)} is already complete.")
        return
    output_folder.prepare_out(
        out,
        [result_files.CLASSIFICATION_JSON, result_files.LOCAL_JSON],
        args.overwrite,
        args.resume,
        command="validate",
    )
    if plan is not None:
        output_folder.prepare_out(
            plan.folder,
            deposition.DEPOSITION_FILES,
            args.overwrite,
            args.resume,
            command=validate_map.DEPOSIT_COMMAND,
        )
    row = validate_map.validate_map(job, options, out, overwrite=args.overwrite, deposit=plan)
    for line in validation_lines(row):
        print(line)
    if plan is not None:
        said = row["deposition"] or ["everything is in order"]
        print(f"for the EMDB: {atomic_files.shown(plan.folder)}: {' '.join(said)}")
    print(f"results: {atomic_files.shown(out)}")


def _run_many(jobs: Any, options: Any, args: argparse.Namespace) -> None:
    from ...base.errors import InputError
    from ...base.runs import atomic_files, output_folder
    from ...batch import job_list, run_list, validate_map
    from ...batch.jobs import DONE

    out = Path(args.out)
    if args.piece:
        jobs, name = job_list.piece_of(jobs, *args.piece)
        out = out / name
    report = [] if args.no_report else [result_files.REPORT_HTML, result_files.REPORT_JSON]
    output_folder.prepare_out(
        out,
        run_list.LIST_FILES,
        args.overwrite,
        args.resume,
        command=validate_map.LIST_COMMAND,
        may_remain=report,
    )
    rows = run_list.run_list(
        jobs, options, out, args.workers, args.resume, args.dask, overwrite=args.overwrite
    )
    if not args.no_report:
        from ...results.report import build_report

        build_report.write_report(out, args.pdf)
    failed = [row for row in rows if row["status"] != DONE]
    for row in failed:
        print(f"{atomic_files.shown(row['map'])}: {row['error']}")
    said = f", {len(failed)} failed" if failed else ""
    table = atomic_files.shown(out / result_files.RESULTS_CSV)
    print(f"{len(rows) - len(failed)} of {len(rows)} maps validated{said}: {table}")
    if failed and (args.strict or len(failed) == len(rows)):
        number = "No map" if len(failed) == len(rows) else f"{len(failed)} of {len(rows)} maps"
        could = "could be validated" if len(failed) == len(rows) else "could not be validated"
        raise InputError(f"{number} of the list {could}; the column error of {table} says why.")


def validation_lines(row: dict[str, Any]) -> list[str]:
    """One map's row as lines of text."""
    text = []
    if row["class"]:
        chances = ", ".join(f"{name} {row['p_' + name]:.2f}" for name in resolution_terms.GLOBAL_CLASSES)
        text.append(f"class: {row['class']} ({chances})")
    if row["resolution_A"] is not None:
        text.append(
            f"resolution: {row['resolution_A']:.2f} A{verdict_words.by_criterion(row)} "
            f"(68 %: {row['interval_low_A']:.2f} to {row['interval_high_A']:.2f} A)"
        )
    if row["verdict"]:
        text.append(f"claim of {row['claimed_A']:g} A: {row['verdict']}. {row['reasons']}")
    if row["local_median_A"] is not None:
        text.append(
            f"local resolution: median {row['local_median_A']:.2f} A, "
            f"half of it between {row['local_q1_A']:.2f} and {row['local_q3_A']:.2f} A"
        )
    if row["direction_worst_A"] is not None:
        best, worst = (f"{row[name]:.2f}" for name in ("direction_best_A", "direction_worst_A"))
        span = f"{best} A along all" if best == worst else f"{best} to {worst} A"
        text.append(f"by direction: {span}, median {row['direction_median_A']:.2f} A")
    return text + ([f"warnings: {row['warnings']}"] if row["warnings"] else [])
