"""How far do local-resolution volumes of one map agree?"""

import os

import pyworkflow.protocol.params as params
from pwem.objects import Volume

from ..models.maps.mrc import header_check
from ..models.results import result_files
from .protocol_base import (
    CryoResProtocol,
    fileOf,
    gridErrors,
    inputErrors,
    needsConversion,
    placeLike,
    readableFile,
)
from .resolution_volumes import PICKED_BY_HAND, comparedErrors, estimatesFile, namesForPeople, programOf
from .validation_summary import comparisonLines

OUTPUT_DISAGREEMENT = "outputDisagreement"
RESULTS = "results"


class ProtCryoResCompare(CryoResProtocol):
    """Compares any number of local-resolution volumes of the same map, voxel by voxel.

    For every pair you get Cohen's kappa on the ten resolution classes, Spearman's rank correlation, bias, mean
    absolute difference and the share of voxels within one class; and, over all, a volume of the disagreement (A)
    that shows where they differ. MonoRes, ResMap, RELION, this plugin's networks and a known truth can be mixed:
    each program's way of writing "not estimated" (0, 100 or more) is understood.
    """

    _label = "compare local resolutions"
    _possibleOutputs = {OUTPUT_DISAGREEMENT: Volume}

    # --------------------------- DEFINE param functions ----------------------
    def _defineParams(self, form):
        form.addSection(label="Input")
        form.addParam(
            "inputVolumes",
            params.MultiPointerParam,
            pointerClass=PICKED_BY_HAND,
            minNumObjects=2,
            label="Local-resolution volumes",
            important=True,
            help="Two or more volumes whose values are resolutions in A, all of the same box and sampling rate.",
        )
        form.addParam(
            "inputMask",
            params.PointerParam,
            pointerClass="VolumeMask",
            allowsNull=True,
            label="Mask",
            help="Only voxels inside are compared. Empty: all voxels that every volume has estimated. RELION fills "
            "its background with the global resolution, so give a mask when comparing with it.",
        )
        form.addParam(
            "inputMap",
            params.PointerParam,
            pointerClass=PICKED_BY_HAND,
            allowsNull=True,
            label="Map",
            help="The density map (same box): the viewer shows it beside the volumes.",
        )

    # --------------------------- INSERT steps functions ----------------------
    def _insertAllSteps(self):
        self._insertFunctionStep(self.compareStep, [fileOf(volume) for volume in self._volumes()])
        self._insertFunctionStep(self.createOutputStep)

    # --------------------------- STEPS functions -----------------------------
    def compareStep(self, files):
        words = ["compare"]
        for number, (name, volume) in enumerate(zip(self.getNames(), self._volumes())):
            words.append(
                "%s=%s"
                % (
                    readableFile(
                        volume, self._getExtraPath("volume_%02d.mrc" % number), estimatesFile(volume)
                    ),
                    name,
                )
            )
        for option, pointer in (("mask", self.inputMask), ("map", self.inputMap)):
            if pointer.get() is not None:
                words += ["--" + option, readableFile(pointer.get(), self._getExtraPath(option + ".mrc"))]
        self.runEngine(*words, "--out", self.getResultsFolder(), "--overwrite")

    def createOutputStep(self):
        disagreement = self.getResultsFolder(result_files.DISAGREEMENT)
        if not os.path.exists(disagreement):
            return
        output = placeLike(Volume(location=disagreement), self._volumes()[0])
        self._defineOutputs(**{OUTPUT_DISAGREEMENT: output})
        for pointer in self.inputVolumes:
            self._defineSourceRelation(pointer, output)

    # --------------------------- INFO functions ------------------------------
    def _validate(self):
        volumes = self._volumes()
        if len(volumes) < 2:
            return ["Choose at least two local-resolution volumes."]
        errors = []
        for volume, name in list(zip(volumes, self.getNames()))[1:]:
            errors += gridErrors(volumes[0], volume, name + " volume")
        if errors:
            return errors
        for volume in volumes:
            if not needsConversion(volume):
                errors += inputErrors(
                    header_check.check_header, estimatesFile(volume), "local-resolution volume"
                )
        if not errors and self.inputMap.get() is not None:
            for volume, name in zip(volumes, self.getNames()):
                errors += comparedErrors(self.inputMap.get(), volume, name + " volume")
        for pointer, role in ((self.inputMask, "mask"), (self.inputMap, "density map")):
            if not errors and pointer.get() is not None:
                errors += gridErrors(volumes[0], pointer.get(), role)
        return errors

    def _summary(self):
        comparison = self.readResult(RESULTS, result_files.COMPARISON_JSON)
        if not comparison:
            return ["The comparison is not ready yet."]
        return comparisonLines(comparison) or ["The volumes share no estimated voxel."]

    def _methods(self):
        if not hasattr(self, OUTPUT_DISAGREEMENT):
            return []
        return [
            "The local resolutions of %s were compared voxel by voxel with CryoResDL."
            % ", ".join(self.getNames())
        ]

    def _citations(self):
        cites = {"MonoRes": "vilas2018", "ResMap": "kucukelbir2014", "CryoResDL": "avramov2019"}
        programs = {programOf(pointer) for pointer in self.inputVolumes}
        return sorted(cites[program] for program in programs & set(cites))

    # --------------------------- UTILS functions -----------------------------
    def getResultsFolder(self, *names):
        """The engine's results folder, or a file in it."""
        return self._getExtraPath(RESULTS, *names)

    def getNames(self):
        """A name for every volume: the label that its run was given, else its program; equal ones tell their run."""
        return namesForPeople([pointer for pointer in self.inputVolumes if pointer.get() is not None])

    def _volumes(self):
        return [pointer.get() for pointer in self.inputVolumes if pointer.get() is not None]
