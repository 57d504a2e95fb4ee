"""Chaining after the real MonoRes and ResMap protocols, with stand-ins that replay what those programs recorded.

The protocol classes, their command lines and their outputs are the plugins' own; only the programs are replaced,
because they cannot be had from a package registry.
"""

import gzip
import json
import shutil
import sys
from pathlib import Path

import numpy as np

from cryoresdl.models.results import result_files
from cryoresdl.protocols import ProtCryoResCompare, ProtCryoResTrainLocal, ProtCryoResValidate
from cryoresdl.tests.helpers.chain_case import MAPS, ChainCase, executable
from cryoresdl.tests.helpers.scipion_case import ScipionCase, needs_models, shared_folder

TEMPLATES = Path(__file__).resolve().parents[1] / "templates"
REPLAY_RESMAP = """#!{python}
# Stands in for ResMap: gives back what the real program computed for this map.
import shutil, sys

shutil.copyfile({recorded!r}, "volume1_ori_resmap.map")
"""


@needs_models
class TestAfterMonoRes(ChainCase):
    def test_monores_then_validation_and_comparison(self):
        imported, mask = self.given(MAPS[0])
        monores = self.monores(imported, mask)
        self.assertIn("xmipp_resolution_monogenic_signal --vol", self.log.read_text())
        self.assertEqual(type(monores).__name__, "XmippProtMonoRes")

        protocol = self.newProtocol(ProtCryoResValidate, networks=2)
        self.point(protocol.inputVolumes, imported, "outputVolume")
        self.point(protocol.inputMask, mask, "outputMask")
        self.point(protocol.monoresVolume, monores, "resolution_Volume")
        self.assertEqual(protocol.validate(), [])
        self.run_(protocol)
        comparison = json.loads(Path(protocol.getResultsFolder(result_files.COMPARISON_JSON)).read_text())
        (pair,) = comparison["pairs"]
        self.assertGreater(pair["n_voxels"], 1000)
        self.assertGreater(pair["spearman"], 0)
        self.assertIn("Vilas", " ".join(protocol.citations()))

        compare = self.newProtocol(ProtCryoResCompare)
        compare.inputVolumes.append(monores.resolution_Volume)
        compare.inputVolumes.append(protocol.outputResolution)
        self.point(compare.inputMask, mask, "outputMask")
        self.run_(compare)
        (again,) = json.loads(Path(compare.getResultsFolder(result_files.COMPARISON_JSON)).read_text())[
            "pairs"
        ]
        self.assertAlmostEqual(again["spearman"], pair["spearman"], places=2)

    def test_monores_of_several_maps_trains_a_network(self):
        try:
            import tensorflow  # noqa: F401
        except ImportError:
            self.skipTest("needs TensorFlow")
        protocol = self.newProtocol(
            ProtCryoResTrainLocal, labels=0, network=1, width=0.0625, epochs=1, patch=16, modelName="after"
        )
        for name in MAPS:
            imported, mask = self.given(name)
            monores = self.monores(imported, mask)
            protocol.inputMaps.append(imported.outputVolume)
            protocol.inputLabels.append(monores.resolution_Volume)
            protocol.inputMasks.append(mask.outputMask)
        self.assertEqual(protocol.validate(), [])
        self.run_(protocol)
        self.assertEqual(protocol.outputModel.getModelName(), "after")

    def test_the_monores_volume_of_another_map_is_refused(self):
        imported, mask = self.given(MAPS[0])
        other, other_mask = self.given(next(n for n in MAPS if self.voxel[n] != self.voxel[MAPS[0]]))
        monores = self.monores(other, other_mask)
        protocol = self.newProtocol(ProtCryoResValidate, networks=2)
        self.point(protocol.inputVolumes, imported, "outputVolume")
        self.point(protocol.monoresVolume, monores, "resolution_Volume")
        self.assertTrue(any("sampling rate" in error or "box" in error for error in protocol.validate()))


@needs_models
class TestTemplate(ChainCase):
    def test_monores_validate_runs_with_nothing_but_the_map_and_its_sampling_rate(self):
        """As ``scipion3 template cryoresdl-monores_validate --nogui`` does, which opens a window for any field not given."""
        from pyworkflow.template import LocalTemplate
        from scipion.scripts.kickoff import assignAllParams

        try:
            from xmipp3.protocols import XmippProtMonoRes  # noqa: F401
        except Exception as error:
            self.skipTest("scipion-em-xmipp does not import here: %s" % error)
        template = LocalTemplate("cryoresdl", str(TEMPLATES / "monores_validate.json.template"))
        template.replaceEnvVariables()
        path = str(self.files / (MAPS[0] + "_map.mrc"))
        given = ["--nogui", "map=" + path, "sampling=%s" % self.voxel[MAPS[0]]]
        self.assertTrue(assignAllParams(given, template))
        runs = list(self.proj.loadProtocols(template.createTemplateFile()).values())
        for run in sorted(runs, key=lambda run: run.getObjId()):
            self.assertEqual(run.validate(), [], run.getObjLabel())
            self.run_(run)
        compared = runs[-1]
        self.assertEqual(compared.getNames(), ["CryoResDL", "MonoRes"])
        summary = " ".join(compared.summary())
        self.assertIn("MonoRes: median *", summary)
        self.assertIn("estimated in", summary)


@needs_models
class TestAfterResMap(ScipionCase):
    def test_resmap_then_validation(self):
        shared = shared_folder()
        try:
            import resmap
            from resmap.protocols import ProtResMap
        except ImportError:
            self.skipTest("needs scipion-em-resmap")
        import pyworkflow as pw

        pw.Config.getDomain().getPlugins()
        files = {}
        for part, name in (
            ("map", "relion_betagal.map.gz"),
            ("mask", "relion_betagal_mask.mrc.gz"),
            ("resmap", "relion_betagal_resmap.map.gz"),
        ):
            import mrcfile

            target = self.files / (part + ".mrc")
            with gzip.open(str(shared / "maps" / name)) as packed, open(str(target), "wb") as plain:
                shutil.copyfileobj(packed, plain)
            with mrcfile.open(str(target), permissive=True) as opened:
                data = opened.data.astype(np.float32)
            files[part] = self.write(part + ".mrc", data, voxel=3.54)
        executable(
            resmap.Plugin.getProgram(),
            REPLAY_RESMAP.format(python=sys.executable, recorded=str(files["resmap"])),
        )
        imported = self.importVolume(files["map"], 3.54)
        mask = self.importMask(files["mask"], 3.54)
        run = self.newProtocol(ProtResMap, show2D=False)
        self.point(run.volumeHalf1, imported, "outputVolume")
        self.point(run.volumeHalf2, imported, "outputVolume")
        self.run_(run)

        protocol = self.newProtocol(ProtCryoResValidate, networks=2)
        self.point(protocol.inputVolumes, imported, "outputVolume")
        self.point(protocol.inputMask, mask, "outputMask")
        self.point(protocol.resmapVolume, run, "outputVolume")
        self.assertEqual(protocol.validate(), [])
        self.run_(protocol)
        comparison = json.loads(Path(protocol.getResultsFolder(result_files.COMPARISON_JSON)).read_text())
        resmap_volume = next(v for v in comparison["volumes"] if "resmap" in v["name"].lower())
        # ResMap's 100 A, "no resolution passed", must not count.
        self.assertLess(resmap_volume["median_A"], 50)
        self.assertIn("Kucukelbir", " ".join(protocol.citations()))
