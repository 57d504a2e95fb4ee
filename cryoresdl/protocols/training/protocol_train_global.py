"""Learn to tell high, medium and low resolution from maps simulated from one's own structures."""

import csv
import os

import pyworkflow.protocol.params as params
from pwem.objects import SetOfAtomStructs

from ...models.base.runs.atomic_files import atomic_path
from ..protocol_base import fileOf, readableFile, volumesOf
from ..protocol_simulate import SIMULATED
from ..resolution_volumes import VOLUMES_PICKED_BY_HAND
from .protocol_train_base import ProtCryoResTrainBase

CNN, PAPER_CNN, PAPER_DNN = 0, 1, 2
NETWORKS = ("cnn", "cnn", "dnn")
FROM_PROJECT, FROM_FILE, FROM_KNOWN = 0, 1, 2


class ProtCryoResTrainGlobal(ProtCryoResTrainBase):
    """Trains a network that tells maps of high (< 5 A), medium (5 to 10 A) and low resolution apart.

    The *recommended* network learns from maps whose true local resolution is known, as "simulate maps"
    makes them: give its volumes, truth and masks. It also learns from volumes of which you know only the global
    resolution. The *paper's* networks learn from noiseless maps at 2.5, 7.5 and
    12.5 A, which are simulated here from atomic structures. Large training sets are better made once, with
    'cryoresdl dataset', and given as a file.
    """

    _label = "train global network"

    # --------------------------- DEFINE param functions ----------------------
    def _defineParams(self, form):
        form.addSection(label="Input")
        form.addParam(
            "network",
            params.EnumParam,
            choices=["Recommended", "The paper's 3D CNN", "The paper's DNN"],
            default=CNN,
            label="Network",
            help="The recommended network reads the whole molecule at any sampling rate; the paper's read a 64^3 box.",
        )
        form.addParam(
            "source",
            params.EnumParam,
            choices=[
                "Objects of this project",
                "Data set file (.h5)",
                "Volumes with known global resolutions",
            ],
            default=FROM_PROJECT,
            label="Learn from",
            help="A data set file is what 'cryoresdl dataset features' (recommended network) or 'cryoresdl dataset "
            "global' (the paper's networks) wrote. Known global resolutions are for the recommended network.",
        )
        self._defineKnownParams(form)
        self._defineTripleParams(form, "source == %d and network == %d" % (FROM_PROJECT, CNN))
        self._defineStructureParams(form)
        form.addParam(
            "dataFile",
            params.FileParam,
            condition="source == %d" % FROM_FILE,
            label="Data set",
            help="An .h5 file of 'cryoresdl dataset'.",
        )
        self._defineTrainingParams(form)

    @staticmethod
    def _defineKnownParams(form):
        """Volumes of which only the global resolution is known."""
        form.addParam(
            "inputVolumes",
            params.MultiPointerParam,
            pointerClass=VOLUMES_PICKED_BY_HAND,
            condition="source == %d" % FROM_KNOWN,
            allowsNull=True,
            important=True,
            label="Volumes",
            help="Maps whose resolution you trust. Their masks are found automatically.",
        )
        form.addParam(
            "knownResolutions",
            params.StringParam,
            default="",
            condition="source == %d" % FROM_KNOWN,
            label="Their resolutions (A)",
            help="One number per volume, in the same order, separated by spaces or commas. Empty: the resolutions at "
            "which 'simulate maps' made them.",
        )

    @staticmethod
    def _defineStructureParams(form):
        """Structures from which the maps of the paper's networks are simulated."""
        form.addParam(
            "inputStructures",
            params.PointerParam,
            pointerClass="SetOfAtomStructs",
            condition="source == %d and network != %d" % (FROM_PROJECT, CNN),
            allowsNull=True,
            label="Atomic structures",
            help="Proteins of 10 to 200 kDa; what does not fit the 64 A box is left out. Hundreds are needed for a "
            "network that generalises.",
        )
        form.addParam(
            "resolutions",
            params.StringParam,
            default="2.5 7.5 12.5",
            condition="source == %d and network != %d" % (FROM_PROJECT, CNN),
            expertLevel=params.LEVEL_ADVANCED,
            label="Resolutions (A)",
            help="Of the simulated maps. The paper used 2.5, 7.5 and 12.5, one per class.",
        )

    def _paperCondition(self):
        return "network != %d" % CNN

    def _isPaper(self):
        return self.network.get() != CNN

    # --------------------------- INSERT steps functions ----------------------
    def _insertAllSteps(self):
        seed = ["--seed", str(self.seed.get())]
        if self.source.get() == FROM_PROJECT and not self._isPaper():
            self._insertFunctionStep(self.writeTriplesStep, self._tripleFiles())
            words = ["features", "--csv", self.getTripleList(), "--labels", "truth"]
            self._insertFunctionStep(self.buildDataStep, words + seed)
        elif self.source.get() == FROM_KNOWN:
            self._insertFunctionStep(self.writeKnownStep, [fileOf(v) for v in self._volumes()])
            words = ["features", "--csv", self.getTripleList()]
            self._insertFunctionStep(self.buildDataStep, words + seed)
        elif self.source.get() == FROM_PROJECT:
            words = ["global", "--structures", self._getExtraPath("structures.txt")]
            words += ["--resolutions", *self.resolutions.get().replace(",", " ").split()]
            self._insertFunctionStep(self.listStructuresStep, self._structures())
            self._insertFunctionStep(self.buildDataStep, words + seed)
        self._insertFunctionStep(self.trainStep, self._trainingOptions(NETWORKS[self.network.get()]))
        if not self._isPaper():  # the paper's networks are measured where they are trained
            self._insertFunctionStep(self.evaluateStep)
        self._insertFunctionStep(self.createOutputStep)

    # --------------------------- STEPS functions -----------------------------
    def writeKnownStep(self, files):
        """The list of maps and resolutions for the engine, with maps in foreign formats converted."""
        with atomic_path(self.getTripleList()) as partial:
            with open(str(partial), "w", newline="", encoding="utf-8") as stream:
                table = csv.writer(stream)
                table.writerow(["map", "resolution", "name", "voxel_size", "split"])
                volumes = self._volumes()
                rows = zip(volumes, self._knownResolutions(), self._splits(len(volumes)))
                for number, (volume, value, split) in enumerate(rows):
                    name = readableFile(volume, self._getExtraPath("map_%04d.mrc" % number))
                    rate = "%.6g" % volume.getSamplingRate()
                    table.writerow([os.path.abspath(name), "%g" % value, "map_%04d" % number, rate, split])

    def listStructuresStep(self, files):
        with atomic_path(self._getExtraPath("structures.txt")) as partial:
            partial.write_text("".join(os.path.abspath(name) + "\n" for name in files), encoding="utf-8")

    # --------------------------- INFO functions ------------------------------
    def _validate(self):
        errors = []
        if self.source.get() == FROM_FILE:
            path = self.dataFile.get()
            if not path or not os.path.isfile(path):
                errors.append("There is no data set %s; choose an .h5 file." % (path or "yet"))
            return errors
        if self.source.get() == FROM_KNOWN:
            return errors + self._knownErrors()
        if not self._isPaper():
            return errors + self._tripleErrors()
        if self.inputStructures.get() is None:
            return errors + ["Choose a set of atomic structures."]
        missing = [path for path in self._structures() if not path or not os.path.isfile(path)]
        errors += ["The structure file %s is missing." % path for path in missing[:3]]
        try:
            values = [float(word) for word in (self.resolutions.get() or "").replace(",", " ").split()]
        except ValueError:
            values = []
        if not values or min(values) <= 0:
            errors.append("Resolutions must be numbers above 0, in A, for example 2.5 7.5 12.5.")
        return errors

    def _methods(self):
        if not hasattr(self, "outputModel"):
            return []
        return ["%s was trained with CryoResDL." % self.outputModel]

    # --------------------------- UTILS functions -----------------------------
    def getData(self):
        """The training set: of this run, or the file that was chosen."""
        return self.dataFile.get() if self.source.get() == FROM_FILE else super().getData()

    def _volumes(self):
        return volumesOf(self.inputVolumes)

    def _knownResolutions(self):
        """Angstroms of every volume: from the form, else those of the simulator; None where neither knows."""
        words = (self.knownResolutions.get() or "").replace(",", " ").split()
        if words:
            return [float(word) for word in words]
        found = [getattr(volume, SIMULATED, None) for volume in self._volumes()]
        return [None if value is None else value.get() for value in found]

    def _knownErrors(self):
        if self._isPaper():
            return [
                "The paper's networks learn from structures; choose the recommended network for these volumes."
            ]
        volumes = self._volumes()
        if len(volumes) < 3:
            return ["Give at least three volumes: one to learn from, one to stop by and one to test with."]
        try:
            values = self._knownResolutions()
        except ValueError:
            return ["The resolutions must be numbers, in A, for example 3.2 4.5 8."]
        if len(values) != len(volumes):
            return [
                "There are %d volumes and %d resolutions; give one per volume." % (len(volumes), len(values))
            ]
        errors = []
        for number, (volume, value) in enumerate(zip(volumes, values), 1):
            if value is None:
                errors.append(
                    "Volume %d carries no resolution; write the resolutions into the form." % number
                )
            elif value < 2 * volume.getSamplingRate():
                errors.append(
                    "Volume %d cannot reach %g A with voxels of %.3g A."
                    % (number, value, volume.getSamplingRate())
                )
        return errors[:10]

    def _structures(self):
        target = self.inputStructures.get()
        return (
            [item.getFileName() for item in target.iterItems()]
            if isinstance(target, SetOfAtomStructs)
            else []
        )
