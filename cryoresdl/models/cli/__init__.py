"""The command line: ``cryoresdl COMMAND ...``."""

from .command_line import main

__all__ = ["main"]
