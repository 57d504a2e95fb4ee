"""Structures from the Protein Data Bank by id: retries, resume, checksums; nothing is fetched twice."""

from __future__ import annotations

import gzip
import http.client
import re
import time
import urllib.error
import urllib.request
import zlib
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

from ..base import progress
from ..base.errors import InputError
from ..base.runs.atomic_files import PathLike, read_json, sha256, shown, write_json
from ..base.runs.output_folder import lock_folder

DEFAULT_URL = "https://files.rcsb.org/download/{id}.cif.gz"
CHECKSUMS = "checksums.json"
_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_BLOCK = 1 << 16
MAX_BYTES = 4 << 30
"""Far above any packed entry of the Protein Data Bank; an endless answer must not fill the disk."""
_RETRIED = (408, 429, 500, 502, 503, 504)


def read_ids(path: PathLike) -> List[Tuple[str, str]]:
    """Ids of a list with the SHA-256 of their files where the list gives it: ``ID [SHA256]`` per line.

    Commas count as blanks or line ends, so that the PDB's own comma-separated id lists can be used as they
    are.

    Raises:
        InputError: unreadable list, no id in it, or an id that cannot be a file name.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"Cannot read the list of ids {shown(path)}.") from error
    found: List[Tuple[str, str]] = []
    for line in text.splitlines():
        words = re.split(r"[\s,]+", line.split("#")[0].strip())
        for word in filter(None, words):
            if re.fullmatch(r"[0-9a-fA-F]{64}", word) and found:
                found[-1] = (found[-1][0], word.lower())
            elif _ID.fullmatch(word) and word.strip("."):
                found.append((word.lower(), ""))
            else:
                raise InputError(f"{shown(path)} has the entry {word[:40]!r}, which is not a PDB id.")
    if not found:
        raise InputError(f"{shown(path)} holds no ids; write one PDB id per line.")
    return list(dict(found).items())


def _locked_cache(cache: PathLike) -> Path:
    folder = Path(cache)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"Cannot create the cache folder {shown(folder)}: {error.strerror}.") from error
    lock_folder(folder)
    return folder


def fetch_all(
    ids: Sequence[Tuple[str, str]],
    cache: PathLike,
    url: str = DEFAULT_URL,
    tries: int = 5,
    wait_s: float = 1.0,
    timeout_s: float = 30.0,
) -> Dict[str, str]:
    """Bring every structure into ``cache``; what is there with the right checksum stays.

    A broken transfer goes on where it stopped (``Range``); server errors and lost connections are retried
    with doubled waits; every file is unpacked once to see that it is whole, and its SHA-256 is kept in
    ``checksums.json`` (and compared with the list's where that gives one).

    Args:
        ids: from `read_ids`.
        cache: folder, made when missing.
        url: with ``{id}`` where the id goes.
        tries: per file.
        wait_s: before the second try.
        timeout_s: without any byte.

    Returns:
        Reasons of the ids that could not be had, by id.

    Raises:
        InputError: no network at all, or a bad url or cache folder.
    """
    if "{id}" not in url:
        raise InputError(f"The address {url!r} has no {{id}} where the PDB id goes.")
    folder = _locked_cache(cache)
    known = read_json(folder / CHECKSUMS) if (folder / CHECKSUMS).exists() else {}
    failed: Dict[str, str] = {}
    had_answer = False
    for name, digest in progress.track(ids, "structures fetched"):
        target = folder / url.rsplit("/", 1)[-1].replace("{id}", name)
        wanted = digest or known.get(target.name, "")
        if target.exists() and wanted and sha256(target) == wanted:
            had_answer = True
            continue
        try:
            _fetch(url.replace("{id}", name), target, digest, tries, wait_s, timeout_s)
        except _Unreachable as error:
            if not had_answer:
                raise InputError(
                    f"No network: {url.split('/')[2]} cannot be reached ({error}); fetch structures elsewhere"
                    " and give their folder with --structures."
                ) from error
            failed[name] = f"no answer ({error})"
            continue
        except _Refused as error:
            failed[name] = str(error)
            had_answer = True
            continue
        had_answer = True
        known[target.name] = sha256(target)
        write_json(folder / CHECKSUMS, known)
    return failed


class _Unreachable(Exception):
    """No connection, after all tries."""


class _Refused(Exception):
    """The server answered, but the file cannot be had."""


def _fetch(address: str, target: Path, digest: str, tries: int, wait_s: float, timeout_s: float) -> None:
    partial = target.with_name(target.name + ".partial")
    reason = ""
    answered = False
    for attempt in range(tries):
        if attempt:
            time.sleep(wait_s * 2 ** (attempt - 1))
        try:
            _transfer(address, partial, timeout_s)
            _check(partial, digest)
        except urllib.error.HTTPError as error:
            answered = True
            reason = f"HTTP {error.code}"
            if error.code == 416:  # more bytes here than there: another file by now
                partial.unlink()
            elif error.code not in _RETRIED:
                break
        except _Damaged as error:
            answered, reason = True, str(error)
            partial.unlink()
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
            answered = answered or partial.exists()
        else:
            partial.replace(target)
            return
    raise (_Refused if answered else _Unreachable)(reason)


class _Damaged(Exception):
    """The transfer ended, but the file is not the right one."""


def _transfer(address: str, partial: Path, timeout_s: float) -> None:
    """Append what is missing of ``partial``; raises when the server ends early."""
    have = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(address, headers={"User-Agent": "CryoResDL"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    with urllib.request.urlopen(request, timeout=timeout_s) as answer:
        goes_on = answer.status == 206
        length = answer.headers.get("Content-Length")
        have = have if goes_on else 0
        expected = have + int(length) if length else None
        with open(partial, "ab" if goes_on else "wb") as stream:
            for block in iter(lambda: answer.read(_BLOCK), b""):
                have += len(block)
                if have > MAX_BYTES:
                    raise _Damaged(f"larger than {MAX_BYTES >> 20} MB, which no structure is")
                stream.write(block)
    if expected is not None and partial.stat().st_size < expected:
        raise http.client.IncompleteRead(b"", expected - partial.stat().st_size)


def _check(partial: Path, digest: str) -> None:
    if digest and sha256(partial) != digest:
        raise _Damaged("its SHA-256 is not the one in the list")
    with open(partial, "rb") as stream:
        start = stream.read(2)
    if start == b"\x1f\x8b":
        try:
            with gzip.open(partial) as unpacked:
                size = 0
                while block := unpacked.read(_BLOCK):
                    size += len(block)
                    if size > 100 * partial.stat().st_size + _BLOCK:
                        raise _Damaged("it unpacks to more than a hundred times its size")
        except (EOFError, zlib.error, OSError) as error:
            raise _Damaged(f"damaged gzip file ({error})") from error
    if not start:
        raise _Damaged("empty file")
