"""The main protocol: how well is this map resolved, as a whole and voxel by voxel, and does a claim hold?"""

import os

from pwem.objects import FSC, SetOfFSCs, SetOfVolumes, Volume, VolumeMask

from ..models.base.resolution_terms import CRITERIA
from ..models.base.runs.atomic_files import shown
from ..models.base.runs.run_record import changed_inputs
from ..models.maps.mrc import header_check
from ..models.results import fsc_files, result_files
from ..objects import LocalResolutionVolume, ResolutionClassVolume, getVerdict, setVerdict
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
from .resolution_volumes import comparedErrors, estimatesFile, madeBy, namesForPeople
from .validated_sets import OUTPUT_RESOLUTIONS, OUTPUT_VOLUMES, ValidatedSets
from .validation_form import COMPARED_FIELDS, DEPOSITION, GLOBAL, LOCAL, RESULTS
from .validation_summary import auditLines, comparisonLines, depositionLines, sentencesOf

OUTPUT_RESOLUTION, OUTPUT_CLASS = "outputResolution", "outputClass"
"""Of one volume: the local resolution (A) and its class (0..9, -1: not estimated)."""
OUTPUT_MASK, OUTPUT_VOLUME = "outputMask", "outputVolume"
"""The automatic mask; and, where no local resolution was asked for, the input with its verdict."""
OUTPUT_FSC, OUTPUT_FILTERED = "outputFSC", "outputFiltered"
"""The curves of the half maps, where there are some; and the locally filtered map, where it was asked for."""
VERDICT_OUTPUTS = (OUTPUT_RESOLUTION, OUTPUT_VOLUME)
"""Where to look for the verdict on one volume."""


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

    _label = "validate resolution"
    # A dictionary and not an Enum: members of an Enum with equal values are one member.
    _possibleOutputs = {
        OUTPUT_RESOLUTION: LocalResolutionVolume,
        OUTPUT_CLASS: ResolutionClassVolume,
        OUTPUT_MASK: VolumeMask,
        OUTPUT_VOLUME: Volume,
        OUTPUT_FSC: SetOfFSCs,
        OUTPUT_FILTERED: Volume,
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
            if self.makeReport.get():
                self._insertFunctionStep(self.reportStep, self.getResultsFolder())
            return
        for number, ids in enumerate(self._plan()):
            self._insertFunctionStep(self.validateBatchStep, number, ids, self._options())
        open_ = self._planNewBatches()
        closing = self._insertFunctionStep(self.closeOutputStep, wait=open_, prerequisites=[])
        if self.makeReport.get():
            self._insertFunctionStep(self.reportBatchesStep, self._getExtraPath(), prerequisites=[closing])

    # --------------------------- STEPS functions -----------------------------
    def validateStep(self, fileName, options):
        """One volume: everything the engine has to say about it."""
        volume = self.inputVolumes.get()
        words = ["validate", readableFile(volume, self._getExtraPath("input.mrc"))]
        words += ["--voxel-size", "%.6g" % volume.getSamplingRate()]
        if self.networks.get() != LOCAL:
            words += ["--criterion", CRITERIA[self.claimCriterion.get()]]
            if self.claimedResolution.get() is not None:
                words += ["--claimed", "%.6g" % self.claimedResolution.get()]
        if self.inputMask.get() is not None:
            words += ["--mask", readableFile(self.inputMask.get(), self._getExtraPath("mask.mrc"))]
        for name, half in zip(("--half1", "--half2"), self._halfMaps(volume)):
            words += [name, half]
        names = self._comparedNames()
        for name, option in COMPARED_FIELDS.items():
            other = getattr(self, name).get()
            if other is not None:
                target = self._getExtraPath(option + ".mrc")
                words += [
                    "--" + option,
                    "%s=%s" % (readableFile(other, target, estimatesFile(other)), names[name]),
                ]
        if self._isFiltered():
            words += ["--filtered", "--b-factor=%.6g" % self.filterBFactor.get()]
        words += self._depositOptions()
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
        outputs = {name: self._outputOf(volume, *made) for name, made in self._volumesMade(local).items()}
        if local is None:
            # The global network makes no volume: its verdict travels on a copy of the input.
            outputs[OUTPUT_VOLUME] = volume.clone()
        for name in (OUTPUT_RESOLUTION, OUTPUT_CLASS, OUTPUT_VOLUME):
            if name in outputs:
                setVerdict(outputs[name], entry, local, self.getResultsFolder())
        outputs.update(self._fscCurves())
        self._defineOutputs(**outputs)
        for output in outputs.values():
            self._defineSourceRelation(self.inputVolumes, output)

    def _isFiltered(self):
        return self.makeFiltered.get() and self.networks.get() != GLOBAL and not self.isSet()

    def _isDeposited(self):
        return self.makeDeposition.get() and self.networks.get() != GLOBAL and not self.isSet()

    def _depositOptions(self):
        """Options of the engine for the folder that the EMDB is given."""
        if not self._isDeposited():
            return []
        contour = self.depositContour.get()
        return ["--deposit", self._getExtraPath(DEPOSITION)] + (
            [] if contour is None else ["--contour", "%.6g" % contour]
        )

    def _volumesMade(self, local):
        """Output name -> (class, file) of the volumes that the engine wrote."""
        if local is None:
            return {}
        made = {
            OUTPUT_RESOLUTION: (LocalResolutionVolume, result_files.LOCAL_RESOLUTION),
            OUTPUT_CLASS: (ResolutionClassVolume, result_files.LOCAL_CLASS),
        }
        if self.inputMask.get() is None:
            made[OUTPUT_MASK] = (VolumeMask, result_files.MASK_USED)
        if self._isFiltered():
            made[OUTPUT_FILTERED] = (Volume, result_files.FILTERED)
        return made

    def _outputOf(self, volume, kind, fileName):
        return placeLike(kind(location=self.getResultsFolder(fileName)), volume)

    def _fscCurves(self):
        """The curves of the half maps as Scipion's own viewer opens them; empty without half maps."""
        found = self.readResult(RESULTS, fsc_files.FSC_JSON)
        if not found:
            return {}
        curves = self._createSetOfFSCs()
        for name, values in found["curves"].items():
            curve = FSC(objLabel=fsc_files.CURVE_NAMES.get(name, name))
            curve.setData(found["frequency_per_A"][1:], values[1:])
            curves.append(curve)
        curves.write()
        return {OUTPUT_FSC: curves}

    def reportStep(self, folder):
        """The figures and the report, when the outputs are there already."""
        self.runEngine("report", folder, "--pdf", "--overwrite")

    # --------------------------- INFO functions ------------------------------
    def _validate(self):
        volume = self.inputVolumes.get()
        if volume is None:
            return []
        errors = []
        if not volume.getSamplingRate() or not volume.getSamplingRate() > 0:
            errors.append(
                "The sampling rate of the volume must be above 0 A/voxel; import it again with the right one."
            )
        errors += self._modelErrors()
        first = self._first(volume)
        program = None if first is None else madeBy(first, self.inputVolumes)
        if program is not None:
            errors.append(
                "%s is a local resolution of %s (or a map that it filtered), and no density: choose the map that it "
                "was made of, and give this volume below, to compare with." % (self._nameOf(volume), program)
            )
        if self.isSet():
            if any(getattr(self, name).get() is not None for name in COMPARED_FIELDS):
                errors.append(
                    "A comparison needs one volume as input; clear MonoRes, ResMap and RELION for a set."
                )
            if self.makeDeposition.get() and self.networks.get() != GLOBAL:
                errors.append(
                    "A folder for the EMDB is of one volume; choose one, or 'Folder for the EMDB: No'."
                )
        elif not errors:
            errors += self._volumeErrors(volume)
        return errors

    @staticmethod
    def _nameOf(volume):
        return "The set" if isinstance(volume, SetOfVolumes) else os.path.basename(fileOf(volume))

    def _volumeErrors(self, volume):
        """What is wrong with one volume, its mask, half maps and the volumes to compare with, by their headers."""
        if not os.path.isfile(fileOf(volume)):
            return ["The file of the volume, %s, is missing." % volume.getFileName()]
        if not needsConversion(volume):
            errors = inputErrors(header_check.check_header, fileOf(volume))
            if errors:
                return errors
        errors = [
            "%s Import the right ones, or choose 'Use half maps: No'." % sentence
            for sentence in self._halfErrors(volume)
        ]
        if self._isDeposited() and not self._halfNames(volume):
            errors.append(
                "The EMDB takes no map without its half maps: import the volume with them ('Set half maps') and choose "
                "'Use half maps: Yes', or 'Folder for the EMDB: No'."
            )
        mask = self.inputMask.get()
        if mask is not None:
            errors += gridErrors(volume, mask, "mask", sampling=False)
        for name in COMPARED_FIELDS:
            other = getattr(self, name).get()
            if other is not None:
                label = self.getParam(name).getLabel()
                errors += gridErrors(volume, other, label) or comparedErrors(volume, other, label)
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
        first = None if volume is None else self._first(volume)
        if first is not None and self.inputMask.get() is not None:
            warnings += gridErrors(first, self.inputMask.get(), "mask")
        return warnings

    def _summary(self):
        lines = []
        output = self._verdictOutput()
        if output is not None:
            lines += sentencesOf(getVerdict(output))
            lines += comparisonLines(self.readResult(RESULTS, result_files.COMPARISON_JSON))
            lines += auditLines(self.readResult(RESULTS, result_files.AUDIT_JSON))
            lines += depositionLines(
                self.readResult(DEPOSITION, result_files.DEPOSITION_JSON), self._getExtraPath(DEPOSITION)
            )
        lines += self._setLines()
        return lines or ["The results are not ready yet."]

    def _verdictOutput(self):
        """The output that carries the verdict on one volume, or None."""
        return next((getattr(self, name) for name in VERDICT_OUTPUTS if hasattr(self, name)), None)

    def _methods(self):
        if self._verdictOutput() is None and not hasattr(self, OUTPUT_VOLUMES):
            return []
        from .. import __version__

        models = " and ".join(
            "%s (%s)" % (os.path.basename(str(model)), kind) for kind, model in self._models()
        )
        text = (
            "The resolution of %s was estimated from %s by deep networks with CryoResDL %s, models: %s."
            % (
                self.getObjectTag("inputVolumes"),
                self._evidence(),
                __version__,
                models,
            )
        )
        if self.claimedResolution.get():
            text += " The claimed resolution was %.4g A." % self.claimedResolution.get()
        others = self._comparedNames().values()
        if others:
            text += " The local resolution was compared with: %s." % ", ".join(others)
        return [text]

    def _comparedNames(self):
        """What the volumes to compare with are called, by field: as their runs, or by the program of the field."""
        given = {
            name: getattr(self, name) for name in COMPARED_FIELDS if getattr(self, name).get() is not None
        }
        fields = [self.getParam(name).getLabel().replace(" volume", "") for name in given]
        return dict(zip(given, namesForPeople(list(given.values()), ["CryoResDL"], fields)))

    def _evidence(self):
        """What the estimate rests on, in words."""
        if not self.useHalfMaps.get():
            return "the density"
        return (
            "the half maps where there are any (the global one is then read from their FSC, corrected for mask and solvent) "
            "and else the density"
        )

    def _citations(self):
        cites = ["avramov2019"]
        cites += ["rosenthal2003"] if self.networks.get() != GLOBAL else []
        # What the curves of the half maps are corrected by.
        cites += ["chen2013", "grant2018"] if self._usesHalfMaps() else []
        cites += ["vilas2018"] if self.monoresVolume.get() is not None else []
        cites += ["kucukelbir2014"] if self.resmapVolume.get() is not None else []
        return cites

    # --------------------------- UTILS functions -----------------------------
    def _usesHalfMaps(self):
        """Whether the volume has half maps that are used; of a set it is known by its first volume."""
        volume = self.inputVolumes.get()
        first = None if volume is None else self._first(volume)
        return first is not None and bool(self._halfNames(first))

    def getResultsFolder(self, *names):
        """The engine's results folder of a single volume, or a file in it."""
        return self._getExtraPath(RESULTS, *names)

    def getResults(self, folder=RESULTS):
        """The entry of ``classification.json`` and the content of ``local_resolution.json``; None where missing."""
        return resultsIn(self._getExtraPath(folder))
