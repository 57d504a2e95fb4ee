"""One virtual X server with a Tk root for all tests of windows.

It lives until the process ends: Xlib ends the whole process when a server that it was connected to goes away.
"""

import atexit
import functools
import os
import shutil
import subprocess
import time

import pytest

from cryoresdl.tests.helpers.needs import missing


@functools.lru_cache(maxsize=None)
def display():
    """Start the server; its name, such as ``:5``, or None where there is no Xvfb."""
    program = shutil.which("Xvfb")
    if not program:
        return None
    reading, writing = os.pipe()
    words = [program, "-displayfd", str(writing), "-screen", "0", "1600x1000x24"]
    server = subprocess.Popen(words, pass_fds=[writing], stderr=subprocess.DEVNULL)
    atexit.register(server.kill)
    os.close(writing)
    with os.fdopen(reading) as stream:
        number = stream.readline().strip()
    return f":{number}" if number else None


@functools.lru_cache(maxsize=None)
def _start():
    if display() is None:
        return None
    import tkinter

    root = tkinter.Tk(screenName=display())
    atexit.register(root.destroy)
    return root


def root():
    """The Tk root on the virtual screen; skips the test where there can be none."""
    pytest.importorskip("tkinter")
    found = _start()
    if found is None:
        missing("needs a virtual screen (apt-get install xvfb)")
    return found


def settle(window, seconds=0.3):
    """Let Tk work for a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        window.update()
