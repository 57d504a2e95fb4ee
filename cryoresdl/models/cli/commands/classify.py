"""Is a map of high (< 5 A), medium (5-10 A) or low (> 10 A) resolution, and does a claim hold?"""

from __future__ import annotations

import argparse
from typing import Any, Dict, List, Optional, Tuple

from ...networks.model_files import model_store
from ...results import result_files

HELP = "tell whether maps are of high, medium or low resolution, and check claims"
EXAMPLE = "cryoresdl classify map.mrc --claimed 3.2 --out results"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    from ..argument_types import add_criterion, positive

    parser.add_argument(
        "maps",
        nargs="+",
        metavar="MAP|EMD-NNNN",
        help="maps (MRC, CCP4; .gz and .bz2 too), or entries of the EMDB",
    )
    parser.add_argument(
        "--mask", metavar="M", help="mask of the molecule, same box (default: made from the map)"
    )
    parser.add_argument("--half1", metavar="H1", help="first half map of a single MAP")
    parser.add_argument("--half2", metavar="H2", help="second half map")
    parser.add_argument(
        "--voxel-size", type=positive, metavar="A", help="angstroms per voxel, instead of the header's"
    )
    parser.add_argument("--claimed", type=positive, metavar="R", help="claimed resolution in angstroms")
    add_criterion(parser)
    parser.add_argument(
        "--model",
        default=model_store.DEFAULT_GLOBAL_MODEL,
        metavar="NAME|FILE",
        help="default, paper-dnn, paper-cnn, an installed model's name or a file (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> None:
    """Classify every map and write one list, which grows by every map that is finished."""
    from ...base.errors import InputError
    from ...base.runs import atomic_files, output_folder, run_record
    from ...maps import density_map
    from ...networks import network_runners
    from ...networks.model_files import model_store

    given = {name: getattr(args, name) for name in ("mask", "half1", "half2")}
    given.update({f"map {number}": path for number, path in enumerate(args.maps, 1)})
    inputs = {name: density_map.plain_path(path) for name, path in given.items() if path}
    inputs["model"] = str(model_store.resolve(args.model))
    request = {
        "command": "classify",
        "voxel_size": args.voxel_size,
        "claimed": args.claimed,
        "criterion": args.criterion,
    }
    made = run_record.Run(args.out, request, inputs)
    if args.resume and made.complete():
        print(f"{atomic_files.shown(args.out)} is already complete.")
        return
    out = output_folder.prepare_out(
        args.out, [result_files.CLASSIFICATION_JSON], args.overwrite, args.resume, command="classify"
    )
    if len(args.maps) > 1 and (args.half1 or args.half2):
        raise InputError("--half1 and --half2 belong to one map; classify maps with half maps one at a time.")
    entries: List[Dict[str, Any]] = []
    network_runners.load_model(
        args.model, "global"
    )  # what is wrong with it is said once, and not by every map
    with made.writing():
        for path in args.maps:
            entry = _entry(path, args)
            if entry is None:
                continue
            entries.append(entry)
            # After every map: a stop or a later bad map costs nothing that is finished.
            result_files.write_classification(entries, out)
            for line in _lines(entry):
                print(line)
        failed = len(args.maps) - len(entries)
        if failed:
            raise InputError(f"{failed} of {len(args.maps)} maps could not be classified (see above).")
    print(f"results: {atomic_files.shown(out / result_files.CLASSIFICATION_JSON)}")


def _entry(path: str, args: argparse.Namespace) -> Optional[Dict[str, Any]]:
    """The entry of one map; of several, a bad one is named on stderr, and the result is None."""
    from ...base.errors import InputError
    from ...inference import global_resolution
    from ...maps.mrc import mask_reader, mrc_reader
    from ..program_endings import EXIT_BAD_INPUT, say

    try:
        file, one, two, claimed = _files(path, args)
        density = mrc_reader.read(file, args.voxel_size)
        mask = mask_reader.read_mask(args.mask, density) if args.mask else None
        halves = [mrc_reader.read(p, args.voxel_size, "half map") if p else None for p in (one, two)]
        return global_resolution.classify(
            density,
            mask,
            claimed,
            args.model,
            half1=halves[0],
            half2=halves[1],
            criterion=args.criterion,
        )
    except InputError as error:
        if len(args.maps) == 1:
            raise
        say(str(error), EXIT_BAD_INPUT)
        return None


def _files(path: str, args: argparse.Namespace) -> Tuple[str, str, str, Optional[float]]:
    """Map, half maps ("" for none) and claim; those of the EMDB where it is an entry's name and none are given."""
    from ...maps import emdb_download

    own = args.half1 or "", args.half2 or ""
    number = emdb_download.entry_number(path)
    if number is None:
        return path, *own, args.claimed
    entry = emdb_download.fetch_entry(number, halves=not any(own))
    claimed = args.claimed or entry.resolution_A
    return entry.map, own[0] or entry.half1, own[1] or entry.half2, claimed


def _lines(entry: Dict[str, Any]) -> List[str]:
    """One map's entry as lines of text: the answer, why a claim was judged as it was, and the warnings."""
    text = [_line(entry)]
    text += [f"reason: {reason}" for reason in (entry["claim"] or {}).get("reasons", [])]
    return text + [f"warning: {warning}" for warning in entry["warnings"]]


def _line(entry: Dict[str, Any]) -> str:
    from ...base.runs.atomic_files import shown
    from ...results.verdict_words import by_criterion

    shares = ", ".join(f"{k} {v:.2f}" for k, v in entry["probabilities"].items())
    text = f"{shown(entry['map'] or '')}: {entry['class']} ({shares})"
    if entry["resolution_A"] is not None:
        low, high = entry["interval_A"]
        text += f", {entry['resolution_A']:.2f} A{by_criterion(entry)} (68 %: {low:.2f} to {high:.2f} A)"
    if entry["claim"]:
        text += f"; claim {entry['claim']['claimed_A']:g} A {entry['claim']['verdict']}"
    return text
