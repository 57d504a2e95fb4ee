"""The HDF5 file of a feature set: its items, labels and splits."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Optional, Tuple

import h5py
import numpy as np

from ..base.atomic_files import PathLike
from ..base.errors import InputError
from ..features import band_energies, network_inputs
from .splits import SPLITS

FEATURE_SET_FORMAT = f"cryoresdl-feature-set-{network_inputs.VERSION}"
CLEAN = "clean"
"""Kind of the noiseless maps."""
VARIANTS = ("single", "halves")
SIMULATED = ("realistic", CLEAN)
"""Kinds of the maps drawn from structures; what they are labelled with is the truth."""
TRUTH = "truth"


class EmptySplitError(InputError):
    """A set without a complete map of the wanted split."""


KNOWN = "known"
"""Kind of the items that know one resolution of the whole map: the global model alone can learn from them."""


def feature_labels(info: Dict[str, Any]) -> str:
    """What the labels of a map are: "truth", "monores", "resmap" or ``KNOWN``; empty where its set does not say."""
    kind = str(info.get("kind", ""))
    return TRUTH if kind in SIMULATED else str(info.get("labels", kind))


def labels_in(path: PathLike) -> List[str]:
    """What the labels of a feature set's maps are, in alphabetical order; maps that do not say are passed over.

    Raises:
        InputError: not a feature set.
    """
    with _reading(path) as handle:
        return _labels_in(handle)


def drawn_from_structures(path: PathLike) -> bool:
    """Whether a set's maps were simulated here, so that its seed tells which they are.

    Raises:
        InputError: not a feature set.
    """
    with _reading(path) as handle:
        return all(info.get("kind") in SIMULATED for _, _, info in _infos(handle))


def _labels_in(handle: h5py.File) -> List[str]:
    return sorted({feature_labels(info) for _, _, info in _infos(handle)} - {""})


def _infos(handle: h5py.File) -> Iterator[Tuple[str, str, Dict[str, Any]]]:
    """Split, name and description of every complete map."""
    for split in handle:
        for name, entry in handle[split].items():
            if entry.attrs.get("complete", False):
                yield split, name, json.loads(entry.attrs["info"])


def kept_apart(kinds: Iterable[str]) -> str:
    """What a card says of the test maps: only structures of a manifest are known to be of other clusters.

    Args:
        kinds: of the test maps.
    """
    if all(kind in SIMULATED for kind in kinds):
        return "test, structures of clusters never trained on"
    return "test, whole maps never trained on"


def _begin(handle: h5py.File, out: PathLike, seed: int, labels: str) -> None:
    """Label a new set; refuse to go on with one of another version, with other labels or of another seed."""
    found = handle.attrs.get("format", FEATURE_SET_FORMAT)
    if found != FEATURE_SET_FORMAT:
        raise InputError(
            f"{out} was begun by another version ({found}, now {FEATURE_SET_FORMAT}); give another name or delete it."
        )
    others = [name for name in _labels_in(handle) if name != labels]
    if others:
        raise InputError(
            f"{out} holds maps with the labels {others[0]}, and {labels} would be added; give the same as before, "
            "another --out, or --overwrite to begin anew."
        )
    before = int(handle.attrs.get("seed", seed))
    if before != seed and any(True for _ in _infos(handle)):
        # The seed draws the splits: with another one a map could come to two of them.
        raise InputError(
            f"{out} was begun with --seed {before}, not {seed}; give the same as before, another --out, or "
            "--overwrite to begin anew."
        )
    handle.attrs["format"] = FEATURE_SET_FORMAT
    handle.attrs["seed"] = seed
    handle.attrs["band_centres"] = np.asarray(band_energies.BAND_CENTRES)


def _append(out: PathLike, index: int, item: Dict[str, Any]) -> None:
    """Add one item; the flag ``complete`` is written last, so that a torn item is known and made again."""
    with h5py.File(out, "a") as handle:
        parent = handle.require_group(item["info"]["split"])
        if f"{index:06d}" in parent:
            del parent[f"{index:06d}"]
        group = parent.create_group(f"{index:06d}")
        for name in (*VARIANTS, *(part + v for part in ("summary_", "rise_") for v in VARIANTS), "truth"):
            group.create_dataset(name, data=item[name])
        group.attrs["info"] = json.dumps(item["info"])
        handle.flush()
        group.attrs["complete"] = True


@dataclass
class FeatureItem:
    """One map of a feature set, read back (see ``feature_set_builder.make_item``)."""

    local: Dict[str, np.ndarray]
    summary: Dict[str, np.ndarray]
    rise: Dict[str, np.ndarray]
    truth: np.ndarray
    info: Dict[str, Any]

    def has_half_maps(self, variant: str) -> bool:
        """Whether the noise of that variant came from half maps; without any, "halves" repeats "single"."""
        return bool(self.summary[variant][network_inputs.HALF_MAPS_FLAG] > 0.5)


def iterate_items(path: PathLike, split: str, limit: Optional[int] = None) -> Iterator[FeatureItem]:
    """The complete maps of a split, one after the other.

    Raises:
        InputError: not a feature set.
    """
    with _reading(path) as handle:
        group = handle.get(split, {})
        for name in sorted(group)[:limit]:
            if not group[name].attrs.get("complete", False):
                continue
            entry = group[name]
            yield FeatureItem(
                {v: entry[v][()] for v in VARIANTS},
                {v: entry["summary_" + v][()] for v in VARIANTS},
                {v: entry["rise_" + v][()] for v in VARIANTS},
                entry["truth"][()],
                json.loads(entry.attrs["info"]),
            )


@contextmanager
def _reading(path: PathLike) -> Iterator[h5py.File]:
    """An open feature set, or one sentence."""
    try:
        with h5py.File(path, "r") as handle:
            if handle.attrs.get("format") != FEATURE_SET_FORMAT:
                raise InputError(
                    f"{path} is not a feature set of this version; make it with `cryoresdl dataset features`."
                )
            yield handle
    except OSError as error:
        raise InputError(
            f"Cannot read {path} as HDF5 ({error}); give a file made by `cryoresdl dataset`."
        ) from error


def read_items(path: PathLike, split: str, limit: Optional[int] = None) -> List[FeatureItem]:
    """Load a split into memory (float16 features: about 2.5 MB a map).

    Raises:
        InputError: not a feature set.
        EmptySplitError: no complete map of that split.
    """
    items = list(iterate_items(path, split, limit))
    if not items:
        raise EmptySplitError(_what_it_holds(path, split))
    return items


def _what_it_holds(path: PathLike, split: str) -> str:
    """A sentence about a split that is empty: what is there, and what can be done."""
    found = describe_feature_set(path)["splits"]
    counts = ", ".join(f"{name} {found[name]['maps']}" for name in SPLITS if name in found)
    text = f"{path} holds no complete map of the split {split!r}" + (f", only {counts}" if counts else "")
    text += "; make a set of more maps, or fill the column 'split' of its CSV"
    if split == "test" and "validation" in found:
        text += " (`cryoresdl evaluate --split validation` measures on the others)"
    return text + "."


def describe_feature_set(path: PathLike) -> Dict[str, Any]:
    """The card of a feature set: maps per split, seed, labels, bands, and quartiles of what they hold."""
    found: Dict[str, List[Dict[str, Any]]] = {}
    with h5py.File(path, "r") as handle:
        seed = int(handle.attrs.get("seed", -1))
        for split, _, info in _infos(handle):
            found.setdefault(split, []).append(info)
        labels = _labels_in(handle)
    splits: Dict[str, Any] = {}
    for split, infos in found.items():
        splits[split] = {"maps": len(infos)}
        for key in ("voxel_size_A", "global_fsc0143_A", "mask_voxels"):
            values = [info[key] for info in infos if key in info]
            if values:
                quartiles = np.quantile(values, (0.0, 0.25, 0.5, 0.75, 1.0))
                splits[split][key] = [round(float(v), 3) for v in quartiles]
    return {
        "format": FEATURE_SET_FORMAT,
        "seed": seed,
        "labels": labels,
        "bands": list(band_energies.BAND_CENTRES),
        "splits": splits,
    }


def _as_list(data: Any) -> List[PathLike]:
    return list(data) if isinstance(data, (list, tuple)) else [data]


def load_split(data: Any, split: str, limit: Optional[int] = None) -> List[FeatureItem]:
    """Items of one split over one or several feature sets, at most ``limit`` of each; a set without it is passed over.

    Raises:
        InputError: one of them is not a feature set.
        EmptySplitError: none has a map of that split.
    """
    items: List[FeatureItem] = []
    problems = []
    for path in _as_list(data):
        try:
            items += read_items(path, split, limit)
        except EmptySplitError as error:
            problems.append(error)
    if not items:
        raise problems[0]
    return items


def agreed_labels(data: Any, wanted: Optional[str] = None) -> str:
    """What a network learns from these sets: what their labels are, or what is ``wanted`` where none says.

    Args:
        data: feature set(s).
        wanted: "truth", "monores" or "resmap"; None takes what the sets say, and the truth where they do not.

    Raises:
        InputError: the sets have labels of different kinds, or others than wanted.
    """
    # Sets that know one resolution per map are refused where their maps are read.
    said = {str(path): [name for name in labels_in(path) if name != KNOWN] for path in _as_list(data)}
    for path, names in said.items():
        if wanted and names and names != [wanted]:
            raise InputError(
                f"{path} has {' and '.join(names)} labels, not {wanted}; leave --labels out, or give another --data."
            )
    found = sorted({name for names in said.values() for name in names})
    if len(found) > 1:
        each = "; ".join(f"{path}: {' and '.join(names)}" for path, names in said.items() if names)
        raise InputError(f"The labels of the sets differ ({each}); train on sets of one kind.")
    return wanted or (found[0] if found else TRUTH)


def fresh_sets(data: Any, card: Dict[str, Any]) -> List[PathLike]:
    """The sets that a model did not learn from, by the seed they were drawn with; sets of users' maps go by their names."""
    known = card.get("data", {})
    fresh = []
    for path in _as_list(data):
        (seed,) = _set_facts(path)["seeds"]
        by_seed = seed >= 0 and drawn_from_structures(path)
        seen = seed in known.get("seeds", []) if by_seed else Path(path).name in known.get("sets", [])
        if not seen:
            fresh.append(path)
    return fresh


def _set_facts(data: Any) -> Dict[str, Any]:
    """Counts of complete maps per split over the sets, and the seeds they were drawn from."""
    import h5py

    counts: Dict[str, int] = {}
    seeds = []
    for path in _as_list(data):
        with h5py.File(path, "r") as handle:
            seeds.append(int(handle.attrs.get("seed", -1)))
            for split in ("train", "validation", "test"):
                counts[split] = counts.get(split, 0) + len(handle.get(split, {}))
    return {"maps": counts, "seeds": seeds}
