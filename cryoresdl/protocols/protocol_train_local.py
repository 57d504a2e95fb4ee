"""Learn local resolution from one's own maps and the volumes that MonoRes or ResMap made of them."""

import csv
import os

import pyworkflow.protocol.params as params

from ..models.files import atomic_path
from .protocol_base import fileOf, gridErrors, originError, readableFile, volumesOf
from .protocol_train import ProtCryoResTrainBase

LABELS = ("monores", "resmap", "truth")
DEFAULT, PAPER = 0, 1


class ProtCryoResTrainLocal(ProtCryoResTrainBase):
    """Trains a network that gives every voxel a resolution, from maps whose local resolution is known.

    The known local resolution comes from MonoRes, from ResMap, or is the truth of simulated maps ("DL simulate
    training maps"). Give maps, local-resolution volumes and masks in the same order; single volumes and sets can be
    mixed. Box, sampling rate and origin of each triple are checked.

    The network keeps whole maps apart for testing, so use at least three, better thirty.
    """

    _label = "DL train local resolution"

    # --------------------------- DEFINE param functions ----------------------
    def _defineParams(self, form):
        form.addSection(label="Input")
        for name, kind, label, text in (
            ("inputMaps", "Volume,SetOfVolumes", "Maps", "The density maps, unsharpened if you have them."),
            (
                "inputLabels",
                "Volume,SetOfVolumes",
                "Local-resolution volumes",
                "Of the same maps, in the same order: 'resolution_Volume' of MonoRes (not the Chimera one), "
                "'outputVolume' of ResMap, or 'outputTruth' of the simulator. Values in A; 0, or 100 and more, is "
                "read as not estimated.",
            ),
            ("inputMasks", "VolumeMask,SetOfVolumes", "Masks", "Where the molecules are, in the same order."),
        ):
            form.addParam(
                name, params.MultiPointerParam, pointerClass=kind, label=label, important=True, help=text
            )
        form.addParam(
            "labels",
            params.EnumParam,
            choices=["MonoRes", "ResMap", "Truth of simulated maps"],
            default=0,
            label="They come from",
            help="The program whose results the network learns to give.",
        )
        form.addParam(
            "network",
            params.EnumParam,
            choices=["Recommended (U-Net on band energies)", "The paper's 3D U-Net"],
            default=DEFAULT,
            label="Network",
            help="The recommended network reads local band energies and noise; the paper's reads the density alone.",
        )
        form.addParam(
            "patch",
            params.IntParam,
            allowsNull=True,
            expertLevel=params.LEVEL_ADVANCED,
            label="Patch (voxels)",
            help="Edge of the cubes cut from the maps. Empty: 48, or 16 for the paper's network.",
        )
        self._defineTrainingParams(form)

    def _paperCondition(self):
        return "network == %d" % PAPER

    def _isPaper(self):
        return self.network.get() == PAPER

    # --------------------------- INSERT steps functions ----------------------
    def _insertAllSteps(self):
        labels = LABELS[self.labels.get()]
        data = [
            "local",
            "--csv",
            self._getExtraPath("triples.csv"),
            "--labels",
            labels,
            "--seed",
            str(self.seed.get()),
        ]
        if self.patch.get() is not None:
            data += ["--patch", str(self.patch.get())]
        if self._isPaper():
            data.append("--paper")
        self._insertFunctionStep(
            self.writeTriplesStep, [[fileOf(v) for v in triple] for triple in self._triples()]
        )
        self._insertFunctionStep(self.buildDataStep, data)
        self._insertFunctionStep(self.trainStep, self._trainingOptions("unet") + ["--labels", labels])
        self._insertFunctionStep(self.createOutputStep)

    # --------------------------- STEPS functions -----------------------------
    def writeTriplesStep(self, files):
        """The list of triples for the engine, with maps in foreign formats converted."""
        path = self._getExtraPath("triples.csv")
        with atomic_path(path) as partial, open(str(partial), "w", newline="", encoding="utf-8") as stream:
            table = csv.writer(stream)
            table.writerow(["map", "label", "mask", "name", "voxel_size"])
            for number, triple in enumerate(self._triples()):
                names = [
                    os.path.abspath(readableFile(volume, self._getExtraPath("%s_%04d.mrc" % (role, number))))
                    for role, volume in zip(("map", "label", "mask"), triple)
                ]
                table.writerow([*names, "map_%04d" % number, "%.6g" % triple[0].getSamplingRate()])

    # --------------------------- INFO functions ------------------------------
    def _validate(self):
        errors = self._trainingErrors()
        counts = [
            len(volumesOf(pointers)) for pointers in (self.inputMaps, self.inputLabels, self.inputMasks)
        ]
        if len(set(counts)) > 1 or not counts[0]:
            return errors + [
                "There are %d maps, %d local-resolution volumes and %d masks; give one of each per map, in the same order."
                % tuple(counts)
            ]
        if counts[0] < 3:
            errors.append("Give at least three maps: one to learn from, one to stop by and one to test with.")
        for number, (map_, label, mask) in enumerate(self._triples(), 1):
            for other, role in ((label, "local-resolution volume"), (mask, "mask")):
                found = gridErrors(map_, other, role) or originError(map_, other, role)
                errors += ["Map %d: %s" % (number, text) for text in found]
        return errors[:10]

    def _methods(self):
        if not hasattr(self, "outputModel"):
            return []
        return [
            "A network for local resolution was trained on %d maps with labels of %s with CryoResDL."
            % (len(self._triples()), LABELS[self.labels.get()])
        ]

    def _citations(self):
        return ["avramov2019"] + {0: ["vilas2018"], 1: ["kucukelbir2014"]}.get(self.labels.get(), [])

    # --------------------------- UTILS functions -----------------------------
    def _triples(self):
        """(map, label, mask) volumes, in the order of the form."""
        return list(
            zip(*(volumesOf(pointers) for pointers in (self.inputMaps, self.inputLabels, self.inputMasks)))
        )
