"""What training sets are made from: small structures with a manifest, and triples of map, label and mask."""

import gzip

import numpy as np

from cryoresdl.models.maps import density_map
from cryoresdl.models.maps.mrc import mrc_writer
from cryoresdl.tests.helpers.pdb_lines import atom


def protein(path, residues=110, chains="A", spread=11.0, seed=0):
    """A globular poly-alanine, about 7.8 kDa per 110 residues and chain; PDB, gzipped."""
    rng = np.random.default_rng(seed)
    lines, serial = [], 0
    for number, chain in enumerate(chains):
        for residue in range(residues):
            place = rng.normal(scale=spread / 2.2, size=3).clip(-spread, spread) + (
                number * 2 * spread,
                30,
                -7,
            )
            for row, (name, element) in enumerate(
                (("N", "N"), ("CA", "C"), ("C", "C"), ("O", "O"), ("CB", "C"))
            ):
                serial += 1
                shift = np.array([row * 0.7, (row % 2) * 0.8, 0])
                lines.append(atom(name, element, place + shift, serial, chain=chain, number=residue + 1))
        lines.append("TER")
    path.write_bytes(gzip.compress(("\n".join(lines) + "\nEND\n").encode(), mtime=0))


def write_structures(folder):
    """Nine structures with a manifest: five that serve, and one each that is small, paired, wide or broken."""
    (folder / "pdb").mkdir()
    for number in range(5):
        protein(folder / "pdb" / f"p{number}.pdb.gz", residues=180 + number, seed=number)
    protein(folder / "pdb" / "small.pdb.gz", residues=40)
    protein(folder / "pdb" / "pair.pdb.gz", residues=180, chains="AB")
    protein(folder / "pdb" / "wide.pdb.gz", residues=180, spread=90.0)
    (folder / "pdb" / "broken.pdb").write_text("nothing\n")
    names = ["p0", "p1", "p2", "p3", "p4", "small", "pair", "wide", "broken"]
    splits = ["train", "train", "train", "validation", "test", "train", "test", "train", "train"]
    table = "\n".join(f"{name},{split}" for name, split in zip(names, splits))
    (folder / "manifest.csv").write_text(f"id,split\n{table}\n")
    return folder


def triple_volumes(shape=(37, 40, 33), seed=0):
    """Density, local resolution and mask of a ball; axes (z, y, x)."""
    rng = np.random.default_rng(seed)
    z, y, x = np.meshgrid(*[np.arange(n) - n / 2 for n in shape], indexing="ij")
    mask = z**2 + y**2 + x**2 < (min(shape) / 2.6) ** 2
    density = rng.normal(5.0, 2.0, shape).astype(np.float32) + 4 * mask
    values = (rng.uniform(1.0, 12.0, shape) * mask).astype(np.float32)
    return density, values, mask


def write_triple(folder, name, seed, voxel=1.2):
    """Write the three volumes; returns their row of a table."""
    density, values, mask = triple_volumes(seed=seed)
    grid = density_map.DensityMap(density, voxel)
    for kind, volume in (("map", density), ("label", values), ("mask", mask)):
        mrc_writer.write_volume(folder / f"{name}_{kind}.mrc", volume, grid)
    return f"{name}_map.mrc,{name}_label.mrc,{name}_mask.mrc"
