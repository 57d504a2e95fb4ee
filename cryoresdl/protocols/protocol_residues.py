"""The local resolution of every residue of an atomic model."""

import csv
import os

import pyworkflow.protocol.params as params
from pwem.objects import AtomStruct

from .protocol_base import CryoResProtocol, fileOf, inputErrors, needsConversion, readableFile
from .resolution_volumes import PICKED_BY_HAND, estimatesFile

OUTPUT_MODEL = "outputAtomStruct"
RESULTS = "residues"
MODEL, CHAINS, ATTRIBUTES = "model_resolution.cif", "chains.csv", "residues.defattr"
SCIPION, HEADER = 0, 1


class ProtCryoResResidues(CryoResProtocol):
    """Gives every residue of a fitted model the mean local resolution of its atoms.

    The output is the model with the resolution (A) in its B-factor column, which every program colours by; residues
    where nothing was estimated have 0. Tables per residue and per chain, and an attribute file for ChimeraX, are in
    the run's extra folder. Any number of residues, insertion codes and long chain names are kept apart.

    The model must lie in the frame of the map. Scipion places a map by its origin, which imports put into the middle
    of the box unless told otherwise; a model that was built on the deposited map lies in the frame of the file's
    header.
    """

    _label = "residue resolution"
    _possibleOutputs = {OUTPUT_MODEL: AtomStruct}

    # --------------------------- DEFINE param functions ----------------------
    def _defineParams(self, form):
        form.addSection(label="Input")
        form.addParam(
            "inputStructure",
            params.PointerParam,
            pointerClass="AtomStruct",
            important=True,
            label="Atomic structure",
            help="PDB or mmCIF, fitted to the map. Hydrogens and waters do not count.",
        )
        form.addParam(
            "inputResolution",
            params.PointerParam,
            pointerClass="LocalResolutionVolume," + PICKED_BY_HAND,
            important=True,
            label="Local resolution",
            help="Values in A: 'outputResolution' of 'validate resolution', or the volume of MonoRes, ResMap or RELION.",
        )
        form.addParam(
            "frame",
            params.EnumParam,
            choices=["by Scipion's origin", "by the file's header"],
            default=SCIPION,
            label="The volume is placed",
            help="Where the first voxel lies in the frame of the model. When the run says that the atoms lie outside "
            "the box, try the other.",
        )

    # --------------------------- INSERT steps functions ----------------------
    def _insertAllSteps(self):
        volume, structure = self.inputResolution.get(), self.inputStructure.get()
        self._insertFunctionStep(
            self.residuesStep, structure.getFileName(), fileOf(volume), self._place(volume)
        )
        self._insertFunctionStep(self.createOutputStep)

    # --------------------------- STEPS functions -----------------------------
    def residuesStep(self, structure, volumeFile, place):
        """One engine command: sample, average, write."""
        volume = self.inputResolution.get()
        path = readableFile(volume, self._getExtraPath("resolution.mrc"), estimatesFile(volume))
        self.runEngine(
            "residues", path, structure, *place, "--out", self._getExtraPath(RESULTS), "--overwrite"
        )

    def createOutputStep(self):
        output = AtomStruct(filename=self._getExtraPath(RESULTS, MODEL))
        self._defineOutputs(**{OUTPUT_MODEL: output})
        self._defineSourceRelation(self.inputStructure, output)
        self._defineSourceRelation(self.inputResolution, output)

    # --------------------------- INFO functions ------------------------------
    def _validate(self):
        from ..models.maps.mrc import header_check

        volume, structure = self.inputResolution.get(), self.inputStructure.get()
        errors = []
        if structure is not None and not os.path.isfile(structure.getFileName() or ""):
            errors.append("The structure file %s is missing." % structure.getFileName())
        if volume is not None and not needsConversion(volume):
            errors += inputErrors(header_check.check_header, estimatesFile(volume), "local-resolution volume")
        return errors

    def _summary(self):
        lines = []
        try:
            with open(self._getExtraPath(RESULTS, CHAINS), newline="", encoding="utf-8") as stream:
                for row in csv.DictReader(stream):
                    value = "%.2f A" % float(row["resolution_A"]) if row["resolution_A"] else "no estimate"
                    lines.append(
                        "Chain %s: *%s* (%s of %s residues)"
                        % (row["chain"], value, row["residues_estimated"], row["residues"])
                    )
        except OSError:
            return ["The table is not ready yet."]
        return [*lines, "For ChimeraX: %s" % self._getExtraPath(RESULTS, ATTRIBUTES)]

    def _methods(self):
        if not hasattr(self, OUTPUT_MODEL):
            return []
        return [
            "The local resolution of every residue was taken from %s with CryoResDL."
            % self.getObjectTag("inputResolution")
        ]

    # --------------------------- UTILS functions -----------------------------
    def _place(self, volume):
        """The words that place the volume in the frame of the model."""
        words = ["--voxel-size", "%.6g" % volume.getSamplingRate()]
        if self.frame.get() == SCIPION and volume.hasOrigin():
            words += ["--origin", *("%.6g" % shift for shift in volume.getOrigin().getShifts())]
        return words
