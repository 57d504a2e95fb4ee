"""Structures from the Protein Data Bank by id: retries, resume, checksums; nothing is fetched twice."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

from ..base import progress
from ..base.downloads import CHECKSUMS, DownloadRules, Refused, Unreachable, fetch_file
from ..base.errors import InputError
from ..base.runs.atomic_files import PathLike, read_json, sha256, shown, write_json
from ..base.runs.output_folder import lock_folder

DEFAULT_URL = "https://files.rcsb.org/download/{id}.cif.gz"
_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
MAX_BYTES = 4 << 30
"""Far above any packed entry of the Protein Data Bank; an endless answer must not fill the disk."""


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
    rules = DownloadRules(tries, wait_s, timeout_s, MAX_BYTES)
    failed: Dict[str, str] = {}
    had_answer = False
    for name, digest in progress.track(ids, "structures fetched"):
        target = folder / url.rsplit("/", 1)[-1].replace("{id}", name)
        wanted = digest or known.get(target.name, "")
        if target.exists() and wanted and sha256(target) == wanted:
            had_answer = True
            continue
        try:
            fetch_file(url.replace("{id}", name), target, digest, rules)
        except Unreachable as error:
            if not had_answer:
                raise InputError(
                    f"No network: {url.split('/')[2]} cannot be reached ({error}); fetch structures elsewhere"
                    " and give their folder with --structures."
                ) from error
            failed[name] = f"no answer ({error})"
            continue
        except Refused as error:
            failed[name] = str(error)
            had_answer = True
            continue
        had_answer = True
        known[target.name] = sha256(target)
        write_json(folder / CHECKSUMS, known)
    return failed
