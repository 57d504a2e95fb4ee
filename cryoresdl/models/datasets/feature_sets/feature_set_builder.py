"""The default models' training set: simulated reconstructions as features, truth and global resolution, in HDF5.

Every map is drawn from its own seed (set seed, index), so that one or many workers write the same content, a killed
run resumes, and any map can be made again from its row.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from ...base import resolution_terms
from ...base.errors import CryoResError, InputError
from ...base.runs.atomic_files import PathLike
from ...base.worker_processes import results_of
from ...features import band_energies, map_features
from ...maps import automatic_mask, density_map, foreign_volumes
from ...maps.mrc import mask_reader, mrc_reader
from ...simulation import atom_density, imaging_conditions, molecule_signal, realistic_map
from ...structures.atoms import Atoms, random_rotation
from ...structures.structure_reader import read_structure
from .. import splits
from ..input_lists import read_manifest
from ..splits import SPLITS
from .feature_set_file import CLEAN, KNOWN, TRUTH, FeatureParts, held_maps, kept_items
from .feature_set_recipes import MapRecipe, draw_recipe

MARGIN_CELLS = 3
"""Cells kept around the mask's bounding box."""


def _clean_item(recipe: MapRecipe, atoms: Atoms) -> Dict[str, Any]:
    """Features of a noiseless pdb2mrc map; the truth is the nominal resolution, at Nyquist at best."""
    rng = np.random.default_rng(recipe.seed)
    keep = atoms.z_number > 1
    xyz = (atoms.xyz[keep] - atoms.xyz[keep].mean(0)) @ random_rotation(rng).T
    xyz -= (xyz.max(0) + xyz.min(0)) / 2
    box, voxel = recipe.box, recipe.voxel_size
    data = atom_density.pdb2mrc(
        (xyz, atoms.z_number[keep].astype(float)), recipe.resolution, box, voxel, allow_cut=True
    )
    if recipe.options.auto_mask:
        mask = automatic_mask.auto_mask(density_map.DensityMap(data, voxel))[0]
    else:
        mask = molecule_signal.mask_around(
            xyz + box // 2 * voxel, data.shape, voxel, recipe.options.mask_margin
        )
    if mask.sum() < 300:
        raise CryoResError("too few voxels inside the mask")
    found = map_features.compute(data, mask, voxel)
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
    recipe: MapRecipe,
    single: map_features.Features,
    halves: map_features.Features,
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
    return density_map.mask_box(mask_cells, MARGIN_CELLS)


def make_item(recipe: MapRecipe) -> Dict[str, Any]:
    """Simulate one recipe and turn it into arrays; float16 where they are large."""
    atoms = read_structure(recipe.path)
    if recipe.kind == CLEAN:
        return _clean_item(recipe, atoms)
    result = realistic_map.simulate(
        atoms,
        recipe.resolution,
        recipe.box,
        recipe.voxel_size,
        recipe.seed,
        recipe.options,
        truth_stride=band_energies.STRIDE,
        crop=True,
    )
    if result.mask.sum() < 300:
        raise CryoResError("too few voxels inside the mask")
    mean, difference = (result.half1 + result.half2) / 2, (result.half1 - result.half2) / 2
    voxel = float(result.info["voxel_size_A"])  # that of the map, which may have been resampled
    single = map_features.compute(result.map, result.mask, voxel)
    halves = map_features.compute(mean, result.mask, voxel, difference)
    info = {k: v for k, v in result.info.items() if k != "fsc"}
    return _packed(recipe, single, halves, result.truth[single.cell_region()], info)


def label_cells(label: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """Mean label of the estimated voxels of every cell, in angstroms; 0 where none is estimated or not kept.

    Values at or below 0 (MonoRes) and at or above 100 A (ResMap) are "not estimated".
    """
    cells = keep.shape
    stride = band_energies.STRIDE
    padded = np.zeros([c * stride for c in cells], np.float32)
    padded[tuple(slice(0, n) for n in label.shape)] = label
    known = resolution_terms.estimated(padded).astype(np.float32)
    blocks = (cells[0], stride, cells[1], stride, cells[2], stride)
    total = (padded * known).reshape(blocks).sum((1, 3, 5))
    count = known.reshape(blocks).sum((1, 3, 5))
    return np.where(keep & (count > 0), total / np.maximum(count, 1), 0).astype(np.float32)


def item_of_triple(triple: Any, labels: str) -> Dict[str, Any]:
    """Features of a user's map with its local-resolution volume as the label.

    Raises:
        InputError: unreadable files, boxes that differ, or nothing estimated inside the mask.
    """
    density = mrc_reader.read(triple.map, triple.voxel_size)
    mask = mask_reader.read_mask(triple.mask, density)
    label = foreign_volumes.read_resolution(triple.label, density, "label volume", mask=mask).data
    found = map_features.compute(density.data, mask, density.voxel_size)
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
    recipe = MapRecipe(
        triple.map,
        triple.name,
        triple.split,
        0.0,
        density.voxel_size,
        0,
        0,
        imaging_conditions.ImagingConditions(),
        labels,
    )
    return _packed(recipe, found, found, truth, info)


def item_of_known_map(known: Any) -> Dict[str, Any]:
    """Features of a map with its known global resolution, which stands in every cell of the mask.

    Raises:
        InputError: unreadable files, another box, a resolution beyond Nyquist.
    """
    density = mrc_reader.read(known.map, known.voxel_size)
    mask = mask_reader.read_mask(known.mask, density) if known.mask else automatic_mask.auto_mask(density)[0]
    if known.resolution < 2 * density.voxel_size:
        raise InputError(
            f"{known.name} cannot reach {known.resolution:g} A with voxels of {density.voxel_size:g} A; "
            "correct its resolution or voxel size."
        )
    found = map_features.compute(density.data, mask, density.voxel_size)
    truth = np.where(found.mask_cells, known.resolution, 0).astype(np.float32)
    info = {
        "voxel_size_A": density.voxel_size,
        "box": list(density.data.shape),
        "global_fsc0143_A": known.resolution,
        "mask_voxels": int(mask.sum()),
        "labels": KNOWN,
    }
    recipe = MapRecipe(
        known.map,
        known.name,
        known.split,
        0.0,
        density.voxel_size,
        0,
        0,
        imaging_conditions.ImagingConditions(),
        KNOWN,
    )
    return _packed(recipe, found, found, truth, info)


def build_from_triples(
    triples: Sequence[Any],
    out: PathLike,
    labels: str,
    seed: int = 0,
    progress: Any = None,
    *,
    workers: int = 1,
    resume: bool = True,
    overwrite: bool = False,
) -> Dict[str, Any]:
    """Write a feature set of users' maps; whole maps go to a split, drawn 60/20/20 where not given.

    Args:
        triples: ``datasets.Triple`` rows (map, label, mask), or ``datasets.KnownMap`` rows.
        out: HDF5 file; maps that it already holds are kept, in the split that they are in.
        labels: "monores", "resmap" or "truth"; ``KNOWN`` for known maps.
        seed: of the drawn split.
        progress: called with (done, total).
        workers: processes.
        resume: go on with what is there already.
        overwrite: begin anew.

    Returns:
        ``made`` (maps added now) and ``skipped`` (sentences).

    Raises:
        InputError: fewer than three maps and none with a split, or a set that another list, other labels or another
            seed made.
    """
    placed = _with_splits(triples, out, seed)
    there = {} if overwrite else kept_items(out, seed, labels)
    parts = FeatureParts(out, {"seed": seed, "labels": labels}, resume, overwrite)
    try:
        there.update(parts.infos())
        _refuse_another_list(triples, out, there)
        jobs = [(str(parts.folder), i, one, labels) for i, one in enumerate(placed) if i not in there]
        each = map(_make_labelled, jobs) if workers == 1 else results_of(_make_labelled, jobs, workers)
        skipped = []
        for done, reason in enumerate(each, len(placed) - len(jobs) + 1):
            skipped += [reason] if reason else []
            if progress is not None:
                progress(done, len(placed))
        made = len(jobs) - len(skipped)
        parts.assemble(seed, len(there) + made, overwrite)
    finally:
        parts.leave()
    return {"made": made, "skipped": skipped}


def _make_labelled(job: Tuple[str, int, Any, str]) -> str:
    """Make one user's map, and store it or return why there is none."""
    folder, index, triple, labels = job
    try:
        item = item_of_known_map(triple) if labels == KNOWN else item_of_triple(triple, labels)
    except InputError as error:
        return f"{triple.name}: {error}"
    FeatureParts.in_worker(folder).write(index, item)
    return ""


def _with_splits(triples: Sequence[Any], out: PathLike, seed: int) -> List[Any]:
    """The rows, those without a split with a drawn one: from three maps on every split gets one at least."""
    if len(triples) < len(SPLITS) and not any(triple.split for triple in triples):
        raise InputError(
            f"{out} needs at least three maps: one to learn from, one to stop by and one to test with; "
            f"list more than {len(triples)}, or give each a split in the column 'split'."
        )
    drawn = splits.paper_split(len(triples), seed)
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


def _make(job: Tuple[str, int, MapRecipe]) -> None:
    """Make one map, in a worker, and store it or why there is none."""
    folder, index, recipe = job
    parts = FeatureParts.in_worker(folder)
    try:
        item = make_item(recipe)
    except CryoResError as error:
        parts.skip(parts.name(recipe.split, index), f"{recipe.structure}: {error}")
    else:
        parts.write(index, item)


def _single_thread() -> None:
    band_energies._FFT_WORKERS = 1


def build_feature_set(
    structures: PathLike,
    out: PathLike,
    counts: Dict[str, int],
    seed: int = 0,
    workers: int = 1,
    progress: Any = None,
    *,
    resume: bool = True,
    overwrite: bool = False,
) -> Dict[str, Any]:
    """Write, or go on writing, a feature set.

    Args:
        structures: folder with ``manifest.csv`` and ``pdb/``.
        out: HDF5 file; items that it already holds are kept.
        counts: maps per split.
        seed: of the set.
        workers: processes.
        progress: called with (done, total) after every map.
        resume: go on with what is there already.
        overwrite: begin anew.

    Returns:
        counts of written and skipped maps, with the reasons.
    """
    drawn = {
        (split, index): draw_recipe(rows, split, seed, index)
        for split, count in counts.items()
        for rows in [read_manifest(structures, split)]
        for index in range(count)
    }
    there = set() if overwrite else held_maps(out, seed, TRUTH)
    parts = FeatureParts(out, {"seed": seed, "labels": TRUTH}, resume, overwrite)
    try:
        before = parts.done()
        jobs = [
            (str(parts.folder), index, recipe)
            for (split, index), recipe in drawn.items()
            if (split, index) not in there and before.get(parts.name(split, index), "again")
        ]
        for done, _ in enumerate(results_of(_make, jobs, workers, begin=_single_thread), 1):
            if progress is not None:
                progress(done, len(jobs))
        found = parts.finished([parts.name(recipe.split, index) for _, index, recipe in jobs])
        skipped = [reason for reason in found.values() if reason]
        new = sum(not reason for reason in parts.done().values())
        parts.assemble(seed, len(there) + new, overwrite)
    finally:
        parts.leave()
    return {"made": len(jobs) - len(skipped), "skipped": skipped}
