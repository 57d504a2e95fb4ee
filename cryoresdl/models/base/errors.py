"""The exceptions that the engine raises on purpose, and what others' mean."""

from __future__ import annotations

import errno
from typing import Optional


class CryoResError(Exception):
    """Something that CryoResDL itself could not do; the message is one sentence for the user."""


class InputError(CryoResError):
    """The user's file or option is at fault: the message names it and says the remedy (exit code 2)."""


class OutputError(InputError):
    """Results cannot be written (disk full, read-only): no other map would fare better until that is mended."""


class MemoryLimitError(InputError):
    """This machine has not enough memory for this map; the same input may do elsewhere."""


class NetworkError(InputError):
    """A server cannot be reached or is out of order; the same input may do later."""


class ForeignFileError(InputError):
    """A file that no record of ours names is where a result would go; once it is moved away, the same input may do."""


_TENSORFLOWS_CODE = 8
"""RESOURCE_EXHAUSTED, in ``error_code`` of TensorFlow's errors."""


def is_out_of_memory(error: Optional[BaseException]) -> bool:
    """Whether an exception, or one that it was raised from, says that there was not enough memory.

    By type and number, not by words: they differ by library and language.
    """
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, (MemoryError, MemoryLimitError)):
            return True
        if isinstance(error, OSError) and error.errno == errno.ENOMEM:
            return True
        if getattr(error, "error_code", None) == _TENSORFLOWS_CODE:
            return True
        error = error.__cause__ or error.__context__
    return False
