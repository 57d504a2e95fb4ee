"""A list of maps (CSV) becomes jobs: columns, file names, pieces for several machines."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
from collections import Counter
from dataclasses import asdict
from itertools import zip_longest
from pathlib import Path
from typing import Any, Callable, Sequence

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


def read_list(
    path: PathLike, options: ValidationOptions, defaults: dict[str, Any] | None = None
) -> list[Job]:
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
    found = _Places(str(Path(path).resolve().parent)).found
    return _named(
        [_cells(names, row, found, defaults or {}, number) for number, row in numbered[1:]], options
    )


def jobs_of(
    paths: Sequence[str], options: ValidationOptions, defaults: dict[str, Any] | None = None
) -> list[Job]:
    """The same for maps given one by one."""
    return _named([{"map": path, **(defaults or {})} for path in paths], options)


def piece_of(jobs: Sequence[Job], number: int, pieces: int) -> tuple[list[Job], str]:
    """Every ``pieces``-th job from the ``number``-th on, and the name of the folder for this piece.

    Keys and folders of the jobs are those of the whole list, so that its own run can take over the rows.
    """
    width = len(str(pieces))
    return list(jobs[number - 1 :: pieces]), f"{PIECE}{number:0{width}d}-of-{pieces}"


def _cells(
    names: Sequence[str],
    row: Sequence[str],
    found: Callable[[str], str],
    defaults: dict[str, Any],
    number: int,
) -> dict[str, Any]:
    """What a row says, as arguments of `Job`."""
    problem = ""
    if len(row) > len(names):
        problem = f"Line {number} of the list has {len(row)} cells for {len(names)} columns; quote names with commas."
    values: dict[str, Any] = {}
    extra: dict[str, str] = {}
    for name, cell in zip_longest(names, row[: len(names)], fillvalue=""):
        if name not in _COLUMNS:
            if name:
                extra[name] = cell
        elif name in ("voxel_size", "claimed", "criterion"):
            try:
                values[name] = (
                    _criterion(cell.strip()) if name == "criterion" else _number(cell.strip(), name)
                )
            except InputError as error:
                problem = problem or f"Line {number} of the list: {error}"
        elif cell.strip():  # names may begin or end with blanks: only a cell of nothing but blanks is empty
            values[name] = found(cell)
    if not values.get("map"):
        problem = problem or f"Line {number} of the list names no map; fill in the column map."
    given = {name: value for name, value in values.items() if value is not None}
    return {"map": "", **defaults, **given, "extra": extra, "problem": problem}


def _number(text: str, name: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise InputError(f"{shown(text)} in the column {name} is not a number above 0 (A).")
    return value


def _criterion(text: str) -> str | None:
    """The one of ``CRITERIA`` that a cell means; None where it is empty."""
    if not text:
        return None
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
        self._listed: dict[str, frozenset[str]] = {}

    def found(self, text: str) -> str:
        """The path of a cell's file, beside the list where there is none; an entry of the EMDB is no file."""
        if text.startswith("/"):
            return text
        beside = self.base + text
        if not self._has(beside) and self._has(self.here + text):
            return os.path.abspath(self.here + text)
        return text if entry_number(text) and not self._has(beside) else beside

    def _has(self, path: str) -> bool:
        folder, _, name = path.rpartition("/")
        if not name or name in (".", ".."):
            return True
        if folder not in self._listed:
            try:
                self._listed[folder] = frozenset(os.listdir(folder or "/"))
            except (OSError, ValueError):
                self._listed[folder] = frozenset()
        listed = self._listed[folder]
        return name in listed or (":" in name and _SUFFIX.sub("", name) in listed)


_SUFFIX = re.compile(r":(mrcs?|map|ccp4|st)$")
"""What Scipion puts behind a path."""


def _named(rows: Sequence[dict[str, Any]], options: ValidationOptions) -> list[Job]:
    """Jobs with their keys and sub-folders: the map's name, made safe, with a digest where two would meet."""
    counted: Counter[str] = Counter()
    how = hashlib.sha256(json.dumps(asdict(options), sort_keys=True).encode()).hexdigest()
    keyed = []
    for row in rows:
        row.update({name: plain_path(row[name]) for name in FILE_COLUMNS if row.get(name)})
        text = repr(([row.get(name) for name in LIST_COLUMNS], row.get("extra"), row.get("problem"), how))
        counted[text] += 1
        digest = hashlib.sha256(f"{text} {counted[text]}".encode("utf-8", "surrogatepass"))
        keyed.append((row, digest.hexdigest()[:24], safe_name(row["map"])))
    held = Counter(stem.lower() for _, _, stem in keyed)
    return [
        Job(**row, key=key, folder=stem if held[stem.lower()] == 1 else f"{stem}-{key[:8]}")
        for row, key, stem in keyed
    ]


def safe_name(path: str) -> str:
    """A folder name from a map's: letters, digits, dot, dash and underscore, never hidden, never empty."""
    name = _ENDINGS.sub("", os.path.basename(path))
    if not name.isascii():
        name = name.encode("utf-8", "replace").decode("utf-8")
    name = _UNSAFE.sub("_", name)
    return name.strip("._-")[:_LONGEST_NAME].rstrip("._-") or "map"


_ENDINGS = re.compile(r"(\.(mrcs?|map|ccp4|st|rec|vol))?(\.(gz|bz2))?(:mrcs?)?$", re.IGNORECASE)
_UNSAFE = re.compile(r"[^\w.-]+")
