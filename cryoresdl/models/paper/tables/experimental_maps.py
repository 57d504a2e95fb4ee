"""The paper's experimental maps: fetched, classified, tabulated."""

from __future__ import annotations

import csv
import functools
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, NamedTuple

from ...base import progress, resolution_terms
from ...base.errors import InputError
from ...evaluation.class_measures import MeasureTable
from ...maps import density_map, emdb_download
from ...maps.mrc import mrc_reader
from ...networks.model_files import model_store
from . import printed_results
from .context import GLOBAL_MODELS, Context

Predictors = Dict[str, Callable[[density_map.DensityMap], Dict[str, Any]]]
"""Column -> function from a map to an entry of ``classification.json``."""
BASELINE = "3 x voxel size"
"""The answer that looks at nothing of the map: resolutions are mostly about three voxels."""


class PublishedMap(NamedTuple):
    """A map whose class is known: its file, its claim in A (None: only the class is known) and its class."""

    path: Path
    claimed_A: float | None
    published: str


def emdb_rows(context: Context, predictors: Predictors) -> MeasureTable:
    """Table 2 with our columns where the map is at hand or can be downloaded."""
    rows: MeasureTable = []
    there = context.download
    missing = 0
    for number, (claimed, dnn, cnn) in printed_results.TABLE2.items():
        row = {"emdb": number, "claimed_A": claimed, "published": resolution_terms.global_class(claimed)}
        row.update({"paper DNN": dnn, "paper CNN": cnn})
        path = _emdb_file(number, context)
        if path is None and there:
            try:
                path = Path(emdb_download.fetch_entry(number, halves=False).map)
            except InputError as error:
                progress.note(str(error))
                there = False
        if path is not None:
            row.update(_classified(path, claimed, context, predictors))
        missing += path is None
        rows.append(row)
    if missing:
        progress.note(
            f"{missing} of the {len(rows)} EMDB maps are not at hand: only the paper's columns are filled; "
            "give --maps DIR with emd_ID.map.gz files, or --download on a machine with a network."
        )
    return rows


def _emdb_file(number: str, context: Context) -> Path | None:
    if context.maps is None:
        return None
    names = (f"emd_{number}.map.gz", f"emd_{number}.map", f"emd_{number}.mrc.gz", f"emd_{number}.mrc")
    return next((context.maps / name for name in names if (context.maps / name).is_file()), None)


def real_map_rows(context: Context, predictors: Predictors) -> MeasureTable:
    """The shared data's real maps with a known class, with our classes."""
    rows: MeasureTable = []
    for one in published_maps(context):
        row: Dict[str, Any] = {
            "map": one.path.name,
            "claimed_A": one.claimed_A,
            "published": one.published,
        }
        rows.append({**row, **_classified(one.path, one.claimed_A, context, predictors)})
    return rows


def published_maps(context: Context) -> Iterator[PublishedMap]:
    """Real maps of the shared data whose class is known (``maps/index.csv``, ``real_maps/index.csv``)."""
    folders = [folder for name in ("maps", "real_maps") if (folder := context.folder(name)) is not None]
    if not folders:
        progress.note("The project's real maps are not at hand (--shared DIR or CRYORESDL_SHARED).")
    for folder in folders:
        with open(folder / "index.csv", encoding="utf-8", newline="") as stream:
            for entry in csv.DictReader(stream):
                if entry["class"]:
                    claim = float(entry["claimed_A"]) if entry["claimed_A"] else None
                    yield PublishedMap(folder / entry["file"], claim, entry["class"])


def read_published(path: Path, claimed_A: float | None) -> density_map.DensityMap:
    """A published map.

    Raises:
        InputError: it cannot be read, or its claim is finer than Nyquist, so that it is none of the file's.
    """
    density = mrc_reader.read(path)
    if claimed_A is not None and claimed_A < 2 * density.voxel_size:
        raise InputError(f"{path.name} is left out: its claim of {claimed_A:g} A is finer than Nyquist.")
    return density


def _classified(
    path: Path, claimed_A: float | None, context: Context, predictors: Predictors
) -> Dict[str, Any]:
    """What every predictor says of a map, under the names of our columns; asked once a run."""
    file = str(path)
    wanted = [column for column in predictors if (column, file) not in context.answers]
    try:
        if wanted:
            density = read_published(path, claimed_A)
            for column in wanted:
                context.answers[column, file] = _prefixed(column, predictors[column](density))
    except InputError as error:
        return {"note": str(error)}
    found: Dict[str, Any] = {}
    for column in predictors:
        found.update(context.answers[column, file])
    return found


def our(column: str) -> str:
    """How a table names the answers of a column."""
    return column if column == BASELINE else f"our {column}"


def _prefixed(column: str, entry: Dict[str, Any]) -> Dict[str, Any]:
    found = {our(column): entry["class"]}
    if entry.get("resolution_A") is not None:
        found[f"{our(column)} estimate_A"] = round(float(entry["resolution_A"]), 2)
    return found


def with_baseline(predictors: Predictors) -> Predictors:
    """The predictors and, last, the answer that knows the voxel size only."""
    return {**predictors, BASELINE: _three_voxels}


def _three_voxels(density: density_map.DensityMap) -> Dict[str, Any]:
    value = 3.0 * density.voxel_size
    return {"class": resolution_terms.global_class(value), "resolution_A": value}


def global_predictors(context: Context) -> Predictors:
    """Column -> function from a map to an entry of ``classification.json``; models that lack are left out.

    Raises:
        InputError: no model at all.
    """
    found: Predictors = {}
    for column in GLOBAL_MODELS:
        name = context.model(column)
        try:
            model_store.resolve(name)
        except InputError:
            if column in context.models:
                raise
            progress.note(f"The model {name} is not shipped with this version: its column is left out.")
            continue
        found[column] = functools.partial(_classify_with, name)
    if not found:
        raise InputError("There is no global model at hand; train one or give --dnn, --cnn or --default.")
    return found


def _classify_with(name: str, density: density_map.DensityMap) -> Dict[str, Any]:
    from ...inference import global_resolution

    return global_resolution.classify(density, model=name)
