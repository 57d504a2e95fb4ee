"""A Scipion project for one test class, with small maps; used by pytest and by ``scipion3 tests`` alike."""

import contextlib
import os
import unittest
from pathlib import Path

import mrcfile
import numpy as np
import pyworkflow.protocol as pwprot
from pwem.protocols import ProtImportMask, ProtImportVolumes
from pyworkflow.protocol.protocol import runProtocolMain
from pyworkflow.tests import BaseTest, setupTestProject

from cryoresdl.models.networks.model_files import model_store

BOX = (36, 40, 44)
"""(z, y, x): unequal, so that swapped axes show."""
VOXEL = 2.0


def has_models(*names):
    """Whether these models are shipped with this checkout."""
    found = {model.name for model in model_store.available()}
    return all(name in found for name in names)


needs_models = unittest.skipUnless(
    has_models(model_store.DEFAULT_GLOBAL_MODEL, model_store.DEFAULT_LOCAL_MODEL),
    "the shipped models are missing",
)


def shared_folder():
    """The project's shared data, or a reason to skip."""
    chosen = os.environ.get("CRYORESDL_SHARED")
    folder = Path(chosen) if chosen else Path(__file__).resolve().parents[4] / "shared"
    if not folder.is_dir():
        raise unittest.SkipTest("needs the project's shared data (set CRYORESDL_SHARED)")
    return folder


def blob(seed=0, noise=0.05, box=BOX):
    """A lump of density with structure at 6 A, in noise: enough of a molecule for the networks to run on."""
    rng = np.random.default_rng(seed)
    z, y, x = np.ogrid[tuple(slice(0, n) for n in box)]
    density = np.zeros(box, np.float32)
    for _ in range(60):
        center = [n / 2 + rng.normal(0, n / 10) for n in box]
        density += np.exp(-((z - center[0]) ** 2 + (y - center[1]) ** 2 + (x - center[2]) ** 2) / 4.5)
    return (density + noise * rng.normal(size=box)).astype(np.float32)


def ball(box=BOX, radius=14):
    """A mask around the middle of the box."""
    z, y, x = np.ogrid[tuple(slice(0, n) for n in box)]
    inside = (z - box[0] / 2) ** 2 + (y - box[1] / 2) ** 2 + (x - box[2] / 2) ** 2 < radius**2
    return inside.astype(np.float32)


class ScipionCase(BaseTest):
    """One project per class. Protocols run in this process, unless a test asks for the real one."""

    @classmethod
    def setUpClass(cls):
        cls._before = os.getcwd()
        setupTestProject(cls)
        cls.files = Path(cls.proj.path) / "given"
        cls.files.mkdir(exist_ok=True)

    @classmethod
    def tearDownClass(cls):
        os.chdir(cls._before)

    @classmethod
    def write(cls, name, data, voxel=VOXEL, origin=(0, 0, 0)):
        """Write an MRC file with a header that Scipion and the engine both take."""
        path = cls.files / name
        with mrcfile.new(str(path), overwrite=True) as out:
            out.set_data(data.astype(np.float32) if data.dtype == np.float64 else data)
            out.voxel_size = voxel
            out.header.origin.x, out.header.origin.y, out.header.origin.z = origin
        return str(path)

    @classmethod
    @contextlib.contextmanager
    def inProcess(cls):
        """Run protocols here instead of in a process of their own: 2 s less for each."""
        import pyworkflow.project.project as project

        launch = pwprot.launch

        def here(protocol, wait=False, *args, **kwargs):
            runProtocolMain(protocol.getProject().path, protocol.getDbPath(), protocol.getObjId())
            return protocol.getObjId()

        project.pwprot.launch = here
        try:
            yield
        finally:
            project.pwprot.launch = launch

    @classmethod
    def run_(cls, protocol, real=False):
        """Launch and wait; fails with the protocol's log when it does not finish."""
        cls.launch(protocol, real)
        if not protocol.isFinished():
            log = Path(protocol._getLogsPath("run.stderr"))
            tail = log.read_text(errors="replace")[-2000:] if log.exists() else ""
            raise AssertionError("%s: %s\n%s" % (protocol.getRunName(), protocol.getErrorMessage(), tail))
        return protocol

    @classmethod
    def launch(cls, protocol, real=False):
        """Launch and wait, whatever becomes of it."""
        with contextlib.nullcontext() if real else cls.inProcess():
            cls.proj.launchProtocol(protocol, wait=True)
        return protocol

    @classmethod
    def importVolume(cls, path, voxel=VOXEL, **options):
        """The import run of one volume."""
        return cls.run_(cls.newProtocol(ProtImportVolumes, filesPath=path, samplingRate=voxel, **options))

    @classmethod
    def importVolumes(cls, pattern, voxel=VOXEL):
        """The import run of a set of volumes."""
        return cls.run_(
            cls.newProtocol(
                ProtImportVolumes, filesPath=str(cls.files), filesPattern=pattern, samplingRate=voxel
            )
        )

    @classmethod
    def importMask(cls, path, voxel=VOXEL):
        """The import run of one mask."""
        return cls.run_(cls.newProtocol(ProtImportMask, maskPath=path, samplingRate=voxel))

    @staticmethod
    def point(parameter, protocol, output):
        """Set a pointer parameter to the output of another run, as the form does."""
        parameter.set(protocol)
        parameter.setExtended(output)
