"""A list of maps (CSV) becomes jobs: columns, file names, pieces for several machines."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import os
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Sequence

from ..base.atomic_files import PathLike, shown
from ..base.errors import InputError
from .jobs import LIST_COLUMNS, Job, ValidationOptions

PIECE = "piece-"
"""How the folders begin that hold a piece of a list, made by one task of a job array."""
_LONGEST_NAME = 80


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
    try:
        with open(path, newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream, strict=True)
            numbered = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
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
    base = Path(path).resolve().parent
    return _named([_job(names, row, base, defaults or {}, number) for number, row in numbered[1:]], options)


def jobs_of(
    paths: Sequence[str], options: ValidationOptions, defaults: dict[str, Any] | None = None
) -> list[Job]:
    """The same for maps given one by one."""
    return _named([replace(Job(map=path), **(defaults or {})) for path in paths], options)


def piece_of(jobs: Sequence[Job], number: int, pieces: int) -> tuple[list[Job], str]:
    """Every ``pieces``-th job from the ``number``-th on, and the name of the folder for this piece.

    Keys and folders of the jobs are those of the whole list, so that its own run can take over the rows.
    """
    width = len(str(pieces))
    return list(jobs[number - 1 :: pieces]), f"{PIECE}{number:0{width}d}-of-{pieces}"


def _job(names: Sequence[str], row: Sequence[str], base: Path, defaults: dict[str, Any], number: int) -> Job:
    problem = ""
    if len(row) > len(names):
        problem = f"Line {number} of the list has {len(row)} cells for {len(names)} columns; quote names with commas."
    cells = dict(zip(names, row))
    values: dict[str, Any] = {}
    for name in LIST_COLUMNS:
        text = cells.get(name, "").strip()
        if name in ("voxel_size", "claimed"):
            try:
                values[name] = _number(text, name)
            except InputError as error:
                values[name], problem = None, problem or f"Line {number} of the list: {error}"
        else:
            # Names may begin or end with blanks: only a cell of nothing but blanks is empty.
            values[name] = _found(cells[name], base) if text else ""
        if values[name] in ("", None) and defaults.get(name) is not None:
            values[name] = defaults[name]
    if not values["map"]:
        problem = problem or f"Line {number} of the list names no map; fill in the column map."
    extra = {name: cells.get(name, "") for name in names if name and name not in LIST_COLUMNS}
    return Job(**values, extra=extra, problem=problem)


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


def _found(text: str, base: Path) -> str:
    from ..maps.density_map import plain_path

    beside = os.path.join(str(base), text)
    with contextlib.suppress(OSError, ValueError):
        for candidate in (beside, os.path.abspath(text)):
            if os.path.exists(plain_path(candidate)):
                return candidate
    return beside


def _named(jobs: Sequence[Job], options: ValidationOptions) -> list[Job]:
    """Give every job its key and a sub-folder: the map's name, made safe, with a digest where two would meet."""
    counted: dict[str, int] = {}
    keyed = []
    for job in jobs:
        text = json.dumps([asdict(job), asdict(options)], sort_keys=True)
        counted[text] = counted.get(text, 0) + 1
        key = hashlib.sha256(f"{text} {counted[text]}".encode("utf-8", "surrogatepass")).hexdigest()[:24]
        keyed.append(replace(job, key=key))
    stems = [safe_name(job.map) for job in keyed]
    lower = [stem.lower() for stem in stems]
    return [
        replace(job, folder=stem if lower.count(stem.lower()) == 1 else f"{stem}-{job.key[:8]}")
        for job, stem in zip(keyed, stems)
    ]


def safe_name(path: str) -> str:
    """A folder name from a map's: letters, digits, dot, dash and underscore, never hidden, never empty."""
    name = os.path.basename(path)
    name = re.sub(r"(:mrcs?)?$", "", name)
    name = re.sub(r"\.(gz|bz2)$", "", name, flags=re.IGNORECASE)
    name = re.sub(r"\.(mrcs?|map|ccp4|st|rec|vol)$", "", name, flags=re.IGNORECASE)
    name = re.sub(r"[^\w.-]+", "_", name.encode("utf-8", "replace").decode("utf-8"))
    return name.strip("._-")[:_LONGEST_NAME].rstrip("._-") or "map"
