"""Keeps the libraries that the engine loads from writing elsewhere, starting programs, or calling home.

matplotlib and Keras write settings and caches into the user's home folder, h5py and matplotlib start small programs to
ask about the machine, and TensorFlow opens a socket to try IPv6. A command of the engine leaves files in its ``--out``
and the temporary folder only, so they are told to do without before they are loaded.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path
from types import ModuleType
from typing import Any, Iterator

SETTINGS = {"MPLCONFIGDIR": "matplotlib", "KERAS_HOME": "keras"}
"""Variables that say where a library keeps its files, and the folders that they get."""


def confine() -> None:
    """Point matplotlib, Keras and Dask at a temporary folder that is deleted at the end; children inherit it.

    Nothing is made here: a library makes its folder when it is loaded. What the user set stays.
    """
    # h5py asks for the processor, which Python finds by running uname.
    vars(platform.uname()).setdefault("processor", "")
    wanted = dict(SETTINGS)
    if not os.path.isdir(os.path.expanduser("~/.config/dask")):  # else users' clusters are described there
        wanted["DASK_CONFIG"] = "dask"
    missing = {name: folder for name, folder in wanted.items() if not os.environ.get(name)}
    if missing:
        root = os.path.join(tempfile.gettempdir(), f"cryoresdl-libraries-{uuid.uuid4().hex}")
        os.environ.update({name: os.path.join(root, folder) for name, folder in missing.items()})
        atexit.register(_remove, root, os.getpid())


def _remove(folder: str, owner: int) -> None:
    """Delete the folder, but not from a forked child, whose parent still uses it."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


def import_matplotlib() -> None:
    """Load matplotlib with the fonts that it brings: it would start fc-list and read every font of the system.

    A process that has loaded it already (Scipion's windows) is left as it is.
    """
    if "matplotlib.font_manager" in sys.modules:
        return
    with _replaced(subprocess, "check_output", _no_program), _replaced(os, "walk", _own_fonts(os.walk)):
        import matplotlib.font_manager  # noqa: F401


def import_scipy_stats() -> ModuleType:
    """``scipy.stats``, whose import of ``numpy.testing`` would start lscpu."""
    with _replaced(subprocess, "run", _no_program):
        import scipy.stats

    return scipy.stats


def _no_program(*_: Any, **__: Any) -> Any:
    raise OSError("no program is started to load a library")


def _own_fonts(walk: Any) -> Any:
    """`os.walk` that enters matplotlib's own TrueType fonts only: reading its AFM fonts, never drawn, takes 0.4 s."""

    def own(top: Any, *words: Any, **named: Any) -> Any:
        return (
            walk(top, *words, **named)
            if Path(top).name == "ttf" and "mpl-data" in Path(top).parts
            else iter(())
        )

    return own


@contextlib.contextmanager
def _replaced(holder: Any, name: str, value: Any) -> Iterator[None]:
    old = getattr(holder, name)
    setattr(holder, name, value)
    try:
        yield
    finally:
        setattr(holder, name, old)


@contextlib.contextmanager
def stand_in(name: str) -> Iterator[None]:
    """In the block, importing a module that is only used later on gives an empty one; one loaded before stays."""
    absent = name not in sys.modules
    if absent:
        sys.modules[name] = ModuleType(name)
    try:
        yield
    finally:
        if absent:
            sys.modules.pop(name, None)
