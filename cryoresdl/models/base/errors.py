"""The exceptions that the engine raises on purpose."""


class CryoResError(Exception):
    """Something that CryoResDL itself could not do; the message is one sentence for the user."""


class InputError(CryoResError):
    """The user's file or option is at fault: the message names it and says the remedy (exit code 2)."""


class OutputError(InputError):
    """Results cannot be written (disk full, read-only): no other map would fare better until that is mended."""


class MemoryLimitError(InputError):
    """This machine has not enough memory for this map; the same input may do elsewhere."""
