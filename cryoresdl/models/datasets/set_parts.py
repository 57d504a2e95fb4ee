"""The one way an HDF5 file of ours grows: parts beside it, each whole or absent, then the file in one piece.

HDF5 has no journal: a file that is open for writing when its process is killed may never open again. So every item is
first a small *part* in ``FILE.h5.parts/``, and the file is put together from them in a fixed order at the end: its
bytes depend neither on kills nor on the number of workers. A killed run loses the items it was working on.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator

import h5py

from ..base.errors import ForeignFileError, InputError
from ..base.runs.atomic_files import PathLike, atomic_path, read_json, shown, write_json
from ..base.runs.output_folder import lock_folder

_RECIPE = "recipe.json"


def open_hdf5(path: PathLike, mode: str = "r") -> h5py.File:
    """Open an HDF5 file without HDF5's own lock, which some network file systems refuse.

    Nothing is lost: files are written under names that nobody else knows, and folders of parts are locked.
    """
    return h5py.File(path, mode, locking=False)


class SetParts:
    """The finished parts of a data set that is being made."""

    def __init__(
        self, target: PathLike, recipe: Dict[str, Any], resume: bool = False, overwrite: bool = False
    ):
        """Open the folder of parts beside ``target``, or make it.

        Raises:
            InputError: the target or parts are there and neither flag is given; parts of another recipe; a
                folder that cannot be written to, that another run has locked, or that is not of parts.
        """
        self.target = Path(target)
        self.folder = _folder_of(self.target)
        if not self.target.parent.is_dir():
            raise InputError(f"The folder {shown(self.target.parent)} does not exist; make it first.")
        lock_folder(self.folder)
        self._refuse_foreign()
        if overwrite:
            self._remove(self.done())
        elif not resume and (self.target.exists() or self.done()):
            what = self.target if self.target.exists() else self.folder
            raise InputError(
                f"{shown(what)} is already there; give --resume or --overwrite, or another --out."
            )
        self._check_recipe(json.loads(json.dumps(recipe)))  # as it reads back: tuples are lists

    @classmethod
    def in_worker(cls, folder: str) -> Any:
        """The parts in a worker: the folder is there and checked already."""
        parts = cls.__new__(cls)
        parts.folder = Path(folder)
        parts.target = parts.folder.with_name(parts.folder.name[: -len(".parts")])
        return parts

    def _refuse_foreign(self) -> None:
        if not (self.folder / _RECIPE).exists() and any(self.folder.iterdir()):
            raise ForeignFileError(
                f"{shown(self.folder)} holds files that are no parts of a data set; move it away or choose another --out."
            )

    def _check_recipe(self, recipe: Dict[str, Any]) -> None:
        place = self.folder / _RECIPE
        if place.exists() and self.done() and read_json(place) != recipe:
            raise InputError(
                f"{shown(self.folder)} was begun with other options; give the same ones, or --overwrite."
            )
        write_json(place, recipe)

    def done(self) -> Dict[str, str]:
        """Names of finished parts: "" or the reason why the item was skipped."""
        found = {path.stem: "" for path in self.folder.glob("*.h5") if not path.name.startswith(".")}
        found.update({path.stem: read_json(path)["skipped"] for path in self.folder.glob("*.skip")})
        return found

    def finished(self, names: Iterable[str]) -> Dict[str, str]:
        """The same of these names, which must all be there.

        Raises:
            InputError: some were removed meanwhile.
        """
        done = self.done()
        gone = [name for name in names if name not in done]
        if gone:
            raise InputError(
                f"{shown(self.folder)} lost {len(gone)} of its parts while the set was made ({shown(gone[0])} "
                "among them); run the same command again with --resume."
            )
        return {name: done[name] for name in names}

    def put(self, name: str, fill: Callable[[h5py.File], None]) -> None:
        """Store one part; ``fill`` writes into the open file."""
        with atomic_path(self.folder / f"{name}.h5") as temporary:
            with open_hdf5(temporary, "w") as handle:
                fill(handle)

    def skip(self, name: str, reason: str) -> None:
        """Remember that ``name`` gives no items, and why."""
        write_json(self.folder / f"{name}.skip", {"skipped": reason})

    @contextlib.contextmanager
    def opened(self, name: str) -> Iterator[h5py.File]:
        """One part, to be read."""
        with open_hdf5(self.folder / f"{name}.h5") as handle:
            yield handle

    def finish(self, fill: Callable[[h5py.File], None]) -> None:
        """Write the whole file and remove the parts; ``fill`` writes into the open file."""
        with atomic_path(self.target) as temporary:
            with open_hdf5(temporary, "w") as handle:
                fill(handle)
        self.remove()

    def remove(self) -> None:
        """Remove the parts; what else lies in their folder stays."""
        self._remove(self.done())
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def leave(self) -> None:
        """Leave no folder behind in which nothing is finished."""
        if not self.done():
            self.remove()

    def _remove(self, names: Iterable[str]) -> None:
        for file in [_RECIPE, *(f"{name}{kind}" for name in names for kind in (".h5", ".skip"))]:
            with contextlib.suppress(OSError):
                os.unlink(self.folder / file)


def _folder_of(target: Path) -> Path:
    return target.with_name(target.name + ".parts")
