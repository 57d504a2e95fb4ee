"""Maps whose true local resolution is known, from atomic structures: to train on, and to test any program with."""

import os
import re

import pyworkflow.protocol.params as params
from pwem.objects import SetOfAtomStructs, SetOfVolumes, Volume, VolumeMask
from pyworkflow.object import Float, String

from ..models.base.runs.atomic_files import write_json
from .protocol_base import ABOVE_ZERO, CryoResProtocol, EngineError

OUTPUT_VOLUMES, OUTPUT_MASKS, OUTPUT_TRUTH = "outputVolumes", "outputMasks", "outputTruth"
SIMULATED = "_cryoresSimulated"
"""Attribute of a simulated volume: the resolution in A that it was made at."""
PDB2MRC, REALISTIC = 0, 1
MODES = ("pdb2mrc", "realistic")
SKIPPED = "skipped.json"
INFO = "simulation.json"


class ProtCryoResSimulate(CryoResProtocol):
    """Simulates maps from atomic structures.

    *Realistic* maps have coloured noise in two independent half maps, flexible and rigid regions, solvent, an
    envelope and, optionally, sharpening; with each come a mask and its true local resolution in A. They are what
    the recommended networks learn from, and a test for any local-resolution program.

    *Noiseless* maps are those of EMAN2's e2pdb2mrc, on which the paper's networks learned.

    A structure that does not fit the box or cannot be read is reported and skipped.
    """

    _label = "simulate maps"
    _possibleOutputs = {OUTPUT_VOLUMES: SetOfVolumes, OUTPUT_MASKS: SetOfVolumes, OUTPUT_TRUTH: SetOfVolumes}

    # --------------------------- DEFINE param functions ----------------------
    def _defineParams(self, form):
        form.addSection(label="Input")
        form.addParam(
            "inputStructures",
            params.PointerParam,
            pointerClass="AtomStruct,SetOfAtomStructs",
            label="Atomic structure(s)",
            important=True,
            help="PDB or mmCIF. Waters and hydrogens are left out, as the guide describes.",
        )
        form.addParam(
            "mode",
            params.EnumParam,
            choices=["Noiseless (EMAN2's pdb2mrc)", "Realistic, with known local resolution"],
            default=REALISTIC,
            label="Kind of map",
            help="Realistic maps train networks that work on real maps; noiseless ones reproduce the paper.",
        )
        self._defineMaps(form)
        self._defineVariation(form)

    @staticmethod
    def _defineMaps(form):
        """Resolution, sampling and box of all maps."""
        form.addParam(
            "resolutions",
            params.StringParam,
            default="4",
            label="Resolutions (A)",
            help="Global resolutions of the maps in A, separated by spaces: one map per structure and resolution. For a "
            "training set give the range that your maps have, for example 2.5 4 6 9 12.",
        )
        form.addParam(
            "samplingRate",
            params.FloatParam,
            default=1.0,
            validators=[ABOVE_ZERO],
            label="Sampling rate (A/voxel)",
            help="Of all maps, in A per voxel. A map cannot show details finer than twice this value; take that of the "
            "maps that you want to judge.",
        )
        form.addParam(
            "boxSize",
            params.IntParam,
            default=96,
            validators=[ABOVE_ZERO],
            label="Box (voxels)",
            help="Edge of the cubic box of all maps, in voxels. A structure that does not fit is skipped: make the box "
            "larger, or the sampling rate coarser.",
        )

    @staticmethod
    def _defineVariation(form):
        """How the maps of one structure and resolution differ."""
        form.addParam(
            "varied",
            params.BooleanParam,
            default=True,
            condition="mode == %d" % REALISTIC,
            label="Vary the conditions",
            help="Draw noise, flexibility, solvent and sharpening at random for every map, as a training set needs. "
            "No: typical conditions for all.",
        )
        form.addParam(
            "copies",
            params.IntParam,
            default=1,
            validators=[ABOVE_ZERO],
            condition="mode == %d" % REALISTIC,
            label="Maps per structure",
            help="At every resolution, each with its own noise and, when varied, conditions. More when structures are few.",
        )
        form.addParam(
            "seed",
            params.IntParam,
            default=0,
            expertLevel=params.LEVEL_ADVANCED,
            label="Seed",
            help="Equal seeds give equal maps; it is stored with every map. Change it for other noise.",
        )

    # --------------------------- INSERT steps functions ----------------------
    def _insertAllSteps(self):
        jobs = self._jobs()
        for number, job in enumerate(jobs):
            self._insertFunctionStep(self.simulateStep, number, len(jobs), *job, self._options())
        self._insertFunctionStep(self.createOutputStep)

    # --------------------------- STEPS functions -----------------------------
    def simulateStep(self, number, total, structure, resolution, seed, options):
        """One map; a structure that the engine refuses is noted and the others go on."""
        self.info("Map %d of %d: %s at %g A" % (number + 1, total, os.path.basename(structure), resolution))
        folder = self._folder(number)
        words = ["simulate", structure, "--resolution", "%g" % resolution, "--seed", seed, *options]
        try:
            self.runEngine(*words, "--out", folder, "--resume")
        except EngineError as error:
            if not error.badInput:
                raise
            skipped = self.readResult(SKIPPED) or {}
            skipped[str(number)] = "%s at %g A: %s" % (os.path.basename(structure), resolution, error)
            write_json(self._getExtraPath(SKIPPED), skipped)

    def createOutputStep(self):
        outputs = {OUTPUT_VOLUMES: self._createSetOfVolumes()}
        if self.mode.get() == REALISTIC:
            outputs[OUTPUT_MASKS] = self._createSetOfVolumes("_masks")
            outputs[OUTPUT_TRUTH] = self._createSetOfVolumes("_truth")
        for output in outputs.values():
            output.setSamplingRate(self.samplingRate.get())
        for number, job in enumerate(self._jobs()):
            if not os.path.exists(os.path.join(self._folder(number), "map.mrc")):
                continue
            outputs[OUTPUT_VOLUMES].append(self._item(Volume, number, job, "map.mrc"))
            if self.mode.get() == REALISTIC:
                outputs[OUTPUT_MASKS].append(self._item(VolumeMask, number, job, "mask.mrc"))
                outputs[OUTPUT_TRUTH].append(self._item(Volume, number, job, "truth.mrc"))
        if not outputs[OUTPUT_VOLUMES].getSize():
            reasons = list((self.readResult(SKIPPED) or {}).values())
            raise EngineError("No map could be simulated. " + " ".join(reasons[:3]))
        self._defineOutputs(**outputs)
        for output in outputs.values():
            self._defineSourceRelation(self.inputStructures, output)

    def _item(self, kind, number, job, fileName):
        """One volume of an output set: id = number of the map + 1, in every set, so that they can be matched."""
        structure, resolution, _ = job
        folder = self._folder(number)
        item = kind(location=os.path.join(folder, fileName))
        item.setObjId(number + 1)
        item.setSamplingRate(self.samplingRate.get())
        item.setOrigin()
        item.setObjComment("%s at %g A" % (os.path.basename(structure), resolution))
        info = self.readResult(os.path.basename(folder), INFO) or {}
        item._cryoresStructure = String(os.path.basename(structure))
        setattr(item, SIMULATED, Float(resolution))
        item._cryoresFsc = Float(info.get("global_fsc0143_A"))
        if fileName == "map.mrc" and self.mode.get() == REALISTIC:
            item.setHalfMaps([os.path.join(folder, "half1.mrc"), os.path.join(folder, "half2.mrc")])
        return item

    # --------------------------- INFO functions ------------------------------
    def _validate(self):
        errors = []
        if self.inputStructures.get() is not None:
            missing = [path for path in self._structures() if not path or not os.path.isfile(path)]
            errors += ["The structure file %s is missing." % path for path in missing[:3]]
        try:
            resolutions = self._resolutions()
        except ValueError:
            resolutions = []
        if not resolutions or min(resolutions) <= 0:
            errors.append("Resolutions must be numbers above 0, in A, for example 2.5 7.5 12.5.")
        return errors

    def _warnings(self):
        limit = 2 * (self.samplingRate.get() or 0)
        finer = [value for value in self._resolutions() if value < limit]
        if not finer:
            return []
        return [
            "%g A is finer than %g A, twice the sampling rate: the maps will not show it."
            % (min(finer), limit)
        ]

    def _summary(self):
        output = getattr(self, OUTPUT_VOLUMES, None)
        if output is None:
            return ["The maps are not ready yet."]
        lines = ["%d maps simulated (%s)." % (output.getSize(), MODES[self.mode.get()])]
        return lines + ["Skipped %s" % reason for reason in (self.readResult(SKIPPED) or {}).values()]

    def _methods(self):
        output = getattr(self, OUTPUT_VOLUMES, None)
        if output is None:
            return []
        return [
            "%d maps of %d voxels and %g A/voxel were simulated from atomic structures with CryoResDL (%s, seed %d)."
            % (
                output.getSize(),
                self.boxSize.get(),
                self.samplingRate.get(),
                MODES[self.mode.get()],
                self.seed.get(),
            )
        ]

    # --------------------------- UTILS functions -----------------------------
    def _structures(self):
        target = self.inputStructures.get()
        if isinstance(target, SetOfAtomStructs):
            return [item.getFileName() for item in target.iterItems()]
        return [target.getFileName()]

    def _resolutions(self):
        """Numbers of the form's list."""
        return [float(word) for word in re.split(r"[\s,;]+", (self.resolutions.get() or "").strip()) if word]

    def _jobs(self):
        """(structure, resolution, seed) of every map, in the order of the output sets."""
        copies = self.copies.get() if self.mode.get() == REALISTIC else 1
        jobs = []
        for structure in self._structures():
            for resolution in self._resolutions():
                for _ in range(copies):
                    jobs.append((structure, resolution, self.seed.get() + len(jobs)))
        return jobs

    def _options(self):
        words = ["--mode", MODES[self.mode.get()], "--box", str(self.boxSize.get())]
        words += ["--voxel-size", "%.6g" % self.samplingRate.get()]
        if self.mode.get() == REALISTIC and self.varied.get():
            words.append("--draw-options")
        return words

    def _folder(self, number):
        return self._getExtraPath("map_%05d" % number)
