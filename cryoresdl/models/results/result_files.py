"""The files of a results folder: their names, and writing them whole for `localres`, `classify` and `validate`."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, Dict, List, Mapping, Protocol

import numpy as np

from ..base.runs.atomic_files import PathLike, atomic_path, write_json
from ..maps.density_map import DensityMap
from ..maps.local_filter import LocallyFiltered
from ..maps.mrc import mrc_writer

CLASSIFICATION_JSON = "classification.json"
LOCAL_RESOLUTION = "local_resolution.mrc"
LOCAL_CLASS = "local_resolution_class.mrc"
LOCAL_INTERVAL = "local_resolution_interval.mrc"
MASK_USED = "mask_used.mrc"
LOCAL_JSON = "local_resolution.json"
DIRECTIONAL_JSON = "directional.json"
DIRECTIONAL_CSV = "directional.csv"
COMPARISON_JSON = "comparison.json"
DISAGREEMENT = "disagreement.mrc"
RESULTS_CSV = "results.csv"
EMDB_JSON = "emdb.json"
VALIDATION_JSON = "validation.json"
REPORT_HTML = "report.html"
REPORT_JSON = "report.json"
REPORT_PDF = "report.pdf"
DEPOSITION_JSON = "deposition.json"
"""The checklist in a folder for the EMDB."""
AUDIT_JSON, AUDIT_CSV, AUDIT_PNG = "audit.json", "audit.csv", "audit.png"
FILTERED = "local_filtered.mrc"
CHIMERAX = "chimerax"
"""The folder for ChimeraX within a results folder."""
FILTER_JSON = "filter.json"
FILTER_FILES = (FILTERED, FILTER_JSON)
LOCAL_FILES = (
    LOCAL_RESOLUTION,
    LOCAL_CLASS,
    LOCAL_INTERVAL,
    MASK_USED,
    LOCAL_JSON,
)


class LocalVolumes(Protocol):
    """What is written of a local resolution: volumes (z, y, x) on the input's grid, and the JSON's content."""

    resolution: np.ndarray
    classes: np.ndarray
    halfwidth: np.ndarray
    mask: np.ndarray

    @property
    def info(self) -> Mapping[str, Any]: ...  # noqa: D102


class DirectionTable(Protocol):
    """What is written of a resolution by direction: axes (n, 3) z, y, x, angstroms along each, and the JSON's content."""

    @property
    def axes(self) -> np.ndarray: ...  # noqa: D102
    @property
    def resolution(self) -> np.ndarray: ...  # noqa: D102
    @property
    def low(self) -> np.ndarray: ...  # noqa: D102
    @property
    def high(self) -> np.ndarray: ...  # noqa: D102
    @property
    def summary(self) -> Mapping[str, Any]: ...  # noqa: D102


def write_directional(result: DirectionTable, folder: PathLike) -> None:
    """Write ``directional.csv``, a row per axis, and then ``directional.json``; only the latter where it cannot be told."""
    folder = Path(folder)
    if len(result.axes):
        with atomic_path(folder / DIRECTIONAL_CSV) as temporary, open(temporary, "w", newline="") as stream:
            table = csv.writer(stream)
            table.writerow(("z", "y", "x", "resolution_A", "low_A", "high_A"))
            for axis, *values in zip(result.axes, result.resolution, result.low, result.high):
                table.writerow([*(f"{v:.5f}" for v in axis), *(f"{v:.4f}" for v in values)])
    write_json(folder / DIRECTIONAL_JSON, dict(result.summary))


def write_local(result: LocalVolumes, density: DensityMap, folder: PathLike) -> None:
    """Write the four volumes and then the JSON of a local resolution; the JSON's presence means all are whole."""
    folder = Path(folder)
    mrc_writer.write_volume(folder / LOCAL_RESOLUTION, result.resolution, density)
    mrc_writer.write_volume(folder / LOCAL_CLASS, result.classes, density)
    mrc_writer.write_volume(folder / LOCAL_INTERVAL, result.halfwidth, density)
    mrc_writer.write_volume(folder / MASK_USED, result.mask.astype(np.int8), density)
    write_json(folder / LOCAL_JSON, result.info)


def write_classification(entries: List[Dict[str, Any]], folder: PathLike) -> None:
    """Write ``classification.json``: a list, one entry per map."""
    write_json(Path(folder) / CLASSIFICATION_JSON, entries)


def write_filtered(found: LocallyFiltered, density: DensityMap, folder: PathLike, locres: PathLike) -> None:
    """Write ``local_filtered.mrc`` on the map's grid, and ``filter.json``: the filters and what they were made from."""
    mrc_writer.write_volume(Path(folder) / FILTERED, found.data, density)
    said = {"map": density.path, "locres": str(locres), "voxel_size_A": density.voxel_size}
    write_json(Path(folder) / FILTER_JSON, {**said, **found.as_json()})
