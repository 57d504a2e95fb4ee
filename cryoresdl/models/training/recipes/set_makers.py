"""Makes the sets of a recipe, and says what is in them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, TypeVar

import h5py
import numpy as np

from ...base import progress
from ...base.errors import InputError
from ...datasets import global_map_set, input_lists, patch_set
from ...datasets.feature_sets import feature_set_builder
from ...datasets.splits import SPLITS
from .recipe_file import SetRecipe, check_options

SetRow = TypeVar("SetRow")


@dataclass(frozen=True)
class Sources:
    """Where sets come from.

    Attributes:
        structures: folder with ``manifest.csv`` and ``pdb/``.
        labelled: folder of maps with local-resolution volumes (``index.json``); None where there is none.
        workers: processes.
    """

    structures: str
    labelled: Optional[str] = None
    workers: int = 1


def check_sets(recipe: str, sets: Sequence[SetRecipe]) -> None:
    """Refuse sets that cannot be made as their recipe says, before hours of work on others.

    Args:
        recipe: its name, for the sentence.
        sets: of the recipe.

    Raises:
        InputError: an unknown maker, or options that it does not have.
    """
    for one in sets:
        if one.maker not in _MAKERS:
            raise InputError(f"The set {one.name} has the maker {one.maker!r}; choose {', '.join(_MAKERS)}.")
        check_options(recipe, f"options of the set {one.name}", one.options, _OPTIONS[one.maker])


def make_set(recipe: SetRecipe, sources: Sources, out: Path, scale: float) -> Dict[str, Any]:
    """Make a set, or go on with it; a killed run's maps are kept.

    Args:
        recipe: of the set, as ``check_sets`` allows it.
        sources: structures and labelled maps.
        out: HDF5 file.
        scale: share of the structures and labelled maps to take; numbers of simulated maps are scaled already.

    Returns:
        ``digest`` of the content and ``skipped``, sentences.

    Raises:
        InputError: labelled maps that were not given.
    """
    skipped = _MAKERS[recipe.maker](recipe, sources, out, scale)
    return {"digest": content_digest(out), "skipped": skipped}


def _features(recipe: SetRecipe, sources: Sources, out: Path, scale: float) -> List[str]:
    with progress.Progress(f"maps of {recipe.name}") as bar:

        def step(done: int, total: int) -> None:
            bar.total = total
            bar.step()

        counts = {split: number for split, number in recipe.maps.items() if number > 0}
        made = feature_set_builder.build_feature_set(
            sources.structures, out, counts, recipe.seed, sources.workers, step
        )
    return list(made["skipped"])


def _whole_maps(recipe: SetRecipe, sources: Sources, out: Path, scale: float) -> List[str]:
    if out.exists() and not out.with_name(out.name + ".parts").exists():
        return []
    options: Dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in recipe.options.items()}
    scale *= options.pop("share", 1.0)
    entries = input_lists.find_structures(sources.structures)
    entries = [row for split in SPLITS for row in _some([e for e in entries if e.split == split], scale)]
    made = global_map_set.build_global_set(
        entries,
        out,
        global_map_set.GlobalSetRecipe(seed=recipe.seed, **options),
        sources.workers,
        resume=True,
    )
    return [f"{name}: {reason}" for name, reason in made["skipped"].items()]


def _labelled(recipe: SetRecipe, sources: Sources, out: Path, scale: float) -> List[str]:
    labels, rows = _labelled_maps(recipe, sources, scale)
    return list(feature_set_builder.build_from_triples(rows, out, labels, recipe.seed)["skipped"])


def _patches(recipe: SetRecipe, sources: Sources, out: Path, scale: float) -> List[str]:
    if out.exists() and not out.with_name(out.name + ".parts").exists():
        return []
    labels, rows = _labelled_maps(recipe, sources, scale)
    wanted = patch_set.PatchSetRecipe("paper", labels, patch_set.PAPER_PATCH, recipe.seed)
    made = patch_set.build_patch_set(rows, out, wanted, sources.workers, resume=True)
    return [f"{name}: {reason}" for name, reason in made["skipped"].items()]


def _labelled_maps(recipe: SetRecipe, sources: Sources, scale: float) -> Tuple[str, List[input_lists.Triple]]:
    """What the labels of a set are, and its maps."""
    if sources.labelled is None:
        raise InputError(
            f"The set {recipe.name} is made of maps with local-resolution volumes; give --shared, their folder."
        )
    labels = str(recipe.options.get("labels", "truth"))
    rows = input_lists.shared_layout(sources.labelled, labels)
    splits = recipe.options.get("splits", SPLITS)
    return labels, [row for split in splits for row in _some([r for r in rows if r.split == split], scale)]


_MAKERS: Dict[str, Callable[[SetRecipe, Sources, Path, float], List[str]]] = {
    "features": _features,
    "whole_maps": _whole_maps,
    "labelled": _labelled,
    "patches": _patches,
}
_OPTIONS: Dict[str, Sequence[str]] = {
    "features": (),
    "whole_maps": ["share"]
    + [one.name for one in fields(global_map_set.GlobalSetRecipe) if one.name != "seed"],
    "labelled": ("labels", "splits"),
    "patches": ("labels", "splits"),
}


def _some(rows: Sequence[SetRow], scale: float) -> List[SetRow]:
    """The first ``scale`` of the rows, two at least."""
    return list(rows[: max(2, round(scale * len(rows)))])


def content_digest(path: Path) -> str:
    """SHA-256 of what an HDF5 file holds: names, arrays and attributes, in the order of their names.

    Not of its bytes: workers finish in any order, and a resumed run writes into holes of the first.
    """
    found = hashlib.sha256()

    def add(name: str, entry: Any) -> None:
        found.update(name.encode())
        for key in sorted(entry.attrs):
            found.update(f"{key}={np.asarray(entry.attrs[key]).tolist()}".encode())
        if isinstance(entry, h5py.Dataset):
            found.update(f"{entry.dtype}{entry.shape}".encode())
            rows = entry if entry.ndim and entry.dtype.kind != "O" else [entry[()]]
            for row in rows:
                plain = np.asarray(row)
                found.update(repr(plain.tolist()).encode() if plain.dtype.kind == "O" else plain.tobytes())

    with h5py.File(path, "r") as handle:
        add("/", handle)
        names: List[str] = []
        handle.visit(names.append)
        for name in sorted(names):
            add(name, handle[name])
    return found.hexdigest()
