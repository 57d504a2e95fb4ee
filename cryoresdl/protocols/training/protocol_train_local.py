"""Learn local resolution from one's own maps and the volumes that MonoRes or ResMap made of them."""

import pyworkflow.protocol.params as params

from ...models.networks.model_files import model_store
from ..protocol_base import EMPTY_OR_ABOVE_ZERO, inputErrors
from .protocol_train_base import ProtCryoResTrainBase

LABELS = ("monores", "resmap", "truth")
DEFAULT, PAPER = 0, 1


class ProtCryoResTrainLocal(ProtCryoResTrainBase):
    """Trains a network that gives every voxel a resolution, from maps whose local resolution is known.

    The known local resolution comes from MonoRes, from ResMap, or is the truth of simulated maps ("simulate maps").
    Give maps, local-resolution volumes and masks in the same order; single volumes and sets can be mixed. Box,
    sampling rate and origin of each triple are checked.

    With labels of MonoRes or ResMap the recommended network starts from the shipped one, because few maps are at hand.
    The network keeps whole maps apart for testing, so use at least three, better thirty.
    """

    _label = "train local network"

    # --------------------------- DEFINE param functions ----------------------
    def _defineParams(self, form):
        form.addSection(label="Input")
        self._defineTripleParams(form)
        form.addParam(
            "labels",
            params.EnumParam,
            choices=["MonoRes", "ResMap", "Truth of simulated maps"],
            default=0,
            label="Local resolution of",
            help="The program that made the local-resolution volumes: the network learns to give what it gives.",
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
            "startModel",
            params.StringParam,
            default="",
            condition="network == %d" % DEFAULT,
            label="Start from",
            help="Name or file of the network to go on from, or 'none' to start from nothing. Empty: as on the command "
            "line, 'truth' (the shipped network) for labels of MonoRes and ResMap, 'none' for the truth of simulated "
            "maps.",
        )
        form.addParam(
            "patch",
            params.IntParam,
            allowsNull=True,
            validators=[EMPTY_OR_ABOVE_ZERO],
            condition="network == %d" % PAPER,
            expertLevel=params.LEVEL_ADVANCED,
            label="Patch (voxels)",
            help="Edge of the cubes cut from the maps, in voxels. Empty: 16, as in the paper. Larger cubes see more of "
            "their surroundings and need more memory.",
        )
        self._defineTrainingParams(form)

    def _paperCondition(self):
        return "network == %d" % PAPER

    def _isPaper(self):
        return self.network.get() == PAPER

    # --------------------------- INSERT steps functions ----------------------
    def _insertAllSteps(self):
        labels = LABELS[self.labels.get()]
        data = ["--csv", self.getTripleList(), "--labels", labels, "--seed", str(self.seed.get())]
        if self._isPaper():
            data = ["local", "--paper"] + data
            if self.patch.get() is not None:
                data += ["--patch", str(self.patch.get())]
        else:
            data = ["features"] + data
        self._insertFunctionStep(self.writeTriplesStep, self._tripleFiles())
        self._insertFunctionStep(self.buildDataStep, data)
        self._insertFunctionStep(
            self.trainStep, self._trainingOptions("unet") + self._start() + ["--labels", labels]
        )
        if not self._isPaper():  # the paper's networks are measured where they are trained
            self._insertFunctionStep(self.evaluateStep)
        self._insertFunctionStep(self.createOutputStep)

    def _start(self):
        name = (self.startModel.get() or "").strip()
        return ["--start", name] if name and not self._isPaper() else []

    # --------------------------- INFO functions ------------------------------
    def _validate(self):
        errors = self._tripleErrors()
        start = self._start()
        if start and start[1] != "none":
            errors += inputErrors(model_store.read_card, start[1])
        return errors

    def _methods(self):
        if not hasattr(self, "outputModel"):
            return []
        return [
            "A network for local resolution was trained on %d maps with labels of %s with CryoResDL."
            % (len(self._triples()), LABELS[self.labels.get()])
        ]

    def _citations(self):
        return ["avramov2019"] + {0: ["vilas2018"], 1: ["kucukelbir2014"]}.get(self.labels.get(), [])
