"""Progress with an ETA on stderr: one line that is rewritten on a terminal, sparse lines in a log file."""

from __future__ import annotations

import sys
import time
from typing import Iterator, Sequence, TypeVar

ProgressItem = TypeVar("ProgressItem")

_TERMINAL_EVERY_S = 0.2
_LOG_EVERY_S = 10.0
_quiet = False


def set_quiet(quiet: bool) -> None:
    """Silence every `Progress` and `note` of this process (``--quiet``)."""
    global _quiet
    _quiet = quiet


def note(text: str) -> None:
    """Print one line on stderr, unless ``--quiet``."""
    if not _quiet:
        print(text, file=sys.stderr, flush=True)


class Progress:
    """Counts steps and says how far the work is and when it will be done.

    Example:
        with Progress("tiles", total=40) as progress:
            for tile in tiles:
                work(tile)
                progress.step()
    """

    def __init__(self, label: str, total: int | None = None, done: int = 0):
        """Start counting.

        Args:
            label: what is counted ("maps", "tiles").
            total: how many there are; None when unknown (then no ETA).
            done: how many were already done before this run; they do not count for the rate.
        """
        self.label, self.total = label, total
        self._first = self._count = done
        self._start = time.monotonic()
        self._terminal = sys.stderr is not None and sys.stderr.isatty()
        self._shown = self._start if not self._terminal else 0.0
        self._open = False

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._open and not _quiet:
            print(file=sys.stderr, flush=True)
        self._open = False

    def step(self, count: int = 1, detail: str = "") -> None:
        """Count ``count`` more steps and, now and then, show the line with ``detail`` at its end."""
        self._count += count
        now = time.monotonic()
        last = self.total is not None and self._count >= self.total
        wait = _TERMINAL_EVERY_S if self._terminal else _LOG_EVERY_S
        if _quiet or (now - self._shown < wait and not last):
            return
        self._shown = now
        text = self.line(now - self._start) + (f"  {detail}" if detail else "")
        if self._terminal:
            print(f"\r{text:<79.79}", end="", file=sys.stderr, flush=True)
            self._open = True
        else:
            print(text, file=sys.stderr, flush=True)

    def line(self, elapsed: float) -> str:
        """The progress line after ``elapsed`` seconds."""
        if self.total is None:
            return f"{self._count} {self.label}, {duration(elapsed)}"
        fresh = self._count - self._first
        eta = duration(elapsed / fresh * max(0, self.total - self._count)) if fresh > 0 else "unknown"
        percent = 100 * self._count // max(1, self.total)
        return f"{self._count}/{self.total} {self.label} ({percent} %), {duration(elapsed)}, ETA {eta}"


def track(items: Sequence[ProgressItem], label: str) -> Iterator[ProgressItem]:
    """Yield ``items`` while showing progress."""
    with Progress(label, len(items)) as progress:
        for item in items:
            yield item
            progress.step()


def duration(seconds: float) -> str:
    """Seconds as people say them: "12 s", "3 min 20 s", "2 h 05 min"."""
    whole = int(round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
