"""Maps on disk, and whether a folder's files are whole."""

import json

import numpy as np

from cryoresdl.models.maps import density_map
from cryoresdl.models.maps.mrc import mrc_reader, mrc_writer


def write_map(path, seed=0, box=24):
    data = np.random.default_rng(seed).normal(size=(box,) * 3).astype(np.float32)
    inner = slice(box // 4, 3 * box // 4)
    data[inner, inner, inner] += 5
    mrc_writer.write_volume(path, data, density_map.DensityMap(data, 1.5, (1.0, 2.0, 3.0)))
    return str(path)


def check_whole(folder):
    """Every file that is there is whole; no JSON is torn, no volume is short."""
    for path in folder.rglob("*"):
        if path.name.startswith(".part-"):
            continue
        if path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".mrc":
            mrc_reader.read_values(path)
