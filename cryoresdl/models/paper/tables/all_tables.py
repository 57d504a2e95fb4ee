"""Every table and figure of the paper by name."""

from __future__ import annotations

from pathlib import Path
from typing import List

from ...base import progress
from ...base.errors import InputError
from .context import Context
from .controlled_experiments import finding
from .global_tables import table1, table2, table3, table4, table5
from .patch_tables import table6, table7
from .training_curves import fig2, fig3, fig4, fig5

ALL = {
    function[0]: function[1]
    for function in (
        ("table1", table1),
        ("table2", table2),
        ("table3", table3),
        ("table4", table4),
        ("table5", table5),
        ("table6", table6),
        ("table7", table7),
        ("fig2", fig2),
        ("fig3", fig3),
        ("fig4", fig4),
        ("fig5", fig5),
        ("finding", finding),
    )
}
"""What ``cryoresdl reproduce`` can make."""


def everything(out: Path, context: Context) -> List[Path]:
    """Make every table and figure; what lacks a model or data is named at the end, the rest is made.

    Raises:
        InputError: nothing could be made.
    """
    written: List[Path] = []
    missing: List[str] = []
    for name, make in ALL.items():
        progress.note(f"{name} ...")
        try:
            written += make(out, context)
        except InputError as error:
            missing.append(f"{name} is not made: {error}")
    for sentence in missing:
        progress.note(sentence)
    if not written:
        raise InputError(" ".join(missing))
    return written
