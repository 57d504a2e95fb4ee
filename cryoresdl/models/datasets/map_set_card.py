"""The card of a data set: what is in it, as JSON and as one small figure beside the HDF5 file."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any, Dict, List

import numpy as np

from ..base import quiet_libraries
from ..base.resolution_terms import GLOBAL_CLASSES, LOCAL_CLASSES
from ..base.runs.atomic_files import PathLike, atomic_path, sha256, write_json
from .map_set_file import DatasetFile
from .splits import SPLITS

_SAMPLE = 200
"""Items whose voxels are looked at for histograms of density; labels are counted over all."""
_COLORS = ("#0072B2", "#E69F00", "#009E73")


def card_paths(path: PathLike) -> Dict[str, Path]:
    """Where the card of ``path`` goes: ``NAME.card.json`` and ``NAME.card.png``."""
    base = Path(path)
    return {kind: base.with_name(f"{base.stem}.card.{kind}") for kind in ("json", "png")}


def write_card(path: PathLike) -> Dict[str, Any]:
    """Describe the data set ``path`` and write its card and figure beside it.

    Returns:
        The card: file and its digest, recipe, counts per split and class, histograms, skipped sources with
        reasons.
    """
    with DatasetFile(path) as data:
        card = describe_map_set(data)
    card["file"] = Path(path).name
    card["sha256"] = sha256(path)
    card["bytes"] = Path(path).stat().st_size
    card["created"] = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    places = card_paths(path)
    write_json(places["json"], card)
    figure = draw_map_set(card)
    with atomic_path(places["png"]) as temporary:
        figure.savefig(temporary, format="png", dpi=100)
    return card


def describe_map_set(data: DatasetFile) -> Dict[str, Any]:
    """Counts and histograms of an open data set, ready for JSON."""
    local = data.info["kind"] == "local"
    classes = LOCAL_CLASSES if local else GLOBAL_CLASSES
    sources = data.sources()
    rows_of = data.column("source")
    splits: Dict[str, Any] = {}
    for name in SPLITS:
        rows = data.rows(name)
        splits[name] = {
            "items": len(rows),
            "sources": len(np.unique(rows_of[rows])),
            "labels": dict(zip(classes, _count_labels(data, rows, len(classes)))),
        }
    sample = np.unique(np.linspace(0, len(data) - 1, min(_SAMPLE, len(data))).astype(int))
    density = data.read("maps", sample).astype(np.float64)
    heights, edges = np.histogram(density, bins=40)
    voxel_sizes, counts = np.unique(np.round(data.column("voxel_size"), 4), return_counts=True)
    return {
        **{key: data.info[key] for key in ("kind", "mode", "seed", "version", "format_version", "recipe")},
        "items": len(data),
        "sources": len(sources),
        "item_shape_zyx": [int(size) for size in density.shape[1:]],
        "label_unit": "voxels in the mask" if local else "maps",
        "splits": splits,
        "sources_in_several_splits": _leaks(data.splits, rows_of),
        "voxel_sizes_A": {f"{size:g}": int(count) for size, count in zip(voxel_sizes, counts)},
        "mass_kda": [source["kda"] for source in sources] if not local else None,
        "density_histogram": {"edges": edges.tolist(), "counts": heights.tolist(), "items": len(sample)},
        "skipped": data.skipped(),
    }


def _count_labels(data: DatasetFile, rows: np.ndarray, classes: int) -> List[int]:
    total = np.zeros(classes, np.int64)
    local = "masks" in data.keys
    for start in range(0, len(rows), 64):
        chosen = rows[start : start + 64]
        labels = data.read("labels", chosen).astype(np.int64)
        if local:
            labels = labels[(data.read("masks", chosen) > 0) & (labels >= 0)]
        total += np.bincount(labels.ravel(), minlength=classes)[:classes]
    return [int(count) for count in total]


def _leaks(splits: np.ndarray, sources: np.ndarray) -> int:
    """Sources with items in more than one split."""
    pairs = np.unique(np.stack([sources, splits], axis=1), axis=0)
    return int(np.count_nonzero(np.bincount(pairs[:, 0]) > 1))


def draw_map_set(card: Dict[str, Any]) -> Any:
    """The card's figure: labels per split, density of the items, and masses or voxel sizes of the sources."""
    quiet_libraries.import_matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.4), layout="constrained")
    axes: Any = figure.subplots(1, 3)
    left, middle, right = axes
    names = list(card["splits"]["train"]["labels"])
    places = np.arange(len(names))
    for number, split in enumerate(SPLITS):
        heights = list(card["splits"][split]["labels"].values())
        label = f"{split} ({card['splits'][split]['items']})"
        left.bar(places + (number - 1) * 0.27, heights, 0.27, color=_COLORS[number], label=label)
    left.set_xticks(places, names, rotation=0 if len(names) < 5 else 60)
    left.set(xlabel="class" if len(names) < 5 else "class (A)", ylabel=card["label_unit"], title="Labels")
    left.legend(fontsize=8)
    histogram = card["density_histogram"]
    middle.stairs(histogram["counts"], histogram["edges"], fill=True, color=_COLORS[0])
    middle.set_yscale("log")
    middle.set(xlabel="density", ylabel="voxels", title=f"Density of {histogram['items']} items")
    if card["mass_kda"] is not None:
        right.hist(card["mass_kda"], bins=30, color=_COLORS[2])
        right.set(xlabel="mass (kDa)", ylabel="structures", title=f"{card['sources']} structures")
    else:
        sizes = card["voxel_sizes_A"]
        right.bar(range(len(sizes)), list(sizes.values()), color=_COLORS[2])
        right.set_xticks(range(len(sizes)), list(sizes), rotation=60)
        right.set(xlabel="voxel size (A)", ylabel="items", title=f"{card['sources']} maps")
    return figure
