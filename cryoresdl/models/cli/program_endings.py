"""How a command ends: exit codes, signals, closed pipes, logs of unexpected failures."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from typing import Callable

EXIT_FAILED, EXIT_BAD_INPUT = 1, 2
_GRACE_S = 5.0
_USERS_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG)


class Stopped(BaseException):
    """A signal asked the process to end; not an `Exception`, so that no handler on the way swallows it."""

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


def _unexpected(error: Exception, words: list[str]) -> int:
    what = " ".join(str(error).split()) or type(error).__name__
    return say(f"unexpected failure ({type(error).__name__}: {what[:200]}). Log: {_log(words)}", EXIT_FAILED)


def say(sentence: str, code: int) -> int:
    """Print one line on stderr, whatever is in the sentence, and return ``code``; stderr may be closed."""
    line = " ".join(sentence.split("\n")).encode("utf-8", "backslashreplace").decode("utf-8")
    try:
        print(f"cryoresdl: {line}", file=sys.stderr, flush=True)
    except (OSError, ValueError, AttributeError):
        return code
    return code


def _log(words: list[str]) -> str:
    """Write the current exception with its surroundings to a file of its own; returns its path."""
    import platform
    import tempfile
    import traceback

    text = "\n".join(
        [
            f"cryoresdl {_version()}, Python {platform.python_version()}, {platform.platform()}",
            f"words: {words!r}",
            f"folder: {os.getcwd()!r}",
            traceback.format_exc(),
        ]
    )
    try:
        handle, path = tempfile.mkstemp(prefix="cryoresdl-error-", suffix=".log")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(text)
    except OSError as error:
        return f"none, because no log could be written ({error.strerror})"
    return path


def _closed_pipe() -> int:
    """The reader of stdout has gone (``cryoresdl models | head``): end as Unix programs do, silently."""
    silence = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(silence, sys.stdout.fileno())
    except (OSError, ValueError):
        pass
    finally:
        os.close(silence)
    return 128 + int(getattr(signal, "SIGPIPE", 13))


def _catch_signals() -> Callable[[], None]:
    """Let SIGTERM, SIGINT and SIGHUP raise `Stopped`; returns what puts the old handlers back.

    A second signal, or `_GRACE_S` seconds inside a library that does not return, ends the process at once:
    results are written whole or not at all, so nothing is torn.
    """
    if threading.current_thread() is not threading.main_thread():
        return lambda: None

    def stop(received: int, frame: object) -> None:
        signal.signal(received, signal.SIG_DFL)
        timer = threading.Timer(_GRACE_S, os._exit, (128 + received,))
        timer.daemon = True
        timers.append(timer)
        timer.start()
        raise Stopped(received)

    timers: list[threading.Timer] = []
    wanted = [signal.SIGTERM, signal.SIGINT, getattr(signal, "SIGHUP", signal.SIGTERM)]
    # What nohup or a shell's "&" told us to ignore stays ignored.
    heard = [number for number in wanted if signal.getsignal(number) is not signal.SIG_IGN]
    old = {number: signal.getsignal(number) for number in heard}
    for number in heard:
        signal.signal(number, stop)

    def restore() -> None:
        for timer in timers:
            timer.cancel()
        for number, handler in old.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    return restore


def _release() -> None:
    folders = sys.modules.get("cryoresdl.models.base.runs.output_folder")
    if folders is not None:
        folders.unlock_folders()


def _version() -> str:
    from ... import __version__

    return __version__
