"""The exceptions that the engine raises on purpose."""


class CryoResError(Exception):
    """Something that CryoResDL itself could not do; the message is one sentence for the user."""


class InputError(CryoResError):
    """The user's file or option is at fault: the message names it and says the remedy (exit code 2)."""
