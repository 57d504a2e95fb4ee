"""Entries of the Electron Microscopy Data Bank by name: map, half maps, recommended contour and claimed resolution.

Files come from the EMDB's public addresses into a cache, each once: broken transfers go on, archives are checked, and their
SHA-256 are kept. The header (XML, version 3) says how the files are called.
"""

from __future__ import annotations

import contextlib
import os
import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

from ..base import progress
from ..base.downloads import CHECKSUMS, DownloadRules, Refused, Unreachable, fetch_file
from ..base.errors import InputError, NetworkError
from ..base.runs.atomic_files import make_folder, read_json, sha256, shown, write_json
from .density_map import plain_path

ADDRESS_VARIABLE, CACHE_VARIABLE = "CRYORESDL_EMDB_URL", "CRYORESDL_EMDB_CACHE"
ADDRESS = "https://ftp.ebi.ac.uk/pub/databases/emdb/structures"
CACHE = "~/.cryoresdl/emdb"
_NAME = re.compile(r"emd[-_](\d{4,6})", re.IGNORECASE)
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_RULES = DownloadRules(largest=64 << 30, expansion=1100)
"""A map that is 0 nearly everywhere packs to a thousandth, as far as gzip goes."""
_SMALL = DownloadRules(largest=64 << 20)


@dataclass(frozen=True)
class EmdbEntry:
    """What is known of an entry; files are in the cache.

    Attributes:
        name: ``EMD-11638``.
        map: the primary map.
        half1: first half map, "" where the entry has none.
        half2: the second.
        resolution_A: as its authors claim it, or None.
        method: how they measured it, in their words.
        contour: level that they recommend, in the map's units, or None.
        title: of the entry.
    """

    name: str
    map: str
    half1: str = ""
    half2: str = ""
    resolution_A: float | None = None
    method: str = ""
    contour: float | None = None
    title: str = ""


def entry_number(text: str) -> str | None:
    """The number of an entry that a map is named by (``EMD-11638``, ``emd_11638``); None for a file.

    A file or folder of that name wins.
    """
    found = _NAME.fullmatch(text)
    return None if found is None or os.path.lexists(plain_path(text)) else found.group(1)


def fetch_entry(number: str, *, halves: bool = True) -> EmdbEntry:
    """Bring an entry into the cache.

    Args:
        number: ``11638``.
        halves: its half maps, too.

    Raises:
        InputError: no such entry, or the cache cannot be written.
        NetworkError: the EMDB cannot be reached; another try may do.
    """
    name = f"EMD-{number}"
    cache = Path(os.environ.get(CACHE_VARIABLE) or CACHE).expanduser()
    folder = cache / name
    make_folder(folder)
    with _alone(folder):
        store = _Store(name, folder)
        header = _header(store, number)
        primary = _text(header, "map/file") or f"emd_{number}.map.gz"
        pair = [_text(one, "file") for one in header.iter("half_map")] if halves else []
        level = header.find("map/contour_list/contour[@primary='true']/level")
        if level is None:
            level = header.find("map/contour_list/contour/level")
        final = next(header.iter("final_reconstruction"), header)
        primary_path = store.bring("map", primary)
        paths = [str(store.bring("other", file)) for file in pair] if len(pair) == 2 else ["", ""]
    return EmdbEntry(
        name,
        str(primary_path),
        paths[0],
        paths[1],
        resolution_A=_number(_text(final, "resolution")),
        method=_text(final, "resolution_method"),
        contour=_number(level.text if level is not None else None),
        title=_text(header, "admin/title"),
    )


def _header(store: _Store, number: str) -> ET.Element:
    """The header of version 3, which older and newer entries call differently."""
    try:
        path = store.bring("header", f"emd-{number}-v30.xml", f"emd-{number}.xml", rules=_SMALL)
        root = ET.parse(path).getroot()
    except ET.ParseError as error:
        raise InputError(
            f"The header of {store.name} is not XML ({error}); give the map's file instead."
        ) from error
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


class _Store:
    """The files of one entry in its folder of the cache."""

    def __init__(self, name: str, folder: Path):
        self.name, self.folder = name, folder
        self.address = (os.environ.get(ADDRESS_VARIABLE) or ADDRESS).rstrip("/")
        self.known: Dict[str, List[Any]] = {}
        with contextlib.suppress(InputError):
            self.known = dict(read_json(folder / CHECKSUMS))

    def bring(self, kind: str, *names: str, rules: DownloadRules | None = None) -> Path:
        """A file of the entry, from the cache or else from the EMDB.

        Args:
            kind: the folder of the EMDB: ``map``, ``other`` or ``header``.
            names: what it may be called; the first that is there counts.
            rules: of the download; None takes those of maps.
        """
        for held in names:
            if _FILE.fullmatch(held) and self._holds(self.folder / held):
                return self.folder / held
        file, others = names[0], names[1:]
        if not _FILE.fullmatch(file):
            raise InputError(
                f"The header of {self.name} names the file {shown(file)[:60]!r}, which cannot be one."
            )
        target = self.folder / file
        address = f"{self.address}/{self.name}/{kind}/{file}"
        try:
            with progress.Progress(f"MB of {file}") as bar:
                fetch_file(address, target, rules=rules or _RULES, step=_counting(bar))
        except Unreachable as error:
            host = address.split("/")[2] if address.count("/") > 2 else address
            raise NetworkError(
                f"No network: {host} cannot be reached for {self.name} ({error}); try again, or bring its files from "
                "elsewhere and give their paths."
            ) from error
        except Refused as error:
            if others and error.status == 404:
                return self.bring(kind, *others, rules=rules)
            if error.status == 404:
                raise InputError(
                    f"The EMDB has no file {file} of {self.name} (HTTP 404): check the number; entries on hold have no maps."
                ) from error
            raise NetworkError(
                f"{file} of {self.name} cannot be had from the EMDB: {error}; try again later."
            ) from error
        return self._keep(target)

    def _holds(self, target: Path) -> bool:
        """Whether a file is the one that was brought; its bytes are read only where the time differs."""
        known = self.known.get(target.name)
        if not known or not target.is_file():
            return False
        status = target.stat()
        return known[:2] == [status.st_size, status.st_mtime_ns] or (
            known[0] == status.st_size and sha256(target) == known[2]
        )

    def _keep(self, target: Path) -> Path:
        """Write down how a whole file looks."""
        status = target.stat()
        self.known[target.name] = [status.st_size, status.st_mtime_ns, sha256(target)]
        write_json(self.folder / CHECKSUMS, self.known)
        return target


def _counting(bar: progress.Progress) -> Callable[[int], None]:
    """Count bytes as megabytes."""
    held = 0

    def step(count: int) -> None:
        nonlocal held
        held += count
        bar.step(held >> 20)
        held &= (1 << 20) - 1

    return step


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process fetches this entry; where locks cannot be had, go on without."""
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _text(element: ET.Element, path: str) -> str:
    found = element.find(path)
    return " ".join((found.text or "").split()) if found is not None else ""


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if abs(value) < float("inf") else None
