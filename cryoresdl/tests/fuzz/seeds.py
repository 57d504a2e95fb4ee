"""The whole files that fuzzing begins with, per target."""

import bz2
import contextlib
import gzip
import json
import tempfile
from pathlib import Path

import numpy as np

MARK = "<script>alert(1)</script>"


def seeds_map():
    """Small maps in every mode and wrapping."""
    from cryoresdl.tests.helpers.raw_mrc import density, mrc

    with tempfile.TemporaryDirectory() as folder:
        for kind in ("i1", "i2", "u2", "f2", "f4"):
            data = (50 * density((4, 5, 6))).astype(kind)
            raw = mrc(Path(folder) / f"{kind}.mrc", data).read_bytes()
            yield raw
        yield gzip.compress(raw, mtime=0)
        yield bz2.compress(raw)
    yield b""


def seeds_list():
    """Lists as people write them."""
    yield b"map,mask,voxel_size,claimed,half1,half2,monores,resmap\na.mrc,,1.2,3.4,,,,\n"
    yield b'\xef\xbb\xbfmap,lab\r\n"a ""b"".mrc",x\r\n'


def seeds_ledger():
    """Lines of ``results.jsonl``."""
    yield b'{"key": "k", "inputs": {"map": [1, 2]}, "status": "done", "map": "a.mrc"}\n{"key": "torn'
    yield b"[]\nnull\n3\n"


def seeds_model():
    """A small model file."""
    from cryoresdl.models.networks.model_files import model_archive

    card = {"format": 1, "kind": "local", "name": "x", "network": {"name": "n", "config": {}}}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.cryoresdl"
        with contextlib.suppress(Exception):
            model_archive.save_model(path, card, {"w": np.zeros(3, np.float32)})
            yield path.read_bytes()
    yield b"PK\x05\x06" + bytes(18)


def seeds_structure():
    """A few atoms as PDB and mmCIF, plain and packed."""
    pdb = (
        b"CRYST1   50.000   60.000   70.000  90.00  90.00  90.00 P 1           1\n"
        b"MODEL        1\n"
        b"ATOM      1  CA AALA A   1      11.104   6.134  -6.504  0.60 20.00           C  \n"
        b"ATOM      2  CA BALA A   1      11.204   6.134  -6.504  0.40 20.00           C  \n"
        b"ATOM      3  P    DA B  -1      -1.104   6.134  -6.504  1.00 20.00           P  \n"
        b"HETATM    4 ZN    ZN C 100       0.000   0.000   0.000  1.00  0.00          ZN2+\n"
        b"HETATM    5  O   HOH C 101       5.000   0.000   0.000  1.00  0.00           O  \n"
        b"TER\nENDMDL\nMODEL        2\n"
        b"ATOM      1  CA  ALA A   1      11.104   6.134  -6.504  1.00 20.00           C  \n"
        b"ENDMDL\nEND\n"
    )
    names = "group_PDB type_symbol label_atom_id label_alt_id label_comp_id label_asym_id label_entity_id label_seq_id"
    names += " Cartn_x Cartn_y Cartn_z occupancy B_iso_or_equiv auth_seq_id auth_asym_id pdbx_PDB_model_num"
    cif = "data_x\nloop_\n" + "".join(f"_atom_site.{name}\n" for name in names.split())
    cif += (
        'ATOM C CA . ALA A 1 1 1.0 2.0 3.0 1.0 20 1 A 1\nATOM N "N\'" B GLY A 1 2 4.0 2.0 3.0 0.5 20 2 A 1\n'
    )
    yield pdb
    yield cif.encode()
    yield gzip.compress(pdb, mtime=0)
    yield bz2.compress(cif.encode())


def seeds_results():
    """The JSON files that the report reads, as one list in the order of `RESULT_FILES`."""
    entry = {
        "map": "a " + MARK,
        "voxel_size_A": 1.2,
        "class": "high",
        "probabilities": {"high": 0.9, "medium": 0.1, "low": 0},
        "resolution_A": 3.1,
        "interval_A": [2.9, 3.4],
        "in_distribution": True,
        "warnings": [MARK],
        "claim": {"claimed_A": 3, "verdict": "supported", "reasons": [MARK], "decision_interval_A": [2, 4]},
        "model": {"name": "default", "digest": "0" * 64},
    }
    summary = {
        "median_A": 4.0,
        "quartiles_A": [3.5, 4.5],
        "fractions": {"0-2": 0.25, "2-3": 0.75, "10+": 0.0},
        "n_voxels": 1000,
        "voxel_size_A": 1.2,
        "box_zyx": [20, 20, 20],
        "mask": {"source": "auto", "voxels": 1000, "threshold": 0.1},
        "timings_s": {"total": 1.0},
        "peak_memory_mb": 200.0,
        "warnings": [MARK],
        "model": {"name": "truth", "digest": "0" * 64},
        "map": "a.mrc",
        "half_maps": False,
        "seed": 0,
        "version": "0.1.0",
        "nyquist_A": 2.4,
    }
    pair = {"names": ["a", MARK], "kappa": 0.3, "spearman": 0.5, "bias_A": 1.0, "mae_A": 1.0, "n_voxels": 9}
    compared = {"volumes": [{"name": MARK, "path": "a.mrc"}, {"name": "b", "path": "b"}], "pairs": [pair]}
    rows = [["map", "class", "note"], ["a.mrc", "high", MARK], ["=1+1", "", "b"]]
    yield json.dumps([[entry], summary, compared, rows]).encode()
    yield json.dumps([entry, {"median_A": 4}, {}, []]).encode()
    yield b'[[{"claim": null}], {"warnings": "x"}, {"pairs": [{}]}, [[]]]'


def seeds_mask():
    """Masks as people make them: hard, soft, of bytes, of labels; and a density."""
    from cryoresdl.tests.helpers.raw_mrc import mrc

    z, y, x = np.indices((4, 5, 6))
    inside = (z > 0) & (y > 0) & (x > 1)
    kinds = {
        "hard": inside.astype("f4"),
        "soft": (0.3 * inside + 0.7 * np.roll(inside, 1, 2)).astype("f4"),
        "bytes": inside.astype("i1"),
        "labels": (inside * (1 + x)).astype("i2"),
        "density": np.sin(x + y).astype("f4"),
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, data in kinds.items():
            yield mrc(Path(folder) / f"{name}.mrc", data).read_bytes()


def seeds_resolution():
    """Volumes of local resolution with every program's background, and in other units."""
    from cryoresdl.tests.helpers.raw_mrc import mrc

    z, y, x = np.indices((8, 9, 10))
    inside = (abs(z - 4) < 3) & (abs(y - 4) < 3) & (abs(x - 5) < 4)
    values = 3 + (x + y + z) % 5 * 0.7
    with tempfile.TemporaryDirectory() as folder:
        for number, mark in enumerate((0, 100, 8.86, -1, 50, np.nan)):
            path = Path(folder) / f"{number}.mrc"
            yield mrc(path, np.where(inside, values, mark).astype("f4")).read_bytes()
        for number, scaled in enumerate((values / 10, 1 / values, 100 * values, np.sin(values))):
            yield mrc(Path(folder) / f"unit{number}.mrc", scaled.astype("f4")).read_bytes()
        yield mrc(
            Path(folder) / "levels.mrc", np.where(inside, np.round(values), 4).astype("f4")
        ).read_bytes()
