"""The default models' training set: simulated reconstructions as features, truth and global resolution, in HDF5.

Every map is drawn from its own seed (set seed, index), so that one or many workers write the same content, a killed
run resumes, and any map can be made again from its row.
"""

from __future__ import annotations

import csv
import itertools
import json
import multiprocessing
import os
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

import h5py
import numpy as np

from . import datasets, features, maps, realistic, resolution, simulation
from .dataset_store import SPLITS
from .errors import CryoResError, InputError
from .files import PathLike
from .structures import Atoms, random_rotation, read_structure

FORMAT = f"cryoresdl-feature-set-{features.VERSION}"
MARGIN_CELLS = 3
"""Cells kept around the mask's bounding box."""
LARGEST_BOX = 112
CLEAN_SHARE = 0.1
CLEAN = "clean"
"""Kind of the noiseless maps."""
PLAIN_SHARE = 0.15
"""Maps in white noise that is the same everywhere: without them no noise would ever be what it looks like outside."""
VARIANTS = ("single", "halves")
SIMULATED = ("realistic", CLEAN)
"""Kinds of the maps drawn from structures; what they are labelled with is the truth."""
TRUTH = "truth"


class EmptySplitError(InputError):
    """A set without a complete map of the wanted split."""


@dataclass
class Recipe:
    """One simulated map before it is made: which structure, how fine, how large.

    ``kind`` is "realistic", or "clean" for a noiseless pdb2mrc map, whose truth is its nominal resolution everywhere:
    people feed such maps to every resolution program, and the paper's own tests are made of them.
    """

    path: str
    structure: str
    split: str
    resolution: float
    voxel_size: float
    box: int
    seed: int
    options: realistic.Options
    kind: str = "realistic"


def read_manifest(structures: PathLike, split: str) -> List[Dict[str, str]]:
    """Rows of ``manifest.csv`` of one split ("train", "validation" or "test") with the path of each structure.

    Raises:
        InputError: no manifest, or no structure of that split.
    """
    folder = Path(structures)
    try:
        with open(folder / "manifest.csv", newline="", encoding="utf-8") as handle:
            rows = [row for row in csv.DictReader(handle) if row.get("split") == split]
    except OSError as error:
        raise InputError(
            f"Cannot read {folder / 'manifest.csv'}: {error.strerror}; see docs/datasets.md."
        ) from error
    for row in rows:
        row["path"] = str(folder / "pdb" / (row["id"] + ".pdb.gz"))
    if not rows:
        raise InputError(f"{folder / 'manifest.csv'} lists no structure of the split {split!r}.")
    return rows


def draw_recipe(rows: List[Dict[str, str]], split: str, seed: int, index: int) -> Recipe:
    """Draw structure, resolution, voxel size, box and options of map ``index``.

    The global resolution is log-uniform in voxels (2.05 to 8) for most maps, because that is what a band can see, and
    log-uniform in angstroms (4 to 22) for the rest, so that coarse and fine voxels meet every class.
    """
    code = {"train": 1, "validation": 2, "test": 3}[split]
    rng = np.random.default_rng((seed, code, index))
    row = rows[int(rng.integers(len(rows)))]
    if rng.random() < CLEAN_SHARE:
        return _clean_recipe(row, split, rng)
    if rng.random() < 0.68:
        voxel = float(np.exp(rng.normal(np.log(1.15), 0.35)))
        voxel = min(max(voxel, 0.5), 4.0)
        resolution = voxel * float(np.exp(rng.uniform(np.log(2.05), np.log(8.0))))
    else:
        resolution = float(np.exp(rng.uniform(np.log(4.0), np.log(22.0))))
        voxel = min(max(resolution / float(np.exp(rng.uniform(np.log(2.05), np.log(7.0)))), 0.5), 6.0)
    options = _draw_options(rng, resolution)
    extent = float(row["max_extent_A"]) * (1.0 if options.copies == 1 else 1.9)
    box = int(extent * float(rng.uniform(1.15, 1.9)) / voxel)
    box = min(max(box + box % 2, 40), LARGEST_BOX)
    return Recipe(row["path"], row["id"], split, resolution, voxel, box, int(rng.integers(2**31)), options)


def _draw_options(rng: np.random.Generator, resolution: float) -> realistic.Options:
    drawn = realistic.random_options(rng, resolution)
    if rng.random() >= PLAIN_SHARE:
        return drawn
    kept = {name: getattr(drawn, name) for name in ("mask_margin", "copies", "auto_mask", "weighting")}
    return replace(realistic.plain_options(resolution), **kept)


def _clean_recipe(row: Dict[str, str], split: str, rng: np.random.Generator) -> Recipe:
    voxel = 1.0 if rng.random() < 0.6 else float(np.exp(rng.uniform(np.log(0.6), np.log(3.0))))
    resolution = float(np.exp(rng.uniform(np.log(1.5 * voxel), np.log(max(17.0, 3 * voxel)))))
    box = int(float(row["max_extent_A"]) * float(rng.uniform(1.1, 1.6)) / voxel + 2 * resolution / voxel)
    box = min(max(box + box % 2, 48), LARGEST_BOX)
    options = realistic.Options(mask_margin=float(rng.uniform(2.0, 6.0)), auto_mask=bool(rng.random() < 0.7))
    return Recipe(
        row["path"], row["id"], split, resolution, voxel, box, int(rng.integers(2**31)), options, CLEAN
    )


def _clean_item(recipe: Recipe, atoms: Atoms) -> Dict[str, Any]:
    """Features of a noiseless pdb2mrc map; the truth is the nominal resolution, at Nyquist at best."""
    rng = np.random.default_rng(recipe.seed)
    keep = atoms.z_number > 1
    xyz = (atoms.xyz[keep] - atoms.xyz[keep].mean(0)) @ random_rotation(rng).T
    xyz -= (xyz.max(0) + xyz.min(0)) / 2
    box, voxel = recipe.box, recipe.voxel_size
    data = simulation.pdb2mrc(
        (xyz, atoms.z_number[keep].astype(float)), recipe.resolution, box, voxel, allow_cut=True
    )
    if recipe.options.auto_mask:
        mask = maps.auto_mask(maps.DensityMap(data, voxel))[0]
    else:
        mask = realistic.mask_around(xyz + box // 2 * voxel, data.shape, voxel, recipe.options.mask_margin)
    if mask.sum() < 300:
        raise CryoResError("too few voxels inside the mask")
    found = features.compute(data, mask, voxel)
    truth = np.where(found.mask_cells, max(recipe.resolution, 2.0 * voxel), 0).astype(np.float32)
    info = {
        "seed": recipe.seed,
        "target_A": recipe.resolution,
        "voxel_size_A": voxel,
        "box": box,
        "global_fsc0143_A": max(recipe.resolution, 2.0 * voxel),
        "mask_voxels": int(mask.sum()),
    }
    return _packed(recipe, found, found, truth, info)


def _packed(
    recipe: Recipe,
    single: features.Features,
    halves: features.Features,
    truth: np.ndarray,
    info: Dict[str, Any],
) -> Dict[str, Any]:
    """The arrays of an item; ``truth`` is on the cells of the features' region."""
    window = crop_window(single.mask_cells)
    return {
        "single": single.local[(slice(None),) + window].astype(np.float16),
        "halves": halves.local[(slice(None),) + window].astype(np.float16),
        "summary_single": single.summary,
        "summary_halves": halves.summary,
        "rise_single": single.rise,
        "rise_halves": halves.rise,
        "truth": truth[window].astype(np.float32),
        "info": {**info, "structure": recipe.structure, "split": recipe.split, "kind": recipe.kind},
    }


def crop_window(mask_cells: np.ndarray) -> Tuple[slice, ...]:
    """Bounding box of the mask's cells with a margin."""
    window = []
    for axis in range(3):
        used = np.flatnonzero(mask_cells.any(axis=tuple(a for a in range(3) if a != axis)))
        low, high = max(int(used[0]) - MARGIN_CELLS, 0), int(used[-1]) + MARGIN_CELLS + 1
        window.append(slice(low, min(high, mask_cells.shape[axis])))
    return tuple(window)


def make_item(recipe: Recipe) -> Dict[str, Any]:
    """Simulate one recipe and turn it into arrays; float16 where they are large."""
    atoms = read_structure(recipe.path)
    if recipe.kind == CLEAN:
        return _clean_item(recipe, atoms)
    result = realistic.simulate(
        atoms,
        recipe.resolution,
        recipe.box,
        recipe.voxel_size,
        recipe.seed,
        recipe.options,
        truth_stride=features.STRIDE,
        crop=True,
    )
    if result.mask.sum() < 300:
        raise CryoResError("too few voxels inside the mask")
    mean, difference = (result.half1 + result.half2) / 2, (result.half1 - result.half2) / 2
    single = features.compute(result.map, result.mask, recipe.voxel_size)
    halves = features.compute(mean, result.mask, recipe.voxel_size, difference)
    info = {k: v for k, v in result.info.items() if k != "fsc"}
    return _packed(recipe, single, halves, result.truth[single.cell_region()], info)


def label_cells(label: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """Mean label of the estimated voxels of every cell, in angstroms; 0 where none is estimated or not kept.

    Values at or below 0 (MonoRes) and at or above 100 A (ResMap) are "not estimated".
    """
    cells = keep.shape
    stride = features.STRIDE
    padded = np.zeros([c * stride for c in cells], np.float32)
    padded[tuple(slice(0, n) for n in label.shape)] = label
    known = resolution.estimated(padded).astype(np.float32)
    blocks = (cells[0], stride, cells[1], stride, cells[2], stride)
    total = (padded * known).reshape(blocks).sum((1, 3, 5))
    count = known.reshape(blocks).sum((1, 3, 5))
    return np.where(keep & (count > 0), total / np.maximum(count, 1), 0).astype(np.float32)


def item_of_triple(triple: Any, labels: str) -> Dict[str, Any]:
    """Features of a user's map with its local-resolution volume as the label.

    Raises:
        InputError: unreadable files, boxes that differ, or nothing estimated inside the mask.
    """
    density = maps.read(triple.map, triple.voxel_size)
    mask = maps.read_mask(triple.mask, density)
    label = maps.read_values(triple.label, density).data
    found = features.compute(density.data, mask, density.voxel_size)
    truth = label_cells(label[found.region], found.mask_cells)
    if not (truth > 0).any():
        raise InputError(f"{triple.label} estimates nothing inside the mask of {triple.name}; leave it out.")
    info = {
        "voxel_size_A": density.voxel_size,
        "box": list(density.data.shape),
        "global_fsc0143_A": float(np.median(truth[truth > 0])),
        "mask_voxels": int(mask.sum()),
        "labels": labels,
    }
    recipe = Recipe(
        triple.map, triple.name, triple.split, 0.0, density.voxel_size, 0, 0, realistic.Options(), labels
    )
    return _packed(recipe, found, found, truth, info)


KNOWN = "known"
"""Kind of the items that know one resolution of the whole map: the global model alone can learn from them."""


def item_of_known_map(known: Any) -> Dict[str, Any]:
    """Features of a map with its known global resolution, which stands in every cell of the mask.

    Raises:
        InputError: unreadable files, another box, a resolution beyond Nyquist.
    """
    density = maps.read(known.map, known.voxel_size)
    mask = maps.read_mask(known.mask, density) if known.mask else maps.auto_mask(density)[0]
    if known.resolution < 2 * density.voxel_size:
        raise InputError(
            f"{known.name} cannot reach {known.resolution:g} A with voxels of {density.voxel_size:g} A; "
            "correct its resolution or voxel size."
        )
    found = features.compute(density.data, mask, density.voxel_size)
    truth = np.where(found.mask_cells, known.resolution, 0).astype(np.float32)
    info = {
        "voxel_size_A": density.voxel_size,
        "box": list(density.data.shape),
        "global_fsc0143_A": known.resolution,
        "mask_voxels": int(mask.sum()),
        "labels": KNOWN,
    }
    recipe = Recipe(
        known.map, known.name, known.split, 0.0, density.voxel_size, 0, 0, realistic.Options(), KNOWN
    )
    return _packed(recipe, found, found, truth, info)


def labels_of(info: Dict[str, Any]) -> str:
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
    return sorted({labels_of(info) for _, _, info in _infos(handle)} - {""})


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
    found = handle.attrs.get("format", FORMAT)
    if found != FORMAT:
        raise InputError(
            f"{out} was begun by another version ({found}, now {FORMAT}); give another name or delete it."
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
    handle.attrs["format"] = FORMAT
    handle.attrs["seed"] = seed
    handle.attrs["band_centres"] = np.asarray(features.BAND_CENTRES)


def build_from_triples(
    triples: Sequence[Any], out: PathLike, labels: str, seed: int = 0, progress: Any = None
) -> Dict[str, Any]:
    """Write a feature set of users' maps; whole maps go to a split, drawn 60/20/20 where not given.

    Args:
        triples: ``datasets.Triple`` rows (map, label, mask), or ``datasets.KnownMap`` rows.
        out: HDF5 file; maps that it already holds are kept, in the split that they are in.
        labels: "monores", "resmap" or "truth"; ``KNOWN`` for known maps.
        seed: of the drawn split.
        progress: called with (done, total).

    Returns:
        ``made`` (maps added now) and ``skipped`` (sentences).

    Raises:
        InputError: fewer than three maps and none with a split, or a set that another list, other labels or another
            seed made.
    """
    placed = _with_splits(triples, out, seed)
    with h5py.File(out, "a") as handle:
        _begin(handle, out, seed, labels)
        there = {int(name): (split, info) for split, name, info in _infos(handle)}
    _refuse_another_list(triples, out, there)
    made, skipped = 0, []
    for index, triple in enumerate(placed):
        if index not in there:
            try:
                _append(
                    out,
                    index,
                    item_of_known_map(triple) if labels == KNOWN else item_of_triple(triple, labels),
                )
                made += 1
            except InputError as error:
                skipped.append(f"{triple.name}: {error}")
        if progress is not None:
            progress(index + 1, len(placed))
    return {"made": made, "skipped": skipped}


def _with_splits(triples: Sequence[Any], out: PathLike, seed: int) -> List[Any]:
    """The rows, those without a split with a drawn one: from three maps on every split gets one at least."""
    if len(triples) < len(SPLITS) and not any(triple.split for triple in triples):
        raise InputError(
            f"{out} needs at least three maps: one to learn from, one to stop by and one to test with; "
            f"list more than {len(triples)}, or give each a split in the column 'split'."
        )
    drawn = datasets.paper_split(len(triples), seed)
    return [
        triple if triple.split else replace(triple, split=SPLITS[number])
        for triple, number in zip(triples, drawn)
    ]


def _refuse_another_list(
    triples: Sequence[Any], out: PathLike, there: Dict[int, Tuple[str, Dict[str, Any]]]
) -> None:
    """Refuse to go on with a set whose maps are not those of the list: rows are known by their number."""
    remedy = "give the list that made it, another --out, or --overwrite to begin anew."
    for index, (split, info) in sorted(there.items()):
        if index >= len(triples):
            raise InputError(
                f"{out} was made from another list, which had more than {len(triples)} maps; {remedy}"
            )
        triple = triples[index]
        before = info.get("structure", triple.name)
        if before != triple.name:
            raise InputError(
                f"{out} was made from another list: its map {index + 1} is {before!r}, not {triple.name!r}; {remedy}"
            )
        if triple.split and triple.split != split:
            raise InputError(
                f"{out} has {before!r} in the split {split}, where the list now says {triple.split}; {remedy}"
            )


def _make(job: Tuple[int, Recipe]) -> Tuple[int, Optional[Dict[str, Any]], str]:
    index, recipe = job
    try:
        return index, make_item(recipe), ""
    except CryoResError as error:
        return index, None, f"{recipe.structure}: {error}"


def _single_thread() -> None:
    features._FFT_WORKERS = 1


@contextmanager
def _children_of_one_thread() -> Iterator[None]:
    """Processes begun here use one thread each: sums split over threads differ in their last bit.

    The libraries read the variables when they are loaded, which in a new process is before any code of ours.
    """
    before = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    os.environ.update(dict.fromkeys(before, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def build(
    structures: PathLike,
    out: PathLike,
    counts: Dict[str, int],
    seed: int = 0,
    workers: int = 1,
    progress: Any = None,
) -> Dict[str, Any]:
    """Write, or go on writing, a feature set.

    Args:
        structures: folder with ``manifest.csv`` and ``pdb/``.
        out: HDF5 file; items that it already holds are kept.
        counts: maps per split.
        seed: of the set.
        workers: processes.
        progress: called with (done, total) after every map.

    Returns:
        counts of written and skipped maps, with the reasons.
    """
    jobs: List[Tuple[int, Recipe]] = []
    with h5py.File(out, "a") as handle:
        _begin(handle, out, seed, TRUTH)
        for split, count in counts.items():
            rows = read_manifest(structures, split)
            group = handle.require_group(split)
            for index in range(count):
                name = f"{index:06d}"
                if name in group and not group[name].attrs.get("complete", False):
                    del group[name]
                if name not in group:
                    jobs.append((index, draw_recipe(rows, split, seed, index)))
    skipped: List[str] = []
    done, total = 0, len(jobs)
    for index, item, reason in _results(jobs, workers):
        done += 1
        if item is None:
            skipped.append(reason)
        else:
            _append(out, index, item)
        if progress is not None:
            progress(done, total)
    return {"made": done - len(skipped), "skipped": skipped}


def _results(
    jobs: List[Tuple[int, Recipe]], workers: int
) -> Iterator[Tuple[int, Optional[Dict[str, Any]], str]]:
    """Finished jobs in any order, one worker's in a process of its own too: its sums must be those of several.

    Raises:
        CryoResError: a worker was killed.
    """
    with _children_of_one_thread(), ProcessPoolExecutor(
        max(1, workers), multiprocessing.get_context("spawn"), _single_thread
    ) as pool:
        try:
            yield from _as_they_finish(pool, jobs, 2 * max(1, workers))
        except BrokenProcessPool as error:
            raise CryoResError(
                "A worker was killed, most likely for want of memory; run the same command with fewer --workers: "
                "the maps made so far are kept."
            ) from error


def _as_they_finish(
    pool: ProcessPoolExecutor, jobs: List[Tuple[int, Recipe]], ahead: int
) -> Iterator[Tuple[int, Optional[Dict[str, Any]], str]]:
    """Results of the pool, with ``ahead`` jobs handed out: finished maps wait in memory until they are written."""
    queue = iter(jobs)
    waiting = {pool.submit(_make, job) for job in itertools.islice(queue, ahead)}
    while waiting:
        done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        yield from (finished.result() for finished in done)
        waiting |= {pool.submit(_make, job) for job in itertools.islice(queue, len(done))}


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
class Item:
    """One map of a feature set, read back (see :func:`make_item`)."""

    local: Dict[str, np.ndarray]
    summary: Dict[str, np.ndarray]
    rise: Dict[str, np.ndarray]
    truth: np.ndarray
    info: Dict[str, Any]

    def has_half_maps(self, variant: str) -> bool:
        """Whether the noise of that variant came from half maps; without any, "halves" repeats "single"."""
        return bool(self.summary[variant][features.HALF_MAPS_FLAG] > 0.5)


def iterate_items(path: PathLike, split: str, limit: Optional[int] = None) -> Iterator[Item]:
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
            yield Item(
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
            if handle.attrs.get("format") != FORMAT:
                raise InputError(
                    f"{path} is not a feature set of this version; make it with `cryoresdl dataset features`."
                )
            yield handle
    except OSError as error:
        raise InputError(
            f"Cannot read {path} as HDF5 ({error}); give a file made by `cryoresdl dataset`."
        ) from error


def read_items(path: PathLike, split: str, limit: Optional[int] = None) -> List[Item]:
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
    found = describe(path)["splits"]
    counts = ", ".join(f"{name} {found[name]['maps']}" for name in SPLITS if name in found)
    text = f"{path} holds no complete map of the split {split!r}" + (f", only {counts}" if counts else "")
    text += "; make a set of more maps, or fill the column 'split' of its CSV"
    if split == "test" and "validation" in found:
        text += " (`cryoresdl evaluate --split validation` measures on the others)"
    return text + "."


def describe(path: PathLike) -> Dict[str, Any]:
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
        "format": FORMAT,
        "seed": seed,
        "labels": labels,
        "bands": list(features.BAND_CENTRES),
        "splits": splits,
    }
