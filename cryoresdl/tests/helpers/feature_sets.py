"""Structures that feature sets are made of in tests, and what a set holds."""

import gzip

import h5py

COUNTS = {"train": 2, "validation": 1}


def write_pdb(path, atoms):
    """Alpha carbons as a compressed PDB file."""
    lines = [
        "ATOM  {:5d}  CA  ALA A{:4d}    {:8.3f}{:8.3f}{:8.3f}  1.00{:6.2f}           C  ".format(
            k + 1, k + 1, *xyz, b
        )
        for k, (xyz, b) in enumerate(zip(atoms.xyz, atoms.b_factor))
    ]
    with gzip.open(path, "wt") as handle:
        handle.write("\n".join([*lines, "END", ""]))


def content(path):
    """Every array and description of a set, by split, map and name."""
    found = {}
    with h5py.File(path, "r") as handle:
        for split in handle:
            for name, group in handle[split].items():
                for key, values in group.items():
                    found[split, name, key] = values[()].tobytes()
                found[split, name, "info"] = group.attrs["info"]
    return found
