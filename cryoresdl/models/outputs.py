"""The files of a results folder, written whole: one place for `localres`, `classify` and `validate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List

import numpy as np

from . import constants, maps
from .files import PathLike, write_json
from .inference import LocalResult
from .maps import DensityMap

LOCAL_FILES = (
    constants.LOCAL_RESOLUTION,
    constants.LOCAL_CLASS,
    constants.LOCAL_INTERVAL,
    constants.MASK_USED,
    constants.LOCAL_JSON,
)


def write_local(result: LocalResult, density: DensityMap, folder: PathLike) -> None:
    """Write the four volumes and then the JSON of a local resolution; the JSON's presence means all are whole."""
    folder = Path(folder)
    maps.write(folder / constants.LOCAL_RESOLUTION, result.resolution, density)
    maps.write(folder / constants.LOCAL_CLASS, result.classes, density)
    maps.write(folder / constants.LOCAL_INTERVAL, result.halfwidth, density)
    maps.write(folder / constants.MASK_USED, result.mask.astype(np.int8), density)
    write_json(folder / constants.LOCAL_JSON, result.info)


def write_classification(entries: List[Dict[str, Any]], folder: PathLike) -> None:
    """Write ``classification.json``: a list, one entry per map."""
    write_json(Path(folder) / constants.CLASSIFICATION_JSON, entries)
