"""Folders that ``make`` takes, so small that a whole recipe runs in seconds."""

import gzip
import json

import numpy as np

from cryoresdl.models.maps import density_map
from cryoresdl.models.maps.mrc import mrc_writer
from cryoresdl.tests.helpers.small_maps import ball


def structures_in(folder):
    """A folder of structures: two balls of alanines per split."""
    (folder / "pdb").mkdir()
    rows = ["id,split,max_extent_A,mw_kda"]
    for k, split in enumerate(("train", "train", "validation", "validation", "test", "test")):
        made = ball(300, 12.0, seed=k)
        lines = [
            "ATOM  {:5d}  CA  ALA A{:4d}    {:8.3f}{:8.3f}{:8.3f}  1.00{:6.2f}           C  ".format(
                n + 1, n + 1, *xyz, b
            )
            for n, (xyz, b) in enumerate(zip(made.xyz, made.b_factor))
        ]
        with gzip.open(folder / "pdb" / f"s{k}.pdb.gz", "wt") as handle:
            handle.write("\n".join([*lines, "END", ""]))
        rows.append(f"s{k},{split},24.0,9.0")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return folder


def labelled_in(folder):
    """A folder of labelled maps: two noisy balls per split with a local resolution of every kind."""
    index = []
    for k, split in enumerate(("train", "train", "validation", "validation", "test", "test")):
        rng = np.random.default_rng(k)
        place = folder / f"m{k}"
        place.mkdir()
        axis = np.arange(32) - 15.5
        mask = (axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2) < 81
        data = (rng.normal(size=mask.shape) * 0.2 + mask).astype(np.float32)
        truth = np.where(mask, 5.0 + k, 0).astype(np.float32)
        grid = density_map.DensityMap(data, 1.5)
        volumes = {"map": data, "mask": mask.astype(np.float32)}
        volumes.update({name: truth for name in ("truth", "monores", "resmap")})
        for name, volume in volumes.items():
            mrc_writer.write_volume(place / f"{name}.mrc", volume, grid)
        index.append({"id": f"m{k}", "split": split, "voxel_A": 1.5})
    (folder / "index.json").write_text(json.dumps(index))
    return folder
