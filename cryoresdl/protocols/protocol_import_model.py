"""Bring a trained network into a project, so that other protocols can be pointed at it."""

import os
import shutil
from enum import Enum

import pyworkflow as pw
import pyworkflow.protocol.params as params
from pwem.protocols import EMProtocol
from pyworkflow.protocol import ProtImportBase

from ..models.base.runs.atomic_files import atomic_path
from ..objects import ResolutionModel
from .protocol_base import inputErrors


class ImportModelOutputs(Enum):
    """What the protocol gives."""

    outputModel = ResolutionModel


class ProtCryoResImportModel(EMProtocol, ProtImportBase):
    """Imports a trained network (a *.cryoresdl* file) from this or another project.

    The file is copied into the project and checked: it must be whole, unaltered and of a format that this version
    reads. Nothing in it is executed. The shipped networks need no import: they are chosen by name.
    """

    _devStatus = pw.BETA
    _label = "import network"
    _possibleOutputs = ImportModelOutputs

    # --------------------------- DEFINE param functions ----------------------
    def _defineParams(self, form):
        form.addSection(label="Import")
        form.addParam(
            "modelFile",
            params.FileParam,
            label="Model file",
            important=True,
            help="A .cryoresdl file: model.cryoresdl of a training, or one from a colleague.",
        )

    # --------------------------- INSERT steps functions ----------------------
    def _insertAllSteps(self):
        self._insertFunctionStep(self.importStep, self.modelFile.get())

    # --------------------------- STEPS functions -----------------------------
    def importStep(self, path):
        from ..models.networks.model_files import model_store

        target = self._getExtraPath(os.path.basename(path))
        with atomic_path(target) as partial:
            shutil.copyfile(path, str(partial))
        # Reads every weight and compares digests: a damaged copy must fail here, not in somebody's validation.
        model_store.load_named(target)
        self._defineOutputs(**{ImportModelOutputs.outputModel.name: ResolutionModel.fromFile(target)})

    # --------------------------- INFO functions ------------------------------
    def _validate(self):
        from ..models.networks.model_files import model_store

        path = self.modelFile.get()
        if not path:
            return ["Choose a model file."]
        # The engine also takes names of shipped models; here only a file makes sense.
        if not os.path.isfile(path):
            return ["There is no file %s; choose a .cryoresdl file." % path]
        return inputErrors(model_store.read_card, os.path.abspath(path))

    def _summary(self):
        model = getattr(self, ImportModelOutputs.outputModel.name, None)
        return [str(model)] if model is not None else ["The model is not imported yet."]

    def _methods(self):
        model = getattr(self, ImportModelOutputs.outputModel.name, None)
        return ["%s was imported from %s." % (model, self.modelFile.get())] if model is not None else []
