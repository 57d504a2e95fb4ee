"""Sets of volumes, whole and as they stream in: validated in a real Scipion project."""

import os
import sqlite3
import time
from pathlib import Path

import numpy as np
from pwem.objects import SetOfVolumes
from pyworkflow.protocol import MODE_RESUME

from cryoresdl.models.base import resolution_terms
from cryoresdl.models.results import result_files
from cryoresdl.objects import getVerdict
from cryoresdl.protocols import ProtCryoResValidate
from cryoresdl.tests.helpers.scipion_case import BOX, VOXEL, ScipionCase, blob, needs_models


@needs_models
class TestValidateSet(ScipionCase):
    """Many volumes: a row each, bad ones reported and skipped, nothing twice after a resume."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for number in range(3):
            cls.write("many_%d.mrc" % number, blob(number) if number != 1 else np.ones(BOX, np.float32))
        cls.imported = cls.importVolumes("many_*.mrc")
        cls.protocol = cls.newProtocol(ProtCryoResValidate, claimedResolution=6.0)
        cls.point(cls.protocol.inputVolumes, cls.imported, "outputVolumes")
        cls.run_(cls.protocol)

    def test_good_volumes_have_a_row_with_the_verdict(self):
        self.assertEqual(sorted(self.protocol.outputVolumes.getIdSet()), [1, 3])
        for item in self.protocol.outputVolumes:
            verdict = getVerdict(item)
            self.assertIn(verdict["class"], resolution_terms.GLOBAL_CLASSES)
            self.assertEqual(verdict["claimed"], 6.0)
            self.assertIn("many_%d" % (item.getObjId() - 1), item.getFileName())
            self.assertTrue(os.path.isdir(verdict["folder"]))

    def test_columns_can_be_queried(self):
        chosen = self.protocol.outputVolumes.iterItems(where="_cryoresEstimate>0", orderBy="_cryoresEstimate")
        estimates = [item._cryoresEstimate.get() for item in chosen]
        self.assertEqual(len(estimates), 2)
        self.assertEqual(estimates, sorted(estimates))

    def test_local_resolutions_are_a_set_on_the_same_grid(self):
        for item in self.protocol.outputResolutions:
            self.assertEqual(item.getSamplingRate(), VOXEL)
            self.assertEqual(item.getDim(), BOX[::-1])
            self.assertEqual(
                item.getOrigin().getShifts(), self.imported.outputVolumes[1].getOrigin().getShifts()
            )

    def test_the_bad_volume_is_reported(self):
        summary = " ".join(self.protocol.summary())
        self.assertIn("Skipped", summary)
        self.assertIn("many_1.mrc", summary)
        self.assertIn("constant", summary)

    def test_sets_are_closed(self):
        self.assertTrue(self.protocol.outputVolumes.isStreamClosed())
        self.assertTrue(self.protocol.outputResolutions.isStreamClosed())

    def test_a_resumed_run_does_nothing_twice(self):
        results = Path(self.protocol._batchFolder(0)) / result_files.RESULTS_CSV
        done = [
            os.stat(v._cryoresFolder.get() + "/" + result_files.LOCAL_JSON).st_mtime_ns
            for v in self.protocol.outputVolumes
        ]
        protocol = self.proj.getProtocol(self.protocol.getObjId())
        protocol.runMode.set(MODE_RESUME)
        protocol.setStatus("aborted")
        for step in protocol.loadSteps():
            step.setStatus("aborted")
        self.run_(protocol)
        self.assertEqual(sorted(protocol.outputVolumes.getIdSet()), [1, 3])
        self.assertEqual(sorted(protocol.outputResolutions.getIdSet()), [1, 3])
        self.assertEqual(len(results.read_text().splitlines()), 4)
        again = [
            os.stat(v._cryoresFolder.get() + "/" + result_files.LOCAL_JSON).st_mtime_ns
            for v in protocol.outputVolumes
        ]
        self.assertEqual(again, done)

    def test_when_nothing_can_be_validated_the_run_fails_with_the_reason(self):
        for number in range(2):
            self.write("bad_%d.mrc" % number, np.ones(BOX, np.float32))
        imported = self.importVolumes("bad_*.mrc")
        protocol = self.newProtocol(ProtCryoResValidate, networks=2)
        self.point(protocol.inputVolumes, imported, "outputVolumes")
        self.launch(protocol)
        self.assertTrue(protocol.isFailed())
        self.assertIn("constant", protocol.getErrorMessage())


@needs_models
class TestStreaming(ScipionCase):
    """A set that still grows: volumes are validated as they arrive, and the run ends when the set is closed."""

    def test_volumes_that_arrive_later_are_validated(self):
        protocol = self.growing("good", blob(2))
        self.assertEqual(sorted(protocol.outputVolumes.getIdSet()), [1, 2, 3])
        self.assertTrue(protocol.outputVolumes.isStreamClosed())

    def test_a_bad_volume_that_arrives_alone_is_skipped(self):
        protocol = self.growing("bad", np.ones(BOX, np.float32))
        self.assertEqual(sorted(protocol.outputVolumes.getIdSet()), [1, 2])
        self.assertIn("late_bad.mrc", " ".join(protocol.summary()))

    def growing(self, name, last):
        """The finished protocol of a set of two volumes to which ``last`` was added while it ran."""
        self.write("%s_0.mrc" % name, blob(0))
        self.write("%s_1.mrc" % name, blob(1))
        imported = self.importVolumes("%s_*.mrc" % name)
        late = self.importVolume(self.write("late_%s.mrc" % name, last))
        volumes = imported.outputVolumes
        self.state(imported, volumes, SetOfVolumes.STREAM_OPEN)
        protocol = self.newProtocol(ProtCryoResValidate, networks=2)
        self.point(protocol.inputVolumes, imported, "outputVolumes")
        self.proj.launchProtocol(protocol, wait=False)
        self.until(lambda: self.size(protocol) == 2)
        growing = SetOfVolumes(filename=volumes.getFileName())
        growing.loadAllProperties()
        growing.enableAppend()
        item = late.outputVolume.clone()
        item.setObjId(3)
        growing.append(item)
        growing.setStreamState(SetOfVolumes.STREAM_CLOSED)
        growing.write()
        growing.close()
        self.until(lambda: self.proj._updateProtocol(protocol) is not None and not protocol.isActive())
        self.assertTrue(protocol.isFinished(), protocol.getErrorMessage())
        return protocol

    def state(self, protocol, volumes, state):
        volumes.enableAppend()
        volumes.setStreamState(state)
        volumes.write()
        protocol._store(volumes)
        volumes.close()

    def size(self, protocol):
        path = protocol._getPath("volumes_outputVolumes.sqlite")
        if not os.path.exists(path):
            return 0
        made = SetOfVolumes(filename=path)
        try:
            made.loadAllProperties()
            return made.getSize()
        except sqlite3.OperationalError:  # it is being written
            return 0
        finally:
            made.close()

    def until(self, condition, seconds=120):
        end = time.time() + seconds
        while not condition():
            self.assertLess(time.time(), end, "the protocol did not get there in time")
            time.sleep(0.5)
