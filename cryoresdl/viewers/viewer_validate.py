"""Viewer of "validate resolution": verdict, classes, slices, comparison, trust, report and ChimeraX."""

import os
import webbrowser
from pathlib import Path

import pyworkflow.protocol.params as params
from pwem.viewers.viewer_chimera import Chimera, ChimeraView

from ..models.base.errors import CryoResError
from ..models.results import result_files
from ..models.results.report import build_report, chimerax_script
from ..protocols import ProtCryoResValidate
from .viewer_base import CryoResViewer


class CryoResValidateViewer(CryoResViewer):
    """Shows at a glance how a map is resolved, how sure the network is, and whether a claim holds."""

    _label = "viewer validate resolution"
    _targets = [ProtCryoResValidate]
    _figures = (
        (
            "Verdict",
            (
                (
                    "verdict",
                    "Verdict",
                    "Claim, class with probabilities, estimate with its interval, and the reasons.",
                ),
                (
                    "histogram",
                    "Classes",
                    "Share of the voxels in the ten and the three classes, and cumulated; of every method.",
                ),
            ),
        ),
        (
            "Slices",
            (
                (
                    "slices",
                    "Map, resolution, interval",
                    "Side by side; move with the slider, the wheel or the arrow keys.",
                ),
                ("axes", "Along the three axes", "The fullest slice along z, y and x in one figure."),
                (
                    "interval",
                    "Interval",
                    "How sure the network is of every voxel: half of its 68 % interval, A.",
                ),
            ),
        ),
        (
            "Comparison",
            (
                (
                    "disagreement",
                    "Disagreement slices",
                    "Local resolutions of the methods, and how far they are apart (A).",
                ),
                (
                    "difference",
                    "Difference of two",
                    "Two methods and the second minus the first, with its sign, in A.",
                ),
                (
                    "agreement",
                    "Agreement",
                    "Between every two methods: Cohen's kappa on the ten classes, rank correlation, and the mean "
                    "absolute difference in A.",
                ),
                ("scatter", "Voxel by voxel", "Every two methods against each other, in A."),
            ),
        ),
        (
            "Trust",
            (
                (
                    "reliability",
                    "Calibration",
                    "How often the network was right, on maps with a known answer, against how sure it was.",
                ),
            ),
        ),
    )

    def _defineMore(self, form):
        group = form.addGroup("Elsewhere")
        group.addParam(
            "showChimera",
            params.LabelParam,
            label="ChimeraX",
            help="Colours the map's surface by its local resolution, with a legend, at the place that the map "
            "has in Scipion. Without ChimeraX you get the script to open on another machine.",
        )
        group.addParam(
            "showReport",
            params.LabelParam,
            label="Report",
            help="Everything in one HTML file that needs no network (with the same as PDF and JSON beside "
            "it); it opens in the web browser.",
        )

    def _getVisualizeDict(self):
        return dict(super()._getVisualizeDict(), showChimera=self._showChimera, showReport=self._showReport)

    def _showChimera(self, _):
        try:
            script = chimerax_script.write_chimerax_script(self.getFolder(), self._origin())
        except CryoResError as error:
            return [self.errorMessage(str(error), "ChimeraX")]
        program = Chimera.getProgram()
        if program and os.path.exists(program):
            return [ChimeraView(str(script))]
        return [
            self.infoMessage(
                f"ChimeraX is not installed here. Open this script with it:\n{script}", "ChimeraX"
            )
        ]

    def _origin(self):
        """The origin that Scipion has for a single volume; None: the one in the file's header."""
        volume = self.protocol.inputVolumes.get()
        if volume is None or self.protocol.isSet() or not volume.hasOrigin():
            return None
        return volume.getOrigin().getShifts()

    def _showReport(self, _):
        path = Path(self.getFolder(), result_files.REPORT_HTML).absolute()
        try:
            if not path.exists():
                build_report.write_report(path.parent)
        except CryoResError as error:
            return [self.errorMessage(str(error), "Report")]
        if not webbrowser.open(path.as_uri()):
            return [self.infoMessage(f"Open this file with a web browser:\n{path}", "Report")]
        return []
