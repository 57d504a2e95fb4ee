"""A results folder as figures, reports and viewers see it: read lazily, and able to say what is missing.

Runs fail, are still going on, lose files to a clean-up, or were made by another version. Nothing here raises
for that: what cannot be read is ``None`` and :attr:`ResultsFolder.problems` says why in one sentence.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

import mrcfile
import numpy as np

from ..base.errors import InputError
from ..base.runs.atomic_files import PathLike, read_json
from ..maps.mrc import mrc_reader
from . import result_files

HISTORY_CSV = "history.csv"
OUTCOME_TXT = "training.txt"
METRICS_JSON = "metrics.json"
CARD_JSON = "card.json"
TRAINED = "model.cryoresdl"
SIMULATION_JSON = "simulation.json"
SIMULATED_MAP = "map.mrc"
TRUTH_VOLUME = "truth.mrc"

_MAPPED_MODES = (0, 1, 2, 6, 12)


@dataclass(frozen=True)
class Volume:
    """A volume to look at: ``data`` (z, y, x), maybe memory-mapped; voxel size and origin (x, y, z) in A."""

    data: np.ndarray
    voxel_size: float
    origin: Tuple[float, float, float]
    path: str

    @property
    def shape(self) -> Tuple[int, int, int]:
        """Box in (z, y, x) voxels."""
        depth, height, width = self.data.shape
        return (depth, height, width)


def open_volume(path: PathLike) -> Volume:
    """Open a volume for display: memory-mapped when it is plain MRC in (z, y, x), read whole otherwise.

    Raises:
        InputError: the file is missing or is not a readable volume.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path.name} is not in {path.parent}.")
    if path.suffix.lower() not in (".gz", ".bz2"):
        volume = _mapped(path)
        if volume is not None:
            return volume
    density = mrc_reader.read_values(str(path))
    return Volume(density.data, float(density.voxel_size), density.offset(), str(path))


def _mapped(path: Path) -> Volume | None:
    try:
        with mrcfile.mmap(str(path), mode="r", permissive=True) as mrc:
            header, data = mrc.header, mrc.data
            order = (int(header.mapc), int(header.mapr), int(header.maps))
            size = float(mrc.voxel_size.x)
            plain = data is not None and data.ndim == 3 and int(header.mode) in _MAPPED_MODES
            if not plain or order != (1, 2, 3) or size <= 0:
                return None
            start = np.array([header.nxstart, header.nystart, header.nzstart], float)
            origin = np.array([header.origin.x, header.origin.y, header.origin.z], float)
            if not origin.any() and start.any():
                origin = start * size
            # A view that outlives the file object: numpy keeps the mapping open by itself.
            x, y, z = (float(v) for v in origin)
            return Volume(data, size, (x, y, z), str(path))
    except (OSError, ValueError, TypeError, RuntimeWarning):
        return None


class ResultsFolder:
    """One folder that ``validate``, ``classify``, ``localres``, ``compare``, ``train`` or ``simulate`` wrote.

    Args:
        folder: the folder; it may be missing.
    """

    def __init__(self, folder: PathLike):
        self.folder = Path(folder)
        self.problems: Dict[str, str] = {}
        self._cache: Dict[str, Any] = {}

    def has(self, name: str) -> bool:
        """Whether a file of this name is there."""
        return (self.folder / name).is_file()

    def json(self, name: str) -> Any:
        """The content of a JSON file, or ``None``."""
        return self.once(name, lambda: self._json(name))

    def volume(self, name: str) -> Volume | None:
        """A volume of the folder (or at an absolute path), or ``None``."""
        return self.once(name, lambda: open_volume(self.folder / name))

    def table(self, name: str) -> Dict[str, List[float]] | None:
        """A CSV file as columns of floats (what is not a number becomes NaN), or ``None``."""
        return self.once(name, lambda: self._table(name))

    @property
    def classification(self) -> Dict[str, Any] | None:
        """The first entry of ``classification.json``, or ``None``."""
        entries = self.json(result_files.CLASSIFICATION_JSON)
        if isinstance(entries, dict):
            entries = [entries]
        if not isinstance(entries, list) or not entries:
            return None
        if not isinstance(entries[0], dict):
            self.problems[result_files.CLASSIFICATION_JSON] = (
                f"{result_files.CLASSIFICATION_JSON} was written by another version; run validate again."
            )
            return None
        return entries[0]

    @property
    def summary(self) -> Dict[str, Any] | None:
        """``local_resolution.json``, or ``None``."""
        value = self.json(result_files.LOCAL_JSON)
        return value if isinstance(value, dict) else None

    @property
    def comparison(self) -> Dict[str, Any] | None:
        """``comparison.json``, or ``None``; of its lists, the entries that say anything."""
        value = self.json(result_files.COMPARISON_JSON)
        if not isinstance(value, dict):
            return None
        return {key: _entries(item) if key in _LISTS else item for key, item in value.items()}

    @property
    def resolution(self) -> Volume | None:
        """The local-resolution volume in A, or ``None``."""
        return self.volume(result_files.LOCAL_RESOLUTION)

    @property
    def interval(self) -> Volume | None:
        """Half-width of the 68 % interval in A, or ``None``."""
        return self.volume(result_files.LOCAL_INTERVAL)

    @property
    def density(self) -> Volume | None:
        """The map that the results are about, or ``None``."""
        return self.once("the input map", self._density)

    def missing(self, *names: str) -> str:
        """One paragraph that says why ``names`` cannot be shown."""
        if not self.folder.is_dir():
            return f"{self.folder} does not exist yet: the run has not written any result."
        lines = []
        for name in names:
            nothing = "holds nothing for this figure." if self.has(name) else f"is not in {self.folder}."
            lines.append(self.problems.get(name, f"{name} {nothing}"))
        return "\n".join(lines)

    def _density(self) -> Volume:
        said = (self.summary, self.classification, self.comparison)
        name = next((found["map"] for found in said if found and found.get("map")), None)
        if not name and self.has(SIMULATED_MAP):
            name = SIMULATED_MAP
        if not name:
            raise InputError("The results do not say which map they are about.")
        name = str(name).split(":mrc")[0]
        # A relative name counts from where the command ran: the project's or the user's folder.
        for candidate in (Path(name), self.folder / name, self.folder / Path(name).name):
            if candidate.is_file():
                return open_volume(candidate)
        raise InputError(f"The input map {name} is no longer where it was.")

    def once(self, name: str, read: Callable[[], Any]) -> Any:
        """What ``read`` gives, read once; ``None`` and an entry of ``problems`` where it fails."""
        if name not in self._cache:
            self._cache[name] = self._guard(name, read)
        return self._cache[name]

    def _guard(self, name: str, read: Callable[[], Any]) -> Any:
        if not self.folder.is_dir():
            self.problems[name] = f"{self.folder} does not exist yet: the run has not written any result."
            return None
        try:
            return read()
        except InputError as error:
            self.problems[name] = str(error)
        except Exception as error:  # a damaged file must not take the viewer down, whatever a reader raises
            self.problems[name] = f"{name} cannot be read ({type(error).__name__}: {error})."
        return None

    def _json(self, name: str) -> Any:
        if not self.has(name):
            raise InputError(f"{name} is not in {self.folder}.")
        return _tidy(read_json(self.folder / name))

    def _table(self, name: str) -> Dict[str, List[float]]:
        path = self.folder / name
        if not path.is_file():
            raise InputError(f"{name} is not in {self.folder}.")
        columns: Dict[str, List[float]] = {}
        with open(path, newline="", encoding="utf-8", errors="replace") as stream:
            reader = csv.DictReader(stream)
            for field in reader.fieldnames or []:
                columns[field] = []
            for row in reader:
                for field in columns:
                    columns[field].append(_number(row.get(field)))
        if not columns or not any(columns.values()):
            raise InputError(f"{name} holds no rows yet.")
        return columns


_LISTS = ("volumes", "pairs")


def _entries(value: Any) -> Any:
    """A list without what damage leaves in it; older files hold dictionaries of paths instead."""
    if isinstance(value, dict):
        return value
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _tidy(value: Any) -> Any:
    """JSON that can be shown and written again: no NaN or infinity, no half of a surrogate pair."""
    if isinstance(value, dict):
        return {_tidy(str(key)): _tidy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_tidy(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    return value


def _number(text: str | None) -> float:
    try:
        return float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return float("nan")
