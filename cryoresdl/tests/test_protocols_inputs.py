"""What is given to the validation: pointers that stay honest, half maps of any format, a claim per volume."""

import csv
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
from pwem.objects import SetOfVolumes, Volume
from pwem.protocols import ProtImportVolumes
from pyworkflow.object import Float

from cryoresdl.models.results import result_files
from cryoresdl.objects import LocalResolutionVolume, ResolutionClassVolume, getVerdict
from cryoresdl.plugin import Plugin
from cryoresdl.protocols import (
    ProtCryoResCompare,
    ProtCryoResTrainGlobal,
    ProtCryoResTrainLocal,
    ProtCryoResValidate,
)
from cryoresdl.protocols.resolution_volumes import estimatesFile, madeBy
from cryoresdl.tests.helpers import virtual_screen
from cryoresdl.tests.helpers.scipion_case import BOX, VOXEL, ScipionCase, ball, blob, needs_models


class InputCase(ScipionCase):
    def protocol(self, imported, output="outputVolume", **options):
        protocol = self.newProtocol(ProtCryoResValidate, **options)
        self.point(protocol.inputVolumes, imported, output)
        return protocol

    def errors(self, protocol):
        with mock.patch.object(ProtCryoResValidate, "_modelErrors", return_value=[]):
            return protocol.validate()


class TestSelectedRun(InputCase):
    """Scipion's form offers the outputs of the run that is selected; a density is no local resolution."""

    def form(self, protocol, selected):
        """The protocol after its form was opened with a run selected."""
        import pyworkflow.gui.project  # noqa: F401  (the form alone imports in a circle)
        from pyworkflow.gui.form import FormWindow

        root = virtual_screen.root()
        master = SimpleNamespace(getRoot=lambda: root, root=root, _images={})
        form = FormWindow("form", protocol, lambda *a: None, master, previousProt=selected)
        form.root.update()
        form.root.destroy()
        return protocol

    def test_only_the_volume_is_filled_in(self):
        imported = self.importVolume(self.write("map.mrc", blob()))
        protocol = self.form(self.newProtocol(ProtCryoResValidate), imported)
        self.assertEqual(protocol.inputVolumes.get().getObjId(), imported.outputVolume.getObjId())
        for name in ("monoresVolume", "resmapVolume", "relionVolume", "inputMask"):
            self.assertFalse(getattr(protocol, name).hasValue(), name)

    def test_other_forms_open_and_fill_in_nothing_wrong(self):
        imported = self.importVolume(self.write("map.mrc", blob()))
        for kind in (ProtCryoResCompare, ProtCryoResTrainLocal, ProtCryoResTrainGlobal):
            protocol = self.form(self.newProtocol(kind), imported)
            self.assertEqual(self.errorsOfPointers(protocol), [], kind)

    def errorsOfPointers(self, protocol):
        return [
            name
            for name, param in protocol.getDefinition().iterParams()
            if hasattr(param, "pointerClass")
            and getattr(protocol, name).hasValue()
            and not (hasattr(getattr(protocol, name), "__len__") and len(getattr(protocol, name)) == 0)
        ]

    def test_they_can_still_be_picked_from_the_list(self):
        from pyworkflow.gui.form import SubclassesTreeProvider

        imported = self.importVolume(self.write("map.mrc", blob()))
        protocol = self.newProtocol(ProtCryoResValidate)
        self.proj.getRuns()
        found = SubclassesTreeProvider(protocol, protocol.getParam("monoresVolume")).getObjects()
        self.assertIn(imported.outputVolume.getObjId(), [pointer.get().getObjId() for pointer in found])


class TestHonestPointers(InputCase):
    def test_a_comparison_of_the_map_with_itself_is_refused(self):
        path = self.write("map.mrc", blob())
        imported = self.importVolume(path)
        again = self.importVolume(shutil.copyfile(path, str(self.files / "copy.mrc")))
        for same in (imported, again):
            protocol = self.protocol(imported)
            self.point(protocol.monoresVolume, same, "outputVolume")
            (error,) = self.errors(protocol)
            self.assertIn("MonoRes", error)
            self.assertIn("the map itself", error)

    def test_relions_density_leads_to_the_local_resolution_beside_it(self):
        density, values = blob(), (ball() * 7).astype(np.float32)
        folder = self.files / "Job"
        folder.mkdir(exist_ok=True)
        imported = self.importVolume(self.write("map.mrc", density))
        filtered = self.write("Job/relion_locres_filtered.mrc", blob(3))
        relion = self.importVolume(filtered)
        protocol = self.protocol(imported)
        self.point(protocol.relionVolume, relion, "outputVolume")
        (error,) = self.errors(protocol)
        self.assertIn("relion_locres.mrc, is missing", error)
        beside = self.write("Job/relion_locres.mrc", values)
        self.assertEqual(self.errors(protocol), [])
        self.assertTrue(os.path.samefile(estimatesFile(protocol.relionVolume.get()), beside))
        words = []
        with mock.patch.object(protocol, "runEngine", side_effect=lambda *a: words.extend(map(str, a))):
            protocol._makePathsToRun() if hasattr(protocol, "_makePathsToRun") else None
            protocol.validateStep(density, [])
        given, _, name = words[words.index("--relion") + 1].rpartition("=")
        self.assertTrue(os.path.samefile(given, beside))
        self.assertEqual(name, "RELION")

    def test_a_local_resolution_is_no_map_to_validate(self):
        values = self.importVolume(self.write("monoresResolutionMap.mrc", ball() * 5))
        (error,) = self.errors(self.protocol(values))
        self.assertIn("local resolution of MonoRes", error)
        self.assertIn("choose the map", error)
        for name, program in (
            ("cryosparc_P5_J12_map_locres.mrc", "cryoSPARC"),
            ("deepRes_resolution_originalSize.vol", "DeepRes"),
            ("resolutionMap.map", "blocres"),
            ("local_resolution_map.ccp4", "Phenix"),
            ("locres_of_mine.mrc", None),
        ):
            self.assertEqual(madeBy(Volume(location=name)), program)
        self.assertIsNone(madeBy(self.importVolume(self.write("good.mrc", blob())).outputVolume))

    def test_a_set_that_is_still_empty_may_be_given(self):
        imported = self.importVolume(self.write("one.mrc", blob()))
        empty = SetOfVolumes(filename=str(self.files / "empty.sqlite"))
        empty.setSamplingRate(VOXEL)
        empty.setStreamState(SetOfVolumes.STREAM_OPEN)
        empty.write()
        imported._defineOutputs(growing=empty)
        protocol = self.protocol(imported, "growing")
        self.point(protocol.inputMask, self.importMask(self.write("k.mrc", ball())), "outputMask")
        self.assertEqual(self.errors(protocol), [])
        self.assertEqual(protocol._warnings(), [])

    def test_outputs_of_known_programs_are_known_by_their_run(self):
        values = self.importVolume(self.write("anything.mrc", ball() * 5))
        protocol = self.protocol(values)
        maker = mock.Mock(wraps=values)
        maker.getClassName = lambda: "ProtResMap"
        with mock.patch.object(protocol.inputVolumes, "getObjValue", return_value=maker):
            self.assertEqual(madeBy(values.outputVolume, protocol.inputVolumes), "ResMap")


@needs_models
class TestOutputs(InputCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.imported = cls.importVolume(cls.write("map.mrc", blob()))
        cls.finished = cls.newProtocol(ProtCryoResValidate, claimedResolution=6.0, makeReport=False)
        cls.point(cls.finished.inputVolumes, cls.imported, "outputVolume")
        cls.run_(cls.finished)

    def test_every_output_says_what_it_is(self):
        run = self.proj.getProtocol(self.finished.getObjId())
        self.assertIsInstance(run.outputResolution, LocalResolutionVolume)
        self.assertIsInstance(run.outputClass, ResolutionClassVolume)
        self.assertTrue(str(run.outputResolution).startswith("LocalResolutionVolume (44 x 40 x 36"))

    def test_the_automatic_mask_is_an_output_on_the_grid_of_the_map(self):
        mask = self.finished.outputMask
        self.assertEqual(mask.getClassName(), "VolumeMask")
        self.assertEqual(mask.getDim(), BOX[::-1])
        self.assertEqual(mask.getSamplingRate(), VOXEL)
        self.assertIsNone(getattr(mask, "_cryoresVerdict", None))

    def test_its_own_results_are_refused_as_input(self):
        for output in ("outputResolution", "outputClass"):
            (error,) = self.errors(self.protocol(self.finished, output))
            self.assertIn("local resolution of CryoResDL", error)

    def test_without_the_switch_no_report_is_made(self):
        self.assertFalse(self.finished.hasResult("results", result_files.REPORT_HTML))

    def test_outputs_are_registered_before_the_report_is_made(self):
        protocol = self.protocol(self.imported, networks=1)
        seen = []
        report = ProtCryoResValidate.reportStep

        def watched(run, folder):
            seen.append(hasattr(run, "outputVolume"))
            report(run, folder)

        with mock.patch.object(ProtCryoResValidate, "reportStep", watched):
            self.run_(protocol)
        self.assertEqual(seen, [True])
        self.assertTrue(protocol.hasResult("results", result_files.REPORT_HTML))


class TestHalfMaps(InputCase):
    def given(self, half, voxel=VOXEL, map_="map.mrc"):
        imported = self.importVolume(self.write(map_, blob()))
        volume = imported.outputVolume
        volume.setHalfMaps([self.write("first_%s" % map_, blob(1)), half])
        imported._store(volume)
        return self.proj.getProtocol(imported.getObjId())

    def test_another_box_is_said_with_the_way_out(self):
        imported = self.given(self.write("small.mrc", blob(box=(32, 32, 32))), map_="a.mrc")
        (error,) = self.errors(self.protocol(imported))
        self.assertIn("small.mrc has a box of", error)
        self.assertIn("Use half maps: No", error)
        self.assertEqual(self.errors(self.protocol(imported, useHalfMaps=False)), [])

    def test_another_pixel_size_is_said(self):
        imported = self.given(self.write("fine.mrc", blob(2), voxel=1.0), map_="b.mrc")
        (error,) = self.errors(self.protocol(imported))
        self.assertIn("1 A/voxel in its header, the map 2", error)

    def test_foreign_formats_are_converted(self):
        from pwem.emlib.image import ImageHandler

        spider = str(self.files / "half.vol")
        ImageHandler().convert(self.write("h.mrc", blob(2)), spider)
        protocol = self.protocol(self.given(spider, map_="c.mrc"))
        self.assertEqual(self.errors(protocol), [])
        os.makedirs(protocol._getExtraPath(), exist_ok=True)
        first, second = protocol._halfMaps(protocol.inputVolumes.get())
        self.assertTrue(second.endswith("half2.mrc") and os.path.isfile(second))
        self.assertTrue(first.endswith("first_c.mrc"))


@needs_models
class TestSets(InputCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for number in range(3):
            cls.write("many_%d.mrc" % number, blob(number))
        small = cls.write("small.mrc", blob(box=(32, 32, 32)))
        half = cls.write("half.mrc", blob(9))
        imported = cls.importVolumes("many_*.mrc")
        given = SetOfVolumes(filename=str(cls.files / "given.sqlite"))
        given.setSamplingRate(VOXEL)
        for number, item in enumerate(imported.outputVolumes.iterItems()):
            volume = item.clone()
            volume.setObjId(number + 1)
            volume._published = Float([4.5, None, 12.0][number])
            if number == 1:
                volume.setHalfMaps([small, half])
            given.append(volume)
        given.write()
        holder = cls.newProtocol(
            ProtImportVolumes, filesPath=str(cls.files), filesPattern="many_*", samplingRate=VOXEL
        )
        cls.run_(holder)
        holder._defineOutputs(claimed=given)
        cls.finished = cls.newProtocol(
            ProtCryoResValidate,
            claimedResolution=7.0,
            claimAttribute="_published",
            networks=1,
            makeReport=False,
        )
        cls.point(cls.finished.inputVolumes, holder, "claimed")
        cls.run_(cls.finished)

    def test_every_volume_is_judged_by_its_own_claim(self):
        claims = {item.getObjId(): getVerdict(item)["claimed"] for item in self.finished.outputVolumes}
        self.assertEqual(claims, {1: 4.5, 2: 7.0, 3: 12.0})

    def test_half_maps_that_do_not_fit_are_left_out_and_that_is_said(self):
        with open(self.finished._getExtraPath("batch_000.csv"), newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        self.assertEqual([row["half1"] for row in rows], ["", "", ""])
        summary = " ".join(self.finished.summary())
        self.assertIn("many_1.mrc was validated without half maps", summary)
        self.assertIn("small.mrc has a box", summary)

    def test_the_summary_counts_the_verdicts(self):
        summary = self.finished.summary()
        self.assertIn("3 volumes validated.", summary[0])
        told = next(line for line in summary if line.startswith("Claims"))
        counted = {}
        for item in self.finished.outputVolumes:
            counted[item._cryoresVerdict.get()] = counted.get(item._cryoresVerdict.get(), 0) + 1
        for verdict, count in counted.items():
            self.assertIn("%d %s" % (count, verdict), told)
        self.assertTrue(any(line.startswith("Estimated resolution: ") for line in summary))


class TestGpu(ScipionCase):
    def test_tensorflow_sees_the_chosen_gpus_or_none(self):
        protocol = self.newProtocol(ProtCryoResValidate)
        with mock.patch.object(Plugin, "getEnviron", side_effect=lambda: {}):
            self.assertEqual(protocol._engineEnviron(), {"CUDA_VISIBLE_DEVICES": "-1"})
            protocol.useGpu.set(True)
            protocol.gpuList.set("1,2")
            chosen = protocol._engineEnviron()
            self.assertEqual(chosen, {"CUDA_VISIBLE_DEVICES": "1,2", "CRYORESDL_BACKEND": "tensorflow"})
            trained = self.newProtocol(ProtCryoResTrainLocal)
            self.assertEqual(trained._engineEnviron()["CUDA_VISIBLE_DEVICES"], "0")
            self.assertEqual(self.newProtocol(ProtCryoResCompare)._engineEnviron(), {})


def test_protocols_say_that_they_are_young():
    import pyworkflow as pw

    from cryoresdl import protocols

    kinds = [getattr(protocols, name) for name in dir(protocols) if name.startswith("ProtCryoRes")]
    assert len(kinds) >= 6 and {kind._devStatus for kind in kinds} == {pw.BETA}
    assert len({kind._label for kind in kinds}) == len(kinds)
    assert not any(kind._label.startswith("DL") for kind in kinds)
    assert Path(protocols.__file__).is_file()
