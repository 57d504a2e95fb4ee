"""Shipped and installed models: finding, loading and installing them."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Dict, List, NamedTuple, Union

from ...base.errors import InputError
from ...base.runs.atomic_files import PathLike
from . import model_check
from .model_archive import (
    _NAME,
    _WEIGHTS,
    MAX_UNKNOWN_BYTES,
    MAX_WEIGHTS_BYTES,
    MODEL_SUFFIX,
    Card,
    Headers,
    Model,
    _digest_of,
    _member,
    _open,
    _read_card,
    _read_manifest,
    _unpack_weights,
    check_name,
    save_model,
)

MODELS_VARIABLE = "CRYORESDL_MODELS"
BACKEND_VARIABLE = "CRYORESDL_BACKEND"
"""Which library runs the default networks: openvino, tensorflow or numpy."""
"""Environment variable naming the folder of installed models; ``~/.cryoresdl/models`` when unset."""
DEFAULT_LOCAL_MODEL = "truth"
DEFAULT_GLOBAL_MODEL = "default"
RECOMMENDED = (DEFAULT_GLOBAL_MODEL, DEFAULT_LOCAL_MODEL)
"""What lists of models begin with."""


class Available(NamedTuple):
    """One model that a name can stand for; ``source`` is ``shipped`` or ``installed``."""

    name: str
    kind: str
    path: str
    source: str


def load_named(name_or_path: PathLike) -> Model:
    """Read a model by name or by path and check every byte of it against its digests.

    Raises:
        InputError: no such model; a truncated, altered or foreign file; a newer format; a card or arrays that are not
            those of its network (`model_check`); one that unpacks to more than ``MAX_WEIGHTS_BYTES``.
    """
    path = resolve(name_or_path)
    with _open(path) as archive:
        manifest = _read_manifest(archive, path)
        card = _read_card(archive, manifest, path)
        model_check.check_card(card, path)

        def check(headers: Headers) -> None:
            model_check.check_arrays(headers, card, path)
            size = sum(math.prod(shape) * dtype.itemsize for shape, dtype in headers.values())
            if card["network"]["name"] not in model_check.KINDS and size > MAX_UNKNOWN_BYTES:
                raise InputError(
                    f"{path} holds {size >> 20} MB for a network that this version does not know."
                )

        weights = _unpack_weights(_member(archive, manifest, _WEIGHTS, MAX_WEIGHTS_BYTES, path), path, check)
    model_check.check_values(weights, card, path)
    return Model(card, weights, str(path), _digest_of(manifest))


def read_card(name_or_path: PathLike) -> Card:
    """Read and check only the card of a model (milliseconds, whatever the size of its weights).

    Raises:
        InputError: as :func:`load_named`, for everything but the weights.
    """
    path = resolve(name_or_path)
    with _open(path) as archive:
        return _read_card(archive, _read_manifest(archive, path), path)


def digest(model: Union[Model, PathLike]) -> str:
    """The SHA-256 that identifies a model: of its card's and its weights' digests, as 64 hex digits."""
    if isinstance(model, Model):
        return model.digest
    path = resolve(model)
    with _open(path) as archive:
        return _digest_of(_read_manifest(archive, path))


def shipped_folder() -> Path:
    """The folder of the models that come with the package."""
    return Path(__file__).resolve().parents[2] / "weights"


def installed_folder() -> Path:
    """The folder of the user's models: ``$CRYORESDL_MODELS``, else ``~/.cryoresdl/models``."""
    chosen = os.environ.get(MODELS_VARIABLE)
    return Path(chosen) if chosen else Path.home() / ".cryoresdl" / "models"


def available() -> List[Available]:
    """All models that a name stands for: the recommended, other shipped, then installed ones; unreadable files are left out.

    A shipped name always means the shipped model, so that a result names one model everywhere.
    """
    found: Dict[str, Available] = {}
    for source, folder in (("shipped", shipped_folder()), ("installed", installed_folder())):
        for path in sorted(folder.glob("*" + MODEL_SUFFIX)) if folder.is_dir() else []:
            name = path.name[: -len(MODEL_SUFFIX)]
            if name in found:
                continue
            try:
                found[name] = Available(name, str(read_card(path)["kind"]), str(path), source)
            except InputError:
                continue
    return sorted(found.values(), key=lambda one: one.name not in RECOMMENDED)


def resolve(name_or_path: PathLike) -> Path:
    """The file that a name or a path means; an existing file wins over a name.

    Raises:
        InputError: neither a file nor a known name; the message lists the names.
    """
    text = os.fspath(name_or_path)
    if "\0" in text or not text:
        raise InputError("The model's name is empty or holds a NUL character; see 'cryoresdl models'.")
    path = Path(text)
    if path.is_file():
        return path
    if _NAME.match(text):
        for folder in (shipped_folder(), installed_folder()):
            candidate = folder / (text + MODEL_SUFFIX)
            if candidate.is_file():
                return candidate
    names = ", ".join(model.name for model in available()) or "none"
    raise InputError(f"There is no model file and no model named {text}; models at hand: {names}.")


def install(source: PathLike, name: str | None = None, overwrite: bool = False) -> Path:
    """Check a model file and copy it into the folder of installed models.

    Args:
        source: the model file.
        name: the name it shall have; default: the one on its card.
        overwrite: replace an installed model of that name.

    Raises:
        InputError: a bad file, a bad or taken name, or a folder that cannot be written to.
    """
    model = load_named(source)
    name = name or model.name
    check_name(name)
    if (shipped_folder() / (name + MODEL_SUFFIX)).exists():
        raise InputError(f"'{name}' is the name of a shipped model; install {source} under another name.")
    folder = installed_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"Cannot create the models' folder {folder}: {error.strerror}.") from error
    target = folder / (name + MODEL_SUFFIX)
    if target.exists() and not overwrite:
        raise InputError(f"A model named '{name}' is already installed; give another name or --overwrite.")
    return save_model(target, dict(model.card, name=name), model.weights)
