"""What both training protocols share: one engine run with a checkpoint, and a model as output."""

import csv
import os
import random
import shutil

import pyworkflow.protocol.params as params

from ...models.base.runs.atomic_files import atomic_path
from ...models.results.results_folder import OUTCOME_TXT
from ...objects import ResolutionModel
from ..protocol_base import (
    EMPTY_OR_ABOVE_ZERO,
    CryoResProtocol,
    EngineError,
    fileOf,
    gridErrors,
    originError,
    readableFile,
    volumesOf,
)
from ..resolution_volumes import VOLUMES_PICKED_BY_HAND

OUTPUT_MODEL = "outputModel"
DATA = "data.h5"
TRAINING = "training"
MODEL = "model.cryoresdl"


class ProtCryoResTrainBase(CryoResProtocol):
    """A data set is built, a network trained on it, and the model registered; a stopped run goes on where it was."""

    _possibleOutputs = {OUTPUT_MODEL: ResolutionModel}

    def _defineTrainingParams(self, form):
        """The training section, the same for every network."""
        self._defineGpuParams(
            form, True, "Train on the GPU where TensorFlow finds one; without one, on the processor."
        )
        form.addSection(label="Training")
        form.addParam(
            "modelName",
            params.StringParam,
            default="",
            label="Name",
            help="What the model is called on its card. Empty: the kind of network and the number of this run.",
        )
        form.addParam(
            "epochs",
            params.IntParam,
            allowsNull=True,
            validators=[EMPTY_OR_ABOVE_ZERO],
            label="Epochs",
            help="At most this many passes over the training set. Empty: the recommended number. More when the validation "
            "curve still falls at the end, fewer for a quick try.",
        )
        form.addParam(
            "batch",
            params.IntParam,
            allowsNull=True,
            validators=[EMPTY_OR_ABOVE_ZERO],
            expertLevel=params.LEVEL_ADVANCED,
            label="Batch",
            help="Examples per step; fewer need less memory. Empty: the recommended number.",
        )
        form.addParam(
            "width",
            params.FloatParam,
            default=1.0,
            validators=[params.Range(1e-6, 1, "must be above 0 and at most 1.")],
            condition=self._paperCondition(),
            label="Width",
            help="Factor on all filters and neurons of the paper's network, up to 1. The full networks need hours on "
            "a GPU; 0.125 trains on a laptop.",
        )
        form.addParam(
            "seed",
            params.IntParam,
            default=0,
            expertLevel=params.LEVEL_ADVANCED,
            label="Seed",
            help="Of the split, the initial weights and the order of the examples; it is stored on the card. Change it to "
            "see how much of a result is chance.",
        )
        form.addParallelSection(threads=1, mpi=0)

    def _paperCondition(self):
        """Form condition under which one of the paper's networks is trained."""
        raise TypeError("A training protocol says when it trains the paper's network.")

    def _isPaper(self):
        raise TypeError("A training protocol says whether it trains the paper's network.")

    def _defineTripleParams(self, form, condition="True"):
        """Maps, local-resolution volumes and masks, in the same order."""
        for name, kind, label, text in (
            ("inputMaps", VOLUMES_PICKED_BY_HAND, "Maps", "The density maps, unsharpened if you have them."),
            (
                "inputLabels",
                VOLUMES_PICKED_BY_HAND,
                "Local-resolution volumes",
                "Of the same maps, in the same order: 'resolution_Volume' of MonoRes (not the Chimera one), "
                "'outputVolume' of ResMap, or 'outputTruth' of the simulator. Values in A; 0, or 100 and more, is "
                "read as not estimated.",
            ),
            (
                "inputMasks",
                "VolumeMask ,SetOfVolumes ",
                "Masks",
                "Where the molecules are, in the same order: single masks, or 'outputMasks' of the simulator.",
            ),
        ):
            form.addParam(
                name,
                params.MultiPointerParam,
                pointerClass=kind,
                allowsNull=True,
                condition=condition,
                label=label,
                important=True,
                help=text,
            )

    # --------------------------- STEPS functions -----------------------------
    def writeTriplesStep(self, files):
        """The list of triples for the engine, with maps in foreign formats converted."""
        with atomic_path(self.getTripleList()) as partial:
            with open(str(partial), "w", newline="", encoding="utf-8") as stream:
                table = csv.writer(stream)
                table.writerow(["map", "label", "mask", "name", "voxel_size", "split"])
                triples = self._triples()
                for number, (triple, split) in enumerate(zip(triples, self._splits(len(triples)))):
                    names = [
                        os.path.abspath(
                            readableFile(volume, self._getExtraPath("%s_%04d.mrc" % (role, number)))
                        )
                        for role, volume in zip(("map", "label", "mask"), triple)
                    ]
                    table.writerow([*names, "map_%04d" % number, "%.6g" % triple[0].getSamplingRate(), split])

    def buildDataStep(self, words):
        """Build the data set; parts that a stopped run finished are kept."""
        self.runEngine(
            "dataset",
            *words,
            "--workers",
            max(1, self.numberOfThreads.get()),
            "--out",
            self.getData(),
            "--resume",
        )

    def trainStep(self, words):
        """Train; a stopped run goes on from its last checkpoint to the same result."""
        self.runEngine("train", *words, "--out", self.getTrainingFolder(), "--resume")

    def evaluateStep(self):
        """Measure the network on the maps that were kept apart: the viewer's confusion matrix and calibration."""
        words = ["evaluate", "--data", self.getData(), "--model", self.getTrainingFolder(MODEL)]
        try:
            self.runEngine(*words, "--out", self.getTrainingFolder(), "--overwrite")
        except EngineError as error:
            if not error.badInput:
                raise
            # A data set without test maps trains a network all the same; the viewer says that it was not measured.
            self.info("Not measured: %s" % error)

    def createOutputStep(self):
        # Under its own name in extra/, where a user looks for the file to give to a colleague.
        target = self._getExtraPath(MODEL)
        shutil.copyfile(self.getTrainingFolder(MODEL), target)
        self._defineOutputs(**{OUTPUT_MODEL: ResolutionModel.fromFile(target)})

    # --------------------------- INFO functions ------------------------------
    def _tripleErrors(self):
        """What is wrong with maps, local-resolution volumes and masks, and with how they belong together."""
        counts = [len(volumesOf(pointers)) for pointers in self._triplePointers()]
        if len(set(counts)) > 1 or not counts[0]:
            return [
                "There are %d maps, %d local-resolution volumes and %d masks; give one of each per map, in the "
                "same order." % tuple(counts)
            ]
        errors = []
        if counts[0] < 3:
            errors.append("Give at least three maps: one to learn from, one to stop by and one to test with.")
        for number, (map_, label, mask) in enumerate(self._triples(), 1):
            for other, role in ((label, "local-resolution volume"), (mask, "mask")):
                found = gridErrors(map_, other, role) or originError(map_, other, role)
                errors += ["Map %d: %s" % (number, text) for text in found]
        return errors[:10]

    def _summary(self):
        model = getattr(self, OUTPUT_MODEL, None)
        if model is not None:
            return [str(model), "File: %s" % model.getPath(), *self._outcome()]
        history = self.getTrainingFolder("history.csv")
        if os.path.exists(history):
            with open(history, encoding="utf-8") as stream:
                lines = [line.strip() for line in stream if line.strip()]
            if len(lines) > 1:
                return [
                    "Training: %s"
                    % ", ".join("%s %s" % pair for pair in zip(lines[0].split(","), lines[-1].split(",")))
                ]
        return ["The training has not started yet."]

    def _outcome(self):
        """The table that the engine left of the training; empty for runs of versions that left none."""
        try:
            with open(self.getTrainingFolder(OUTCOME_TXT), encoding="utf-8") as stream:
                return stream.read().splitlines()
        except OSError:
            return []

    def _citations(self):
        return ["avramov2019"]

    # --------------------------- UTILS functions -----------------------------
    def getData(self):
        """The training set of this run."""
        return self._getExtraPath(DATA)

    def getTripleList(self):
        """The engine's list of (map, local resolution, mask)."""
        return self._getExtraPath("triples.csv")

    def _triplePointers(self):
        return self.inputMaps, self.inputLabels, self.inputMasks

    def _triples(self):
        """(map, label, mask) volumes, in the order of the form."""
        return list(zip(*(volumesOf(pointers) for pointers in self._triplePointers())))

    def _splits(self, count):
        """To which part each map goes: 60, 20 and 20 %, but at least one map to each; drawn with the seed.

        The paper splits the patches of every map instead, so its data set is given no splits.
        """
        if self._isPaper():
            return [""] * count
        held = max(1, round(0.2 * count))
        splits = ["test"] * held + ["validation"] * held + ["train"] * max(1, count - 2 * held)
        random.Random(self.seed.get()).shuffle(splits)
        return splits

    def _tripleFiles(self):
        return [[fileOf(volume) for volume in triple] for triple in self._triples()]

    def getTrainingFolder(self, *names):
        """The engine's training folder (history, checkpoints, model), or a file in it."""
        return self._getExtraPath(TRAINING, *names)

    def _trainingOptions(self, network):
        """The words of the engine's train command that come from the training section."""
        words = [network, "--data", self.getData(), "--seed", str(self.seed.get())]
        words += ["--name", (self.modelName.get() or "").strip() or "%s_%s" % (network, self.strId())]
        for name in ("epochs", "batch"):
            if getattr(self, name).get() is not None:
                words += ["--" + name, str(getattr(self, name).get())]
        if self._isPaper():
            words += ["--paper", "--width", "%g" % self.width.get()]
        return words
