"""Lists that training sets are built from: structures, map/label/mask triples, maps of known resolution."""

from __future__ import annotations

import csv
import dataclasses
import math
import re
from pathlib import Path
from typing import Dict, List, Sequence

from ..base.errors import InputError
from ..base.runs.atomic_files import PathLike, shown
from .splits import SPLITS

_SUFFIX = re.compile(r"\.(pdb|ent|cif|mmcif)(\.gz|\.bz2)?$", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Entry:
    """One structure of a list: name, file, sequence cluster, split where the manifest gives one, number of the fragment.

    Fragment 0 is the whole chain.
    """

    name: str
    path: str
    cluster: str
    split: str = ""
    fragment: int = 0


def find_structures(
    where: PathLike, manifest: PathLike | None = None, clusters: PathLike | None = None
) -> List[Entry]:
    """Structures of a folder (searched to the bottom) or of a text file with one path per line.

    Args:
        where: folder or list.
        manifest: CSV with the columns id (file name without suffix) and optionally split and cluster; only
            its structures are taken. Its structures count as non-redundant, each its own cluster unless it
            says so. A ``manifest.csv`` in the folder or above it is found by itself.
        clusters: cd-hit's ``.clstr``, or one cluster per line (ids separated by blanks or commas; RCSB's
            ``1ABC_1`` counts as 1ABC). One structure of each cluster is taken: the first id of the line.

    Raises:
        InputError: nothing found, or an unreadable list.
    """
    files = _structure_files(where)
    if manifest is None and clusters is None:
        folder = Path(where) if Path(where).is_dir() else Path(where).parent
        manifest = next(
            (p / "manifest.csv" for p in (folder, folder.parent) if (p / "manifest.csv").is_file()), None
        )
    if manifest is not None:
        return _from_manifest(files, manifest)
    if clusters is not None:
        return _from_clusters(files, clusters)
    return [Entry(name, path, name) for name, path in sorted(files.items())]


def _structure_files(where: PathLike) -> Dict[str, str]:
    place = Path(where)
    if place.is_dir():
        paths = sorted(path for path in place.rglob("*") if path.is_file() and _SUFFIX.search(path.name))
    else:
        try:
            lines = place.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                f"Cannot read the list of structures {shown(where)}; give a folder or a list."
            ) from error
        paths = [place.parent / line.strip() for line in lines if line.strip() and not line.startswith("#")]
    files: Dict[str, str] = {}
    for path in paths:
        files.setdefault(_SUFFIX.sub("", path.name).lower(), str(path))
    if not files:
        raise InputError(f"{shown(where)} holds no structures (.pdb, .ent or .cif, also .gz).")
    return files


def read_csv(path: PathLike, needed: Sequence[str]) -> List[Dict[str, str]]:
    """Rows of a CSV file with a header line; keys and values stripped.

    Raises:
        InputError: unreadable, or a needed column is missing.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            rows = [
                {
                    (key or "").strip(): (value or "").strip()
                    for key, value in row.items()
                    if isinstance(value, str)
                }
                for row in csv.DictReader(stream)
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"Cannot read the table {shown(path)} ({error}).") from error
    missing = [name for name in needed if not rows or name not in rows[0]]
    if missing:
        raise InputError(
            f"{shown(path)} has no column {missing[0]!r} or no rows; it needs {', '.join(needed)}."
        )
    return rows


def _from_manifest(files: Dict[str, str], manifest: PathLike) -> List[Entry]:
    entries = []
    for row in read_csv(manifest, ["id"]):
        name, split = row["id"].lower(), row.get("split", "").lower()
        split = {"val": "validation", "valid": "validation"}.get(split, split)
        if split and split not in SPLITS:
            raise InputError(f"{shown(manifest)} gives {name} the split {split!r}; use {', '.join(SPLITS)}.")
        if name in files:
            entries.append(Entry(name, files[name], row.get("cluster") or name, split))
    if not entries:
        raise InputError(f"None of the structures of {shown(manifest)} was found.")
    return sorted(entries, key=lambda entry: entry.name)


def _from_clusters(files: Dict[str, str], clusters: PathLike) -> List[Entry]:
    entries, taken = [], set()
    for number, members in enumerate(read_clusters(clusters)):
        for member in members:
            name = member if member in files else member.split("_")[0]
            if name in files and name not in taken:
                entries.append(Entry(name, files[name], str(number)))
                taken.add(name)
                break
    if not entries:
        raise InputError(f"No structure is in a cluster of {shown(clusters)}.")
    return sorted(entries, key=lambda entry: entry.name)


def read_clusters(path: PathLike) -> List[List[str]]:
    """Clusters of ids (lower case), the representative first; formats as in `find_structures`."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"Cannot read the cluster file {shown(path)}.") from error
    if not any(line.startswith(">Cluster") for line in lines):
        return [re.split(r"[\s,]+", line.strip().lower()) for line in lines if line.strip()]
    found: List[List[str]] = []
    for line in lines:
        if line.startswith(">"):
            found.append([])
            continue
        match = re.search(r">(.+?)\.\.\.\s*(\*?)", line)
        if match and found:
            member = match.group(1).strip().lower()
            # cd-hit marks the representative with a star, wherever it is in the list.
            found[-1].insert(0 if match.group(2) else len(found[-1]), member)
    return [members for members in found if members]


@dataclasses.dataclass(frozen=True)
class Triple:
    """A map with its label volume and mask, as files; ``voxel_size`` None takes the map's header."""

    name: str
    map: str
    label: str
    mask: str
    voxel_size: float | None = None
    split: str = ""


def read_triples(path: PathLike) -> List[Triple]:
    """Triples of a CSV with the columns map, label, mask and optionally name, voxel_size, split.

    Paths are relative to the CSV's folder. Names default to the map's file name and must differ.

    Raises:
        InputError: unreadable table, missing column, bad number or split, equal names.
    """
    folder = Path(path).parent
    triples: List[Triple] = []
    for row in read_csv(path, ["map", "label", "mask"]):
        split = row.get("split", "").lower()
        if split and split not in SPLITS:
            raise InputError(f"{shown(path)} has the split {split!r}; use {', '.join(SPLITS)} or nothing.")
        name = row.get("name") or f"{len(triples):03d}_{Path(row['map']).name.split('.')[0]}"
        files = [str(folder / row[key]) for key in ("map", "label", "mask")]
        triples.append(
            Triple(
                name,
                files[0],
                files[1],
                files[2],
                _angstroms(row.get("voxel_size", ""), path, "voxel size"),
                split,
            )
        )
    if len({triple.name for triple in triples}) != len(triples):
        raise InputError(f"{shown(path)} names two maps alike; correct the column 'name'.")
    return triples


@dataclasses.dataclass(frozen=True)
class KnownMap:
    """A map whose global resolution is known, as files; ``mask`` empty makes one from the map."""

    name: str
    map: str
    resolution: float
    mask: str = ""
    voxel_size: float | None = None
    split: str = ""


def lists_known_maps(path: PathLike) -> bool:
    """Whether a CSV gives one resolution per map instead of a local-resolution volume."""
    row = read_csv(path, ["map"])[0]
    return "resolution" in row and "label" not in row


def read_known_maps(path: PathLike) -> List[KnownMap]:
    """Maps of a CSV with the columns map, resolution (A) and optionally mask, name, voxel_size, split.

    Paths are relative to the CSV's folder.

    Raises:
        InputError: unreadable table, missing column, bad number or split.
    """
    folder = Path(path).parent
    found: List[KnownMap] = []
    for row in read_csv(path, ["map", "resolution"]):
        split = row.get("split", "").lower()
        if split and split not in SPLITS:
            raise InputError(f"{shown(path)} has the split {split!r}; use {', '.join(SPLITS)} or nothing.")
        value = _angstroms(row["resolution"], path, "resolution")
        if value is None:
            raise InputError(f"{shown(path)} gives no resolution for {row['map']}; fill the column in.")
        name = row.get("name") or f"{len(found):03d}_{Path(row['map']).name.split('.')[0]}"
        mask = str(folder / row["mask"]) if row.get("mask") else ""
        voxel = _angstroms(row.get("voxel_size", ""), path, "voxel size")
        found.append(KnownMap(name, str(folder / row["map"]), value, mask, voxel, split))
    return found


def _angstroms(text: str, path: PathLike, what: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise InputError(f"{shown(path)} has the {what} {text!r}; give angstroms above 0 or nothing.")
    return value


def shared_layout(folder: PathLike, labels: str) -> List[Triple]:
    """Triples of a folder with ``index.json`` (a list of id, split, voxel_A) and a sub-folder per map.

    Each holds ``map``, ``mask`` and ``LABELS`` as .mrc.gz or .mrc; maps without that label volume are left
    out.

    Raises:
        InputError: no index, or no map with such labels.
    """
    from ..base.runs.atomic_files import read_json

    triples = []
    for row in read_json(Path(folder) / "index.json"):
        try:
            place, split, voxel = Path(folder) / str(row["id"]), str(row["split"]), float(row["voxel_A"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{shown(folder)}/index.json is not a list of maps with id, split, voxel_A."
            ) from error
        files = [str(_volume(place, name) or "") for name in ("map", labels, "mask")]
        if all(files):
            triples.append(Triple(str(row["id"]), files[0], files[1], files[2], voxel, split))
    if not triples:
        raise InputError(f"{shown(folder)} has no map with {labels} labels and a mask.")
    return triples


def _volume(folder: Path, name: str) -> Path | None:
    return next((p for p in (folder / f"{name}.mrc.gz", folder / f"{name}.mrc") if p.is_file()), None)


def read_manifest(structures: PathLike, split: str) -> List[Dict[str, str]]:
    """Rows of ``manifest.csv`` of one split ("train", "validation" or "test") with the path of each structure.

    Raises:
        InputError: no manifest, or no structure of that split.
    """
    folder = Path(structures)
    try:
        with open(folder / "manifest.csv", newline="", encoding="utf-8") as handle:
            rows = [row for row in csv.DictReader(handle) if row.get("split") == split]
    except OSError as error:
        raise InputError(
            f"Cannot read {folder / 'manifest.csv'}: {error.strerror}; see docs/guide/training-sets.md."
        ) from error
    for row in rows:
        row["path"] = str(folder / "pdb" / (row["id"] + ".pdb.gz"))
    if not rows:
        raise InputError(f"{folder / 'manifest.csv'} lists no structure of the split {split!r}.")
    return rows
