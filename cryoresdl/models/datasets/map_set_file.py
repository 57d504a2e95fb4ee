"""Training sets on disk: finished parts that survive a kill, one HDF5 file at the end, reading in batches.

A set is made of parts (see `set_parts`) and put together chunk by chunk and without unpacking. While that goes on its
content is on the disk twice.

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
from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence, Tuple

import numpy as np

from ..base.errors import InputError
from ..base.runs.atomic_files import PathLike, shown
from .set_parts import SetParts, open_hdf5
from .splits import SPLITS

MAP_SET_FORMAT = "cryoresdl-dataset"
FORMAT_VERSION = 1
PER_ITEM = ("maps", "labels", "values", "masks")
"""Arrays that are stored one item per chunk, because training reads them item by item in random order."""
_PACKING = {"compression": "lzf", "shuffle": True}


class Parts(SetParts):
    """The finished parts of a set of maps."""

    def write(self, name: str, arrays: Dict[str, np.ndarray], source: Dict[str, Any]) -> None:
        """Store the items of one source; ``arrays`` have equal first axes."""

        def fill(handle: Any) -> None:
            for key, array in arrays.items():
                _create(handle, key, array.shape, array.dtype)[...] = array
            handle.attrs["source"] = json.dumps(source, sort_keys=True)

        self.put(name, fill)

    def read(self, name: str, keys: Sequence[str]) -> Dict[str, np.ndarray]:
        """Arrays of one part."""
        with self.opened(name) as handle:
            return {key: handle[key][...] for key in keys}

    def source(self, name: str) -> Tuple[Dict[str, Any], int]:
        """What is known of one part's source, and its number of items."""
        with self.opened(name) as handle:
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
        counts = [count for _, count in sources]
        total = sum(counts)
        if total == 0 or total != len(split):
            self.remove()  # reasons to skip must not stand in the way of another try
            raise InputError(f"No item is left for {shown(self.target)}; see the reasons above.")

        def fill(handle: Any) -> None:
            _put_header(handle, header)
            handle.create_dataset("split", data=np.asarray(split, np.int8))
            rows = np.repeat(np.arange(len(names), dtype=np.int32), counts)
            handle.create_dataset("source", data=rows)
            texts = [json.dumps(source, sort_keys=True) for source, _ in sources]
            handle.create_dataset("sources", data=texts, dtype=h5py.string_dtype())
            skipped = {name: reason for name, reason in sorted(self.done().items()) if reason}
            handle.create_dataset("skipped", data=json.dumps(skipped), dtype=h5py.string_dtype())
            begin = 0
            for name, count in zip(names, counts):
                with self.opened(name) as part:
                    _copy(part, handle, begin, total)
                begin += count

        self.finish(fill)


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
        self.path = os.fspath(path)
        try:
            self._handle = open_hdf5(self.path)
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
