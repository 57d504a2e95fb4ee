"""Makes the bundled sample in ``cryoresdl/data`` again: a simulated reconstruction whose local resolution is known.

    .scipion/.scipion3/bin/python tools/sample.py 1j59.pdb [FOLDER]

The structure is entry 1J59 of the Protein Data Bank (public domain): the catabolite activator protein of E. coli on
30 base pairs of DNA. Everything is simulated from its atoms by ``cryoresdl simulate`` with the options below, then
stored in few bytes: densities as whole numbers (MRC mode 0), the truth with half precision (mode 12).
"""

import gzip
import json
import sys
import tempfile
from pathlib import Path

import mrcfile
import numpy as np

from cryoresdl.models.cli import command_line

DATA = Path(__file__).resolve().parents[1] / "cryoresdl" / "data"
SIMULATION = (
    "--mode realistic --resolution 3.2 --box 108 --voxel-size 1.05 --b-base 20 --b-range 300 --field-length 35"
    " --solvent 0.4 --b-sharpen -40 --weighting --seed 3"
).split()
STEPS = 2.2
"""Steps of the half maps' whole numbers in a standard deviation of their noise: rounding adds 2 % to its power."""


def main(structure, folder=DATA):
    """Simulate and store; ``structure`` is a PDB or mmCIF file.

    Returns:
        exit code of ``cryoresdl simulate``.
    """
    folder = Path(folder)
    with tempfile.TemporaryDirectory() as made:
        code = command_line.main(["simulate", structure, *SIMULATION, "--out", made, "--overwrite"])
        if code:
            return code
        volumes = {
            name: mrcfile.read(f"{made}/{name}.mrc") for name in ("map", "half1", "half2", "mask", "truth")
        }
        info = json.loads(Path(made, "simulation.json").read_text())
    noise = (volumes["half1"] - volumes["half2"])[volumes["mask"] == 0].std() / np.sqrt(2)
    for name in ("half1", "half2"):
        store(folder / f"sample_{name}.mrc.gz", whole_numbers(volumes[name], noise / STEPS), info)
    # Scipion and other viewers open no compressed maps.
    store(folder / "sample_map.mrc", whole_numbers(volumes["map"], np.abs(volumes["map"]).max() / 127), info)
    store(folder / "sample_mask.mrc.gz", volumes["mask"].astype(np.int8), info)
    store(folder / "sample_truth.mrc.gz", volumes["truth"].astype(np.float16), info)
    info["command"] = " ".join(["cryoresdl simulate 1j59.pdb", *SIMULATION])
    info["entry"] = "1J59 (Protein Data Bank); test split: never used for training"
    (folder / "sample.json").write_text(json.dumps(info, indent=1) + "\n")
    return 0


def whole_numbers(data, step):
    """Densities in steps, int8."""
    rounded = np.rint(data / step)
    if np.abs(rounded).max() > 127:
        raise SystemExit("The densities span more than 8 bits in these steps.")
    return rounded.astype(np.int8)


def store(path, data, info):
    """Write one MRC file, compressed when its name ends in .gz; equal data give equal bytes."""
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "volume.mrc"
        with mrcfile.new(str(plain)) as out:
            out.set_data(data)
            out.set_volume()
            out.voxel_size = info["voxel_size_A"]
            out.header.nlabl = 1
            out.header.label[:] = b""
            out.header.label[0] = b"CryoResDL: simulated sample"
        content = plain.read_bytes()
    path.write_bytes(gzip.compress(content, 9, mtime=0) if path.suffix == ".gz" else content)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("Give the structure: tools/sample.py 1j59.pdb [FOLDER]")
    sys.exit(main(*sys.argv[1:]))
