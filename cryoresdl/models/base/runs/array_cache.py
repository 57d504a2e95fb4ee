"""Arrays that a run keeps to go on with: bound to what they were made of, and made again where they cannot be read."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Dict, Mapping, Optional

import numpy as np

from .. import progress
from .atomic_files import atomic_path

_IDENTITY = "identity"


def read_arrays(path: Path, identity: str) -> Optional[Dict[str, np.ndarray]]:
    """The arrays kept in a file, or None where it is absent, of another run, or not to be read.

    Args:
        path: file of :func:`write_arrays`.
        identity: what the arrays must have been made of.
    """
    if not path.exists():
        return None
    try:
        with np.load(str(path), allow_pickle=False) as stored:
            if str(stored[_IDENTITY]) == identity:
                return {name: stored[name] for name in stored.files if name != _IDENTITY}
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        progress.note(f"{path.name} is damaged or of another program and is made again.")
    return None


def write_arrays(path: Path, identity: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Keep arrays for a later run, whole or not at all.

    Raises:
        InputError: a file lies there that no run made.
    """
    with atomic_path(path) as temporary, open(temporary, "wb") as stream:
        np.savez(stream, **{_IDENTITY: np.array(identity)}, **arrays)  # type: ignore[arg-type]


def part_of(arrays: Mapping[str, np.ndarray], prefix: str) -> Dict[str, np.ndarray]:
    """The arrays whose names begin with a prefix, under the rest of their names."""
    return {name[len(prefix) :]: array for name, array in arrays.items() if name.startswith(prefix)}
