"""A training set of patches cut from map, label and mask, for the paper's U-Net."""

from __future__ import annotations

import dataclasses
import zlib
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from ..base import progress
from ..base.errors import InputError
from ..base.resolution_terms import LOCAL_EDGES_A, class_of, estimated
from ..base.runs.atomic_files import PathLike, sha256
from ..base.worker_processes import results_of
from ..maps import foreign_volumes
from ..maps.density_map import mask_box
from ..maps.mrc import mask_reader, mrc_reader
from ..networks.paper_predictors import scale01
from .input_lists import Triple
from .map_set_file import Parts, _header
from .splits import SPLITS, paper_patch_split, split_groups

PAPER_PATCH = 16


@dataclasses.dataclass(frozen=True)
class PatchSetRecipe:
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


def build_patch_set(
    triples: Sequence[Triple],
    out: PathLike,
    recipe: PatchSetRecipe,
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
        for _ in results_of(_cut_triple, jobs, workers):
            bar.step()
    done = parts.finished([triple.name for triple in triples])
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


def _cut_triple(job: Tuple[str, Triple, PatchSetRecipe]) -> str:
    folder, triple, recipe = job
    parts = Parts.in_worker(folder)
    try:
        arrays, source = cut_triple(triple, recipe)
    except InputError as error:
        parts.skip(triple.name, str(error))
    else:
        parts.write(triple.name, arrays, source)
    return triple.name


def cut_triple(triple: Triple, recipe: PatchSetRecipe) -> Tuple[Dict[str, np.ndarray], Dict[str, Any]]:
    """Patches of one triple and what is known of it.

    Raises:
        InputError: unreadable volumes, other boxes, or no patch left.
    """
    density = mrc_reader.read(triple.map, voxel_size=triple.voxel_size)
    mask = mask_reader.read_mask(triple.mask, like=density)
    values = foreign_volumes.read_resolution(triple.label, density, "label volume", mask=mask).data
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


def _triple_rng(triple: Triple, recipe: PatchSetRecipe) -> np.random.Generator:
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
    """The paper's patches (section 4.1 and ``docs/guide/training-sets.md``).

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
    box = mask_box(mask) if mask.any() else (slice(0, 0),) * 3
    starts = [_starts(edge.start, edge.stop, size, patch) for edge, size in zip(box, mask.shape)]
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


def _starts(low: int, high: int, size: int, patch: int) -> List[int]:
    """First voxels of the fewest patches that cover the planes from low to high - 1, evenly spread, in the volume."""
    if low == high or size <= patch:
        return [0]
    count = -(-(high - low) // patch)
    spare = count * patch - (high - low)
    first = min(max(low - spare // 2, 0), size - patch)
    last = min(max(high + spare - spare // 2, first + patch), size) - patch
    return sorted({int(round(start)) for start in np.linspace(first, max(last, first), count)})
