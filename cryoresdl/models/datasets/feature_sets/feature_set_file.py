"""The HDF5 file of a feature set: its items, labels and splits."""

from __future__ import annotations

import contextlib
import json
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Set, Tuple

import h5py
import numpy as np

from ...base.errors import InputError
from ...base.runs.atomic_files import PathLike, shown
from ...features import band_energies, network_inputs
from ..set_parts import SetParts, open_hdf5
from ..splits import SPLITS

FEATURE_SET_FORMAT = f"cryoresdl-feature-set-{network_inputs.VERSION}"
CLEAN = "clean"
"""Kind of the noiseless maps."""
VARIANTS = ("single", "halves")
_ARRAYS = (*VARIANTS, *(part + v for part in ("summary_", "rise_") for v in VARIANTS), "truth")
_SIMULATED_KINDS = ("realistic", CLEAN)
"""Kinds of the maps drawn from structures; what they are labelled with is the truth."""
TRUTH = "truth"


class EmptySplitError(InputError):
    """A set without a complete map of the wanted split."""


KNOWN = "known"
"""Kind of the items that know one resolution of the whole map: the global model alone can learn from them."""


def feature_labels(info: Dict[str, Any]) -> str:
    """What the labels of a map are: "truth", "monores", "resmap" or ``KNOWN``; empty where its set does not say."""
    kind = str(info.get("kind", ""))
    return TRUTH if kind in _SIMULATED_KINDS else str(info.get("labels", kind))


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
        return all(info.get("kind") in _SIMULATED_KINDS for _, _, info in _infos(handle))


def _labels_in(handle: h5py.File) -> List[str]:
    return sorted({feature_labels(info) for _, _, info in _infos(handle)} - {""})


def _infos(handle: h5py.File) -> Iterator[Tuple[str, str, Dict[str, Any]]]:
    """Split, name and description of every map."""
    for split in handle:
        for name, entry in handle[split].items():
            yield split, name, json.loads(entry.attrs["info"])


def kept_apart(kinds: Iterable[str]) -> str:
    """What a card says of the test maps: only structures of a manifest are known to be of other clusters.

    Args:
        kinds: of the test maps.
    """
    if all(kind in _SIMULATED_KINDS for kind in kinds):
        return "test, structures of clusters never trained on"
    return "test, whole maps never trained on"


def kept_items(out: PathLike, seed: int, labels: str) -> Dict[int, Tuple[str, Dict[str, Any]]]:
    """Split and description, by number, of the maps of a users' set that is to be gone on with; none where it is new.

    Raises:
        InputError: the set is of another version, with other labels or of another seed.
    """
    return {int(name): (split, info) for split, name, info in _held(out, seed, labels)}


def held_maps(out: PathLike, seed: int, labels: str) -> Set[Tuple[str, int]]:
    """Split and number of the maps that a set holds which is to be gone on with; raises as `kept_items`."""
    return {(split, int(name)) for split, name, _ in _held(out, seed, labels)}


def _held(out: PathLike, seed: int, labels: str) -> List[Tuple[str, str, Dict[str, Any]]]:
    if not Path(out).exists():
        return []
    try:
        with open_hdf5(out) as handle:
            _refuse_another(handle, out, handle.attrs.get("format", "no set of features"), seed, labels)
            return list(_infos(handle))
    except OSError as error:
        raise InputError(
            f"Cannot read {out} as HDF5 ({error}); give another --out, or --overwrite."
        ) from error


def _refuse_another(handle: h5py.File, out: PathLike, found: str, seed: int, labels: str) -> None:
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


class FeatureParts(SetParts):
    """The finished maps of a feature set that is being made, one a part."""

    @staticmethod
    def name(split: str, index: int) -> str:
        """The part of a map."""
        return f"{split}-{index:06d}"

    def write(self, index: int, item: Dict[str, Any]) -> None:
        """Store one map (see `feature_set_builder.make_item`)."""
        split = item["info"]["split"]
        self.put(self.name(split, index), lambda handle: _put(handle, split, index, item, item["info"]))

    def infos(self) -> Dict[int, Tuple[str, Dict[str, Any]]]:
        """Split and description, by number, of the maps that are done."""
        found = {}
        for name, reason in self.done().items():
            if not reason:
                with self.opened(name) as handle:
                    found.update({int(key): (split, info) for split, key, info in _infos(handle)})
        return found

    def assemble(self, seed: int, count: int, anew: bool = False) -> None:
        """Put the set together from the parts and from the maps that it held already; then remove the parts.

        Maps stand in the order of splits and numbers, whatever the order they were made in.

        Args:
            seed: of the set.
            count: maps that it is to hold.
            anew: maps that it held do not count.

        Raises:
            InputError: some were removed meanwhile.
        """
        new = {_split_and_number(name) for name, reason in self.done().items() if not reason}
        with contextlib.ExitStack() as stack:
            keeps = self.target.exists() and not anew
            old: Any = stack.enter_context(open_hdf5(self.target)) if keeps else {}
            held = {(split, int(name)) for split in old for name in old[split]}
            if len(new | held) != count:
                raise InputError(
                    f"{shown(self.target)} or its parts were removed while they were made; run the same command again."
                )
            if not new:
                return

            def fill(handle: h5py.File) -> None:
                handle.attrs["format"] = FEATURE_SET_FORMAT
                handle.attrs["seed"] = seed
                handle.attrs["band_centres"] = np.asarray(band_energies.BAND_CENTRES)
                for split, index in sorted(new | held, key=lambda one: (SPLITS.index(one[0]), one[1])):
                    if (split, index) in new:
                        with self.opened(self.name(split, index)) as part:
                            _copy(part, handle, split, index)
                    else:
                        _copy(old, handle, split, index)

            self.finish(fill)


def _split_and_number(name: str) -> Tuple[str, int]:
    split, _, number = name.rpartition("-")
    return split, int(number)


def _put(handle: h5py.File, split: str, index: int, arrays: Any, info: Dict[str, Any]) -> None:
    group = handle.require_group(split).create_group(f"{index:06d}")
    for name in _ARRAYS:
        group.create_dataset(name, data=arrays[name])
    group.attrs["info"] = json.dumps(info)


def _copy(source: Any, handle: h5py.File, split: str, index: int) -> None:
    entry = source[split][f"{index:06d}"]
    _put(handle, split, index, {name: entry[name][()] for name in _ARRAYS}, json.loads(entry.attrs["info"]))


@dataclass
class FeatureItem:
    """One map of a feature set, read back (see ``feature_set_builder.make_item``)."""

    local: Dict[str, np.ndarray]
    summary: Dict[str, np.ndarray]
    rise: Dict[str, np.ndarray]
    truth: np.ndarray
    info: Dict[str, Any]

    def truth_of(self, variant: str) -> np.ndarray:
        """What the network is to say: nothing finer than a filter or the voxels of the final map let through.

        Half maps are unfiltered, so that theirs is the truth as it is.
        """
        finest = float(self.info.get("finest_shown_A", 0.0)) if variant == "single" else 0.0
        return np.where(self.truth > 0, np.maximum(self.truth, np.float32(finest)), np.float32(0))

    def has_half_maps(self, variant: str) -> bool:
        """Whether the noise of that variant came from half maps; without any, "halves" repeats "single"."""
        return bool(self.summary[variant][network_inputs.HALF_MAPS_FLAG] > 0.5)


def iterate_items(path: PathLike, split: str, limit: Optional[int] = None) -> Iterator[FeatureItem]:
    """The complete maps of a split, one after the other: thousands would fill the memory.

    Raises:
        InputError: not a feature set.
        EmptySplitError: no complete map of that split.
    """
    with _reading(path) as handle:
        group = handle.get(split, {})
        if not len(group):
            raise EmptySplitError(_what_it_holds(path, split))
        for name in sorted(group)[:limit]:
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
        with open_hdf5(path) as handle:
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
    """Load a split into memory (float16 features: about 6 MB a map); raises as `iterate_items`."""
    return list(iterate_items(path, split, limit))


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
    with open_hdf5(path) as handle:
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


def fresh_sets(data: Any, card: Mapping[str, Any]) -> List[PathLike]:
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
    counts: Dict[str, int] = {}
    seeds = []
    for path in _as_list(data):
        with open_hdf5(path) as handle:
            seeds.append(int(handle.attrs.get("seed", -1)))
            for split in ("train", "validation", "test"):
                counts[split] = counts.get(split, 0) + len(handle.get(split, {}))
    return {"maps": counts, "seeds": seeds}
