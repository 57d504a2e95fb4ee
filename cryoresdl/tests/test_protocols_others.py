"""Import a model, simulate maps, compare local resolutions, train: each protocol on small real data."""

import json
import os
from pathlib import Path
from unittest import mock

import numpy as np
from pwem.objects import AtomStruct, SetOfAtomStructs
from pwem.protocols import ProtImportPdb
from pyworkflow.object import Pointer, PointerList

from cryoresdl.models.maps.mrc import mrc_reader
from cryoresdl.models.networks.model_files import model_archive, model_store
from cryoresdl.models.results import result_files
from cryoresdl.objects import ResolutionModel
from cryoresdl.protocols import (
    ProtCryoResCompare,
    ProtCryoResImportModel,
    ProtCryoResResidues,
    ProtCryoResSimulate,
    ProtCryoResTrainLocal,
    ProtCryoResValidate,
)
from cryoresdl.protocols.resolution_volumes import namesForPeople
from cryoresdl.tests.helpers.helix import helix
from cryoresdl.tests.helpers.scipion_case import BOX, VOXEL, ScipionCase, ball, blob, needs_models

FOLDER = Path(__file__).resolve().parents[1] / "templates"


def save_model(path, name="mine", kind="local"):
    """A model file that loads, with weights that mean nothing."""
    card = {"name": name, "kind": kind, "network": {"name": "test"}}
    return str(model_archive.save_model(path, card, {"w": np.arange(6, dtype=np.float32)}))


class TestImportModel(ScipionCase):
    def test_a_model_becomes_an_object_with_its_own_copy(self):
        given = save_model(self.files / "given.cryoresdl")
        protocol = self.run_(self.newProtocol(ProtCryoResImportModel, modelFile=given))
        model = protocol.outputModel
        self.assertIsInstance(model, ResolutionModel)
        self.assertEqual((model.getModelName(), model.getKind()), ("mine", "local"))
        os.unlink(given)
        self.assertEqual(model_store.load_named(model.getPath()).name, "mine")
        self.assertIn("mine", " ".join(protocol.summary()))

    def test_a_damaged_or_foreign_file_is_an_error_in_the_form(self):
        broken = save_model(self.files / "broken.cryoresdl")
        os.truncate(broken, 100)
        foreign = self.files / "foreign.cryoresdl"
        foreign.write_text("hello")
        for path in (broken, str(foreign), str(self.files / "absent.cryoresdl"), "truth"):
            self.assertEqual(
                len(self.newProtocol(ProtCryoResImportModel, modelFile=path).validate()), 1, path
            )

    def test_the_validation_takes_it_and_refuses_the_wrong_kind(self):
        given = save_model(self.files / "local.cryoresdl")
        imported = self.run_(self.newProtocol(ProtCryoResImportModel, modelFile=given))
        volume = self.importVolume(self.write("v.mrc", blob()))
        protocol = self.newProtocol(ProtCryoResValidate, networks=2)
        self.point(protocol.inputVolumes, volume, "outputVolume")
        self.point(protocol.localModelObject, imported, "outputModel")
        self.assertEqual(protocol.validate(), [])
        self.assertIn(imported.outputModel.getPath(), protocol._options())
        protocol.networks.set(1)
        self.point(protocol.globalModelObject, imported, "outputModel")
        self.assertTrue(any("global" in error for error in protocol.validate()))


@needs_models
class TestShippedNetworks(ScipionCase):
    """Every network that is shipped is a name that the validation form takes, the paper's as well as ours."""

    def test_each_validates_a_volume_and_the_result_names_it(self):
        volume = self.importVolume(self.write("v.mrc", blob()))
        shipped = [one for one in model_store.available() if one.source == "shipped"]
        self.assertTrue({"default", "truth", "paper-dnn", "paper-cnn"} <= {one.name for one in shipped})
        for model in shipped:
            with self.subTest(model.name):
                protocol = self.newProtocol(ProtCryoResValidate, networks=1 if model.kind == "global" else 2)
                getattr(protocol, model.kind + "Model").set(model.name)
                self.point(protocol.inputVolumes, volume, "outputVolume")
                self.assertEqual(protocol.validate(), [])
                self.run_(protocol)
                self.assertEqual(self.named(protocol, model.kind), model.name)

    @staticmethod
    def named(protocol, kind):
        """The model that the engine's own record of the run names."""
        name = result_files.CLASSIFICATION_JSON if kind == "global" else result_files.LOCAL_JSON
        told = json.loads(Path(protocol.getResultsFolder(name)).read_text(encoding="utf-8"))
        return (told[0] if kind == "global" else told)["model"]["name"]


class TestCompare(ScipionCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        inside = ball()
        rng = np.random.default_rng(0)
        first = (5 + rng.random(BOX)) * inside
        cls.runs = [
            cls.importVolume(cls.write("first.mrc", first)),
            cls.importVolume(cls.write("second.mrc", np.where(inside > 0, first + 1, 100))),
        ]
        cls.mask = cls.importMask(cls.write("mask.mrc", inside))

    def protocol(self, runs, **options):
        protocol = self.newProtocol(ProtCryoResCompare, **options)
        protocol.inputVolumes.set(PointerList())
        for run in runs:
            protocol.inputVolumes.append(run.outputVolume)
        self.point(protocol.inputMask, self.mask, "outputMask")
        return protocol

    def test_two_volumes_one_angstrom_apart(self):
        protocol = self.run_(self.protocol(self.runs))
        result = json.loads(Path(protocol.getResultsFolder(result_files.COMPARISON_JSON)).read_text())
        (pair,) = result["pairs"]
        self.assertAlmostEqual(pair["mae_A"], 1.0, places=3)
        self.assertAlmostEqual(pair["spearman"], 1.0, places=3)
        self.assertEqual(pair["n_voxels"], int(ball().sum()))
        output = protocol.outputDisagreement
        self.assertEqual(output.getSamplingRate(), VOXEL)
        values = mrc_reader.read_values(output.getFileName()).data
        self.assertAlmostEqual(float(values[ball() > 0].mean()), 1.0, places=3)
        summary = " ".join(protocol.summary())
        self.assertIn("mean difference 1.00 A, rank correlation 1.00", summary)
        self.assertIn("estimated in 100 % of the mask.", summary)

    def test_runs_that_were_given_a_label_name_their_volumes(self):
        protocol = self.protocol(self.runs)
        makers = [self.newProtocol(ProtCryoResValidate) for _ in range(3)]
        for number, label in enumerate(("sharpened map", "", "validate resolution (copy)")):
            makers[number].setObjLabel(label or makers[number].getClassLabel())
            makers[number].setObjId(101 + number)
        pointers = [
            mock.Mock(hasValue=lambda: True, getObjValue=lambda maker=maker: maker) for maker in makers
        ]
        with mock.patch.object(type(protocol), "inputVolumes", pointers, create=True):
            del protocol.__dict__["inputVolumes"]
            self.assertEqual(protocol.getNames(), ["sharpened_map", "CryoResDL_run_102", "CryoResDL_run_103"])
        # The network's own estimate has a name, too, and what no program made is called by the form's field.
        self.assertEqual(namesForPeople(pointers[1:2], ["CryoResDL"], ["MonoRes"]), ["CryoResDL_run_102"])
        imported = self.runs[0]
        pointer = Pointer(imported, extended="outputVolume")
        self.assertEqual(namesForPeople([pointer], ["CryoResDL"], ["MonoRes"]), ["MonoRes"])
        imported.setObjLabel("MonoRes, loose mask")
        self.assertEqual(namesForPeople([pointer], ["CryoResDL"], ["MonoRes"]), ["MonoRes_loose_mask"])

    def test_one_volume_is_not_enough_and_boxes_must_agree(self):
        self.assertTrue(self.protocol(self.runs[:1]).validate())
        small = self.importVolume(self.write("small.mrc", ball((30, 30, 30)) * 5))
        errors = self.protocol([self.runs[0], small]).validate()
        self.assertTrue(any("box" in error for error in errors), errors)


class TestSimulate(ScipionCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.structure = helix(cls.files / "helix.pdb")
        cls.imported = cls.run_(cls.newProtocol(ProtImportPdb, inputPdbData=1, pdbFile=cls.structure))

    def protocol(self, **options):
        protocol = self.newProtocol(ProtCryoResSimulate, **options)
        self.point(protocol.inputStructures, self.imported, "outputPdb")
        return protocol

    def test_realistic_maps_come_with_halves_mask_and_truth(self):
        protocol = self.run_(
            self.protocol(mode=1, resolutions="5", samplingRate=2.0, boxSize=48, varied=False)
        )
        (volume,) = [item.clone() for item in protocol.outputVolumes]
        self.assertEqual(volume.getDim(), (48, 48, 48))
        self.assertEqual(volume.getSamplingRate(), 2.0)
        self.assertTrue(volume.hasHalfMaps())
        for half in volume.getHalfMaps(asList=True):
            self.assertTrue(os.path.exists(str(half)))
        truth = mrc_reader.read_values(protocol.outputTruth[1].getFileName()).data
        mask = mrc_reader.read_values(protocol.outputMasks[1].getFileName()).data > 0
        self.assertTrue((truth[~mask] == 0).all())
        self.assertTrue((truth[mask] >= 4).all())

    def test_noiseless_maps_at_several_resolutions_and_a_structure_that_does_not_fit(self):
        long = helix(self.files / "long.pdb", 90)
        structures = SetOfAtomStructs(filename=str(self.files / "structures.sqlite"))
        for path in (self.structure, long):
            structures.append(AtomStruct(filename=path))
        structures.write()
        self.imported._defineOutputs(outputSet=structures)
        protocol = self.newProtocol(
            ProtCryoResSimulate, mode=0, resolutions="4, 8", samplingRate=1.0, boxSize=96
        )
        self.point(protocol.inputStructures, self.imported, "outputSet")
        self.run_(protocol)
        comments = [item.getObjComment() for item in protocol.outputVolumes]
        self.assertEqual(comments, ["helix.pdb at 4 A", "helix.pdb at 8 A"])
        self.assertFalse(hasattr(protocol, "outputTruth"))
        summary = " ".join(protocol.summary())
        self.assertEqual(summary.count("Skipped long.pdb"), 2)

    def test_bad_numbers_are_errors_in_the_form(self):
        for options in ({"resolutions": "four"}, {"resolutions": "-2"}, {"samplingRate": 0}, {"boxSize": -5}):
            self.assertEqual(len(self.protocol(**options).validate()), 1, options)

    def test_a_resolution_beyond_nyquist_is_a_warning(self):
        self.assertTrue(self.protocol(resolutions="3", samplingRate=2.0).warnings())


class TestTemplates(ScipionCase):
    """The workflow templates load as Scipion loads them, with every pointer in place."""

    def load(self, name, **values):
        from pyworkflow.template import LocalTemplate

        template = LocalTemplate("cryoresdl", str(FOLDER / (name + ".json.template")))
        self.assertTrue(template.description)
        template.replaceEnvVariables()
        template.parseContent()
        for alias, value in values.items():
            self.assertEqual(template.setParamValue(alias, value), 1, alias)
        self.assertEqual(len(template.params), len(values))
        return list(self.proj.loadProtocols(template.createTemplateFile()).values())

    def test_there_are_three(self):
        self.assertEqual(len(list(FOLDER.glob("*.json.template"))), 3)

    @needs_models
    def test_validate_runs(self):
        path = self.write("map.mrc", blob())
        imported, validation = self.load("validate", map=path, sampling="2.0", claimed="7.5")
        for run in (imported, validation):
            self.run_(run)
        self.assertEqual(validation.outputResolution._cryoresClaimed.get(), 7.5)

    def test_training_points_at_sets_and_the_validation_at_its_model(self):
        sampling = dict.fromkeys(("sampling", "labelsampling", "masksampling", "newsampling"), "2.0")
        folder = str(self.files)
        runs = self.load(
            "train_validate",
            maps=folder,
            labels=folder,
            masks=folder,
            map=self.write("new.mrc", blob()),
            width="0.125",
            epochs="3",
            **sampling,
        )
        training = next(run for run in runs if isinstance(run, ProtCryoResTrainLocal))
        validation = next(run for run in runs if isinstance(run, ProtCryoResValidate))
        for parameter in (training.inputMaps, training.inputLabels, training.inputMasks):
            self.assertEqual([pointer.getExtended() for pointer in parameter], ["outputVolumes"])
        self.assertEqual(training.epochs.get(), 3)
        self.assertIs(validation.localModelObject.getObjValue(), training)
        self.assertEqual(validation.localModelObject.getExtended(), "outputModel")


class TestResidues(ScipionCase):
    """Atomic model and local resolution in, the model with the resolution in its B-factor column out."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.structure = helix(cls.files / "helix.pdb")
        cls.model = cls.run_(cls.newProtocol(ProtImportPdb, inputPdbData=1, pdbFile=cls.structure))
        box = (64, 32, 32)
        values = np.zeros(box, np.float32)
        values[:] = 4 + 0.05 * np.arange(box[0], dtype=np.float32)[:, None, None]
        cls.path = cls.write("resolution.mrc", values, voxel=1.5, origin=(-24, -24, -18))
        cls.volume = cls.importVolume(cls.path, voxel=1.5, setOrigCoord=True, x=24.0, y=24.0, z=18.0)

    def protocol(self, **options):
        protocol = self.newProtocol(ProtCryoResResidues, **options)
        self.point(protocol.inputStructure, self.model, "outputPdb")
        self.point(protocol.inputResolution, self.volume, "outputVolume")
        return protocol

    def test_b_factors_are_the_resolution_of_the_residues(self):
        import gemmi

        for frame in (0, 1):
            protocol = self.protocol(frame=frame)
            self.assertEqual(protocol.validate(), [])
            self.run_(protocol)
            model = gemmi.read_structure(protocol.outputAtomStruct.getFileName())[0]
            residues = list(model["A"])
            self.assertEqual(len(residues), 40)
            for residue in (residues[0], residues[20], residues[39]):
                height = np.mean([atom.pos.z for atom in residue])
                expected = 4 + 0.05 * (height + 18) / 1.5
                self.assertAlmostEqual(residue[0].b_iso, expected, places=2)
                self.assertEqual(len({atom.b_iso for atom in residue}), 1)
            summary = " ".join(protocol.summary())
            self.assertIn("Chain A: *", summary)
            self.assertIn("40 of 40 residues", summary)
            self.assertTrue(protocol.hasResult("residues", "residues.defattr"))

    def test_a_missing_structure_is_said_in_the_form(self):
        protocol = self.protocol()
        structure = AtomStruct(filename="gone.pdb")
        with mock.patch.object(protocol.inputStructure, "get", return_value=structure):
            self.assertTrue(any("gone.pdb is missing" in error for error in protocol.validate()))
