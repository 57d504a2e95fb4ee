"""The main job in a real Scipion project: import, validate, read the result, and everything that may go wrong."""

import json
import os
import subprocess
import sys
import unittest
from pathlib import Path
from unittest import mock

import mrcfile
import numpy as np
from pyworkflow.project import Manager

from cryoresdl.models.base import resolution_terms
from cryoresdl.models.maps.mrc import mrc_reader
from cryoresdl.models.results import deposition, result_files
from cryoresdl.objects import VERDICT, getVerdict
from cryoresdl.plugin import PYTHON_VARIABLE, Plugin
from cryoresdl.protocols import ProtCryoResValidate
from cryoresdl.tests.helpers.scipion_case import BOX, VOXEL, ScipionCase, ball, blob, needs_models


@needs_models
class TestValidateOneVolume(ScipionCase):
    """Import -> validate, in processes of their own as Scipion runs them, with all inputs."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        signal = blob(noise=0)
        rng = np.random.default_rng(1)
        halves = [signal + 0.07 * rng.normal(size=BOX).astype(np.float32) for _ in range(2)]
        paths = [cls.write("half%d.mrc" % number, half) for number, half in enumerate(halves, 1)]
        cls.map = cls.write("map.mrc", np.mean(halves, axis=0), origin=(10, -20, 30))
        cls.imported = cls.importVolume(cls.map, setHalfMaps=True, half1map=paths[0], half2map=paths[1])
        cls.mask = cls.importMask(cls.write("mask.mrc", ball()))
        monores = np.where(ball() > 0, 7.0, 0).astype(np.float32)
        cls.other = cls.importVolume(cls.write("monores.mrc", monores, voxel=1.0))
        cls.protocol = cls.newProtocol(
            ProtCryoResValidate,
            claimedResolution=4.5,
            makeFiltered=True,
            filterBFactor=-20.0,
            makeAudit=True,
            makeDeposition=True,
            depositContour=0.1,
        )
        cls.point(cls.protocol.inputVolumes, cls.imported, "outputVolume")
        cls.point(cls.protocol.inputMask, cls.mask, "outputMask")
        cls.point(cls.protocol.monoresVolume, cls.other, "outputVolume")
        cls.errors = cls.protocol.validate()
        cls.run_(cls.protocol, real=True)

    def test_the_form_is_valid(self):
        self.assertEqual(self.errors, [])

    def test_outputs_lie_on_the_grid_of_the_input(self):
        volume = self.imported.outputVolume
        for output in (self.protocol.outputResolution, self.protocol.outputClass):
            self.assertEqual(output.getSamplingRate(), volume.getSamplingRate())
            self.assertEqual(output.getOrigin().getShifts(), volume.getOrigin().getShifts())
            self.assertEqual(output.getDim(), volume.getDim())
        with mrcfile.open(self.protocol.outputResolution.getFileName()) as made:
            self.assertEqual(made.data.shape, BOX)
            self.assertAlmostEqual(float(made.voxel_size.x), VOXEL, places=4)
            self.assertEqual([float(made.header.origin[axis]) for axis in "xyz"], [10, -20, 30])

    def test_resolution_is_inside_the_mask_only_and_never_beyond_nyquist(self):
        values = mrc_reader.read_values(self.protocol.outputResolution.getFileName()).data
        inside = ball() > 0
        self.assertTrue((values[~inside] == 0).all())
        self.assertGreater((values[inside] > 0).mean(), 0.99)
        self.assertGreaterEqual(values[values > 0].min(), 2 * VOXEL - 1e-4)
        classes = mrc_reader.read_values(self.protocol.outputClass.getFileName()).data
        self.assertEqual(set(np.unique(classes[~inside])), {-1.0})

    def test_attributes_agree_with_the_files_and_survive_reloading(self):
        project = Manager().loadProject(self.projName)
        (run,) = [r for r in project.getRuns() if r.getObjId() == self.protocol.getObjId()]
        (entry,) = json.loads(Path(run.getResultsFolder(result_files.CLASSIFICATION_JSON)).read_text())
        local = json.loads(Path(run.getResultsFolder(result_files.LOCAL_JSON)).read_text())
        for output in (run.outputResolution, run.outputClass):
            verdict = getVerdict(output)
            self.assertEqual(len(verdict), len(VERDICT))
            self.assertEqual(verdict["class"], entry["class"])
            self.assertAlmostEqual(verdict["high"], entry["probabilities"]["high"])
            self.assertAlmostEqual(verdict["estimate"], entry["resolution_A"])
            self.assertAlmostEqual(verdict["median"], local["median_A"])
            self.assertEqual(verdict["verdict"], entry["claim"]["verdict"])
            self.assertEqual(verdict["claimed"], 4.5)
            along = entry["directional"]
            self.assertAlmostEqual(verdict["worst"], along["worst_A"])
            self.assertAlmostEqual(verdict["best"], along["best_A"])
            self.assertAlmostEqual(verdict["anisotropy"], along["worst_A"] / along["best_A"])
            axis = [float(part) for part in verdict["worstaxis"].split()]
            self.assertLess(np.abs(np.subtract(axis, along["worst_axis_zyx"])).max(), 0.01)
        self.assertTrue(local["half_maps"])

    def test_the_curves_of_the_half_maps_are_an_output_that_scipions_viewer_opens(self):
        run = self.proj.getProtocol(self.protocol.getObjId())
        written = json.loads(Path(run.getResultsFolder("fsc.json")).read_text())
        curves = {curve.getObjLabel(): curve.clone().getData() for curve in run.outputFSC.iterItems()}
        self.assertEqual(len(curves), len(written["curves"]))
        x, y = curves["in the mask"]
        self.assertEqual(len(x), len(y))
        self.assertAlmostEqual(float(y[3]), written["curves"]["masked"][4], places=5)
        self.assertAlmostEqual(float(x[-1]), written["frequency_per_A"][-1], places=5)

    def test_the_locally_filtered_map_lies_on_the_grid_of_the_input(self):
        filtered = self.protocol.outputFiltered
        self.assertEqual(filtered.getDim(), BOX[::-1])
        self.assertEqual(filtered.getSamplingRate(), VOXEL)
        before, after = (mrc_reader.read(name).data for name in (self.map, filtered.getFileName()))
        self.assertLess(np.abs(np.diff(after, axis=0)).mean(), np.abs(np.diff(before, axis=0)).mean())
        said = json.loads(Path(self.protocol.getResultsFolder(result_files.FILTER_JSON)).read_text())
        self.assertEqual(said["b_factor_A2"], -20.0)

    def test_the_folder_for_the_emdb_is_whole_and_the_summary_names_it(self):
        folder = Path(self.protocol._getExtraPath("deposition"))
        names = {path.name for path in folder.iterdir()}
        self.assertLessEqual(set(deposition.DEPOSITION_FILES), names)
        told = json.loads((folder / result_files.DEPOSITION_JSON).read_text())
        self.assertEqual(told["contour"], 0.1)
        (line,) = [line for line in self.protocol.summary() if line.startswith("For the EMDB: ")]
        self.assertIn(str(folder), line)
        for check in told["checks"]:
            self.assertEqual(check["sentence"] in line, not check["in_order"])

    def test_the_summary_says_what_the_verdict_hangs_on(self):
        told = json.loads(Path(self.protocol.getResultsFolder(result_files.AUDIT_JSON)).read_text())
        self.assertEqual({case["group"] for case in told["cases"]}, {"", "mask", "voxel size"})
        self.assertTrue(told["half_maps"])
        summary = self.protocol.summary()
        for sentence in told["sentences"]:
            self.assertIn(sentence, summary)

    def test_the_comparison_names_monores(self):
        comparison = json.loads(
            Path(self.protocol.getResultsFolder(result_files.COMPARISON_JSON)).read_text()
        )
        names = [volume["name"].lower() for volume in comparison["volumes"]]
        self.assertTrue(any("monores" in name for name in names), names)

    def test_summary_methods_and_citations(self):
        summary = " ".join(self.protocol.summary())
        self.assertIn("Class: *", summary)
        self.assertIn("Claim of 4.50 A", summary)
        methods = " ".join(self.protocol.methods())
        self.assertIn("CryoResDL", methods)
        self.assertIn("default (global)", methods)
        self.assertIn("FSC, corrected for mask and solvent", methods)
        cites = " ".join(self.protocol.citations())
        self.assertIn("Avramov", cites)
        self.assertIn("Vilas", cites)
        self.assertIn("Chen", cites)

    def test_the_source_is_remembered(self):
        pairs = {(r["object_parent_id"], r["object_child_id"]) for r in self.protocol.getRelations()}
        for output in (self.protocol.outputResolution, self.protocol.outputClass):
            # Scipion notes the run that the pointer goes through, not its output.
            self.assertIn((self.imported.getObjId(), output.getObjId()), pairs)

    def test_the_exported_workflow_gives_the_same_numbers(self):
        path = str(self.files / "workflow.json")
        runs = [self.imported, self.mask, self.other, self.protocol]
        self.proj.getRunsGraph(refresh=True)
        self.proj.exportProtocols([self.proj.getProtocol(run.getObjId()) for run in runs], path)
        here = os.getcwd()
        project = Manager().createProject("AgainFromJson")
        try:
            os.chdir(project.path)
            loaded = project.loadProtocols(path)
            ordered = sorted(loaded.values(), key=lambda run: isinstance(run, ProtCryoResValidate))
            with self.inProcess():
                for run in ordered:
                    project.launchProtocol(run, wait=True)
                    self.assertTrue(run.isFinished(), run.getErrorMessage())
            again = getVerdict(ordered[-1].outputResolution)
        finally:
            os.chdir(here)
        before = getVerdict(self.protocol.outputResolution)
        for name in ("class", "estimate", "median", "verdict"):
            self.assertEqual(again[name], before[name])


@needs_models
class TestNetworksAndFormats(ScipionCase):
    """One network at a time, and volumes that the engine cannot read where they are."""

    def validated(self, imported, output="outputVolume", **options):
        protocol = self.newProtocol(ProtCryoResValidate, **options)
        self.point(protocol.inputVolumes, imported, output)
        return self.run_(protocol)

    def test_global_only_gives_the_class_and_no_local_volume(self):
        protocol = self.validated(self.importVolume(self.write("g.mrc", blob())), networks=1)
        # One name, one meaning: without a local resolution there is no volume of classes.
        self.assertFalse(hasattr(protocol, "outputResolution") or hasattr(protocol, "outputClass"))
        self.assertIn(getVerdict(protocol.outputVolume)["class"], resolution_terms.GLOBAL_CLASSES)
        self.assertIsNone(getVerdict(protocol.outputVolume)["median"])

    def test_local_only_gives_the_volume_and_no_class(self):
        protocol = self.validated(self.importVolume(self.write("l.mrc", blob())), networks=2)
        self.assertTrue(os.path.exists(protocol.outputResolution.getFileName()))
        self.assertIsNone(getVerdict(protocol.outputResolution)["class"])

    def test_a_spider_volume_is_converted(self):
        from pwem.emlib.image import ImageHandler

        path = str(self.files / "spider.vol")
        ImageHandler().convert(self.write("s.mrc", blob()), path)
        protocol = self.validated(self.importVolume(path), networks=2)
        self.assertEqual(protocol.outputResolution.getDim(), BOX[::-1])
        self.assertEqual(protocol.outputResolution.getSamplingRate(), VOXEL)

    def test_ugly_names_go_through_the_shell(self):
        path = self.write("a map; it's 100 % 'good' %(GPU)s ü.mrc", blob())
        imported = self.importVolume(self.write("plain.mrc", blob()))
        volume = imported.outputVolume
        volume.setFileName(path)
        imported._store(volume)
        protocol = self.validated(imported, networks=2)
        self.assertTrue(os.path.exists(protocol.outputResolution.getFileName()))


class TestFormErrors(ScipionCase):
    """Bad input is an error in the form, one sentence each, before anything runs."""

    def errors(self, path=None, imported=None, output="outputVolume", **options):
        imported = imported or self.importVolume(path or self.write("ok.mrc", blob()))
        self.protocol = self.newProtocol(ProtCryoResValidate, **options)
        self.point(self.protocol.inputVolumes, imported, output)
        with mock.patch.object(ProtCryoResValidate, "_modelErrors", return_value=[]):
            return self.protocol.validate()

    def only(self, errors, *words):
        self.assertEqual(len(errors), 1, errors)
        for word in words:
            self.assertIn(word, errors[0])

    def test_a_good_volume_is_accepted(self):
        self.assertEqual(self.errors(), [])

    def test_empty_input(self):
        self.only(self.newProtocol(ProtCryoResValidate).validate(), "EMPTY")

    def test_a_folder_for_the_emdb_without_half_maps(self):
        self.only(self.errors(makeDeposition=True), "half maps", "Folder for the EMDB: No")
        self.assertEqual(self.errors(makeDeposition=True, networks=1), [])

    def test_claims_of_nothing(self):
        for claim in (0, -3.2):
            self.only(self.errors(claimedResolution=claim), "above 0")

    def test_a_b_factor_that_no_amplitude_survives(self):
        self.only(self.errors(makeFiltered=True, filterBFactor=-5000.0), "between -1000 and 1000 A^2")

    def test_the_form_reads_headers_and_the_run_says_what_is_wrong_with_the_densities(self):
        with_nan = blob()
        with_nan[3, 4, 5] = np.nan
        for name, data, word in (
            ("nan", with_nan, "NaN"),
            ("constant", np.ones(BOX, np.float32), "constant"),
        ):
            with mock.patch.object(mrc_reader, "read", side_effect=MemoryError("a map was read in the form")):
                self.assertEqual(self.errors(self.write(name + ".mrc", data), networks=1), [])
            self.launch(self.protocol, real=True)
            self.assertTrue(self.protocol.isFailed())
            self.assertIn(word, self.protocol.getErrorMessage())

    def test_a_file_that_was_cut_after_import(self):
        path = self.write("cut.mrc", blob())
        imported = self.importVolume(path)
        with open(path, "r+b") as stream:
            stream.truncate(5000)
        self.only(self.errors(imported=imported), "cut.mrc")

    def test_a_file_that_is_no_map_any_more(self):
        path = self.write("text.mrc", blob())
        imported = self.importVolume(path)
        Path(path).write_text("this is a letter, not a map\n" * 100)
        self.only(self.errors(imported=imported), "not an MRC file")

    def test_a_file_that_is_gone(self):
        path = self.write("gone.mrc", blob())
        imported = self.importVolume(path)
        os.unlink(path)
        self.only(self.errors(imported=imported), "missing")

    def test_a_mask_of_another_box_and_an_empty_one(self):
        imported = self.importVolume(self.write("m.mrc", blob()))
        for data, word in ((ball((32, 32, 32)), "box"), (np.zeros(BOX, np.float32), "empty")):
            mask = self.importMask(self.write("mask_%s.mrc" % word, data))
            protocol = self.newProtocol(ProtCryoResValidate, networks=1)
            self.point(protocol.inputVolumes, imported, "outputVolume")
            self.point(protocol.inputMask, mask, "outputMask")
            with mock.patch.object(ProtCryoResValidate, "_modelErrors", return_value=[]):
                errors = protocol.validate()
            if word == "box":
                self.only(errors, word)
            else:
                self.assertEqual(errors, [])
                self.launch(protocol, real=True)
                self.assertIn(word, protocol.getErrorMessage())

    def test_a_local_resolution_of_another_map(self):
        imported = self.importVolume(self.write("c.mrc", blob()))
        other = self.importVolume(self.write("small.mrc", ball((32, 32, 32)) * 5))
        protocol = self.newProtocol(ProtCryoResValidate)
        self.point(protocol.inputVolumes, imported, "outputVolume")
        self.point(protocol.resmapVolume, other, "outputVolume")
        with mock.patch.object(ProtCryoResValidate, "_modelErrors", return_value=[]):
            self.only(protocol.validate(), "ResMap", "box")

    def test_a_comparison_with_a_set(self):
        for number in range(2):
            self.write("set_%d.mrc" % number, blob(number))
        imported = self.importVolumes("set_*.mrc")
        protocol = self.newProtocol(ProtCryoResValidate)
        self.point(protocol.inputVolumes, imported, "outputVolumes")
        other = self.importVolume(self.write("r.mrc", ball() * 5))
        self.point(protocol.relionVolume, other, "outputVolume")
        with mock.patch.object(ProtCryoResValidate, "_modelErrors", return_value=[]):
            self.only(protocol.validate(), "set")

    def test_an_unknown_network(self):
        protocol = self.newProtocol(ProtCryoResValidate, networks=2, localModel="no-such-network")
        self.point(protocol.inputVolumes, self.importVolume(self.write("u.mrc", blob())), "outputVolume")
        self.only(protocol.validate(), "no-such-network")

    def test_a_network_of_the_wrong_kind(self):
        from cryoresdl.models.networks.model_files import model_archive

        card = {"name": "whole", "kind": "global", "network": {"name": "x"}}
        path = model_archive.save_model(self.files / "whole.cryoresdl", card, {"w": np.zeros(3, np.float32)})
        protocol = self.newProtocol(ProtCryoResValidate, networks=2, localModel=str(path))
        self.point(protocol.inputVolumes, self.importVolume(self.write("k.mrc", blob())), "outputVolume")
        self.only(protocol.validate(), "global", "local")

    def test_a_claim_beyond_nyquist_is_a_warning(self):
        self.assertEqual(self.errors(claimedResolution=3.0), [])
        self.only(self.protocol.warnings(), "Nyquist")

    def test_a_missing_interpreter_is_an_error(self):
        with mock.patch.dict(Plugin._vars, {PYTHON_VARIABLE: "/no/such/python"}):
            errors = self.errors()
        self.assertTrue(any("/no/such/python" in error for error in errors), errors)


class TestScipionShowsThePlugin(unittest.TestCase):
    """What a user of ``scipion3`` sees."""

    def test_scipion_lists_every_protocol(self):
        done = subprocess.run(
            [sys.executable, "-m", "scipion", "protocols"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # Scipion starts its programs with whatever is called python.
            env=dict(os.environ, PATH=os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]),
        )
        listed = [line for line in done.stdout.splitlines() if line.startswith("cryoresdl")]
        self.assertEqual(len(listed), 7, done.stdout[-2000:])
        self.assertTrue(
            any("ProtCryoResValidate" in line and "validate resolution" in line for line in listed)
        )
