"""An atomic model with values of ours in its B-factor column, for programs that colour by it."""

from __future__ import annotations

import os
from typing import Mapping, Tuple

from ..base.runs.atomic_files import PathLike, atomic_path
from .structure_reader import _parse

NO_VALUE = 0.0
"""In the B-factor column of residues without a value."""


def write_with_b_factors(
    source: PathLike, values: Mapping[Tuple[str, int, str], float], target: PathLike
) -> None:
    """Copy a model as mmCIF with a value per residue in its B-factor column, atomically.

    mmCIF, whatever the source: it has room for any number of residues and for chain names of any length.

    Args:
        source: PDB or mmCIF file, plain or compressed.
        values: by chain, residue number and insertion code; residues without one get `NO_VALUE`.
        target: the file to write.

    Raises:
        InputError: the source cannot be read.
    """
    import gemmi  # only who writes a model pays for it

    structure = _parse(os.fspath(source))
    structure.setup_entities()
    nothing = gemmi.SMat33f(0, 0, 0, 0, 0, 0)
    for model in structure:
        for chain in model:
            for residue in chain:
                key = (chain.name, residue.seqid.num or 0, residue.seqid.icode.strip("\0 "))
                for atom in residue:
                    atom.b_iso = values.get(key, NO_VALUE)
                    atom.aniso = nothing
    text = structure.make_mmcif_document().as_string()
    with atomic_path(target) as partial:
        partial.write_text(text, encoding="utf-8")
