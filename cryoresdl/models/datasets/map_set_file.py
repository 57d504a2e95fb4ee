"""Training sets on disk: finished parts that survive a kill, one HDF5 file at the end, reading in batches.

HDF5 has no journal: a file that is open for writing when its process is killed may never open again. So items
are first written as small *parts* beside the target (``FILE.h5.parts/NAME.h5``, each whole or absent, as
every result of this package), and the target is put together from them in a fixed order at the end, chunk
by chunk and without unpacking. A killed run loses the item it was working on; the bytes of the target do
not depend on kills or on the number of workers. While the target is put together its content is on the disk
twice.

Arrays of the target (format version 1) for N items, S sources:

* ``maps`` (N, z, y, x) float32 or float16, one item per chunk, lzf-compressed;
* ``labels`` int8: (N,) global class 0 high, 1 medium, 2 low; or (N, z, y, x) local class 0..9, -1 not
  counted;
* ``split`` (N,) int8: 0 train, 1 validation, 2 test;
* ``voxel_size`` (N,) float32, A;
* ``source`` (N,) int32, the row of ``sources``, (S,) JSON text: id, file, digest and more; ``skipped`` is a
  JSON text of the sources that gave no items;
* global sets: ``resolution`` (N,) A, ``orientation`` (N,) int16 and ``rotation`` (N, 3, 3);
* local sets: ``values`` (N, z, y, x) A with 0 = not estimated, ``masks`` (N, z, y, x) int8, and ``positions``
  (N, 3), the z, y, x of a patch's first voxel in its map.

Attributes of the file: ``format``, ``format_version``, ``kind``, ``mode``, ``seed``, ``version`` (of this
package) and ``recipe`` (JSON).
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence, Tuple

import numpy as np

from ..base.atomic_files import PathLike, atomic_path, read_json, shown, write_json
from ..base.errors import InputError
from ..base.output_folder import lock_folder
from .splits import SPLITS

MAP_SET_FORMAT = "cryoresdl-dataset"
FORMAT_VERSION = 1
PER_ITEM = ("maps", "labels", "values", "masks")
"""Arrays that are stored one item per chunk, because training reads them item by item in random order."""
_PACKING = {"compression": "lzf", "shuffle": True}


class Parts:
    """The finished parts of a data set that is being made."""

    def __init__(
        self, target: PathLike, recipe: Dict[str, Any], resume: bool = False, overwrite: bool = False
    ):
        """Open the folder of parts beside ``target``, or make it.

        Raises:
            InputError: the target or parts are there and neither flag is given; parts of another recipe; a
                folder that cannot be written to.
        """
        self.target = Path(target)
        self.folder = self.target.with_name(self.target.name + ".parts")
        if not self.target.parent.is_dir():
            raise InputError(f"The folder {shown(self.target.parent)} does not exist; make it first.")
        if overwrite:
            shutil.rmtree(self.folder, ignore_errors=True)
        elif not resume and (self.target.exists() or self.folder.exists()):
            what = self.target if self.target.exists() else self.folder
            raise InputError(
                f"{shown(what)} is already there; give --resume or --overwrite, or another --out."
            )
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise InputError(f"Cannot write in {shown(self.target.parent)}: {error.strerror}.") from error
        lock_folder(self.folder)
        self._check_recipe(recipe)

    def _check_recipe(self, recipe: Dict[str, Any]) -> None:
        place = self.folder / "recipe.json"
        recipe = json.loads(json.dumps(recipe))  # as it reads back: tuples are lists
        if place.exists() and read_json(place) != recipe:
            raise InputError(
                f"{shown(self.folder)} was begun with other options; give the same ones, or --overwrite."
            )
        write_json(place, recipe)

    def done(self) -> Dict[str, str]:
        """Names of finished parts: "" or the reason why the item was skipped."""
        found = {path.stem: "" for path in self.folder.glob("*.h5") if not path.name.startswith(".part-")}
        found.update({path.stem: read_json(path)["skipped"] for path in self.folder.glob("*.skip")})
        return found

    def write(self, name: str, arrays: Dict[str, np.ndarray], source: Dict[str, Any]) -> None:
        """Store the items of one source; ``arrays`` have equal first axes."""
        import h5py

        with atomic_path(self.folder / f"{name}.h5") as temporary:
            with h5py.File(temporary, "w") as handle:
                for key, array in arrays.items():
                    _create(handle, key, array.shape, array.dtype)[...] = array
                handle.attrs["source"] = json.dumps(source, sort_keys=True)

    def skip(self, name: str, reason: str) -> None:
        """Remember that ``name`` gives no items, and why."""
        write_json(self.folder / f"{name}.skip", {"skipped": reason})

    def read(self, name: str, keys: Sequence[str]) -> Dict[str, np.ndarray]:
        """Arrays of one part."""
        import h5py

        with h5py.File(self.folder / f"{name}.h5", "r") as handle:
            return {key: handle[key][...] for key in keys}

    def source(self, name: str) -> Tuple[Dict[str, Any], int]:
        """What is known of one part's source, and its number of items."""
        import h5py

        with h5py.File(self.folder / f"{name}.h5", "r") as handle:
            return json.loads(handle.attrs["source"]), len(handle["labels"])

    def assemble(self, names: Sequence[str], split: np.ndarray, header: Dict[str, Any]) -> None:
        """Put the target together from the parts in the order of ``names`` and remove the parts.

        Args:
            names: finished parts that were not skipped.
            split: (N,) int8 of every item in that order.
            header: attributes of the file.

        Raises:
            InputError: no items at all, or a disk that is full.
        """
        import h5py

        sources = [self.source(name) for name in names]
        total = sum(count for _, count in sources)
        if total == 0 or total != len(split):
            raise InputError(f"No item is left for {shown(self.target)}; see the reasons above.")
        with atomic_path(self.target) as temporary:
            with h5py.File(temporary, "w") as handle:
                _put_header(handle, header)
                handle.create_dataset("split", data=np.asarray(split, np.int8))
                rows = np.repeat(np.arange(len(names), dtype=np.int32), [count for _, count in sources])
                handle.create_dataset("source", data=rows)
                texts = [json.dumps(source, sort_keys=True) for source, _ in sources]
                handle.create_dataset("sources", data=texts, dtype=h5py.string_dtype())
                skipped = {name: reason for name, reason in sorted(self.done().items()) if reason}
                handle.create_dataset("skipped", data=json.dumps(skipped), dtype=h5py.string_dtype())
                begin = 0
                for name, (_, count) in zip(names, sources):
                    with h5py.File(self.folder / f"{name}.h5", "r") as part:
                        _copy(part, handle, begin, total)
                    begin += count
        shutil.rmtree(self.folder, ignore_errors=True)


def _put_header(handle: Any, header: Dict[str, Any]) -> None:
    handle.attrs["format"] = MAP_SET_FORMAT
    handle.attrs["format_version"] = FORMAT_VERSION
    for key in sorted(header):
        value = header[key]
        handle.attrs[key] = json.dumps(value, sort_keys=True) if isinstance(value, (dict, list)) else value


def _create(handle: Any, key: str, shape: Tuple[int, ...], dtype: Any) -> Any:
    if key in PER_ITEM and len(shape) > 1:
        return handle.create_dataset(key, shape, dtype, chunks=(1,) + tuple(shape[1:]), **_PACKING)
    return handle.create_dataset(key, shape, dtype)


def _copy(part: Any, handle: Any, begin: int, total: int) -> None:
    for key in part:
        source = part[key]
        if key not in handle:
            _create(handle, key, (total,) + source.shape[1:], source.dtype)
        target = handle[key]
        if source.chunks is None:
            target[begin : begin + len(source)] = source[...]
            continue
        # The packed bytes are the same on both sides: move them as they are.
        corner = (0,) * (source.ndim - 1)
        for row in range(len(source)):
            _, packed = source.id.read_direct_chunk((row,) + corner)
            target.id.write_direct_chunk((begin + row,) + corner, packed)


class DatasetFile:
    """A finished data set, read item by item: memory holds one batch, never the file."""

    def __init__(self, path: PathLike):
        """Open ``path``.

        Raises:
            InputError: missing, not a data set of ours, or of a newer format.
        """
        import h5py

        self.path = os.fspath(path)
        try:
            self._handle = h5py.File(self.path, "r")
        except OSError as error:
            why = "it does not exist" if not Path(self.path).exists() else "it is not a readable HDF5 file"
            raise InputError(
                f"Cannot open the data set {shown(path)}: {why}; make it with 'cryoresdl dataset'."
            ) from error
        attributes = dict(self._handle.attrs)
        if attributes.get("format") != MAP_SET_FORMAT or "maps" not in self._handle:
            self.close()
            raise InputError(f"{shown(path)} is not a CryoResDL data set; make one with 'cryoresdl dataset'.")
        if int(attributes["format_version"]) > FORMAT_VERSION:
            self.close()
            raise InputError(f"{shown(path)} was made by a newer CryoResDL; update this one.")
        self.info = {key: _plain(value) for key, value in attributes.items()}
        self.info["recipe"] = json.loads(self.info.get("recipe", "{}"))
        self.splits = self._handle["split"][...]

    def __enter__(self) -> DatasetFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._handle.close()

    def __len__(self) -> int:
        return len(self.splits)

    @property
    def keys(self) -> List[str]:
        """Names of the arrays that have one row per item."""
        return [key for key in self._handle if key not in ("sources", "skipped")]

    def column(self, key: str) -> np.ndarray:
        """A whole array; meant for the small ones (labels of maps, sources, voxel sizes, positions)."""
        return self._handle[key][...]

    def sources(self) -> List[Dict[str, Any]]:
        """What is known of each source; ``column("source")`` says which item is whose."""
        return [json.loads(text) for text in self._handle["sources"].asstr()[...]]

    def skipped(self) -> Dict[str, str]:
        """Sources that gave no items, with the reasons."""
        return dict(json.loads(self._handle["skipped"].asstr()[()])) if "skipped" in self._handle else {}

    def rows(self, split: str | None = None) -> np.ndarray:
        """Numbers of the items of a split ("train", "validation", "test"), or of all."""
        if split is None:
            return np.arange(len(self))
        return np.flatnonzero(self.splits == SPLITS.index(split))

    def read(self, key: str, rows: np.ndarray) -> np.ndarray:
        """Rows of one array in the given order, each at most once from the disk at a time."""
        data = self._handle[key]
        out = np.empty((len(rows),) + data.shape[1:], data.dtype)
        for place, row in enumerate(np.asarray(rows).tolist()):
            out[place] = data[row]
        return out

    def subset(self, split: str | None = None) -> Subset:
        """The examples of one split, as ``paper.epoch_loop`` wants them."""
        return Subset(self, self.rows(split))

    def batches(
        self, split: str | None, size: int, seed: int | None = None, epoch: int = 0
    ) -> Iterator[Tuple[np.ndarray, np.ndarray]]:
        """Batches (maps, labels); shuffled by ``(seed, epoch)`` unless ``seed`` is None."""
        rows = self.rows(split)
        if seed is not None:
            rows = np.random.default_rng([seed, epoch]).permutation(rows)
        for start in range(0, len(rows), size):
            chosen = rows[start : start + size]
            yield self.read("maps", chosen), self.read("labels", chosen)


class Subset:
    """Examples of one split by number: ``len`` and ``take``, the protocol of ``paper.examples.ExampleSource``."""

    def __init__(self, data: DatasetFile, rows: np.ndarray):
        self.data, self.rows = data, rows

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, indices: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """Maps (float32) and labels of the given numbers, in that order."""
        rows = self.rows[np.asarray(indices)]
        return self.data.read("maps", rows).astype(np.float32, copy=False), self.data.read("labels", rows)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _header(kind: str, recipe: Any) -> Dict[str, Any]:
    from ... import __version__

    return {
        "kind": kind,
        "mode": recipe.split if kind == "global" else recipe.mode,
        "seed": recipe.seed,
        "version": __version__,
        "recipe": dataclasses.asdict(recipe),
    }


def _open_parts(folder: str) -> Parts:
    """The parts in a worker: the folder is there and checked already."""
    parts = Parts.__new__(Parts)
    parts.folder = Path(folder)
    parts.target = parts.folder.with_name(parts.folder.name[: -len(".parts")])
    return parts
