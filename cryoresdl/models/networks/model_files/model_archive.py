"""One trained network on disk: named arrays and a card, in one file that can be trusted.

A ``*.cryoresdl`` file is a zip of three members: ``manifest.json`` (format number, SHA-256 and size of the
other two), ``card.json`` (what the model is, on what and how it was trained, how good it is) and
``weights.npz`` (plain numpy arrays). Nothing in it is ever executed: no pickle, no Keras configuration with
code, no file is extracted to disk. The same card and weights give the same bytes.
"""

from __future__ import annotations

import ast
import hashlib
import io
import json
import math
import re
import shutil
import tempfile
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Tuple, TypedDict, cast

import numpy as np

from ...base.errors import InputError
from ...base.runs.atomic_files import PathLike, atomic_path

MODEL_FORMAT = 1
"""Number of the file format; a file with a higher one is refused."""
MODEL_KINDS = ("local", "global")
MAX_CARD_BYTES = 4 << 20
MAX_WEIGHTS_BYTES = 6 << 30
"""Largest sum of unpacked arrays: six times the paper's DNN, the largest network of the project."""
MAX_ARRAYS = 10_000
MAX_RATIO, MAX_LARGE_RATIO, LARGE = 200, 10, 16 << 20
"""Trained weights shrink by less than two; what grows by more, and a large member by more than ten, is a zip bomb."""
MAX_UNKNOWN_BYTES = 256 << 20
"""Largest sum of arrays of a network that this version does not know, and so cannot tell how large it should be."""

_MANIFEST, _CARD, _WEIGHTS = "manifest.json", "card.json", "weights.npz"
_MAGIC = "cryoresdl-model"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}\Z")
_ARRAY_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./:+-]{0,299}\Z")
_DTYPE = re.compile(r"[<>|=]?[fiub][1248]{1,2}\Z")
_BLOCK = 1 << 22
_EPOCH = (1980, 1, 1, 0, 0, 0)
_BROKEN = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    EOFError,
    KeyError,
    ValueError,
    RuntimeError,
    NotImplementedError,
    OverflowError,
    SyntaxError,
    TypeError,
    MemoryError,
    RecursionError,
)
"""What zipfile, zlib, json and numpy raise on damaged bytes."""


class Card(TypedDict, total=False):
    """What a model's card holds; every card has the first four.

    Attributes:
        format: number of the file format.
        name: of the model.
        kind: ``local`` or ``global``.
        network: ``name`` of the architecture and its ``config``.
        data: sets that it learned from, with seeds and numbers of maps or examples.
        training: hyper-parameters, with what they were begun from.
        metrics: on maps that it never saw.
        calibration: of its intervals and probabilities, and what corrects its answers.
        history: columns of its training, of a network of the paper.
        mode: ``paper`` for a network of the paper.
        parameters: how many numbers were fitted.
        compressed_from: the ``network`` that this one stands for.
        created: day, ISO 8601.
        version: of the program.
    """

    format: int
    name: str
    kind: str
    network: Dict[str, Any]
    data: Dict[str, Any]
    training: Dict[str, Any]
    metrics: Dict[str, Any]
    calibration: Dict[str, Any]
    history: Dict[str, Any]
    mode: str
    parameters: int
    compressed_from: Dict[str, Any]
    created: str
    version: str


@dataclass(frozen=True)
class Model:
    """A loaded model: ``card``, ``weights`` (name -> array), ``path`` and the SHA-256 ``digest``."""

    card: Card
    weights: Dict[str, np.ndarray] = field(repr=False)
    path: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        """The model's own name."""
        return str(self.card["name"])

    @property
    def kind(self) -> str:
        """``local`` or ``global``."""
        return str(self.card["kind"])


def save_model(path: PathLike, card: Mapping[str, Any], weights: Dict[str, np.ndarray]) -> Path:
    """Write a model, whole or not at all; the same content gives the same bytes.

    Args:
        path: the file to write, by custom ``NAME.cryoresdl``; its folder must exist.
        card: JSON-ready dictionary with at least ``name``, ``kind`` (``local`` or ``global``) and ``network``
            (a dictionary with ``name``); ``format`` is filled in here.
        weights: name -> numeric array, any shape.

    Raises:
        InputError: a card or an array that ``model_store.load_named`` would refuse, or a folder that cannot be written to.
    """
    path = Path(path)
    card = dict(card, format=MODEL_FORMAT)
    _check_card(card, path)
    try:
        card_bytes = json.dumps(card, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise InputError(f"The card of {path} is not plain JSON ({error}).") from error
    # Large networks are packed on disk, beside the target: memory holds no second copy of them.
    with atomic_path(path) as temporary, tempfile.TemporaryFile(dir=str(temporary.parent)) as packed:
        _pack_weights(weights, path, packed)
        entries = {_CARD: _entry(io.BytesIO(card_bytes)), _WEIGHTS: _entry(packed)}
        manifest = json.dumps(
            {"magic": _MAGIC, "format": MODEL_FORMAT, "files": entries}, indent=1, sort_keys=True
        )
        with zipfile.ZipFile(str(temporary), "w") as archive:
            _add(archive, _MANIFEST, io.BytesIO(manifest.encode()), zipfile.ZIP_STORED)
            _add(archive, _CARD, io.BytesIO(card_bytes), zipfile.ZIP_STORED)
            _add(archive, _WEIGHTS, packed, zipfile.ZIP_STORED)
    return path


def is_name(text: str) -> bool:
    """Whether a card can bear this name."""
    return bool(_NAME.match(text))


def check_name(name: str) -> None:
    """Refuse what cannot name a model.

    Raises:
        InputError: it cannot.
    """
    if not is_name(name):
        raise InputError(f"'{name}' cannot name a model; use letters, digits, '.', '_', '+' and '-'.")


def _check_card(card: Any, path: Path) -> None:
    good = (
        isinstance(card, dict)
        and isinstance(card.get("name"), str)
        and _NAME.match(card["name"])
        and card.get("kind") in MODEL_KINDS
        and isinstance(card.get("network"), dict)
        and isinstance(card["network"].get("name"), str)
    )
    if not good:
        raise InputError(f"The card of {path} lacks a proper name, kind (local or global) or network.")


def _entry(stream: Any) -> Dict[str, Any]:
    """Digest and size of a stream for the manifest; leaves it at its start."""
    stream.seek(0)
    sha, size = hashlib.sha256(), 0
    for block in iter(lambda: stream.read(_BLOCK), b""):
        sha.update(block)
        size += len(block)
    stream.seek(0)
    return {"sha256": sha.hexdigest(), "bytes": size}


def _add(archive: zipfile.ZipFile, name: str, stream: Any, method: int) -> None:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.compress_type = method
    info.external_attr = 0o644 << 16
    info.create_system = 3
    with archive.open(info, "w", force_zip64=True) as member:
        shutil.copyfileobj(stream, member, _BLOCK)


def _pack_weights(weights: Dict[str, np.ndarray], path: Path, packed: Any) -> None:
    total = 0
    with zipfile.ZipFile(packed, "w") as archive:
        for name in sorted(weights):
            array = np.asarray(weights[name])
            if not _ARRAY_NAME.match(name) or ".." in name or array.dtype.kind not in "fiub":
                raise InputError(f"Array '{name}' of {path} has an improper name or is not numeric.")
            total += array.nbytes
            if total > MAX_WEIGHTS_BYTES or len(weights) > MAX_ARRAYS:
                raise InputError(f"The weights for {path} are too large for a model file ({total >> 20} MB).")
            _add(archive, name + ".npy", _Npy(array), _method(_Npy(array).read(1 << 20)))


class _Npy:
    """An array as a stream of ``.npy`` bytes, without a copy of it."""

    def __init__(self, array: np.ndarray) -> None:
        array = np.ascontiguousarray(array).reshape(array.shape)
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
        self.parts = [memoryview(header.getvalue()), memoryview(array.reshape(-1).view(np.uint8).data)]

    def read(self, size: int) -> bytes:
        found = b""
        while self.parts and len(found) < size:
            take = size - len(found)
            found += bytes(self.parts[0][:take])
            self.parts[0] = self.parts[0][take:]
            if not len(self.parts[0]):
                self.parts.pop(0)
        return found


def _method(sample: bytes) -> int:
    """Pack what shrinks by a useful, plausible amount: noise wastes time, zeros would look like a bomb."""
    ratio = len(zlib.compress(sample, 1)) / max(len(sample), 1)
    return zipfile.ZIP_DEFLATED if 0.02 < ratio < 0.9 else zipfile.ZIP_STORED


Headers = Dict[str, Tuple[Tuple[int, ...], np.dtype]]


def _unpack_weights(data: bytes, path: Path, check: Callable[[Headers], None]) -> Dict[str, np.ndarray]:
    """The arrays of ``weights.npz``; ``check`` sees their names, shapes and types before memory is taken for them."""
    weights: Dict[str, np.ndarray] = {}
    headers: Headers = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            _check_members(archive, MAX_WEIGHTS_BYTES, path)
            for info in archive.infolist():
                name = info.filename[:-4]
                if not info.filename.endswith(".npy") or not _ARRAY_NAME.match(name) or ".." in name:
                    raise InputError(f"{path} holds an improper array name; it is damaged or not a model.")
                with archive.open(info) as member:
                    headers[name] = _read_header(member.read(_LONGEST_HEADER), info.file_size)[:2]
            check(headers)
            for info in archive.infolist():
                weights[info.filename[:-4]] = _read_array(archive.read(info))
    except _BROKEN as error:
        raise InputError(f"{path} is damaged: its weights cannot be read; fetch the file again.") from error
    return weights


def _read_array(data: bytes) -> np.ndarray:
    """Parse one ``.npy`` of version 1.0."""
    shape, dtype, start, fortran = _read_header(data, len(data))
    flat = np.frombuffer(data, dtype, math.prod(shape), start)
    return flat.reshape(shape, order="F" if fortran else "C").copy()


_LONGEST_HEADER = 10 + 65535


def _read_header(data: bytes, size: int) -> Tuple[Tuple[int, ...], np.dtype, int, bool]:
    """Shape, type, place of the first value and column order of one ``.npy`` whose file has ``size`` bytes.

    numpy's own reader falls back on Python 2 syntax and trusts the shape: hence this strict one.
    """
    if data[:8] != b"\x93NUMPY\x01\x00":
        raise ValueError("unexpected .npy version")
    start = 10 + int.from_bytes(data[8:10], "little")
    header = ast.literal_eval(data[10:start].decode("ascii"))
    if not isinstance(header, dict) or set(header) != {"descr", "fortran_order", "shape"}:
        raise ValueError("improper header")
    if not isinstance(header["descr"], str) or not _DTYPE.match(header["descr"]):
        raise ValueError("not a numeric array")
    dtype = np.dtype(header["descr"])
    shape = header["shape"]
    if not isinstance(shape, tuple) or len(shape) > 8:
        raise ValueError("improper shape")
    if not all(isinstance(length, int) and not isinstance(length, bool) and length >= 0 for length in shape):
        raise ValueError("improper shape")
    if math.prod(shape) * dtype.itemsize != size - start:
        raise ValueError("the array's size does not fit its header")
    return shape, dtype, start, bool(header["fortran_order"])


def _open(path: Path) -> zipfile.ZipFile:
    try:
        archive = zipfile.ZipFile(str(path))
    except OSError as error:
        raise InputError(f"Cannot read the model {path}: {error.strerror or error}.") from error
    except _BROKEN as error:
        raise InputError(
            f"{path} is not a CryoResDL model, or it is truncated; fetch or export the file again."
        ) from error
    try:
        _check_members(archive, MAX_WEIGHTS_BYTES + MAX_CARD_BYTES, path)
    except InputError:
        archive.close()
        raise
    return archive


def _check_members(archive: zipfile.ZipFile, limit: int, path: Path) -> None:
    infos = archive.infolist()
    names = [info.filename for info in infos]
    if len(infos) > MAX_ARRAYS or len(set(names)) != len(names):
        raise InputError(f"{path} is not a CryoResDL model: it holds too many or repeated entries.")
    if sum(info.file_size for info in infos) > limit:
        raise InputError(f"{path} would unpack to more than {limit >> 30} GB; it is refused.")
    for info in infos:
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.flag_bits & 1:
            raise InputError(f"{path} is not a CryoResDL model: it is encrypted or packed in another way.")
        ratio = MAX_LARGE_RATIO if info.file_size > LARGE else MAX_RATIO
        if info.file_size > ratio * max(info.compress_size, 1) + (1 << 16):
            raise InputError(f"{path} unpacks to far more than any model would; it is refused.")


def _member(
    archive: zipfile.ZipFile, manifest: Dict[str, Any] | None, name: str, limit: int, path: Path
) -> bytes:
    """One member's bytes, checked against the manifest unless ``manifest`` is None."""
    try:
        info = archive.getinfo(name)
        if info.file_size > limit:
            raise InputError(f"{path} holds a {name} of {info.file_size >> 20} MB; it is refused.")
        data = archive.read(info)
        if manifest is not None:
            expected = manifest["files"][name]
            if len(data) != expected["bytes"] or hashlib.sha256(data).hexdigest() != expected["sha256"]:
                raise InputError(
                    f"{path} is damaged: {name} does not match its digest; fetch the file again."
                )
    except OSError as error:
        raise InputError(f"Cannot read the model {path}: {error.strerror or error}.") from error
    except _BROKEN as error:
        raise InputError(f"{path} is damaged: {name} cannot be read; fetch the file again.") from error
    return data


def _json(data: bytes, what: str, path: Path) -> Any:
    try:
        return json.loads(data.decode("utf-8"), parse_constant=_no_number)
    except (ValueError, RecursionError, MemoryError) as error:
        raise InputError(f"{path} is damaged: its {what} is not JSON; fetch the file again.") from error


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")


def _read_manifest(archive: zipfile.ZipFile, path: Path) -> Dict[str, Any]:
    names = set(archive.namelist())
    foreign = InputError(f"{path} is not a CryoResDL model; choose a *{MODEL_SUFFIX} file.")
    if _MANIFEST not in names:
        raise foreign
    manifest = _json(_member(archive, None, _MANIFEST, MAX_CARD_BYTES, path), "manifest", path)
    if not isinstance(manifest, dict) or manifest.get("magic") != _MAGIC:
        raise foreign
    number = manifest.get("format")
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise InputError(f"{path} is damaged: its format number is missing; fetch the file again.")
    if number > MODEL_FORMAT:
        raise InputError(
            f"{path} has format {number} but this CryoResDL reads up to {MODEL_FORMAT}; update CryoResDL to use it."
        )
    if names != {_MANIFEST, _CARD, _WEIGHTS}:
        raise InputError(f"{path} lacks parts of a model or holds foreign ones; fetch the file again.")
    files = manifest.get("files")
    entries = list(files.values()) if isinstance(files, dict) and set(files) == {_CARD, _WEIGHTS} else []
    if not entries or not all(isinstance(one, dict) and {"sha256", "bytes"} <= set(one) for one in entries):
        raise InputError(f"{path} is damaged: its manifest has no digests; fetch the file again.")
    return manifest


def _read_card(archive: zipfile.ZipFile, manifest: Dict[str, Any], path: Path) -> Card:
    card = _json(_member(archive, manifest, _CARD, MAX_CARD_BYTES, path), "card", path)
    _check_card(card, path)
    return cast(Card, card)


def _digest_of(manifest: Dict[str, Any]) -> str:
    parts: Tuple[str, ...] = tuple(str(manifest["files"][name]["sha256"]) for name in (_CARD, _WEIGHTS))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


MODEL_SUFFIX = ".cryoresdl"
