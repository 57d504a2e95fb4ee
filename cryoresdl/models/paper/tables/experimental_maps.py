"""The paper's experimental maps: fetched, classified, tabulated."""

from __future__ import annotations

import csv
import functools
from pathlib import Path
from typing import Any, Callable, Dict

from ...base import progress, resolution_terms
from ...base.errors import InputError
from ...evaluation.class_measures import MeasureTable
from ...maps import density_map, emdb_download
from ...maps.mrc import mrc_reader
from ...networks.model_files import model_store
from . import printed_results
from .context import GLOBAL_MODELS, Context


def emdb_rows(
    out: Path, context: Context, predictors: Dict[str, Callable[..., Dict[str, Any]]]
) -> MeasureTable:
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
            row.update(_classified(path, None, predictors))
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


def real_map_rows(context: Context, predictors: Dict[str, Callable[..., Dict[str, Any]]]) -> MeasureTable:
    """Real maps with a known class in ``maps/index.csv`` of the shared data, with our classes."""
    folder = context.folder("maps")
    if folder is None:
        progress.note("The project's real maps are not at hand (--shared DIR or CRYORESDL_SHARED).")
        return []
    rows: MeasureTable = []
    with open(folder / "index.csv", encoding="utf-8", newline="") as stream:
        for entry in csv.DictReader(stream):
            if entry["class"]:
                row = {"map": entry["file"], "claimed_A": entry["claimed_A"], "published": entry["class"]}
                row.update(_classified(folder / entry["file"], None, predictors))
                rows.append(row)
    return rows


def _classified(path: Path, voxel_size: float | None, predictors: Dict[str, Any]) -> Dict[str, Any]:
    try:
        density = mrc_reader.read(path, voxel_size)
        found: Dict[str, Any] = {}
        for column, predict in predictors.items():
            found.update(_prefixed(column, predict(density)))
        return found
    except InputError as error:
        return {"note": str(error)}


def _prefixed(column: str, entry: Dict[str, Any]) -> Dict[str, Any]:
    found = {f"our {column}": entry["class"]}
    if entry.get("resolution_A") is not None:
        found[f"our {column} estimate_A"] = round(float(entry["resolution_A"]), 2)
    return found


def _global_predictors(context: Context) -> Dict[str, Callable[[density_map.DensityMap], Dict[str, Any]]]:
    """Column -> function from a map to an entry of ``classification.json``; models that lack are left out.

    Raises:
        InputError: no model at all.
    """
    found: Dict[str, Callable[[density_map.DensityMap], Dict[str, Any]]] = {}
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
