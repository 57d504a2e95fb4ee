"""Training sets of the global classifiers and of the local-resolution U-Net.

Global: structures -> maps at several resolutions (`build_global`). Local: (map, label, mask) triples ->
patches (`build_local`). Both have a ``paper`` mode, to the letter of Avramov et al. 2019 (section 4.1), and
a default that
does not leak: splits by sequence cluster or by map. How they lie on the disk: `dataset_store`.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import math
import os
import re
import zlib
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, Sequence, Tuple

import numpy as np

from . import maps as mrc
from . import progress, simulation, structures
from .constants import GLOBAL_CLASSES, LOCAL_EDGES_A
from .dataset_store import SPLITS, Parts
from .errors import CryoResError, InputError
from .files import PathLike, sha256, shown
from .networks import scale01
from .resolution import class_of, estimated, global_class

PAPER_RESOLUTIONS = (2.5, 7.5, 12.5)
PAPER_KDA = (10.0, 200.0)
PAPER_BOX = 64
PAPER_PATCH = 16
SPLIT_FRACTIONS = (0.6, 0.2, 0.2)
_ROTATION_TRIALS = 30
_SUFFIX = re.compile(r"\.(pdb|ent|cif|mmcif)(\.gz|\.bz2)?$", re.IGNORECASE)

# ------------------------------------------------------------------------------------------------ global sets


@dataclasses.dataclass(frozen=True)
class GlobalRecipe:
    """Everything that decides the bytes of a global data set, besides the structures.

    Attributes:
        resolutions: A, each structure is simulated at every one.
        box: voxels.
        voxel_size: A.
        split: "paper" (random over maps; leaks) or "cluster" (by the manifest's split or by cluster).
        chain: "single" (single-chain proteins only) or "longest" (the longest protein chain of any
            structure).
        orientations: of training structures (of all with the paper split); the first is the deposited one.
        fragments: further training examples per training structure (any protein chain of it): random stretches of
            95 to 600 residues. Few structures have few shapes; the dense network needs many.
        turn_to_fit: turn structures that do not fit as deposited.
        kda: smallest and largest mass.
        half: store maps as float16 instead of float32.
        seed: of orientations and splits.
    """

    resolutions: Tuple[float, ...] = PAPER_RESOLUTIONS
    box: int = PAPER_BOX
    voxel_size: float = 1.0
    split: str = "cluster"
    chain: str = "longest"
    orientations: int = 1
    fragments: int = 0
    turn_to_fit: bool = True
    kda: Tuple[float, float] = PAPER_KDA
    half: bool = False
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Entry:
    """One structure of a list: name, file, sequence cluster, split where the manifest gives one, number of the fragment.

    Fragment 0 is the whole chain.
    """

    name: str
    path: str
    cluster: str
    split: str = ""
    fragment: int = 0


def build_global(
    entries: Sequence[Entry],
    out: PathLike,
    recipe: GlobalRecipe,
    workers: int = 1,
    resume: bool = False,
    overwrite: bool = False,
) -> Dict[str, Any]:
    """Simulate every structure at every resolution and store the maps with their classes.

    Args:
        entries: from `find_structures`.
        out: the HDF5 file.
        recipe: see `GlobalRecipe`.
        workers: processes; the bytes do not depend on it.
        resume: go on where a stopped run ended.
        overwrite: replace what is there.

    Returns:
        ``{"items", "sources", "skipped": {name: reason}}``.

    Raises:
        InputError: nothing left to store, or see `Parts`.
    """
    splits = _source_splits(entries, recipe)
    pieces = _fragments(entries, splits, recipe)
    entries = [*entries, *pieces]
    splits.update({piece.name: "train" for piece in pieces})
    # What the bytes depend on besides the recipe: which structures, and their splits.
    listing = {entry.name: splits.get(entry.name, "") for entry in entries}
    parts = Parts(
        out, {"kind": "global", "structures": listing, **dataclasses.asdict(recipe)}, resume, overwrite
    )
    done = parts.done()
    jobs = []
    for entry in sorted(entries, key=lambda entry: entry.name):
        if entry.name not in done:
            count = recipe.orientations if splits.get(entry.name, "train") == "train" else 1
            jobs.append((str(parts.folder), entry, recipe, count))
    with progress.Progress("structures", len(entries), done=len(done)) as bar:
        for _ in _spread(_simulate_entry, jobs, workers):
            bar.step()
    done = parts.done()
    skipped = {name: reason for name, reason in sorted(done.items()) if reason}
    names = sorted(name for name, reason in done.items() if not reason)
    counts = [parts.source(name)[1] for name in names]
    if recipe.split == "paper":
        split = paper_split(sum(counts), recipe.seed)
    else:
        split = np.repeat(np.array([SPLITS.index(splits[name]) for name in names], np.int8), counts)
    parts.assemble(names, split, _header("global", recipe))
    return {"items": int(sum(counts)), "sources": len(names), "skipped": skipped}


def _header(kind: str, recipe: Any) -> Dict[str, Any]:
    from .. import __version__

    return {
        "kind": kind,
        "mode": recipe.split if kind == "global" else recipe.mode,
        "seed": recipe.seed,
        "version": __version__,
        "recipe": dataclasses.asdict(recipe),
    }


def _simulate_entry(job: Tuple[str, Entry, GlobalRecipe, int]) -> str:
    folder, entry, recipe, orientations = job
    parts = _open_parts(folder)
    try:
        arrays, source = simulate_entry(entry, recipe, orientations)
    except InputError as error:
        # By name: the bytes of the data set must not depend on where the structures lie.
        parts.skip(entry.name, str(error).replace(entry.path, entry.name))
    else:
        parts.write(entry.name, arrays, source)
    return entry.name


def _open_parts(folder: str) -> Parts:
    """The parts in a worker: the folder is there and checked already."""
    parts = Parts.__new__(Parts)
    parts.folder = Path(folder)
    parts.target = parts.folder.with_name(parts.folder.name[: -len(".parts")])
    return parts


def simulate_entry(
    entry: Entry, recipe: GlobalRecipe, orientations: int = 1
) -> Tuple[Dict[str, np.ndarray], Dict[str, Any]]:
    """Maps of one structure: every orientation at every resolution, each scaled to [0, 1].

    The Z-weighted centre lies on voxel ``box // 2`` (EMAN2's ``--center``); a structure that fits only with
    its bounding box centred is placed so. It must fit (`simulation.fit`) at the coarsest resolution, so
    that all classes hold the same structures. The first orientation is the deposited one; the others, and
    that of a structure that does not fit as deposited, are random from (seed, name).

    Returns:
        Arrays of k items (maps, labels, resolution, orientation, rotation, voxel_size) and what is known of
        the source.

    Raises:
        InputError: the structure is unreadable, has not one protein chain (``chain="single"``), is too
        light or
            heavy, or does not fit the box.
    """
    rng = np.random.default_rng([recipe.seed, zlib.crc32(entry.name.encode())])
    atoms = structures.read_structure(entry.path)
    atoms = cut_fragment(atoms, rng) if entry.fragment else _chosen_chain(atoms, recipe.chain)
    kda = structures.molecular_weight_kda(atoms)
    if not recipe.kda[0] <= kda <= recipe.kda[1]:
        raise InputError(f"{entry.name} has {kda:.1f} kDa, not {recipe.kda[0]:g}-{recipe.kda[1]:g} kDa.")
    placed = []
    for number in range(orientations):
        place = _place(atoms, recipe, rng, deposited=number == 0)
        if place is not None:
            placed.append((number,) + place)
    if not placed:
        raise InputError(
            f"{entry.name} does not fit a box of {recipe.box} voxels of {recipe.voxel_size:g} A."
        )
    rows: List[Tuple[np.ndarray, int, float, int, np.ndarray]] = []
    for number, xyz, rotation in placed:
        for resolution in recipe.resolutions:
            density = simulation.pdb2mrc((xyz, atoms.z_number), resolution, recipe.box, recipe.voxel_size)
            label = GLOBAL_CLASSES.index(global_class(resolution))
            rows.append((scale01(density), label, resolution, number, rotation))
    maps, labels, resolutions, numbers, rotations = zip(*rows)
    arrays = {
        "maps": np.stack(maps).astype(np.float16 if recipe.half else np.float32),
        "labels": np.array(labels, np.int8),
        "resolution": np.array(resolutions, np.float32),
        "orientation": np.array(numbers, np.int16),
        "rotation": np.array(rotations, np.float32),
        "voxel_size": np.full(len(rows), recipe.voxel_size, np.float32),
    }
    source = {
        "id": entry.name,
        "file": Path(entry.path).name,
        "sha256": sha256(entry.path),
        "cluster": entry.cluster,
        "chain": atoms.chain_names[int(atoms.chain[0])],
        "atoms": len(atoms),
        "residues": len(np.unique(atoms.residue)),
        "kda": round(kda, 2),
    }
    return arrays, source


def _chosen_chain(atoms: structures.Atoms, chain: str) -> structures.Atoms:
    if chain == "longest":
        return structures.longest_chain(atoms)
    polymers = np.unique(atoms.chain[atoms.is_polymer])
    if len(polymers) != 1 or np.any(atoms.is_nucleic):
        raise InputError(f"{atoms.path} is not a single-chain protein.")
    return structures.longest_chain(atoms)


FRAGMENT_RESIDUES = (95, 600)
"""Shortest (about 10 kDa) and longest fragment."""


def _fragments(entries: Sequence[Entry], splits: Dict[str, str], recipe: GlobalRecipe) -> List[Entry]:
    if recipe.fragments and recipe.split == "paper":
        raise InputError("The paper's split draws over maps; give --split cluster with --fragments.")
    return [
        dataclasses.replace(entry, name=f"{entry.name}-part{number}", fragment=number)
        for entry in entries
        if splits.get(entry.name) == "train"
        for number in range(1, recipe.fragments + 1)
    ]


def cut_fragment(atoms: structures.Atoms, rng: np.random.Generator) -> structures.Atoms:
    """A random stretch of a random protein chain; long chains are drawn more often.

    Raises:
        InputError: no protein chain is long enough.
    """
    shortest, longest = FRAGMENT_RESIDUES
    counts = {name: n for name, n in structures.protein_chains(atoms).items() if n >= shortest}
    if not counts:
        raise InputError(f"{atoms.path} has no protein chain of {shortest} residues to cut a fragment from.")
    names = sorted(counts)
    share = np.array([counts[name] for name in names], float)
    name = names[int(rng.choice(len(names), p=share / share.sum()))]
    index = atoms.chain_names.index(name)
    chain = atoms.select((atoms.chain == index) & atoms.is_polymer & ~atoms.is_nucleic)
    residues = np.unique(chain.residue)
    length = int(rng.integers(shortest, min(len(residues), longest) + 1))
    first = int(rng.integers(0, len(residues) - length + 1))
    return chain.select(np.isin(chain.residue, residues[first : first + length]))


def _place(
    atoms: structures.Atoms, recipe: GlobalRecipe, rng: np.random.Generator, deposited: bool
) -> Tuple[np.ndarray, np.ndarray] | None:
    """Centred coordinates that fit the box and their rotation, or None."""
    trials = [np.eye(3)] if deposited else []
    if not deposited or recipe.turn_to_fit:
        trials += [structures.random_rotation(rng) for _ in range(_ROTATION_TRIALS)]
    mass = structures.center_of(atoms.xyz, atoms.z_number)
    for rotation in trials:
        xyz = (atoms.xyz - mass) @ rotation.T
        for centred in (xyz, xyz - (xyz.min(axis=0) + xyz.max(axis=0)) / 2):
            coarsest = max(recipe.resolutions)
            if simulation.fit(centred, atoms.z_number, coarsest, recipe.box, recipe.voxel_size).fits:
                return centred, rotation
    return None


# ------------------------------------------------------------------------------- lists, clusters and splits


def find_structures(
    where: PathLike, manifest: PathLike | None = None, clusters: PathLike | None = None
) -> List[Entry]:
    """Structures of a folder (searched to the bottom) or of a text file with one path per line.

    Args:
        where: folder or list.
        manifest: CSV with the columns id (file name without suffix) and optionally split and cluster; only
            its structures are taken. Its structures count as non-redundant, each its own cluster unless it
            says so. A ``manifest.csv`` in the folder or above it is found by itself.
        clusters: cd-hit's ``.clstr``, or one cluster per line (ids separated by blanks or commas; RCSB's
            ``1ABC_1`` counts as 1ABC). One structure of each cluster is taken: the first id of the line.

    Raises:
        InputError: nothing found, or an unreadable list.
    """
    files = _structure_files(where)
    if manifest is None and clusters is None:
        folder = Path(where) if Path(where).is_dir() else Path(where).parent
        manifest = next(
            (p / "manifest.csv" for p in (folder, folder.parent) if (p / "manifest.csv").is_file()), None
        )
    if manifest is not None:
        return _from_manifest(files, manifest)
    if clusters is not None:
        return _from_clusters(files, clusters)
    return [Entry(name, path, name) for name, path in sorted(files.items())]


def _structure_files(where: PathLike) -> Dict[str, str]:
    place = Path(where)
    if place.is_dir():
        paths = sorted(path for path in place.rglob("*") if path.is_file() and _SUFFIX.search(path.name))
    else:
        try:
            lines = place.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                f"Cannot read the list of structures {shown(where)}; give a folder or a list."
            ) from error
        paths = [place.parent / line.strip() for line in lines if line.strip() and not line.startswith("#")]
    files: Dict[str, str] = {}
    for path in paths:
        files.setdefault(_SUFFIX.sub("", path.name).lower(), str(path))
    if not files:
        raise InputError(f"{shown(where)} holds no structures (.pdb, .ent or .cif, also .gz).")
    return files


def read_csv(path: PathLike, needed: Sequence[str]) -> List[Dict[str, str]]:
    """Rows of a CSV file with a header line; keys and values stripped.

    Raises:
        InputError: unreadable, or a needed column is missing.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            rows = [
                {
                    (key or "").strip(): (value or "").strip()
                    for key, value in row.items()
                    if isinstance(value, str)
                }
                for row in csv.DictReader(stream)
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"Cannot read the table {shown(path)} ({error}).") from error
    missing = [name for name in needed if not rows or name not in rows[0]]
    if missing:
        raise InputError(
            f"{shown(path)} has no column {missing[0]!r} or no rows; it needs {', '.join(needed)}."
        )
    return rows


def _from_manifest(files: Dict[str, str], manifest: PathLike) -> List[Entry]:
    entries = []
    for row in read_csv(manifest, ["id"]):
        name, split = row["id"].lower(), row.get("split", "").lower()
        split = {"val": "validation", "valid": "validation"}.get(split, split)
        if split and split not in SPLITS:
            raise InputError(f"{shown(manifest)} gives {name} the split {split!r}; use {', '.join(SPLITS)}.")
        if name in files:
            entries.append(Entry(name, files[name], row.get("cluster") or name, split))
    if not entries:
        raise InputError(f"None of the structures of {shown(manifest)} was found.")
    return sorted(entries, key=lambda entry: entry.name)


def _from_clusters(files: Dict[str, str], clusters: PathLike) -> List[Entry]:
    entries, taken = [], set()
    for number, members in enumerate(read_clusters(clusters)):
        for member in members:
            name = member if member in files else member.split("_")[0]
            if name in files and name not in taken:
                entries.append(Entry(name, files[name], str(number)))
                taken.add(name)
                break
    if not entries:
        raise InputError(f"No structure is in a cluster of {shown(clusters)}.")
    return sorted(entries, key=lambda entry: entry.name)


def read_clusters(path: PathLike) -> List[List[str]]:
    """Clusters of ids (lower case), the representative first; formats as in `find_structures`."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"Cannot read the cluster file {shown(path)}.") from error
    if not any(line.startswith(">Cluster") for line in lines):
        return [re.split(r"[\s,]+", line.strip().lower()) for line in lines if line.strip()]
    found: List[List[str]] = []
    for line in lines:
        if line.startswith(">"):
            found.append([])
            continue
        match = re.search(r">(.+?)\.\.\.\s*(\*?)", line)
        if match and found:
            member = match.group(1).strip().lower()
            # cd-hit marks the representative with a star, wherever it is in the list.
            found[-1].insert(0 if match.group(2) else len(found[-1]), member)
    return [members for members in found if members]


def _source_splits(entries: Sequence[Entry], recipe: GlobalRecipe) -> Dict[str, str]:
    """Split of every structure; empty for the paper's split over maps."""
    if recipe.split == "paper":
        return {}
    if all(entry.split for entry in entries):
        return {entry.name: entry.split for entry in entries}
    drawn = split_groups([entry.cluster for entry in entries], recipe.seed)
    return {entry.name: SPLITS[drawn[entry.cluster]] for entry in entries}


def paper_split(count: int, seed: int) -> np.ndarray:
    """60/20/20 uniformly at random over *maps* (paper, section 4.1): the same protein is in several sets.

    Validation and test get ``round(0.2 count)`` each, training the rest: 22,807 / 7603 / 7603 of 38,013.
    """
    split = np.zeros(count, np.int8)
    each = int(round(SPLIT_FRACTIONS[1] * count))
    order = np.random.default_rng([seed, 1]).permutation(count)
    split[order[:each]] = 1
    split[order[each : 2 * each]] = 2
    return split


def split_groups(groups: Iterable[str], seed: int) -> Dict[str, int]:
    """Draw a split (0, 1, 2) for every group, 60/20/20 over groups; members of a group stay together."""
    names = sorted(set(groups))
    split = paper_split(len(names), seed)
    return {name: int(split[row]) for row, name in enumerate(names)}


# ------------------------------------------------------------------------------------------------ local sets


@dataclasses.dataclass(frozen=True)
class LocalRecipe:
    """Everything that decides the bytes of a local data set, besides the volumes.

    Attributes:
        mode: "paper" or "default".
        labels: "monores", "resmap" or "truth": what the labels are.
        patch: edge of the cubes in voxels.
        seed: of paddings and splits.
    """

    mode: str = "default"
    labels: str = "monores"
    patch: int = 48
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Triple:
    """A map with its label volume and mask, as files; ``voxel_size`` None takes the map's header."""

    name: str
    map: str
    label: str
    mask: str
    voxel_size: float | None = None
    split: str = ""


def build_local(
    triples: Sequence[Triple],
    out: PathLike,
    recipe: LocalRecipe,
    workers: int = 1,
    resume: bool = False,
    overwrite: bool = False,
) -> Dict[str, Any]:
    """Cut (map, label, mask) triples into patches and store them; see `paper_patches` and `default_patches`.

    The paper splits the patches of each map; the default gives whole maps to a split (from the triples, or
    drawn 60/20/20 from the seed).

    Returns:
        ``{"items", "sources", "skipped": {name: reason}}``.

    Raises:
        InputError: nothing left to store, or see `Parts`.
    """
    listing = {triple.name: triple.split for triple in triples}
    parts = Parts(out, {"kind": "local", "maps": listing, **dataclasses.asdict(recipe)}, resume, overwrite)
    done = parts.done()
    jobs = [(str(parts.folder), triple, recipe) for triple in triples if triple.name not in done]
    with progress.Progress("maps", len(triples), done=len(done)) as bar:
        for _ in _spread(_cut_triple, jobs, workers):
            bar.step()
    done = parts.done()
    skipped = {name: reason for name, reason in sorted(done.items()) if reason}
    names = [triple.name for triple in triples if not done[triple.name]]
    counts = [parts.source(name)[1] for name in names]
    splits = [np.zeros(0, np.int8)]
    drawn = split_groups(names, recipe.seed)
    for name, count in zip(names, counts):
        if recipe.mode == "paper":
            splits.append(paper_patch_split(count, [recipe.seed, zlib.crc32(name.encode())]))
        else:
            given = listing[name]
            splits.append(np.full(count, SPLITS.index(given) if given else drawn[name], np.int8))
    parts.assemble(names, np.concatenate(splits), _header("local", recipe))
    return {"items": int(sum(counts)), "sources": len(names), "skipped": skipped}


def _cut_triple(job: Tuple[str, Triple, LocalRecipe]) -> str:
    folder, triple, recipe = job
    parts = _open_parts(folder)
    try:
        arrays, source = cut_triple(triple, recipe)
    except InputError as error:
        parts.skip(triple.name, str(error))
    else:
        parts.write(triple.name, arrays, source)
    return triple.name


def cut_triple(triple: Triple, recipe: LocalRecipe) -> Tuple[Dict[str, np.ndarray], Dict[str, Any]]:
    """Patches of one triple and what is known of it.

    Raises:
        InputError: unreadable volumes, other boxes, or no patch left.
    """
    density = mrc.read(triple.map, voxel_size=triple.voxel_size)
    values = mrc.read_values(triple.label, like=density).data
    mask = mrc.read_mask(triple.mask, like=density)
    source: Dict[str, Any] = {
        "id": triple.name,
        "files": {key: Path(getattr(triple, key)).name for key in ("map", "label", "mask")},
        "sha256": {key: sha256(getattr(triple, key)) for key in ("map", "label", "mask")},
        "box_zyx": list(density.data.shape),
        "voxel_size": round(density.voxel_size, 5),
        "split": triple.split,
    }
    if recipe.mode == "paper":
        arrays, padding = paper_patches(density.data, values, mask, _triple_rng(triple, recipe), recipe.patch)
        source["padding_zyx"] = padding
    else:
        arrays = default_patches(density.data, values, mask, recipe.patch)
    count = len(arrays["labels"])
    if count == 0:
        raise InputError(f"{triple.name} has no patch with density inside the mask.")
    arrays["voxel_size"] = np.full(count, density.voxel_size, np.float32)
    return arrays, source


def _triple_rng(triple: Triple, recipe: LocalRecipe) -> np.random.Generator:
    return np.random.default_rng([recipe.seed, zlib.crc32(triple.name.encode()), 2])


def paper_classes(values: np.ndarray) -> np.ndarray:
    """Bin as the paper does: 0 (0-2 A], 1 (2-3], ..., 9 above 10, ResMap's 100 included; 0 A is class 0."""
    return np.searchsorted(np.asarray(LOCAL_EDGES_A), values, side="left").astype(np.int8)


def paper_padding(shape: Sequence[int], rng: np.random.Generator) -> List[Tuple[int, int]]:
    """Zeros before and after each axis that centre the volume in the next power-of-two cube.

    An odd remainder goes to the front or to the back at random.
    """
    side = 1 << max(int(max(shape)) - 1, 0).bit_length()
    padding = []
    for size in shape:
        rest = side - int(size)
        front = rest // 2
        if rest % 2:
            front += int(rng.integers(2))
        padding.append((front, rest - front))
    return padding


def paper_patches(
    density: np.ndarray,
    values: np.ndarray,
    mask: np.ndarray,
    rng: np.random.Generator,
    patch: int = PAPER_PATCH,
) -> Tuple[Dict[str, np.ndarray], List[Tuple[int, int]]]:
    """The paper's patches (section 4.1 and ``docs/datasets.md``).

    The whole map is scaled to [0, 1], the label binned, both are multiplied by the mask (so the background
    becomes class 0 and is trained on), padded alike to a power-of-two cube and cut into cubes without
    overlap; cubes whose map is all zero are dropped.

    Args:
        density: (z, y, x).
        values: (z, y, x), the label volume in A.
        mask: bool.
        rng: decides the side of odd paddings.
        patch: edge in voxels.

    Returns:
        Arrays maps, labels, values, masks (n, p, p, p) and positions (n, 3), the z, y, x of each patch's
        first voxel in the *unpadded* map (negative in the padding); and the padding per axis.
    """
    padding = paper_padding(density.shape, rng)
    scaled = scale01(density) * mask
    volumes = {
        "maps": scaled.astype(np.float32),
        "labels": (paper_classes(values) * mask).astype(np.int8),
        "values": np.where(mask & estimated(values), values, 0).astype(np.float32),
        "masks": mask.astype(np.int8),
    }
    side = density.shape[0] + sum(padding[0])
    if side < patch:
        padding = [(front, patch - side + back) for front, back in padding]
        side = patch
    cells = side // patch
    cut = {}
    for name, volume in volumes.items():
        cubes = np.pad(volume, padding).reshape(cells, patch, cells, patch, cells, patch)
        cut[name] = cubes.transpose(0, 2, 4, 1, 3, 5).reshape(-1, patch, patch, patch)
    keep = np.flatnonzero(cut["maps"].reshape(len(cut["maps"]), -1).any(axis=1))
    arrays = {name: cubes[keep] for name, cubes in cut.items()}
    corners = np.stack(np.unravel_index(keep, (cells,) * 3), axis=1) * patch
    arrays["positions"] = (corners - [front for front, _ in padding]).astype(np.int32)
    return arrays, padding


def paper_patch_split(count: int, seed: Any) -> np.ndarray:
    """Split one map's patches as the paper does: ceil(20 %) evaluation, ceil(10 %) of the rest validation."""
    evaluation, validation = paper_patch_counts(count)
    split = np.zeros(count, np.int8)
    order = np.random.default_rng(seed).permutation(count)
    split[order[:evaluation]] = 2
    split[order[evaluation : evaluation + validation]] = 1
    return split


def paper_patch_counts(count: int) -> Tuple[int, int]:
    """Number of (evaluation, validation) patches of ``count``; in integers, so that 20 % of 35 is never 8."""
    evaluation = -(-count // 5)
    return evaluation, -(-(count - evaluation) // 10)


def default_patches(
    density: np.ndarray, values: np.ndarray, mask: np.ndarray, patch: int, least: float = 0.005
) -> Dict[str, np.ndarray]:
    """Larger patches that cover the mask, where background and "not estimated" do not count.

    The whole map is brought to mean 0 and standard deviation 1. Patches tile the bounding box of the mask
    with the least overlap that covers it; a patch is kept when at least ``least`` of it has a label.
    Volumes smaller than a patch are padded at the end.

    Returns:
        Arrays as `paper_patches`; labels are -1 outside the mask and where nothing was estimated (0, >= 100
        A).
    """
    counted = mask & estimated(values)
    normal = (density - density.mean(dtype=np.float64)) / density.std(dtype=np.float64)
    volumes = {
        "maps": normal.astype(np.float32),
        "labels": np.where(counted, class_of(values), np.int8(-1)).astype(np.int8),
        "values": np.where(counted, values, 0).astype(np.float32),
        "masks": mask.astype(np.int8),
    }
    starts = [_starts(np.flatnonzero(mask.any(axis=other)), size, patch) for other, size in _axes(mask)]
    short = [(0, max(patch - size, 0)) for size in mask.shape]
    fill = {"labels": -1}
    padded = {name: np.pad(v, short, constant_values=fill.get(name, 0)) for name, v in volumes.items()}
    positions = []
    for corner in ((z, y, x) for z in starts[0] for y in starts[1] for x in starts[2]):
        labels = padded["labels"][tuple(slice(start, start + patch) for start in corner)]
        if np.count_nonzero(labels >= 0) >= least * labels.size:
            positions.append(corner)
    arrays = {
        name: np.array(
            [volume[tuple(slice(start, start + patch) for start in corner)] for corner in positions],
            volume.dtype,
        ).reshape(-1, patch, patch, patch)
        for name, volume in padded.items()
    }
    arrays["positions"] = np.array(positions, np.int32).reshape(-1, 3)
    return arrays


def _axes(mask: np.ndarray) -> List[Tuple[Tuple[int, int], int]]:
    return [((1, 2), mask.shape[0]), ((0, 2), mask.shape[1]), ((0, 1), mask.shape[2])]


def _starts(covered: np.ndarray, size: int, patch: int) -> List[int]:
    """First voxels of the fewest patches that cover the given planes, evenly spread, inside the volume."""
    if not len(covered) or size <= patch:
        return [0]
    low, high = int(covered[0]), int(covered[-1]) + 1
    count = -(-(high - low) // patch)
    spare = count * patch - (high - low)
    first = min(max(low - spare // 2, 0), size - patch)
    last = min(max(high + spare - spare // 2, first + patch), size) - patch
    return sorted({int(round(start)) for start in np.linspace(first, max(last, first), count)})


def read_triples(path: PathLike) -> List[Triple]:
    """Triples of a CSV with the columns map, label, mask and optionally name, voxel_size, split.

    Paths are relative to the CSV's folder. Names default to the map's file name and must differ.

    Raises:
        InputError: unreadable table, missing column, bad number or split, equal names.
    """
    folder = Path(path).parent
    triples: List[Triple] = []
    for row in read_csv(path, ["map", "label", "mask"]):
        split = row.get("split", "").lower()
        if split and split not in SPLITS:
            raise InputError(f"{shown(path)} has the split {split!r}; use {', '.join(SPLITS)} or nothing.")
        name = row.get("name") or f"{len(triples):03d}_{Path(row['map']).name.split('.')[0]}"
        files = [str(folder / row[key]) for key in ("map", "label", "mask")]
        triples.append(
            Triple(
                name,
                files[0],
                files[1],
                files[2],
                _angstroms(row.get("voxel_size", ""), path, "voxel size"),
                split,
            )
        )
    if len({triple.name for triple in triples}) != len(triples):
        raise InputError(f"{shown(path)} names two maps alike; correct the column 'name'.")
    return triples


@dataclasses.dataclass(frozen=True)
class KnownMap:
    """A map whose global resolution is known, as files; ``mask`` empty makes one from the map."""

    name: str
    map: str
    resolution: float
    mask: str = ""
    voxel_size: float | None = None
    split: str = ""


def lists_known_maps(path: PathLike) -> bool:
    """Whether a CSV gives one resolution per map instead of a local-resolution volume."""
    row = read_csv(path, ["map"])[0]
    return "resolution" in row and "label" not in row


def read_known_maps(path: PathLike) -> List[KnownMap]:
    """Maps of a CSV with the columns map, resolution (A) and optionally mask, name, voxel_size, split.

    Paths are relative to the CSV's folder.

    Raises:
        InputError: unreadable table, missing column, bad number or split.
    """
    folder = Path(path).parent
    found: List[KnownMap] = []
    for row in read_csv(path, ["map", "resolution"]):
        split = row.get("split", "").lower()
        if split and split not in SPLITS:
            raise InputError(f"{shown(path)} has the split {split!r}; use {', '.join(SPLITS)} or nothing.")
        value = _angstroms(row["resolution"], path, "resolution")
        if value is None:
            raise InputError(f"{shown(path)} gives no resolution for {row['map']}; fill the column in.")
        name = row.get("name") or f"{len(found):03d}_{Path(row['map']).name.split('.')[0]}"
        mask = str(folder / row["mask"]) if row.get("mask") else ""
        voxel = _angstroms(row.get("voxel_size", ""), path, "voxel size")
        found.append(KnownMap(name, str(folder / row["map"]), value, mask, voxel, split))
    return found


def _angstroms(text: str, path: PathLike, what: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise InputError(f"{shown(path)} has the {what} {text!r}; give angstroms above 0 or nothing.")
    return value


def shared_layout(folder: PathLike, labels: str) -> List[Triple]:
    """Triples of a folder with ``index.json`` (a list of id, split, voxel_A) and a sub-folder per map.

    Each holds ``map``, ``mask`` and ``LABELS`` as .mrc.gz or .mrc; maps without that label volume are left
    out.

    Raises:
        InputError: no index, or no map with such labels.
    """
    from .files import read_json

    triples = []
    for row in read_json(Path(folder) / "index.json"):
        try:
            place, split, voxel = Path(folder) / str(row["id"]), str(row["split"]), float(row["voxel_A"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{shown(folder)}/index.json is not a list of maps with id, split, voxel_A."
            ) from error
        files = [str(_volume(place, name) or "") for name in ("map", labels, "mask")]
        if all(files):
            triples.append(Triple(str(row["id"]), files[0], files[1], files[2], voxel, split))
    if not triples:
        raise InputError(f"{shown(folder)} has no map with {labels} labels and a mask.")
    return triples


def _volume(folder: Path, name: str) -> Path | None:
    return next((p for p in (folder / f"{name}.mrc.gz", folder / f"{name}.mrc") if p.is_file()), None)


# -------------------------------------------------------------------------------------------------- workers


def _spread(work: Callable[[Any], str], jobs: Sequence[Any], workers: int) -> Iterator[str]:
    """Do the jobs in processes with one BLAS thread each, so that the bytes do not depend on their number."""
    if not jobs:
        return
    import multiprocessing
    from concurrent import futures

    context = multiprocessing.get_context("spawn")
    size = max(1, min(workers, len(jobs)))
    # Not multiprocessing.Pool, which waits for ever for the work of a process that the system has killed.
    with _one_thread(), futures.ProcessPoolExecutor(size, context, _start_worker, (os.getpid(),)) as pool:
        waiting = [pool.submit(work, job) for job in jobs]
        try:
            for future in futures.as_completed(waiting):
                yield future.result()
        except futures.process.BrokenProcessPool as error:
            raise CryoResError(
                "A worker process was killed, perhaps for want of memory; go on with --resume and fewer --workers."
            ) from error
        finally:
            for future in waiting:
                future.cancel()


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Processes started in the block run BLAS with one thread."""
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    old = {name: os.environ.get(name) for name in names}
    os.environ.update({name: "1" for name in names})
    try:
        yield
    finally:
        for name, value in old.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _start_worker(parent: int) -> None:
    """End the worker when its parent was killed; a pool's workers would wait for ever."""
    import signal
    import threading
    import time

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends the pool
    signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
