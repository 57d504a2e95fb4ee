"""``cryoresdl dataset``: build a training set.

  dataset global   structures -> maps at 2.5, 7.5 and 12.5 A with their class (high, medium, low)
  dataset local    (map, local-resolution volume, mask) triples -> patches with a class per voxel
  dataset features what the default networks learn from: triples, or reconstructions simulated from structures,
                   as band energies with the local resolution of every cell

A card is written beside the HDF5 file: as JSON and PNG for global and local, as JSON for features. A stopped
run goes on with --resume.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Dict, List, Tuple

from ...base.errors import InputError
from ..argument_types import count, positive

HELP = "build a training set"
EXAMPLE = "cryoresdl dataset global --structures structures --paper --workers 2 --out global.h5"
_DEFAULTS: Dict[str, Dict[str, Any]] = {
    "global": {
        "structures": None,
        "manifest": None,
        "clusters": None,
        "pdb_list": None,
        "cache": None,
        "url": None,
        "resolutions": [2.5, 7.5, 12.5],
        "box": 64,
        "voxel_size": 1.0,
        "split": None,
        "chain": None,
        "orientations": 1,
        "fragments": 0,
        "kda": [10.0, 200.0],
        "half": False,
    },
    "local": {"csv": None, "shared_layout": None, "labels": "monores", "patch": None},
    "features": {"csv": None, "shared_layout": None, "labels": "monores", "structures": None, "maps": None},
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("kind", choices=("global", "local", "features"), help="what is made")
    parser.add_argument("--paper", action="store_true", help="to the letter of Avramov et al. 2019")
    parser.add_argument("--workers", type=count, default=1, metavar="N", help="processes (1)")
    _add_global(parser.add_argument_group("global"))
    _add_local(parser.add_argument_group("local and features"))
    _add_features(parser.add_argument_group("features, simulated"))


def _add_global(group: Any) -> None:
    add = group.add_argument
    add(
        "--structures",
        metavar="DIR|LIST",
        help="folder of PDB or mmCIF files, or a file with one path per line",
    )
    add("--manifest", metavar="CSV", help="columns id, split, cluster (DIR/manifest.csv when it is there)")
    add(
        "--clusters",
        metavar="FILE",
        help="sequence clusters at 40 %%: cd-hit .clstr, or one cluster per line",
    )
    add("--pdb-list", metavar="LIST", help="PDB ids to download into --cache, optionally with SHA-256")
    add("--cache", metavar="DIR", help="folder of downloaded structures")
    add("--url", metavar="URL", help="where to download from, with {id} (RCSB)")
    add("--resolutions", type=positive, nargs="+", metavar="A", help="in A (2.5 7.5 12.5)")
    add("--box", type=count, metavar="N", help="voxels (64)")
    add("--voxel-size", type=positive, metavar="A", help="in A (1)")
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
    add("--orientations", type=count, metavar="K", help="of every training structure (1, the deposited one)")
    add(
        "--fragments",
        type=count,
        metavar="K",
        help="random stretches of every training structure's chains (0)",
    )
    add("--kda", type=positive, nargs=2, metavar=("LOW", "HIGH"), help="masses to take (10 200)")
    add("--half", action="store_true", default=None, help="store float16: half the disk, 0.0005 of the range")


def _add_local(group: Any) -> None:
    add = group.add_argument
    add(
        "--csv",
        metavar="MAPS.csv",
        help="columns map, label, mask and optionally name, voxel_size, split; features for the global model also from "
        "map, resolution and optionally mask",
    )
    add("--shared-layout", metavar="DIR", help="folder with index.json and one sub-folder per map")
    add(
        "--labels",
        choices=("monores", "resmap", "truth"),
        help="what the label volumes are (monores); the set keeps it, and 'train unet' goes by it",
    )
    add("--patch", type=count, metavar="N", help="edge of the patches in voxels (48; paper: 16)")


def _add_features(group: Any) -> None:
    group.add_argument(
        "--maps",
        type=int,
        nargs=3,
        metavar=("TRAIN", "VALIDATION", "TEST"),
        help="reconstructions to simulate per split, from --structures with manifest.csv and pdb/",
    )


def _refuse_foreign(args: argparse.Namespace) -> None:
    """An option of another kind would be ignored: say so instead."""
    own = _DEFAULTS[args.kind]
    for kind, defaults in _DEFAULTS.items():
        for name in defaults:
            if name not in own and getattr(args, name) is not None:
                raise InputError(f"--{name.replace('_', '-')} belongs to 'dataset {kind}'.")


def run(args: argparse.Namespace) -> None:
    """Build the data set and its card."""
    from ...base import progress
    from ...base.runs import atomic_files, output_folder
    from ...datasets import map_set_card

    _refuse_foreign(args)
    out = Path(args.out)
    if out.suffix not in (".h5", ".hdf5"):
        raise InputError(f"--out {args.out} must be a file that ends in .h5.")
    cards = [out.with_suffix(".json"), *map_set_card.card_paths(out).values()]
    atomic_files.make_folder(out.parent)
    output_folder.guard_file(out, cards, command="dataset", overwrite=args.overwrite)
    if args.kind == "features":
        _features(args, out)
        return
    finished = out.exists() and not out.with_name(out.name + ".parts").exists()
    if args.resume and finished:
        if all(place.exists() for place in map_set_card.card_paths(out).values()):
            return
    else:
        made = (_global if args.kind == "global" else _local)(args, out)
        _report(made)
    card = map_set_card.write_card(out)
    counts = ", ".join(f"{name} {split['items']}" for name, split in card["splits"].items())
    progress.note(f"{out}: {card['items']} items ({counts}), {card['bytes'] / 1e6:.0f} MB")


def _value(args: argparse.Namespace, name: str) -> Any:
    given = getattr(args, name)
    return _DEFAULTS[args.kind][name] if given is None else given


def _global(args: argparse.Namespace, out: Path) -> Dict[str, Any]:
    from ...datasets import global_map_set, input_lists

    # --split and --chain may still be given with --paper: the same maps without the leak, or more structures.
    split, chain = ("paper", "single") if args.paper else ("cluster", "longest")
    entries = input_lists.find_structures(_structures(args), args.manifest, args.clusters)
    if args.paper and len(entries) > 1 and not _non_redundant(args):
        raise InputError("--paper wants structures below 40 % identity: give --clusters or --manifest.")
    recipe = global_map_set.GlobalSetRecipe(
        resolutions=tuple(_value(args, "resolutions")),
        box=_value(args, "box"),
        voxel_size=_value(args, "voxel_size"),
        split=args.split or split,
        chain=args.chain or chain,
        orientations=_value(args, "orientations"),
        fragments=_value(args, "fragments"),
        turn_to_fit=not args.paper,
        kda=tuple(_value(args, "kda")),
        half=bool(_value(args, "half")),
        seed=args.seed,
    )
    return global_map_set.build_global_set(entries, out, recipe, args.workers, args.resume, args.overwrite)


def _structures(args: argparse.Namespace) -> str:
    """The folder or list of structures; downloads come first."""
    if (args.structures is None) == (args.pdb_list is None):
        raise InputError("Give either --structures (files that are here) or --pdb-list (ids to download).")
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

    if (args.csv is None) == (args.shared_layout is None):
        raise InputError("Give either --csv or --shared-layout.")
    labels = _value(args, "labels")
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

    sources = [name for name in ("csv", "shared_layout", "structures") if getattr(args, name) is not None]
    if len(sources) != 1:
        raise InputError("Give one of --csv, --shared-layout (triples) and --structures (simulation).")
    if (args.maps is None) == (sources[0] == "structures"):
        raise InputError("--structures and --maps TRAIN VALIDATION TEST belong together.")
    again = {"resume": args.resume, "overwrite": args.overwrite}
    with progress.Progress("maps") as bar:

        def step(done: int, total: int) -> None:
            bar.total = total
            bar.step()

        if sources[0] == "structures":
            counts = dict(zip(("train", "validation", "test"), args.maps))
            wanted = {split: number for split, number in counts.items() if number > 0}
            made = feature_set_builder.build_feature_set(
                args.structures, out, wanted, args.seed, args.workers, step, **again
            )
        else:
            rows, labels = _users_maps(args)
            made = feature_set_builder.build_from_triples(rows, out, labels, args.seed, step, **again)
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
