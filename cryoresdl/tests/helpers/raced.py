"""Runs of a command as forks of this process: no start-up sets those apart that begin at once, and many can be killed."""

import os
import signal
import sys
import time
import traceback
from pathlib import Path

from cryoresdl.models.cli import command_line
from cryoresdl.tests.helpers.made_folders import structures_in
from cryoresdl.tests.helpers.small_maps import save_local_model
from cryoresdl.tests.helpers.written_maps import write_map


def raced_inputs(folder):
    """A map, a small local model and structures, by the names that the commands of these tests use."""
    return {
        "map": write_map(folder / "a.mrc"),
        "model": str(save_local_model(folder / "tiny.cryoresdl")),
        "structures": str(structures_in(folder)),
    }


def race(words, runs, folder):
    """Let a command run several times at once.

    Args:
        words: of the command line; a list for all, or one for each run.
        runs: how many.
        folder: for what they say.

    Returns:
        (exit code, what was written to the error stream) of every run.
    """
    each = words if isinstance(words[0], list) else [words] * runs
    wait, start = os.pipe()
    children = []
    for number in range(runs):
        said = Path(folder) / f"said-{number}.txt"
        child = os.fork()
        if child == 0:
            _run(each[number], wait, start, said)
        children.append((child, said))
    os.close(wait)
    os.close(start)  # all of them are let go by this
    found = []
    for child, said in children:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        found.append((code, said.read_text()))
    return found


def killed_after(words, seconds, said):
    """Begin a command and kill it after so long; returns whether it had not ended by itself, with exit code 0."""
    wait, start = os.pipe()
    child = os.fork()
    if child == 0:
        _run(words, wait, start, said)
    os.close(wait)
    os.close(start)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code not in (0, -signal.SIGKILL):
        raise ValueError(f"{words} ended with {code}: {said.read_text()}")
    return code != 0


def _run(words, wait, start, said):
    """The life of a fork; never returns."""
    code = 99
    try:
        os.close(start)
        handle = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        sys.stdout = sys.stderr = os.fdopen(handle, "w")
        os.read(wait, 1)
        code = command_line.main(words)
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)
