"""The command line: ``cryoresdl COMMAND ...``, one module of ``cli.commands`` per subcommand.

A command module has ``HELP`` (one line, also in `COMMANDS`), ``EXAMPLE`` (a command line),
``add_arguments(parser)`` and ``run(args)``. Options that several commands share are added here; a command with
sub-commands returns their parsers, which then get them. Nothing heavy is imported: ``cryoresdl --version`` is to answer
at once.

Exit codes: 0 done; 2 bad usage or bad input (one sentence on stderr); 1 our failure (one sentence with the
path of a log); 128 + signal number when stopped by SIGINT, SIGTERM or a closed pipe.
"""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
from types import ModuleType
from typing import Any, NoReturn, Sequence

from ..base import quiet_libraries
from ..base.errors import CryoResError, InputError, is_out_of_memory
from .program_endings import (
    _USERS_DISK,
    EXIT_BAD_INPUT,
    EXIT_FAILED,
    Stopped,
    _catch_signals,
    _closed_pipe,
    _log,
    _release,
    _unexpected,
    _version,
    say,
)

COMMANDS = {
    "validate": "validate maps: global class, local resolution, comparison and report",
    "classify": "tell whether maps are of high, medium or low resolution, and check claims",
    "localres": "estimate the local resolution of a map",
    "compare": "measure how far local-resolution volumes agree",
    "audit": "tell what the answer about a map hangs on",
    "filter": "low-pass a map at its local resolution",
    "residues": "list the local resolution of every residue of an atomic model",
    "report": "make the report of a results folder again",
    "plot": "draw one figure of a results folder",
    "models": "list the shipped and installed models with their cards",
    "simulate": "make a map from an atomic structure",
    "dataset": "build a training set",
    "train": "train a network on a training set",
    "make": "make a shipped model from its recipe",
    "evaluate": "measure a model on a data set, with baselines",
    "reproduce": "make the tables and figures of the paper with our models",
}
"""Every subcommand and its HELP line, so that ``--help`` needs not import them (a test compares)."""

OUT_HELP = {
    "dataset": "the HDF5 file to write",
    "report": None,
    "plot": None,
    "models": None,
}
"""Commands whose ``--out`` is not a required folder; None: the module adds its own, or has none."""

OBEYED = {
    "validate": ("overwrite", "resume"),
    "classify": ("overwrite", "resume"),
    "localres": ("overwrite", "resume"),
    "compare": ("overwrite", "resume"),
    "audit": ("overwrite", "resume"),
    "filter": ("overwrite", "resume"),
    "residues": ("overwrite", "resume"),
    "report": ("overwrite",),
    "plot": ("overwrite",),
    "models": (),
    "simulate": ("overwrite", "resume", "seed"),
    "dataset": ("overwrite", "resume", "seed"),
    "train": ("overwrite", "resume", "seed"),
    "make": ("overwrite", "resume"),
    "evaluate": ("overwrite", "resume"),
    "reproduce": ("overwrite", "seed"),
}
"""Which of the options that several commands share a command obeys; it has no others."""

EXAMPLE = "cryoresdl validate map.mrc --claimed 3.2 --out results"


class _Parser(argparse.ArgumentParser):
    """argparse, but a mistake is answered with one sentence instead of the whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_BAD_INPUT, f"{self.prog}: {message}; see {self.prog} --help.\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code.

    Args:
        argv: the words after the program's name; None takes ``sys.argv``.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    quiet_libraries.confine()
    restore = _catch_signals()
    try:
        return _guarded(words)
    finally:
        restore()
        _release()


def build_parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """The parser for these words; only the chosen command's module is imported."""
    parser = _Parser(
        prog="cryoresdl",
        description="Deep-learning validation of the resolution of cryo-EM maps.",
        epilog=f"example: {EXAMPLE}\n\ncryoresdl COMMAND --help explains a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"cryoresdl {_version()}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    chosen = next((word for word in words if not word.startswith("-")), None)
    for name, text in COMMANDS.items():
        if name == chosen:
            _add_command(commands, name, load_command(name))
        else:
            commands.add_parser(name, help=text, add_help=False)
    return parser


def load_command(name: str) -> ModuleType:
    """Import the module of one subcommand."""
    return importlib.import_module(f"{__package__}.commands.{name}")


def _add_command(commands: Any, name: str, module: ModuleType) -> None:
    parser = commands.add_parser(
        name,
        help=module.HELP,
        description=(module.__doc__ or module.HELP).strip(),
        epilog=f"example: {module.EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=module.run)
    for each in module.add_arguments(parser) or [parser]:
        _add_common(each, name)


def _add_common(parser: argparse.ArgumentParser, name: str) -> None:
    """The options that several commands share, as far as this one obeys them."""
    common = parser.add_argument_group("common options")
    out = OUT_HELP.get(name, "the folder for the results, made when missing")
    if out:
        metavar = "FILE" if name == "dataset" else "DIR"
        common.add_argument("--out", required=True, metavar=metavar, help=out)
    if OBEYED[name]:
        existing = common.add_mutually_exclusive_group()
        existing.add_argument("--overwrite", action="store_true", help="replace results that are there")
        if "resume" in OBEYED[name]:
            existing.add_argument(
                "--resume", action="store_true", help="keep what an earlier run finished and do the rest"
            )
    if "seed" in OBEYED[name]:
        text = "of everything random; stored with the results (0)"
        common.add_argument("--seed", type=int, default=0, metavar="N", help=text)
    common.add_argument("--quiet", action="store_true", help="no progress on stderr")
    common.add_argument("--version", action="version", version=f"cryoresdl {_version()}")


def _guarded(words: list[str]) -> int:
    """Run the words and turn every way of ending into an exit code and at most one line on stderr."""
    try:
        return _run(words)
    except SystemExit as error:  # argparse: help, version, usage
        return error.code if isinstance(error.code, int) else EXIT_FAILED
    except InputError as error:
        return say(str(error), EXIT_BAD_INPUT)
    except (Stopped, KeyboardInterrupt) as error:
        code = 128 + (error.number if isinstance(error, Stopped) else signal.SIGINT)
        return say("stopped; what was finished is kept (go on with --resume, or start again).", code)
    except BrokenPipeError:
        return _closed_pipe()
    except CryoResError as error:
        return say(f"{error} Log: {_log(words)}", EXIT_FAILED)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _USERS_DISK:
            place = f" ({error.filename})" if error.filename else ""
            return say(f"{error.strerror}{place}; free the disk or choose another --out.", EXIT_BAD_INPUT)
        if is_out_of_memory(error):
            return say(f"not enough memory for this map; bin or crop it. Log: {_log(words)}", EXIT_FAILED)
        return _unexpected(error, words)


def _run(words: list[str]) -> int:
    parser = build_parser(words)
    args = parser.parse_args(words)
    if args.command is None:
        parser.print_help()
        return EXIT_BAD_INPUT
    from ..base import progress

    progress.set_quiet(bool(getattr(args, "quiet", False)))
    _refuse_empty_out(args)
    args.run(args)
    sys.stdout.flush()
    return 0


def _refuse_empty_out(args: argparse.Namespace) -> None:
    """An unset variable of a shell must not become the current folder."""
    out = getattr(args, "out", None)
    if out is not None and not out.strip():
        raise InputError("--out is empty (a variable that is not set?); name the place for the results.")
