"""The main protocol: how well is this map resolved, as a whole and voxel by voxel, and does a claim hold?"""

import csv
import os
import sqlite3
import time

import pyworkflow.protocol.params as params
from pwem.objects import SetOfVolumes, Volume
from pyworkflow.protocol.constants import STATUS_NEW

from ..models.base.atomic_files import atomic_path, read_json, shown, write_json
from ..models.base.run_record import changed_inputs
from ..models.networks import model_store
from ..models.results import result_files
from ..objects import getVerdict, setVerdict
from .protocol_base import (
    CryoResProtocol,
    EngineError,
    fileOf,
    gridErrors,
    inputErrors,
    needsConversion,
    placeLike,
    readableFile,
)

BOTH, GLOBAL, LOCAL = 0, 1, 2
NETWORKS = ("both", "global", "local")
COMPARED = {"monoresVolume": "monores", "resmapVolume": "resmap", "relionVolume": "relion"}
"""Form parameter -> option of the engine."""
COLUMNS = ("map", "mask", "voxel_size", "claimed", "half1", "half2", "monores", "resmap")
RESULTS = "results"
PLAN = "batches.json"
BATCH = 50
"""Volumes of a set per engine call: the networks are loaded once per call, the table grows after each."""
READ_TRIES = 10
"""Looks at a set that is locked by who writes to it, a second apart."""


OUTPUT_RESOLUTION, OUTPUT_CLASS = "outputResolution", "outputClass"
"""Of one volume: the local resolution (A) and its class (0..9, -1: not estimated)."""
OUTPUT_VOLUMES, OUTPUT_RESOLUTIONS = "outputVolumes", "outputResolutions"
"""Of a set: the input volumes with their verdicts as columns, and their local resolutions."""


class ProtCryoResValidate(CryoResProtocol):
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

    # --------------------------- DEFINE param functions ----------------------
    def _defineParams(self, form):
        form.addSection(label="Input")
        form.addParam(
            "inputVolumes",
            params.PointerParam,
            pointerClass="Volume,SetOfVolumes",
            label="Volume(s)",
            important=True,
            help="The map to validate, or a set of maps. Its sampling rate (A/voxel) must be right: every resolution "
            "is measured with it. Best is the unsharpened map as it comes from the refinement.",
        )
        form.addParam(
            "inputMask",
            params.PointerParam,
            pointerClass="VolumeMask",
            allowsNull=True,
            label="Mask",
            help="Where the molecule is (same box as the volume); soft masks are cut at half of their maximum. "
            "Empty: a mask is made from the map, and can be looked at in the results.",
        )
        form.addParam(
            "claimedResolution",
            params.FloatParam,
            allowsNull=True,
            label="Claimed resolution (A)",
            help="The resolution that was published or found by FSC, in A. You get a verdict on it: supported, "
            "optimistic, pessimistic or cannot tell. Empty: no verdict.",
        )
        form.addParam(
            "useHalfMaps",
            params.BooleanParam,
            default=True,
            label="Use half maps",
            help="Half maps show the noise directly and make the local resolution more reliable. They are taken "
            "from the volume (import volumes, 'Set half maps'); without them this has no effect.",
        )

        group = form.addGroup("Compare with")
        for name, program, origin in (
            ("monoresVolume", "MonoRes", "'resolution_Volume' of Xmipp's local MonoRes"),
            ("resmapVolume", "ResMap", "'outputVolume' of ResMap's local resolution"),
            ("relionVolume", "RELION", "RELION's local resolution"),
        ):
            group.addParam(
                name,
                params.PointerParam,
                pointerClass="Volume",
                allowsNull=True,
                label="%s volume" % program,
                help="Local-resolution volume (A) of the same map: %s. You get the agreement with the network and "
                "a volume of the disagreement. Only with one volume as input." % origin,
            )

        form.addSection(label="Networks")
        form.addParam(
            "networks",
            params.EnumParam,
            choices=["Global class and local resolution", "Global class only", "Local resolution only"],
            default=BOTH,
            label="Run",
            help="Which networks. The local one takes most of the time; choose the global class only for a quick look at "
            "many maps.",
        )
        form.addParam(
            "globalModel",
            params.StringParam,
            default=model_store.DEFAULT_GLOBAL_MODEL,
            condition="networks != %d" % LOCAL,
            label="Global network",
            help="Name of a shipped or installed network ('cryoresdl models' lists them with their cards). "
            "'default' is the recommended one; the networks of the paper are there for comparison.",
        )
        form.addParam(
            "globalModelObject",
            params.PointerParam,
            pointerClass="ResolutionModel",
            allowsNull=True,
            condition="networks != %d" % LOCAL,
            expertLevel=params.LEVEL_ADVANCED,
            label="... or your own",
            help="A global network from 'DL train global classifier' or 'DL import model', used instead of the name.",
        )
        form.addParam(
            "localModel",
            params.StringParam,
            default=model_store.DEFAULT_LOCAL_MODEL,
            condition="networks != %d" % GLOBAL,
            label="Local network",
            help="'truth' (recommended) estimates the true local resolution; 'monores' and 'resmap' predict what "
            "those programs would say, in seconds.",
        )
        form.addParam(
            "localModelObject",
            params.PointerParam,
            pointerClass="ResolutionModel",
            allowsNull=True,
            condition="networks != %d" % GLOBAL,
            expertLevel=params.LEVEL_ADVANCED,
            label="... or your own",
            help="A local network from 'DL train local resolution' or 'DL import model', used instead of the name.",
        )
        form.addParallelSection(threads=1, mpi=0)

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

    def _stepsCheck(self):
        """Streaming: plan what arrived since the last look, and let the run end when the input is complete."""
        if not self.isSet():
            return
        closing = next((step for step in self._steps if step.funcName == "closeOutputStep"), None)
        if closing is None or not closing.isWaiting():
            return
        before = len(self._steps)
        still_open = self._planNewBatches()
        if len(self._steps) > before:
            self.updateSteps()
        if not still_open:
            closing.setStatus(STATUS_NEW)

    def _plan(self):
        """Ids of the volumes of every batch planned so far; on disk, so that a resumed run does the same ones."""
        return self.readResult(PLAN) or []

    def _planNewBatches(self):
        """Insert a step per batch of volumes that no batch has yet; tell whether more volumes may come."""
        plan = self._plan()
        known = {number for ids in plan for number in ids}
        open_, ids = self._readInputs(lambda inputs: (inputs.isStreamOpen(), sorted(inputs.getIdSet())))
        new = [number for number in ids if number not in known]
        for start in range(0, len(new), BATCH):
            ids = new[start : start + BATCH]
            plan.append(ids)
            write_json(self._getExtraPath(PLAN), plan)
            self._insertFunctionStep(
                self.validateBatchStep, len(plan) - 1, ids, self._options(), prerequisites=[]
            )
        return open_

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

    def validateBatchStep(self, number, ids, options):
        """Some volumes of a set in one engine call; what was already done before a kill is not done again."""
        listFile = self._getExtraPath("batch_%03d.csv" % number)
        volumes = self._items(ids)
        mask = ""
        if self.inputMask.get() is not None:
            mask = readableFile(self.inputMask.get(), self._getExtraPath("mask.mrc"))
        rows = []
        for volume in volumes:
            halves = list(self._halfMaps(volume)) or ["", ""]
            rows.append(
                {
                    "map": self._batchFile(volume),
                    "mask": mask,
                    "voxel_size": "%.6g" % volume.getSamplingRate(),
                    "half1": halves[0],
                    "half2": halves[1],
                }
            )
        with atomic_path(listFile) as partial, open(
            str(partial), "w", newline="", encoding="utf-8"
        ) as stream:
            table = csv.DictWriter(stream, COLUMNS, restval="")
            table.writeheader()
            table.writerows([{name: _absolute(name, value) for name, value in row.items()} for row in rows])
        workers = ["--workers", max(1, self.numberOfThreads.get())]
        try:
            self.runEngine(
                "validate", listFile, *options, *workers, "--out", self._batchFolder(number), "--resume"
            )
        except EngineError:
            # The engine also ends so when every map of the list is bad; the other batches may be good.
            if not self._allSkipped(number, volumes):
                raise
        self._addToOutput(number, volumes)

    def closeOutputStep(self):
        """The last volume is in: close the sets, or fail when not a single volume could be validated."""
        for name in (OUTPUT_VOLUMES, OUTPUT_RESOLUTIONS):
            output = getattr(self, name, None)
            if output is not None:
                output.setStreamState(output.STREAM_CLOSED)
                output.write()
                self._store(output)
        if not hasattr(self, OUTPUT_VOLUMES):
            reasons = ["%s: %s" % pair for pair in self._skipped()]
            raise EngineError("None of the volumes could be validated. " + " ".join(reasons[:3]))

    def _addToOutput(self, number, volumes):
        """Append the finished volumes of a batch to the output sets, leaving out those that are there already."""
        results = self._batchResults(number)
        for name, keep in (
            (OUTPUT_VOLUMES, self._verdictItem),
            (OUTPUT_RESOLUTIONS, self._resolutionItem),
        ):
            output = self._outputSet(name)
            there = output.getIdSet() if output.getSize() else set()
            for volume in volumes:
                result = results.get(os.path.abspath(self._batchFile(volume)), {})
                item = keep(volume, result) if "folder" in result else None
                if item is not None and volume.getObjId() not in there:
                    item.setObjId(volume.getObjId())
                    output.append(item)
            if output.getSize():
                output.write()
                if hasattr(self, name):
                    self._store(output)
                else:
                    self._defineOutputs(**{name: output})
                    self._defineSourceRelation(self.inputVolumes, output)

    def _outputSet(self, name):
        output = getattr(self, name, None)
        if output is not None:
            output.enableAppend()
            return output
        output = self._createSetOfVolumes("_%s" % name)
        output.copyInfo(self.inputVolumes.get())
        output.setStreamState(output.STREAM_OPEN)
        return output

    @staticmethod
    def _verdictItem(volume, result):
        item = volume.clone()
        setVerdict(item, result["entry"], result["local"], result["folder"])
        return item

    @staticmethod
    def _resolutionItem(volume, result):
        fileName = os.path.join(result["folder"], result_files.LOCAL_RESOLUTION)
        if not os.path.exists(fileName):
            return None
        item = placeLike(Volume(location=fileName), volume)
        setVerdict(item, result["entry"], result["local"], result["folder"])
        return item

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
        from ..models.maps import mrc_reader

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
            errors += inputErrors(mrc_reader.read_mask, fileOf(mask), density[0])
        for name in COMPARED:
            other = getattr(self, name).get()
            if other is not None:
                errors += gridErrors(volume, other, self.getParam(name).getLabel())
        return errors

    def _modelErrors(self):
        from ..models.networks import model_store

        errors = []
        for kind, model in self._models():
            cards = []
            errors += inputErrors(lambda model=model, cards=cards: cards.append(model_store.read_card(model)))
            if cards and cards[0]["kind"] != kind:
                errors.append(
                    "%s is a %s network, where a %s one is needed; choose another."
                    % (model, cards[0]["kind"], kind)
                )
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
    def isSet(self):
        """Whether the input is a set of volumes."""
        return isinstance(self.inputVolumes.get(), SetOfVolumes)

    def getResultsFolder(self, *names):
        """The engine's results folder of a single volume, or a file in it."""
        return self._getExtraPath(RESULTS, *names)

    def getResults(self, folder=RESULTS):
        """The entry of ``classification.json`` and the content of ``local_resolution.json``; None where missing."""
        return _results(self._getExtraPath(folder))

    def _batchFile(self, volume):
        """The file of one volume of a set that the engine reads."""
        return readableFile(volume, self._getExtraPath("input_%06d.mrc" % volume.getObjId()))

    def _batchFolder(self, number):
        return self._getExtraPath("batch_%03d" % number)

    def _options(self):
        """Options of the engine that come from the form alone."""
        words = ["--networks", NETWORKS[self.networks.get()]]
        for kind, model in self._models():
            words += ["--model-" + kind, str(model)]
        if self.claimedResolution.get() is not None:
            words += ["--claimed", "%.6g" % self.claimedResolution.get()]
        return words

    def _models(self):
        """(kind, name or path) of every network that will run."""
        models = []
        for kind, other in (("global", LOCAL), ("local", GLOBAL)):
            if self.networks.get() != other:
                own = getattr(self, kind + "ModelObject").get()
                models.append(
                    (kind, own.getPath() if own is not None else getattr(self, kind + "Model").get())
                )
        return models

    def _halfMaps(self, volume):
        """Both half maps of a volume, or nothing."""
        if not self.useHalfMaps.get() or not volume.hasHalfMaps():
            return []
        halves = [str(name) for name in volume.getHalfMaps(asList=True)]
        return halves if len(halves) == 2 else []

    def _items(self, ids):
        """Copies of some volumes of the input set, in the order of ``ids``."""
        wanted = set(ids)
        found = self._readInputs(
            lambda inputs: {
                item.getObjId(): item.clone() for item in inputs.iterItems() if item.getObjId() in wanted
            }
        )
        for number, item in found.items():
            item.setObjId(number)
        return [found[number] for number in ids]

    def _readInputs(self, read):
        """What ``read`` finds in the input set, which another protocol may be writing to at this very moment."""
        for patience in reversed(range(READ_TRIES)):
            inputs = SetOfVolumes(filename=self.inputVolumes.get().getFileName())
            try:
                inputs.loadAllProperties()
                return read(inputs)
            except sqlite3.OperationalError:  # locked
                if not patience:
                    raise
                time.sleep(1)
            finally:
                inputs.close()

    def _first(self, volume):
        return volume.getFirstItem() if isinstance(volume, SetOfVolumes) else volume

    def _batchResults(self, number):
        """{map: what became of it} of a batch: ``folder``, ``entry`` and ``local``, or the ``error`` that skipped it."""
        results = {}
        path = os.path.join(self._batchFolder(number), result_files.RESULTS_CSV)
        with open(path, newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                folder = os.path.join(self._batchFolder(number), row.get("folder") or "")
                entry, local = _results(folder)
                if row.get("error") or (entry is None and local is None):
                    results[row["map"]] = {"error": row.get("error") or "no results were written"}
                else:
                    results[row["map"]] = {"folder": folder, "entry": entry, "local": local}
        return results

    def _allSkipped(self, number, volumes):
        """Whether every volume of a batch was tried and could not be validated."""
        try:
            results = self._batchResults(number)
        except OSError:
            return False
        return all("error" in results.get(os.path.abspath(self._batchFile(v)), {}) for v in volumes)

    def _skipped(self):
        """(map, reason) of every volume of a set that could not be validated."""
        skipped = []
        for number in range(len(self._plan())):
            try:
                results = self._batchResults(number)
            except OSError:
                continue
            skipped += [
                (os.path.basename(name), row["error"]) for name, row in results.items() if "error" in row
            ]
        return skipped


def _results(folder):
    """(entry, local) of a results folder; None for what is not there."""
    found = []
    for name in (result_files.CLASSIFICATION_JSON, result_files.LOCAL_JSON):
        path = os.path.join(folder, name)
        found.append(read_json(path) if os.path.isfile(path) else None)
    entry, local = found
    if isinstance(entry, list):
        entry = entry[0] if entry else None
    return entry, local


def _absolute(name, value):
    return os.path.abspath(value) if value and name in ("map", "mask", "half1", "half2") else value


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
