"""The main protocol: how well is this map resolved, as a whole and voxel by voxel, and does a claim hold?"""

import os

from pwem.objects import SetOfVolumes, Volume

from ..models.base.atomic_files import shown
from ..models.base.run_record import changed_inputs
from ..models.results import result_files
from ..objects import getVerdict, setVerdict
from .protocol_base import (
    EngineError,
    fileOf,
    gridErrors,
    inputErrors,
    needsConversion,
    placeLike,
    readableFile,
    resultsIn,
)
from .validated_sets import OUTPUT_RESOLUTIONS, OUTPUT_VOLUMES, ValidatedSets
from .validation_form import COMPARED, RESULTS

OUTPUT_RESOLUTION, OUTPUT_CLASS = "outputResolution", "outputClass"
"""Of one volume: the local resolution (A) and its class (0..9, -1: not estimated)."""


class ProtCryoResValidate(ValidatedSets):
    """Tells how well a map is resolved, from the map alone, with deep networks.

    The *global* network says whether the map is of high (better than 5 A), medium (5 to 10 A) or low resolution,
    with probabilities, a resolution estimate and its interval. The *local* network gives every voxel inside the
    mask a resolution in A and an error bar. With a claimed resolution you also get a verdict: supported,
    optimistic, pessimistic or "cannot tell", with the reasons.

    Simplest use: choose a volume and press Execute. Half maps are used when the volume has them. A mask is made
    when none is given; giving your own is better when the map holds more than the molecule (a micelle, a box that
    is cut). Local-resolution volumes of MonoRes, ResMap or RELION can be added to see where they disagree.

    With a set of volumes every volume gets its own row; one that cannot be read is reported and skipped. The set
    may still be growing: volumes are validated as they arrive.
    """

    _label = "DL resolution validation"
    # A dictionary and not an Enum: members of an Enum with equal values are one member.
    _possibleOutputs = {
        OUTPUT_RESOLUTION: Volume,
        OUTPUT_CLASS: Volume,
        OUTPUT_VOLUMES: SetOfVolumes,
        OUTPUT_RESOLUTIONS: SetOfVolumes,
    }

    # --------------------------- INSERT steps functions ----------------------
    def _insertAllSteps(self):
        if not self.isSet():
            self._insertFunctionStep(
                self.validateStep, self.inputVolumes.get().getFileName(), self._options()
            )
            self._insertFunctionStep(self.createOutputStep)
            return
        for number, ids in enumerate(self._plan()):
            self._insertFunctionStep(self.validateBatchStep, number, ids, self._options())
        open_ = self._planNewBatches()
        self._insertFunctionStep(self.closeOutputStep, wait=open_, prerequisites=[])

    # --------------------------- STEPS functions -----------------------------
    def validateStep(self, fileName, options):
        """One volume: everything the engine has to say about it."""
        volume = self.inputVolumes.get()
        words = ["validate", readableFile(volume, self._getExtraPath("input.mrc"))]
        words += ["--voxel-size", "%.6g" % volume.getSamplingRate()]
        if self.inputMask.get() is not None:
            words += ["--mask", readableFile(self.inputMask.get(), self._getExtraPath("mask.mrc"))]
        for name, half in zip(("--half1", "--half2"), self._halfMaps(volume)):
            words += [name, half]
        for name, option in COMPARED.items():
            other = getattr(self, name).get()
            if other is not None:
                words += ["--" + option, readableFile(other, self._getExtraPath(option + ".mrc"))]
        self.runEngine(*words, *options, "--out", self.getResultsFolder(), "--overwrite")

    def createOutputStep(self):
        """One volume: the results as Scipion objects on the grid of the input."""
        volume = self.inputVolumes.get()
        changed = changed_inputs(self.getResultsFolder(result_files.VALIDATION_JSON))
        if changed:
            raise EngineError(
                "%s has changed since it was validated; restart the protocol instead of continuing it."
                % shown(changed[0])
            )
        entry, local = self.getResults()
        outputs = {}
        if local is not None:
            for name, fileName in (
                (OUTPUT_RESOLUTION, result_files.LOCAL_RESOLUTION),
                (OUTPUT_CLASS, result_files.LOCAL_CLASS),
            ):
                outputs[name] = placeLike(Volume(location=self.getResultsFolder(fileName)), volume)
        else:
            # The global network makes no volume: its verdict travels on a copy of the input.
            outputs[OUTPUT_CLASS] = volume.clone()
        for output in outputs.values():
            setVerdict(output, entry, local, self.getResultsFolder())
        self._defineOutputs(**outputs)
        for output in outputs.values():
            self._defineSourceRelation(self.inputVolumes, output)

    # --------------------------- INFO functions ------------------------------
    def _validate(self):
        volume = self.inputVolumes.get()
        if volume is None:
            return []
        errors = []
        claimed = self.claimedResolution.get()
        if claimed is not None and not claimed > 0:
            errors.append("The claimed resolution must be above 0 A; correct it, or leave it empty.")
        if not volume.getSamplingRate() or not volume.getSamplingRate() > 0:
            errors.append(
                "The sampling rate of the volume must be above 0 A/voxel; import it again with the right one."
            )
        errors += self._modelErrors()
        if self.isSet():
            if any(getattr(self, name).get() is not None for name in COMPARED):
                errors.append(
                    "A comparison needs one volume as input; clear MonoRes, ResMap and RELION for a set."
                )
        elif not errors:
            errors += self._volumeErrors(volume)
        return errors

    def _volumeErrors(self, volume):
        """What is wrong with one volume, its mask and the volumes to compare with."""
        from ..models.maps import mask_reader, mrc_reader

        if not os.path.isfile(fileOf(volume)):
            return ["The file of the volume, %s, is missing." % volume.getFileName()]
        if needsConversion(volume):
            return []
        density = []
        errors = inputErrors(
            lambda: density.append(mrc_reader.read(fileOf(volume), volume.getSamplingRate()))
        )
        if errors:
            return errors
        mask = self.inputMask.get()
        if mask is not None and not needsConversion(mask):
            errors += inputErrors(mask_reader.read_mask, fileOf(mask), density[0])
        for name in COMPARED:
            other = getattr(self, name).get()
            if other is not None:
                errors += gridErrors(volume, other, self.getParam(name).getLabel())
        return errors

    def _warnings(self):
        warnings = []
        volume, claimed = self.inputVolumes.get(), self.claimedResolution.get()
        if (
            volume is not None
            and volume.getSamplingRate()
            and claimed
            and claimed < 2 * volume.getSamplingRate()
        ):
            warnings.append(
                "No map with %.4g A/voxel can show the claimed %.4g A: its limit (Nyquist) is %.4g A. Check both numbers."
                % (volume.getSamplingRate(), claimed, 2 * volume.getSamplingRate())
            )
        if volume is not None and self.inputMask.get() is not None:
            warnings += gridErrors(self._first(volume), self.inputMask.get(), "mask")
        return warnings

    def _summary(self):
        lines = []
        for name in (OUTPUT_RESOLUTION, OUTPUT_CLASS):
            if hasattr(self, name):
                lines += _sentencesOf(getVerdict(getattr(self, name)))
                break
        volumes = getattr(self, OUTPUT_VOLUMES, None)
        if volumes is not None:
            lines.append("%d volumes validated so far." % volumes.getSize())
        lines += ["Skipped %s: %s" % pair for pair in self._skipped()]
        return lines or ["The results are not ready yet."]

    def _methods(self):
        if not (hasattr(self, OUTPUT_CLASS) or hasattr(self, OUTPUT_VOLUMES)):
            return []
        from .. import __version__

        models = " and ".join(
            "%s (%s)" % (os.path.basename(str(model)), kind) for kind, model in self._models()
        )
        text = (
            "The resolution of %s was estimated from the density by deep networks with CryoResDL %s, models: %s."
            % (
                self.getObjectTag("inputVolumes"),
                __version__,
                models,
            )
        )
        if self.claimedResolution.get():
            text += " The claimed resolution was %.4g A." % self.claimedResolution.get()
        others = [
            self.getParam(name).getLabel() for name in COMPARED if getattr(self, name).get() is not None
        ]
        if others:
            text += " The local resolution was compared with: %s." % ", ".join(others)
        return [text]

    def _citations(self):
        cites = ["avramov2019"]
        cites += ["vilas2018"] if self.monoresVolume.get() is not None else []
        cites += ["kucukelbir2014"] if self.resmapVolume.get() is not None else []
        return cites

    # --------------------------- UTILS functions -----------------------------
    def getResultsFolder(self, *names):
        """The engine's results folder of a single volume, or a file in it."""
        return self._getExtraPath(RESULTS, *names)

    def getResults(self, folder=RESULTS):
        """The entry of ``classification.json`` and the content of ``local_resolution.json``; None where missing."""
        return resultsIn(self._getExtraPath(folder))


def _sentencesOf(verdict):
    """The verdict attributes of a volume as lines for the project window."""
    lines = []
    if verdict.get("class"):
        lines.append(
            "Class: *%s* (probabilities: high %.2f, medium %.2f, low %.2f)"
            % (verdict["class"], verdict["high"], verdict["medium"], verdict["low"])
        )
    if verdict.get("estimate"):
        line = "Estimated resolution: *%.2f A*" % verdict["estimate"]
        if verdict.get("lo") is not None and verdict.get("hi") is not None:
            line += " (%.2f to %.2f A)" % (verdict["lo"], verdict["hi"])
        lines.append(line)
    if verdict.get("verdict"):
        lines.append(
            "Claim of %.2f A: *%s*. %s" % (verdict["claimed"], verdict["verdict"], verdict["reasons"] or "")
        )
    if verdict.get("median"):
        lines.append("Median local resolution: *%.2f A*" % verdict["median"])
    if verdict.get("trusted") is False:
        lines.append("Unlike the maps that the networks learned from; take the result with care.")
    if verdict.get("warnings"):
        lines.append("Warnings: %s" % verdict["warnings"])
    return lines
