"""A set of volumes in a real project: columns in Scipion's own table, stop and continue, inputs that change."""

import os
import sqlite3
import time
import unittest
from pathlib import Path
from unittest import mock

import numpy as np
import psutil
import pytest
from pyworkflow.protocol import MODE_RESUME

from cryoresdl.models.batch import results_ledger
from cryoresdl.models.results import result_files
from cryoresdl.objects import VERDICT, getVerdict
from cryoresdl.protocols import ProtCryoResValidate
from cryoresdl.tests.helpers.scipion_case import BOX, ScipionCase, blob, needs_models

SHOWN = ("_cryoresClass", "_cryoresHigh", "_cryoresEstimate", "_cryoresVerdict")


@needs_models
class TestColumns(ScipionCase):
    """What the validation says of every volume is a column where Scipion lists the set."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for number, noise in enumerate((0.01, 0.3, 0.05, 0.1)):
            flat = np.ones(BOX, np.float32)
            cls.write("many_%d.mrc" % number, blob(number, noise) if number != 2 else flat)
        cls.imported = cls.importVolumes("many_*.mrc")
        cls.protocol = cls.newProtocol(ProtCryoResValidate, claimedResolution=6.0)
        cls.point(cls.protocol.inputVolumes, cls.imported, "outputVolumes")
        cls.run_(cls.protocol)

    def test_scipions_metadata_viewer_shows_and_sorts_them(self):
        try:
            import pwem.viewers.mdviewer.readers  # noqa: F401
            from metadataviewer.model import ObjectManager
            from pwem.viewers.mdviewer.sqlite_dao import ScipionSetsDAO
        except ImportError as error:
            raise unittest.SkipTest("Scipion's metadata viewer does not import here: %s" % error) from None
        from metadataviewer.model import Page

        reader = ScipionSetsDAO(self.protocol.outputVolumes.getFileName())
        try:
            table = next(t for name, t in reader.getTables().items() if name.lower() == "objects")
            reader.fillTable(table, ObjectManager())
            names = [column.getName() for column in table.getColumns()]
            self.assertLessEqual(set(VERDICT), set(names))
            place = names.index("_cryoresEstimate")
            for rising in (True, False):
                page = Page(table, 1, 10)
                reader.fillPage(page, "_cryoresEstimate", rising)
                values = [row.getValues()[place] for row in page.getRows()]
                self.assertEqual(len(values), 3)
                self.assertEqual(values, sorted(values, reverse=not rising))
                for row in page.getRows():
                    for name in SHOWN:
                        self.assertNotIn(row.getValues()[names.index(name)], (None, ""))
        finally:
            reader.close()

    def test_scipions_filter_protocol_keeps_what_a_formula_says(self):
        from pwem.protocols import ProtSetFilter

        middle = sorted(item._cryoresEstimate.get() for item in self.protocol.outputVolumes)[1]
        formula = (
            "item._cryoresEstimate.get() <= %r and item._cryoresClass.get() in ('high', 'medium', 'low')"
        )
        chosen = self.newProtocol(ProtSetFilter, formula=formula % middle)
        self.point(chosen.inputSet, self.protocol, "outputVolumes")
        self.run_(chosen)
        self.assertEqual(chosen.outputVolumes.getSize(), 2)
        for item in chosen.outputVolumes:
            self.assertLessEqual(item._cryoresEstimate.get(), middle)
            self.assertEqual(len(getVerdict(item)), len(VERDICT))


class TestLockedInput(ScipionCase):
    """A set that is just being written to is read a moment later; one that stays locked is an error."""

    def test_patience(self):
        self.write("two_0.mrc", blob())
        self.write("two_1.mrc", blob(1))
        imported = self.importVolumes("two_*.mrc")
        protocol = self.newProtocol(ProtCryoResValidate)
        self.point(protocol.inputVolumes, imported, "outputVolumes")
        looks = []

        def read(inputs, good=3):
            looks.append(1)
            if len(looks) < good:
                raise sqlite3.OperationalError("database is locked")
            return sorted(inputs.getIdSet())

        with mock.patch("cryoresdl.protocols.validated_sets.time.sleep"):
            self.assertEqual(protocol._readInputs(read), [1, 2])
            self.assertEqual(len(looks), 3)
            with self.assertRaises(sqlite3.OperationalError):
                protocol._readInputs(lambda inputs: read(inputs, 1000))


@needs_models
@pytest.mark.slow
class TestStop(ScipionCase):
    """The stop button ends everything at once; continuing does the rest and nothing twice."""

    def test_stopped_and_continued(self):
        count = 8
        for number in range(count):
            self.write("set_%d.mrc" % number, blob(number, box=(64, 64, 64)))
        imported = self.importVolumes("set_*.mrc")
        protocol = self.newProtocol(ProtCryoResValidate, networks=2)
        self.point(protocol.inputVolumes, imported, "outputVolumes")
        self.proj.launchProtocol(protocol, wait=False)
        table = Path(protocol._getExtraPath("batch_000")) / results_ledger.RESULTS_JSONL
        self.until(lambda: table.exists() and table.stat().st_size)
        family = psutil.Process(protocol.getPid()).children(recursive=True)
        self.assertTrue(any("cryoresdl.models" in " ".join(child.cmdline()) for child in family))
        begun = time.monotonic()
        self.proj.stopProtocol(protocol)
        _, alive = psutil.wait_procs(family, timeout=10)
        self.assertEqual(alive, [])
        self.assertLess(time.monotonic() - begun, 10)
        done = len(table.read_text().splitlines())
        self.assertLess(done, count)
        first = os.stat(str(next(table.parent.glob("*/" + result_files.LOCAL_JSON)))).st_ino

        protocol = self.proj.getProtocol(protocol.getObjId())
        self.assertTrue(protocol.isAborted())
        protocol.runMode.set(MODE_RESUME)
        self.run_(protocol)
        self.assertEqual(sorted(protocol.outputVolumes.getIdSet()), list(range(1, count + 1)))
        self.assertEqual(len(table.read_text().splitlines()), count)
        self.assertIn(
            first, [os.stat(str(p)).st_ino for p in table.parent.glob("*/" + result_files.LOCAL_JSON)]
        )

    def until(self, condition, seconds=120):
        end = time.time() + seconds
        while not condition():
            self.assertLess(time.time(), end, "the protocol did not get there in time")
            time.sleep(0.05)


@needs_models
class TestChangedInput(ScipionCase):
    def test_a_map_that_changes_between_two_steps_is_refused(self):
        path = self.write("map.mrc", blob())
        imported = self.importVolume(path)
        protocol = self.newProtocol(ProtCryoResValidate, networks=2)
        self.point(protocol.inputVolumes, imported, "outputVolume")
        self.run_(protocol)
        self.write("map.mrc", blob(1))
        protocol = self.proj.getProtocol(protocol.getObjId())
        with self.assertRaisesRegex(Exception, "has changed since it was validated; restart"):
            protocol.createOutputStep()
