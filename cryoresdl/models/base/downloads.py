"""Files from servers: over connections that break, with checksums; used by structures and by entries of the EMDB.

pooch keeps the cache (a file appears there only when it is whole and its checksum is right); what it has not, this adds:
a broken transfer goes on where it stopped (``Range``), and archives are unpacked once to see that they are whole.
"""

from __future__ import annotations

import gzip
import http.client
import logging
import time
import urllib.error
import urllib.request
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

from .runs.atomic_files import sha256

CHECKSUMS = "checksums.json"
"""File of a cache with what is known of its files."""
_BLOCK = 1 << 16
_RETRIED = (408, 429, 500, 502, 503, 504)


class Unreachable(Exception):
    """No connection, after all tries."""


class Refused(Exception):
    """The server answered, but the file cannot be had; ``status`` is that of HTTP, 0 where it is another reason."""

    def __init__(self, reason: str, status: int = 0):
        super().__init__(reason)
        self.status = status


class _Damaged(Exception):
    """The transfer ended, but the file is not the right one."""


@dataclass(frozen=True)
class DownloadRules:
    """How patient a download is, and what it refuses.

    Attributes:
        tries: per file.
        wait_s: before the second try; doubled before each further one.
        timeout_s: without any byte.
        largest: bytes; an endless answer must not fill the disk.
        expansion: an archive may unpack to so many times its size.
    """

    tries: int = 5
    wait_s: float = 1.0
    timeout_s: float = 30.0
    largest: int = 4 << 30
    expansion: int = 100


def fetch_file(
    address: str,
    target: Path,
    digest: str = "",
    rules: DownloadRules = DownloadRules(),  # noqa: B008  (frozen)
    step: Callable[[int], Any] = lambda count: None,
) -> None:
    """Bring a file, in place of one that is there; what a broken try left is gone on with.

    Args:
        address: http or https.
        target: the file; its folder exists.
        digest: SHA-256 that it must have, or "".
        rules: how patiently.
        step: is told of the bytes that came.

    Raises:
        Unreachable: no answer.
        Refused: an answer, but no such file, or a damaged one.
    """
    import pooch

    pooch.get_logger().setLevel(logging.WARNING)
    partial, fresh = (target.with_name(f"{target.name}.{end}") for end in ("partial", "fresh"))
    fresh.unlink(missing_ok=True)

    def bring(url: str, output: Any, _: Any) -> None:
        _transfer_patiently(url, partial, digest, rules, step)
        partial.replace(str(output))

    known = f"sha256:{digest}" if digest else None
    pooch.retrieve(address, known_hash=known, fname=fresh.name, path=fresh.parent, downloader=bring)
    fresh.replace(target)


def _transfer_patiently(
    address: str, partial: Path, digest: str, rules: DownloadRules, step: Callable[[int], Any]
) -> None:
    reason, status, answered = "", 0, False
    for attempt in range(rules.tries):
        if attempt:
            time.sleep(rules.wait_s * 2 ** (attempt - 1))
        try:
            _transfer(address, partial, rules, step)
            _check(partial, digest, rules.expansion)
            return
        except urllib.error.HTTPError as error:
            answered = True
            reason, status = f"HTTP {error.code}", error.code
            if error.code == 416:  # more bytes here than there: another file by now
                partial.unlink()
            elif error.code not in _RETRIED:
                break
        except _Damaged as error:
            answered, reason, status = True, str(error), 0
            partial.unlink()
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
            answered = answered or partial.exists()
    raise Refused(reason, status) if answered else Unreachable(reason)


def _transfer(address: str, partial: Path, rules: DownloadRules, step: Callable[[int], Any]) -> None:
    """Append what is missing of ``partial``; raises when the server ends early."""
    have = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(address, headers={"User-Agent": "CryoResDL"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    with urllib.request.urlopen(request, timeout=rules.timeout_s) as answer:
        goes_on = answer.status == 206
        length = answer.headers.get("Content-Length")
        have = have if goes_on else 0
        expected = have + int(length) if length else None
        with open(partial, "ab" if goes_on else "wb") as stream:
            for block in iter(lambda: answer.read(_BLOCK), b""):
                have += len(block)
                if have > rules.largest:
                    raise _Damaged(f"larger than {rules.largest >> 20} MB, which no such file is")
                stream.write(block)
                step(len(block))
    if expected is not None and partial.stat().st_size < expected:
        raise http.client.IncompleteRead(b"", expected - partial.stat().st_size)


def _check(partial: Path, digest: str, expansion: int) -> None:
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
                    if size > expansion * partial.stat().st_size + _BLOCK:
                        raise _Damaged(f"it unpacks to more than {expansion} times its size")
        except (EOFError, zlib.error, OSError) as error:
            raise _Damaged(f"damaged gzip file ({error})") from error
    if not start:
        raise _Damaged("empty file")
