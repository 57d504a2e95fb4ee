"""The protocols that train, on small real data."""

import csv
import os
import subprocess
import sys
import unittest

import numpy as np
from pwem.objects import AtomStruct, SetOfAtomStructs
from pyworkflow.object import PointerList

from cryoresdl.models.networks.model_files import model_store
from cryoresdl.models.results.figures import figure_catalogue
from cryoresdl.protocols import (
    ProtCryoResTrainGlobal,
    ProtCryoResTrainLocal,
)
from cryoresdl.tests.helpers.helix import helix
from cryoresdl.tests.helpers.scipion_case import ScipionCase, ball, blob, needs_models


@needs_models
class TestTrain(ScipionCase):
    """The paper's network at a small width: minutes on a laptop become seconds."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        try:
            import tensorflow  # noqa: F401
        except ImportError:
            raise unittest.SkipTest("needs TensorFlow") from None
        box = (32, 32, 32)
        for number in range(3):
            inside = ball(box, 10)
            cls.write("map_%d.mrc" % number, blob(number, box=box))
            resolution = 4 + number + 0.2 * np.arange(box[0], dtype=np.float32)[:, None, None]
            cls.write("label_%d.mrc" % number, resolution * inside)
            cls.write("mask_%d.mrc" % number, inside)
        cls.maps = cls.importVolumes("map_*.mrc")
        cls.labels = cls.importVolumes("label_*.mrc")
        cls.masks = cls.importVolumes("mask_*.mrc")

    def protocol(self, **options):
        return self.given(self.newProtocol(ProtCryoResTrainLocal, **options))

    def given(self, protocol):
        """The protocol with the maps, labels and masks of this class."""
        for parameter, run in (
            (protocol.inputMaps, self.maps),
            (protocol.inputLabels, self.labels),
            (protocol.inputMasks, self.masks),
        ):
            parameter.set(PointerList())
            parameter.append(run.outputVolumes)
        return protocol

    def test_a_local_network_is_trained_and_registered(self):
        protocol = self.protocol(network=1, width=0.0625, epochs=2, patch=16, modelName="tiny")
        self.assertEqual(protocol.validate(), [])
        self.run_(protocol)
        model = protocol.outputModel
        self.assertEqual((model.getModelName(), model.getKind()), ("tiny", "local"))
        self.assertEqual(model_store.load_named(model.getPath()).name, "tiny")
        self.assertTrue(os.path.exists(protocol.getTrainingFolder("history.csv")))

    def test_the_recommended_local_network_learns_from_the_same_maps(self):
        protocol = self.run_(self.protocol(network=0, epochs=1, batch=1, modelName="bands"))
        self.assertEqual(
            (protocol.outputModel.getModelName(), protocol.outputModel.getKind()), ("bands", "local")
        )
        self.assertMeasured(protocol)
        summary = "\n".join(protocol.summary())
        for words in (
            "best constant",
            "mean error, one map",
            "Too few maps to learn from: 3 in all",
            "epochs: 1",
        ):
            self.assertIn(words, summary)

    def assertMeasured(self, protocol):
        """The viewer's confusion matrix counts the maps that were kept apart."""
        measured = protocol.readResult("training", "metrics.json")
        self.assertEqual(measured["split"], "test")
        self.assertIn("confusion", figure_catalogue.drawable(protocol.getTrainingFolder()))

    def test_the_recommended_global_network_learns_from_maps_with_truth(self):
        protocol = self.newProtocol(ProtCryoResTrainGlobal, network=0, epochs=1, modelName="class")
        self.given(protocol)
        self.assertEqual(protocol.validate(), [])
        self.run_(protocol)
        self.assertEqual(
            (protocol.outputModel.getModelName(), protocol.outputModel.getKind()), ("class", "global")
        )
        self.assertMeasured(protocol)

    def known(self, resolutions=""):
        protocol = self.newProtocol(
            ProtCryoResTrainGlobal,
            network=0,
            source=2,
            epochs=1,
            modelName="known",
            knownResolutions=resolutions,
        )
        protocol.inputVolumes.set(PointerList())
        protocol.inputVolumes.append(self.maps.outputVolumes)
        return protocol

    def test_the_recommended_global_network_learns_from_known_resolutions(self):
        protocol = self.known("4.5 6, 12")
        self.assertEqual(protocol.validate(), [])
        self.run_(protocol)
        with open(protocol.getTripleList()) as stream:
            self.assertEqual([row["resolution"] for row in csv.DictReader(stream)], ["4.5", "6", "12"])
        self.assertEqual(
            (protocol.outputModel.getModelName(), protocol.outputModel.getKind()), ("known", "global")
        )

    def test_known_resolutions_that_do_not_fit_their_volumes(self):
        for text, said in (
            ("5 6", "3 volumes and 2"),
            ("5 6 many", "numbers"),
            ("5 6 0.1", "Volume 3"),
            ("", "no resolution"),
        ):
            errors = self.known(text).validate()
            self.assertTrue(any(said in error for error in errors), errors)

    def test_pairs_that_do_not_belong_together(self):
        protocol = self.protocol()
        protocol.inputLabels.append(self.importVolume(self.write("extra.mrc", ball())).outputVolume)
        self.assertTrue(any("3 maps, 4" in error for error in protocol.validate()))
        protocol.inputMaps.append(self.importVolume(self.write("m4.mrc", ball((30, 30, 30)))).outputVolume)
        protocol.inputMasks.append(self.importVolume(self.write("k4.mrc", ball((30, 30, 30)))).outputVolume)
        self.assertTrue(any(error.startswith("Map 4:") and "box" in error for error in protocol.validate()))

    def test_the_global_classifier_needs_structures_or_a_file(self):
        self.assertTrue(self.newProtocol(ProtCryoResTrainGlobal).validate())
        self.assertTrue(self.newProtocol(ProtCryoResTrainGlobal, source=1, dataFile="/no/such.h5").validate())

    def test_both_global_networks_of_the_paper_are_trained_on_a_data_set(self):
        """The data set that the protocol builds from structures, made smaller than its form allows."""
        structures = SetOfAtomStructs(filename=str(self.files / "some.sqlite"))
        for number in range(6):
            structures.append(AtomStruct(filename=helix(self.files / ("s%d.pdb" % number), 30 + number)))
        structures.write()
        self.maps._defineOutputs(outputStructures=structures)
        protocol = self.newProtocol(ProtCryoResTrainGlobal, network=2)
        self.point(protocol.inputStructures, self.maps, "outputStructures")
        self.assertEqual(protocol.validate(), [])
        data = self.files / "data.h5"
        listed = self.files / "structures.txt"
        listed.write_text("".join("%s\n" % name for name in protocol._structures()))
        command = [sys.executable, "-m", "cryoresdl.models", "dataset", "global", "--structures", str(listed)]
        command += ["--box", "64", "--kda", "0.5", "200", "--out", str(data), "--quiet"]
        subprocess.run(command, check=True)
        for network, name in ((1, "cnn"), (2, "dnn")):
            protocol = self.newProtocol(
                ProtCryoResTrainGlobal,
                source=1,
                dataFile=str(data),
                network=network,
                width=0.01,
                epochs=2,
                modelName=name,
            )
            self.assertEqual(protocol.validate(), [])
            self.run_(protocol)
            model = protocol.outputModel
            self.assertEqual((model.getModelName(), model.getKind()), (name, "global"))
            card = model_store.load_named(model.getPath()).card
            self.assertEqual((card["network"]["name"], card["mode"]), ("paper-" + name, "paper"))
