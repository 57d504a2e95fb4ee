"""A list of maps (CSV) becomes jobs: columns, file names, pieces for several machines."""

from __future__ import annotations

import contextlib
import copy
import csv
import gc
import hashlib
import json
import os
import re
from collections import Counter, defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import Any, Callable, Iterator, Sequence, overload

from ..base.errors import InputError
from ..base.resolution_terms import CRITERIA
from ..base.runs.atomic_files import PathLike, require_regular_file, shown
from ..maps.density_map import plain_path
from ..maps.emdb_download import entry_number
from .jobs import FILE_COLUMNS, LIST_COLUMNS, Job, ValidationOptions

PIECE = "piece-"
"""How the folders begin that hold a piece of a list, made by one task of a job array."""
_LONGEST_NAME = 80
_COLUMNS = frozenset(LIST_COLUMNS)
_CHECKED = frozenset(("voxel_size", "claimed", "criterion"))


def read_list(path: PathLike, options: ValidationOptions, defaults: dict[str, Any] | None = None) -> JobList:
    """Read a CSV list of maps.

    Paths count from the folder of the list, or, where there is no such file, from the working directory. A row
    that cannot be understood becomes a job with a ``problem``; the rest of the list goes on.

    Args:
        path: CSV with a header line; the columns are `COLUMNS`, ``map`` at least.
        options: part of the rows' identity.
        defaults: values for empty cells (``mask``, ``voxel_size``, ``claimed``).

    Raises:
        InputError: unreadable, not text, no ``map`` column, a column twice, or no rows.
    """
    where = f"The list {shown(path)}"
    require_regular_file(path, "The list")
    try:
        with open(path, newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream, strict=True)
            numbered = [(reader.line_num, row) for row in reader if "".join(row).strip()]
    except UnicodeDecodeError as error:
        raise InputError(f"{where} is not UTF-8 text; save it as CSV in UTF-8.") from error
    except csv.Error as error:
        raise InputError(f"{where} is not a CSV file ({error}); save it again as CSV.") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{where} cannot be read: {reason}.") from error
    header = [name.strip() for name in numbered[0][1]] if numbered else []
    names = [name.lower() if name.lower() in LIST_COLUMNS else name for name in header]
    if "map" not in names:
        raise InputError(
            f"{where} has no column named map in its first line; add the header {','.join(LIST_COLUMNS[:8])}."
        )
    twice = [name for name in names if name and names.count(name) > 1]
    if twice:
        raise InputError(f"{where} has the column {shown(twice[0])} twice; remove one.")
    if len(numbered) == 1:
        raise InputError(f"{where} has no rows; add one line per map.")
    rows = _Row(names, _Places(str(Path(path).resolve().parent)).found, defaults or {})
    del numbered[0]
    with _no_collection():
        return JobList(rows.maps(numbered), lambda place: rows.arguments(*numbered[place]), options)


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Many objects that all stay: the collector would look through all of them again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def jobs_of(
    paths: Sequence[str], options: ValidationOptions, defaults: dict[str, Any] | None = None
) -> JobList:
    """The same for maps given one by one."""
    return JobList(
        [plain_path(path) for path in paths], lambda place: {"map": paths[place], **(defaults or {})}, options
    )


def piece_of(jobs: JobList, number: int, pieces: int) -> tuple[JobList, str]:
    """Every ``pieces``-th job from the ``number``-th on, and the name of the folder for this piece.

    Keys and folders of the jobs are those of the whole list, so that its own run can take over the rows.
    """
    width = len(str(pieces))
    return jobs[number - 1 :: pieces], f"{PIECE}{number:0{width}d}-of-{pieces}"


class _Row:
    """Makes of a row's cells the arguments of `Job`; what depends on the columns alone is found out once."""

    def __init__(self, names: Sequence[str], found: Callable[[str], str], defaults: dict[str, Any]):
        places = [(place, name) for place, name in enumerate(names) if name]
        self.extra = [(place, name) for place, name in places if name not in _COLUMNS]
        self.checked = [(place, name) for place, name in places if name in _CHECKED]
        self.files = [(place, name) for place, name in places if name in _COLUMNS - _CHECKED]
        self.width, self.found, self.defaults = len(names), found, {"map": "", **defaults}
        self._known: dict[tuple[str, str], Any] = {}

    def maps(self, numbered: Sequence[tuple[int, Sequence[str]]]) -> list[str]:
        """The map of every row, as `JobList` asks for it: where a cell tells name and folder, it is left as it is."""
        place = next(place for place, name in self.files if name == "map")
        cells = [row[place] if place < len(row) else "" for _, row in numbered]
        return [cell if _TELLS.search(cell) else self._path(cell) for cell in cells]

    def _path(self, cell: str) -> str:
        if not cell or cell.isspace():
            return ""
        path = self.found(cell)
        return plain_path(path) if ":" in path else path

    def arguments(self, number: int, row: Sequence[str]) -> dict[str, Any]:
        """What the row on this line of the list says."""
        problem = ""
        values: dict[str, Any] = dict(self.defaults)
        if len(row) > self.width:
            problem = f"Line {number} of the list has {len(row)} cells for {self.width} columns; quote names with commas."
        elif len(row) < self.width:
            row = [*row, *[""] * (self.width - len(row))]
        for place, name in self.checked:
            text = row[place].strip()
            try:
                if text:
                    values[name] = self._value(name, text)
            except InputError as error:
                problem = problem or f"Line {number} of the list: {error}"
        for place, name in self.files:
            cell = row[place]
            # Names may begin or end with blanks: only a cell of nothing but blanks is empty.
            if cell and not cell.isspace():
                values[name] = self.found(cell)
        if not values["map"]:
            problem = problem or f"Line {number} of the list names no map; fill in the column map."
        values["extra"] = {name: row[place] for place, name in self.extra}
        values["problem"] = problem
        return values

    def _value(self, name: str, text: str) -> Any:
        """A number or a criterion; long lists repeat theirs."""
        key = name, text
        if key not in self._known:
            self._known[key] = _criterion(text) if name == "criterion" else _number(text, name)
        return self._known[key]


def _number(text: str, name: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise InputError(f"{shown(text)} in the column {name} is not a number above 0 (A).")
    return value


def _criterion(text: str) -> str:
    """The one of ``CRITERIA`` that a cell means."""
    try:
        return CRITERIA[[float(one) for one in CRITERIA].index(float(text))]
    except ValueError:
        raise InputError(
            f"{shown(text)} in the column criterion is neither {' nor '.join(CRITERIA)}."
        ) from None


class _Places:
    """Where the files of a list are: beside it or, where they are not, in the working directory.

    A folder is listed once, so that a long list does not ask for every file by itself.
    """

    def __init__(self, base: str):
        self.base, self.here = os.path.join(base, ""), os.path.join(os.getcwd(), "")
        self._listed: dict[str, tuple[frozenset[str], frozenset[str]]] = {}

    def found(self, text: str) -> str:
        """The path of a cell's file, beside the list where there is none; an entry of the EMDB is no file."""
        if text.startswith("/"):
            return text
        folder, slash, name = text.rpartition("/")
        if folder not in self._listed:
            self._listed[folder] = (
                _names_in(self.base + folder + slash),
                _names_in(self.here + folder + slash),
            )
        beside, here = self._listed[folder]
        if name in beside or name in ("", ".", "..") or _has(beside, name):
            return self.base + text
        if _has(here, name):
            return os.path.abspath(self.here + text)
        return text if entry_number(text) else self.base + text


def _names_in(folder: str) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))
    except (OSError, ValueError):
        return frozenset()


def _has(listed: frozenset[str], name: str) -> bool:
    return name in listed or (":" in name and _SUFFIX.sub("", name) in listed)


_TELLS = re.compile(r"[^/.]/[^/:]*[^/:.](:mrcs?)?$")
"""A folder, not . or .., and a name that `safe_name` takes as it stands."""
_SUFFIX = re.compile(r":(mrcs?|map|ccp4|st)$")
"""What Scipion puts behind a path."""


class JobList(Sequence[Job]):
    """Jobs with their keys and sub-folders, each made when it is asked for: long lists begin at once.

    A sub-folder is called like the map, made safe, with a digest where two would meet.

    Args:
        maps: the maps; of their paths, the last folder and the name count.
        arguments: of `Job`, by the place in ``maps``.
        options: part of the rows' identity.
    """

    def __init__(
        self, maps: Sequence[str], arguments: Callable[[int], dict[str, Any]], options: ValidationOptions
    ):
        self._arguments = arguments
        self._how = hashlib.sha256(json.dumps(asdict(options), sort_keys=True).encode()).hexdigest()
        self._stems = [safe_name(path) for path in maps]
        held = Counter(map(str.lower, self._stems))
        self._shared = {stem for stem, count in held.items() if count > 1}
        self._alike = self._maybe_same(maps)
        self._numbers: dict[int, int] = {}
        self._order: Sequence[int] = range(len(self._stems))

    def _maybe_same(self, maps: Sequence[str]) -> dict[int, list[int]]:
        """By its place, the places of all maps that may be the same as a map: same name, same last folder."""
        found: dict[str, list[int]] = defaultdict(list)
        if self._shared:
            for place, stem in enumerate(self._stems):
                if stem.lower() in self._shared:
                    found["/".join(_SUFFIX.sub("", maps[place]).rsplit("/", 2)[-2:])].append(place)
        return {place: places for places in found.values() if len(places) > 1 for place in places}

    def __len__(self) -> int:
        return len(self._order)

    @overload
    def __getitem__(self, place: int) -> Job: ...
    @overload
    def __getitem__(self, place: slice) -> JobList: ...
    def __getitem__(self, place: int | slice) -> Job | JobList:
        if isinstance(place, slice):
            part = copy.copy(self)
            part._order = self._order[place]
            return part
        return self._job(self._order[place])

    def _job(self, place: int) -> Job:
        row, text = self._identified(place)
        if place in self._alike and place not in self._numbers:
            counted: Counter[str] = Counter()
            for other in self._alike[place]:
                same = self._identified(other)[1]
                counted[same] += 1
                self._numbers[other] = counted[same]
        said = f"{text} {self._numbers.get(place, 1)}"
        key = hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:24]
        stem = self._stems[place]
        return Job(**row, key=key, folder=f"{stem}-{key[:8]}" if stem.lower() in self._shared else stem)

    def _identified(self, place: int) -> tuple[dict[str, Any], str]:
        """The arguments of a job, and a text that tells them from others."""
        row = self._arguments(place)
        row.update({name: plain_path(row[name]) for name in FILE_COLUMNS if row.get(name)})
        said = [row.get(name) for name in LIST_COLUMNS], row.get("extra"), row.get("problem"), self._how
        return row, repr(said)


def safe_name(path: str) -> str:
    """A folder name from a map's: letters, digits, dot, dash and underscore, never hidden, never empty."""
    name = _ENDINGS.sub("", path.rpartition("/")[2], 1)
    if not name.isascii():
        name = name.encode("utf-8", "replace").decode("utf-8")
    name = _UNSAFE.sub("_", name)
    return name.strip("._-")[:_LONGEST_NAME].rstrip("._-") or "map"


# What may be left out comes last in each case: a search that can begin anywhere takes three times as long.
_ENDINGS = re.compile(
    r"\.(mrcs?|map|ccp4|st|rec|vol)(\.(gz|bz2))?(:mrcs?)?$|\.(gz|bz2)(:mrcs?)?$|:mrcs?$", re.IGNORECASE
)
_UNSAFE = re.compile(r"[^\w.-]+")
