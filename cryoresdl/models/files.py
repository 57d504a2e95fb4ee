"""Results appear whole or not at all: atomic files, JSON, and the rules for output folders."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any, Iterable, Iterator, Union

from .errors import InputError

PathLike = Union[str, "os.PathLike[str]"]


@contextlib.contextmanager
def atomic_path(target: PathLike) -> Iterator[Path]:
    """Yield a temporary path beside ``target``; rename it onto ``target`` when the block succeeds.

    Args:
        target: the file to appear whole; its folder must exist.

    Raises:
        InputError: the folder cannot be written to (read-only, full, missing).
    """
    target = Path(target)
    try:
        handle, name = tempfile.mkstemp(prefix=".part-", suffix=target.suffix, dir=str(target.parent))
    except OSError as error:
        raise InputError(
            f"Cannot write in {target.parent}: {error.strerror}; choose another --out or free the folder."
        ) from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes private files; results are to be read by the whole group, as umask says.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, target)
    except OSError as error:
        raise InputError(
            f"Cannot write {target}: {error.strerror or error}; free disk space or choose another --out."
        ) from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()


def write_json(path: PathLike, value: Any) -> None:
    """Write ``value`` as indented UTF-8 JSON, atomically; NaN and infinities are refused."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: PathLike) -> Any:
    """Read a JSON file.

    Raises:
        InputError: the file is missing or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}.") from error
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON ({error}); run the command that made it again.") from error


def prepare_out(
    folder: PathLike, results: Iterable[str], overwrite: bool = False, resume: bool = False
) -> Path:
    """Create ``--out`` when missing and protect results that are already there.

    Args:
        folder: the output folder.
        results: names of the files that the command is about to write.
        overwrite: replace existing results.
        resume: existing results are wanted.

    Raises:
        InputError: the folder cannot be made, or holds results and neither flag is given.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"Cannot create the output folder {folder}: {error.strerror}.") from error
    there = [name for name in results if (folder / name).exists()]
    if there and not (overwrite or resume):
        raise InputError(
            f"{folder} already holds {there[0]}; give --overwrite to replace it or another --out."
        )
    return folder
