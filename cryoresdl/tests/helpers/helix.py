"""A small structure that needs no file of others."""

from pathlib import Path

import numpy as np


def helix(path, residues=40):
    """Write a PDB file with the backbone of an alpha helix: small, whole, and of known extent."""
    lines, serial = [], 0
    for number in range(residues):
        for name, element, radius, shift, angle in (
            ("N", "N", 1.55, -0.9, -28.0),
            ("CA", "C", 2.28, 0.0, 0.0),
            ("C", "C", 1.66, 1.1, 26.0),
            ("O", "O", 2.0, 2.3, 20.0),
        ):
            turn = np.radians(100.0 * number + angle)
            x, y, z = radius * np.cos(turn), radius * np.sin(turn), 1.5 * number + shift
            serial += 1
            lines.append(
                "ATOM  %5d  %-3s ALA A%4d    %8.3f%8.3f%8.3f  1.00 20.00           %s"
                % (serial, name, number + 1, x, y, z, element)
            )
    Path(path).write_text("\n".join(lines + ["END", ""]))
    return str(path)
