"""Viewer of the two training protocols: curves that follow the run, and how good the network is."""

import os

from ..models.results.figures import figure_catalogue
from ..models.results.results_folder import HISTORY_CSV
from ..protocols import ProtCryoResTrainGlobal, ProtCryoResTrainLocal
from .viewer_base import ENDED, CryoResViewer
from .views import LiveView


class CryoResTrainViewer(CryoResViewer):
    """Shows a training while it runs and what came out of it."""

    _label = "viewer train network"
    _targets = [ProtCryoResTrainGlobal, ProtCryoResTrainLocal]
    _figures = (
        (
            "Training",
            (("curves", "Curves", "Loss and metrics per epoch; they follow while the protocol runs."),),
        ),
        (
            "The network",
            (
                (
                    "confusion",
                    "Confusion matrix",
                    "True against predicted classes, of maps that were held out.",
                ),
                ("reliability", "Calibration", "How often it is right against how sure it is."),
            ),
        ),
    )

    def getFolder(self):
        """The training's folder, also of a run that was only just started and has not made it yet."""
        return self.protocol.getTrainingFolder()

    def _show(self, param):
        if param != self.paramOf("curves"):
            return super()._show(param)
        folder = self.getFolder()
        view = LiveView(
            lambda: figure_catalogue.from_folder("curves", folder),
            lambda: _stamp(os.path.join(folder, HISTORY_CSV)),
            self._isRunning,
            self.getTitle("Curves"),
            self.getTkRoot(),
        )
        return [view]

    def _isRunning(self):
        """Whether the run may still write; its own database knows, the window's copy does not."""
        from pyworkflow.protocol import getProtocolFromDb

        try:
            path = self.protocol.getDbPath()
            fresh = getProtocolFromDb(self.getProject().path, path, self.protocol.getObjId())
        except Exception:  # a run that is being deleted has no database to read
            return False
        return fresh.getStatus() not in ENDED


def _stamp(path):
    """Changes whenever the file is replaced."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
