"""How far do local-resolution volumes of one map agree?"""

import os
import re

import pyworkflow.protocol.params as params
from pwem.objects import Volume

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

OUTPUT_DISAGREEMENT = "outputDisagreement"
RESULTS = "results"
PROGRAMS = {
    "XmippProtMonoRes": "MonoRes",
    "ProtResMap": "ResMap",
    "ProtRelionLocalRes": "RELION",
    "ProtCryoResValidate": "CryoResDL",
    "ProtCryoResSimulate": "truth",
}
"""Protocol class -> the name that its users know it by."""


class ProtCryoResCompare(CryoResProtocol):
    """Compares any number of local-resolution volumes of the same map, voxel by voxel.

    For every pair you get Cohen's kappa on the ten resolution classes, Spearman's rank correlation, bias, mean
    absolute difference and the share of voxels within one class; and, over all, a volume of the disagreement (A)
    that shows where they differ. MonoRes, ResMap, RELION, this plugin's networks and a known truth can be mixed:
    each program's way of writing "not estimated" (0, 100 or more) is understood.
    """

    _label = "DL compare local resolutions"
    _possibleOutputs = {OUTPUT_DISAGREEMENT: Volume}

    # --------------------------- DEFINE param functions ----------------------
    def _defineParams(self, form):
        form.addSection(label="Input")
        form.addParam(
            "inputVolumes",
            params.MultiPointerParam,
            pointerClass="Volume",
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
            pointerClass="Volume",
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
                "%s=%s" % (readableFile(volume, self._getExtraPath("volume_%02d.mrc" % number)), name)
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
        from ..models.maps import foreign_volumes

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
                errors += inputErrors(foreign_volumes.read_resolution, fileOf(volume))
        for pointer, role in ((self.inputMask, "mask"), (self.inputMap, "density map")):
            if not errors and pointer.get() is not None:
                errors += gridErrors(volumes[0], pointer.get(), role)
        return errors

    def _summary(self):
        comparison = self.readResult(RESULTS, result_files.COMPARISON_JSON)
        if not comparison:
            return ["The comparison is not ready yet."]
        lines = []
        for pair in comparison.get("pairs", []):
            lines.append(
                "%s and %s: mean difference %s A, rank correlation %s, within one class %s, kappa %s"
                % (
                    *pair["names"],
                    _number(pair.get("mae_A")),
                    _number(pair.get("spearman")),
                    _number(pair.get("within_one_class")),
                    _number(pair.get("kappa")),
                )
            )
        return lines or ["The volumes share no estimated voxel."]

    def _methods(self):
        if not hasattr(self, OUTPUT_DISAGREEMENT):
            return []
        return [
            "The local resolutions of %s were compared voxel by voxel with CryoResDL."
            % ", ".join(self.getNames())
        ]

    def _citations(self):
        cites = {"MonoRes": "vilas2018", "ResMap": "kucukelbir2014", "CryoResDL": "avramov2019"}
        return sorted({cites[name.split("_")[0]] for name in self.getNames() if name.split("_")[0] in cites})

    # --------------------------- UTILS functions -----------------------------
    def getResultsFolder(self, *names):
        """The engine's results folder, or a file in it."""
        return self._getExtraPath(RESULTS, *names)

    def getNames(self):
        """A short name for every volume: the program that made it, numbered when one program made several."""
        names = []
        for pointer in self.inputVolumes:
            if pointer.get() is None:
                continue
            maker = pointer.getObjValue()
            name = PROGRAMS.get(maker.getClassName()) if maker is not None else None
            if name is None:
                label = pointer.get().getObjLabel() or getattr(maker, "getObjLabel", lambda: "")()
                name = re.sub(r"[^A-Za-z0-9.-]+", "_", label or "").strip("_") or "volume"
            count = sum(1 for other in names if other == name or other.startswith(name + "_"))
            names.append(name if not count else "%s_%d" % (name, count + 1))
        return names

    def _volumes(self):
        return [pointer.get() for pointer in self.inputVolumes if pointer.get() is not None]


def _number(value):
    return "%.2f" % value if isinstance(value, (int, float)) else "unknown"
