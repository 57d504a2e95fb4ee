"""MRC files with every header word under control."""

import warnings

import mrcfile
import numpy as np
import pytest

from cryoresdl.models.base.errors import InputError
from cryoresdl.models.maps.mrc import mrc_reader


def density(shape=(8, 9, 10), seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def mrc(path, data=None, voxel=1.5, **header):
    """An MRC file by mrcfile, with header words changed afterwards, whatever mrcfile thinks of them."""
    with warnings.catch_warnings(), mrcfile.new(str(path), overwrite=True) as out:
        warnings.simplefilter("ignore")
        out.set_data(density() if data is None else data)
        out.set_volume()
        out.voxel_size = voxel
    for name, value in header.items():
        patch(path, name, value)
    return path


FIELDS = {
    name: (4 * place, "<i4")
    for place, name in enumerate(
        "nx ny nz mode nxstart nystart nzstart mx my mz".split(),
    )
}


FIELDS.update({name: (40 + 4 * i, "<f4") for i, name in enumerate(("cellx", "celly", "cellz"))})


FIELDS.update({name: (52 + 4 * i, "<f4") for i, name in enumerate(("alpha", "beta", "gamma"))})


FIELDS.update({name: (64 + 4 * i, "<i4") for i, name in enumerate(("mapc", "mapr", "maps"))})


FIELDS.update({name: (76 + 4 * i, "<f4") for i, name in enumerate(("dmin", "dmax"))})


FIELDS.update({"ispg": (88, "<i4"), "nsymbt": (92, "<i4")})


FIELDS.update({name: (196 + 4 * i, "<f4") for i, name in enumerate(("ox", "oy", "oz"))})


def patch(path, name, value):
    offset, kind = FIELDS[name]
    with open(path, "r+b") as stream:
        stream.seek(offset)
        stream.write(np.array(value, kind).tobytes())


def refused(path, *words, **keywords):
    """The file is refused with one line that holds every word and the file's name."""
    with pytest.raises(InputError) as caught:
        mrc_reader.read(path, **keywords)
    sentence = str(caught.value)
    assert "\n" not in sentence and sentence.endswith(".")
    for word in words:
        assert word in sentence, sentence
    return sentence
