"""``cryoresdl dataset``: build a training set.

  dataset global   structures -> maps at 2.5, 7.5 and 12.5 A with their class (high, medium, low)
  dataset local    (map, local-resolution volume, mask) triples -> patches with a class per voxel
  dataset features what the default networks learn from: triples, or reconstructions simulated from structures,
                   as band energies with the local resolution of every cell

A card is written beside the HDF5 file: as JSON and PNG for global and local, as JSON for features. A stopped
run goes on with --resume. ``cryoresdl dataset global --help`` (local, features) lists the options of each.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Dict, List, Tuple

from ...base.errors import InputError
from ..argument_types import count, positive

HELP = "build a training set"
EXAMPLE = "cryoresdl dataset global --structures structures --paper --workers 2 --out global.h5"
_PAPER_HELP = "to the letter of Avramov et al. 2019"
_LABELS = ("monores", "resmap", "truth")


def add_arguments(parser: argparse.ArgumentParser) -> List[argparse.ArgumentParser]:
    """Add a sub-command per kind of set; returns their parsers, which take the common options."""
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="global|local|features", title="kinds")
    found = []
    for name, text, example, add in (
        ("global", "maps of structures with their class", "--structures structures", _add_global),
        ("local", "patches of maps with a class per voxel", "--csv triples.csv", _add_local),
        ("features", "what the default networks learn from", "--csv triples.csv", _add_features),
    ):
        example = f"example: cryoresdl dataset {name} {example} --out {name}.h5"
        kind = kinds.add_parser(name, help=text, description=text, epilog=example)
        kind.add_argument("--workers", type=count, default=1, metavar="N", help="processes (1)")
        add(kind)
        found.append(kind)
    return found


def _add_structures(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    sources = parser.add_mutually_exclusive_group(required=True)
    sources.add_argument(
        "--structures",
        metavar="DIR|LIST",
        help="folder of PDB or mmCIF files, or a file with one path per line",
    )
    sources.add_argument(
        "--pdb-list", metavar="LIST", help="PDB ids to download into --cache, optionally with SHA-256"
    )
    add("--cache", metavar="DIR", help="folder of downloaded structures")
    add("--url", metavar="URL", help="where to download from, with {id} (RCSB)")
    add("--manifest", metavar="CSV", help="columns id, split, cluster (DIR/manifest.csv when it is there)")
    add(
        "--clusters",
        metavar="FILE",
        help="sequence clusters at 40 %%: cd-hit .clstr, or one cluster per line",
    )


def _add_global(parser: argparse.ArgumentParser) -> None:
    _add_structures(parser)
    add = parser.add_argument
    add("--paper", action="store_true", help=_PAPER_HELP)
    add(
        "--resolutions",
        type=positive,
        nargs="+",
        default=[2.5, 7.5, 12.5],
        metavar="A",
        help="in A (2.5 7.5 12.5)",
    )
    add("--box", type=count, default=64, metavar="N", help="voxels (64)")
    add("--voxel-size", type=positive, default=1.0, metavar="A", help="in A (1)")
    # --split and --chain may be given with --paper: the same maps without the leak, or more structures.
    add(
        "--split",
        choices=("paper", "cluster"),
        help="random over maps as in the paper, or by cluster (cluster)",
    )
    add(
        "--chain",
        choices=("single", "longest"),
        help="single-chain proteins only, or every longest chain (longest)",
    )
    add(
        "--orientations",
        type=count,
        default=1,
        metavar="K",
        help="of every training structure (1, the deposited one)",
    )
    add(
        "--fragments",
        type=count,
        default=0,
        metavar="K",
        help="random stretches of every training structure's chains (0)",
    )
    add(
        "--kda",
        type=positive,
        nargs=2,
        default=[10.0, 200.0],
        metavar=("LOW", "HIGH"),
        help="masses to take (10 200)",
    )
    add("--half", action="store_true", help="store float16: half the disk, 0.0005 of the range")


def _add_local(parser: argparse.ArgumentParser) -> None:
    sources = parser.add_mutually_exclusive_group(required=True)
    sources.add_argument(
        "--csv", metavar="MAPS.csv", help="columns map, label, mask and optionally name, voxel_size, split"
    )
    _add_shared_layout(sources)
    parser.add_argument(
        "--labels",
        choices=_LABELS,
        default="monores",
        help="what the label volumes are (%(default)s); the set keeps it, and 'train unet' goes by it",
    )
    parser.add_argument("--paper", action="store_true", help=_PAPER_HELP)
    parser.add_argument("--patch", type=count, metavar="N", help="edge in voxels (48; paper: 16)")


def _add_shared_layout(sources: Any) -> None:
    sources.add_argument(
        "--shared-layout", metavar="DIR", help="folder with index.json and one sub-folder per map"
    )


def _add_features(parser: argparse.ArgumentParser) -> None:
    sources = parser.add_mutually_exclusive_group(required=True)
    sources.add_argument(
        "--csv",
        metavar="MAPS.csv",
        help="your maps: columns map, label, mask and optionally name, voxel_size, split; for the global model also "
        "map, resolution and optionally mask",
    )
    _add_shared_layout(sources)
    sources.add_argument(
        "--structures",
        metavar="DIR",
        help="simulate maps of the structures in this folder (manifest.csv, pdb/)",
    )
    parser.add_argument(
        "--maps",
        type=int,
        nargs=3,
        metavar=("TRAIN", "VALIDATION", "TEST"),
        help="with --structures: reconstructions to simulate per split",
    )
    parser.add_argument(
        "--labels",
        choices=_LABELS,
        help="what the label volumes are (monores); the set keeps it, and 'train unet' goes by it",
    )


def run(args: argparse.Namespace) -> None:
    """Build the data set and its card."""
    from ...base import progress
    from ...base.runs import atomic_files, output_folder
    from ...datasets import map_set_card

    out = Path(args.out)
    if out.suffix not in (".h5", ".hdf5"):
        raise InputError(f"--out {args.out} must be a file that ends in .h5.")
    cards = [out.with_suffix(".json"), *map_set_card.card_paths(out).values()]
    atomic_files.make_folder(out.parent)
    output_folder.guard_file(out, cards, command="dataset", overwrite=args.overwrite)
    if args.kind == "features":
        _features(args, out)
        output_folder.sweep_files([out, *cards])
        return
    finished = out.exists() and not out.with_name(out.name + ".parts").exists()
    if args.resume and finished:
        if all(place.exists() for place in map_set_card.card_paths(out).values()):
            return
    else:
        made = (_global if args.kind == "global" else _local)(args, out)
        _report(made)
    output_folder.sweep_files([out, *cards])
    card = map_set_card.write_card(out)
    counts = ", ".join(f"{name} {split['items']}" for name, split in card["splits"].items())
    progress.note(f"{out}: {card['items']} items ({counts}), {card['bytes'] / 1e6:.0f} MB")


def _global(args: argparse.Namespace, out: Path) -> Dict[str, Any]:
    from ...datasets import global_map_set, input_lists

    split, chain = ("paper", "single") if args.paper else ("cluster", "longest")
    entries = input_lists.find_structures(_structures(args), args.manifest, args.clusters)
    if args.paper and len(entries) > 1 and not _non_redundant(args):
        raise InputError("--paper wants structures below 40 % identity: give --clusters or --manifest.")
    recipe = global_map_set.GlobalSetRecipe(
        resolutions=tuple(args.resolutions),
        box=args.box,
        voxel_size=args.voxel_size,
        split=args.split or split,
        chain=args.chain or chain,
        orientations=args.orientations,
        fragments=args.fragments,
        turn_to_fit=not args.paper,
        kda=tuple(args.kda),
        half=args.half,
        seed=args.seed,
    )
    return global_map_set.build_global_set(entries, out, recipe, args.workers, args.resume, args.overwrite)


def _structures(args: argparse.Namespace) -> str:
    """The folder or list of structures; downloads come first."""
    if (args.cache or args.url) and args.pdb_list is None:
        raise InputError("--cache and --url belong to --pdb-list, the ids to download.")
    if args.structures is not None:
        return str(args.structures)
    if args.cache is None:
        raise InputError("--pdb-list needs --cache, the folder for the downloaded structures.")
    from ...base import progress
    from ...structures import structure_download

    failed = structure_download.fetch_all(
        structure_download.read_ids(args.pdb_list), args.cache, args.url or structure_download.DEFAULT_URL
    )
    for name, reason in failed.items():
        progress.note(f"{name} could not be downloaded: {reason}")
    return str(args.cache)


def _non_redundant(args: argparse.Namespace) -> bool:
    if args.manifest or args.clusters:
        return True
    place = Path(args.structures or args.cache)
    folder = place if place.is_dir() else place.parent
    return any((where / "manifest.csv").is_file() for where in (folder, folder.parent))


def _local(args: argparse.Namespace, out: Path) -> Dict[str, Any]:
    from ...datasets import input_lists, patch_set

    labels = args.labels
    if args.csv is not None:
        triples = input_lists.read_triples(args.csv)
    else:
        triples = input_lists.shared_layout(args.shared_layout, labels)
    patch = args.patch or (patch_set.PAPER_PATCH if args.paper else 48)
    if args.paper and patch & (patch - 1):
        raise InputError("--paper cuts power-of-two cubes: --patch must be 8, 16, 32, ...")
    mode = "paper" if args.paper else "default"
    recipe = patch_set.PatchSetRecipe(mode=mode, labels=labels, patch=patch, seed=args.seed)
    return patch_set.build_patch_set(triples, out, recipe, args.workers, args.resume, args.overwrite)


def _features(args: argparse.Namespace, out: Path) -> None:
    """A feature set of simulated maps or of triples; a stopped run goes on where it was with --resume."""
    from ...base import progress
    from ...base.runs import atomic_files
    from ...datasets.feature_sets import feature_set_builder, feature_set_file

    if (args.maps is None) != (args.structures is None):
        raise InputError("--structures and --maps TRAIN VALIDATION TEST belong together.")
    if args.structures is not None and args.labels:
        raise InputError("--labels is for local-resolution volumes; of simulated maps the truth is known.")
    again = {"resume": args.resume, "overwrite": args.overwrite}
    with progress.Progress("maps") as bar:

        def step(done: int, total: int) -> None:
            bar.total = total
            bar.step()

        if args.structures is not None:
            counts = dict(zip(("train", "validation", "test"), args.maps))
            wanted = {split: number for split, number in counts.items() if number > 0}
            made = feature_set_builder.build_feature_set(
                args.structures, out, wanted, args.seed, args.workers, step, **again
            )
        else:
            rows, labels = _users_maps(args)
            made = feature_set_builder.build_from_triples(
                rows, out, labels, args.seed, step, workers=args.workers, **again
            )
    for reason in made["skipped"][:10]:
        progress.note(f"  skipped {reason}")
    if not out.exists():
        raise InputError(f"None of the maps could be used; the first reason: {made['skipped'][0]}")
    card = feature_set_file.describe_feature_set(out)
    atomic_files.write_json(out.with_suffix(".json"), {**card, "skipped": made["skipped"]})
    held = ", ".join(f"{split} {found['maps']}" for split, found in card["splits"].items())
    progress.note(
        f"{out}: {made['made']} maps added, {len(made['skipped'])} skipped; it holds {held or 'none'}"
    )


def _users_maps(args: argparse.Namespace) -> Tuple[List[Any], str]:
    """Rows of --csv or --shared-layout, and what their labels are."""
    from ...datasets import input_lists
    from ...datasets.feature_sets import feature_set_file

    labels = args.labels or "monores"
    if args.csv is None:
        return list(input_lists.shared_layout(args.shared_layout, labels)), labels
    if not input_lists.lists_known_maps(args.csv):
        return list(input_lists.read_triples(args.csv)), labels
    if args.labels:
        raise InputError(
            f"--labels is for local-resolution volumes; {args.csv} gives one resolution per map."
        )
    return list(input_lists.read_known_maps(args.csv)), feature_set_file.KNOWN


def _report(made: Dict[str, Any]) -> None:
    from ...base import progress

    skipped: Dict[str, str] = made["skipped"]
    lines: List[str] = [f"  {name}: {reason}" for name, reason in list(skipped.items())[:10]]
    if skipped:
        progress.note(
            f"{len(skipped)} of {len(skipped) + made['sources']} skipped (all reasons are in the card):"
        )
        progress.note("\n".join(lines + (["  ..."] if len(skipped) > 10 else [])))
