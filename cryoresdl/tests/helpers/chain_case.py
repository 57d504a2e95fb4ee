"""Runs of the real MonoRes protocol, with stand-ins that replay what Xmipp's programs recorded."""

import gzip
import json
import os
import shutil
import stat
import sys
import unittest
from pathlib import Path

import numpy as np

from cryoresdl.tests.helpers.scipion_case import ScipionCase, shared_folder

REPLAY_XMIPP = """#!{python}
# Stands in for Xmipp's programs: keeps their command line, and gives back what the real MonoRes computed.
import os, shutil, sys

words = sys.argv[1:]
with open({log!r}, "a") as log:
    log.write(os.path.basename(sys.argv[0]) + " " + " ".join(words) + chr(10))
program = os.path.basename(sys.argv[0])
if program == "xmipp_transform_threshold":
    shutil.copyfile(words[words.index("-i") + 1].replace(":mrc", ""), words[words.index("-o") + 1])
elif program == "xmipp_resolution_monogenic_signal":
    volume = words[words.index("--vol") + 1].replace(":mrc", "")
    folder = words[words.index("-o") + 1]
    recorded = os.path.join({records!r}, os.path.basename(os.path.realpath(volume)).replace("_map.mrc", "_monores.mrc"))
    for name in ("monoresResolutionMap.mrc", "monoresResolutionChimera.mrc"):
        shutil.copyfile(recorded, os.path.join(folder, name))
    mask = words[words.index("--mask") + 1]
    shutil.copyfile(mask, os.path.join(folder, "refinedMask.mrc"))
"""


MAPS = ("00_1sbb_target", "01_3hp4", "02_1azs_r_u")


def executable(path, text):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


class ChainCase(ScipionCase):
    """Maps of the shared folder, unpacked as float32, with stand-ins for Xmipp's programs."""

    @classmethod
    def setUpClass(cls):
        shared = shared_folder()
        super().setUpClass()
        index = {
            row["id"]: row for row in json.loads((shared / "local_resolution" / "index.json").read_text())
        }
        cls.voxel = {name: index[name]["voxel_A"] for name in MAPS}
        for name in MAPS:
            for part in ("map", "mask", "monores"):
                cls.unpack(
                    shared / "local_resolution" / name / (part + ".mrc.gz"), "%s_%s.mrc" % (name, part), name
                )
        # Where the plugin looks for Xmipp, and what it puts on the PATH.
        programs = Path(os.environ["SCIPION_HOME"]) / "software" / "em" / "xmipp" / "bin"
        cls.log = cls.files / "commands.log"
        text = REPLAY_XMIPP.format(python=sys.executable, log=str(cls.log), records=str(cls.files))
        for name in ("transform_threshold", "resolution_monogenic_signal", "image_histogram"):
            executable(programs / ("xmipp_" + name), text)

    @classmethod
    def unpack(cls, path, name, map_):
        import mrcfile

        target = cls.files / name
        with gzip.open(str(path)) as packed, open(str(target), "wb") as plain:
            shutil.copyfileobj(packed, plain)
        with mrcfile.open(str(target), permissive=True) as opened:
            data = opened.data.astype(np.float32)
        cls.write(name, data, voxel=cls.voxel[map_])

    @classmethod
    def given(cls, name):
        """(import run of the map, import run of the mask)."""
        voxel = cls.voxel[name]
        return (
            cls.importVolume(str(cls.files / (name + "_map.mrc")), voxel),
            cls.importMask(str(cls.files / (name + "_mask.mrc")), voxel),
        )

    @classmethod
    def monores(cls, imported, mask):
        """A run of Xmipp's own MonoRes protocol."""
        try:
            from xmipp3.protocols import XmippProtMonoRes
        except Exception as error:  # the plugin fails in many ways where Xmipp's modules are missing
            raise unittest.SkipTest("scipion-em-xmipp does not import here: %s" % error) from None

        protocol = cls.newProtocol(XmippProtMonoRes, maxRes=15.0)
        cls.point(protocol.fullMap, imported, "outputVolume")
        cls.point(protocol.mask, mask, "outputMask")
        return cls.run_(protocol)
