"""What ``--resume`` keeps: results that an earlier run of the same command made from the same files."""

from __future__ import annotations

import argparse
from typing import Any, Mapping

from ..base.runs import atomic_files, run_record
from ..maps.density_map import plain_path


def begin_run(
    args: argparse.Namespace, request: Mapping[str, Any], inputs: Mapping[str, Any]
) -> run_record.Run | None:
    """The run of a command that writes into ``--out``, or None where there is nothing left to do, which is said.

    Args:
        args: with ``command``, ``out`` and ``resume``.
        request: options that the results depend on.
        inputs: files that they depend on by their role, as the user named them; empty ones are left out.
    """
    files = {name: plain_path(path) for name, path in inputs.items() if path}
    run = run_record.Run(args.out, {"command": args.command, **request}, files)
    if args.resume and run.complete():
        print(f"{atomic_files.shown(args.out)} is already complete.")
        return None
    return run


def given_files(args: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Files of a command line by the names of their arguments."""
    return {name: getattr(args, name) for name in names}
