"""The validation of a set of volumes, which may still be growing: batches for the engine, and two output sets."""

import csv
import os
import sqlite3
import time

from pwem.objects import SetOfVolumes
from pyworkflow.protocol.constants import STATUS_NEW

from ..models.base.resolution_terms import CRITERIA
from ..models.base.runs.atomic_files import atomic_path, write_json
from ..models.results import result_files
from ..objects import LocalResolutionVolume, getVerdict, setVerdict
from .protocol_base import EngineError, placeLike, readableFile, resultsIn
from .validation_form import ValidationForm
from .validation_summary import setLines

PLAN = "batches.json"
BATCH = 50
"""Volumes of a set per engine call: the networks are loaded once per call, the table grows after each."""
WITHOUT_HALVES = "without_half_maps.json"
"""Maps of a set that were validated without their half maps, and why."""
READ_TRIES = 10
"""Looks at a set that is locked by who writes to it, a second apart."""
COLUMNS = ("map", "mask", "voxel_size", "claimed", "half1", "half2", "monores", "resmap", "criterion")
OUTPUT_VOLUMES, OUTPUT_RESOLUTIONS = "outputVolumes", "outputResolutions"
"""Of a set: the input volumes with their verdicts as columns, and their local resolutions."""


class ValidatedSets(ValidationForm):
    """The steps of a set: batches are planned as volumes arrive, each is one call of the engine."""

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

    def validateBatchStep(self, number, ids, options):
        """Some volumes of a set in one engine call; what was already done before a kill is not done again."""
        listFile = self._getExtraPath("batch_%03d.csv" % number)
        volumes = self._items(ids)
        mask = ""
        if self.inputMask.get() is not None:
            mask = readableFile(self.inputMask.get(), self._getExtraPath("mask.mrc"))
        rows = [dict(self._rowOf(volume), mask=mask) for volume in volumes]
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

    def _rowOf(self, volume):
        """A volume's line in the engine's list; half maps that do not fit are left out, and that is noted."""
        claim = self.claimOf(volume)
        row = {
            "map": self._batchFile(volume),
            "voxel_size": "%.6g" % volume.getSamplingRate(),
            "criterion": CRITERIA[self.claimCriterion.get()],
            "claimed": "" if claim is None else "%.6g" % claim,
        }
        try:
            problems = self._halfErrors(volume)
        except Exception as error:  # Scipion's readers raise anything; the map itself may be good
            problems = ["Its half maps cannot be read (%s)." % error]
        if problems:
            noted = self.readResult(WITHOUT_HALVES) or {}
            noted[os.path.basename(row["map"])] = problems[0]
            write_json(self._getExtraPath(WITHOUT_HALVES), noted)
        else:
            row.update(zip(("half1", "half2"), self._halfMaps(volume)))
        return row

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

    def reportBatchesStep(self, folders):
        """A page for every batch, when the sets are there and closed."""
        for number in range(len(self._plan())):
            if os.path.isfile(os.path.join(self._batchFolder(number), result_files.RESULTS_CSV)):
                self.runEngine("report", self._batchFolder(number), "--overwrite")

    def _setLines(self):
        """The summary of a set: counts and medians, what was skipped, and what went without half maps."""
        lines = []
        volumes = getattr(self, OUTPUT_VOLUMES, None)
        if volumes is not None:
            verdicts = [(item.getFileName(), getVerdict(item)) for item in volumes.iterItems()]
            lines += setLines(verdicts, volumes.isStreamClosed())
        lines += ["Skipped %s: %s" % pair for pair in self._skipped()]
        noted = self.readResult(WITHOUT_HALVES) or {}
        return lines + ["%s was validated without half maps: %s" % pair for pair in noted.items()]

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
        item = placeLike(LocalResolutionVolume(location=fileName), volume)
        setVerdict(item, result["entry"], result["local"], result["folder"])
        return item

    def _batchFile(self, volume):
        """The file of one volume of a set that the engine reads."""
        return readableFile(volume, self._getExtraPath("input_%06d.mrc" % volume.getObjId()))

    def _batchFolder(self, number):
        return self._getExtraPath("batch_%03d" % number)

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

    def _batchResults(self, number):
        """{map: what became of it} of a batch: ``folder``, ``entry`` and ``local``, or the ``error`` that skipped it."""
        results = {}
        path = os.path.join(self._batchFolder(number), result_files.RESULTS_CSV)
        with open(path, newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                folder = os.path.join(self._batchFolder(number), row.get("folder") or "")
                entry, local = resultsIn(folder)
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


def _absolute(name, value):
    return os.path.abspath(value) if value and name in ("map", "mask", "half1", "half2") else value
