"""Viewer of "validate resolution": verdict, classes, slices, comparison, trust, report and ChimeraX."""

import glob
import os
import webbrowser
from pathlib import Path

import numpy as np
import pyworkflow.protocol.params as params
from pwem.viewers.viewer_chimera import Chimera, ChimeraView

from ..models.base.errors import CryoResError
from ..models.results import result_files
from ..models.results.figures import colours, drawing
from ..models.results.figures.slices import slice_figure
from ..models.results.report import build_report, chimerax_script
from ..models.results.report.map_list import map_names
from ..models.results.results_folder import ResultsFolder
from ..protocols import ProtCryoResValidate
from ..protocols.protocol_base import fileOf
from ..protocols.validation_form import OWN
from .table_view import TableView
from .viewer_base import CryoResViewer, readRows, resultFolders
from .views import FigureView, SliceView

TABLE = {
    "map": "map",
    "claim (Å)": "claimed_A",
    "estimate (Å)": "resolution_A",
    "from": "interval_low_A",
    "to": "interval_high_A",
    "verdict": "verdict",
    "class": "class",
    "local median (Å)": "local_median_A",
    "of a known kind": "in_distribution",
}
"""Columns of the table of all maps: heading -> column of ``results.csv``."""


def valueOf(row, key):
    """A cell of ``results.csv`` for the table: a number, a text or nothing."""
    text = row.get(key) or ""
    if key == "in_distribution":
        return {"True": "yes", "False": "no"}.get(text, "")
    if not key.endswith("_A"):
        return text
    try:
        return float(text)
    except ValueError:
        return None


class CryoResValidateViewer(CryoResViewer):
    """Shows at a glance how a map is resolved, how sure the network is, and whether a claim holds."""

    _label = "viewer validate resolution"
    _targets = [ProtCryoResValidate]
    _hints = {
        "Comparison": "Nothing was compared: choose MonoRes, ResMap or RELION volumes in the form.",
        "Half maps": "No half maps were used: import the volume with them ('Set half maps').",
    }
    _optional = ("direction", "audit")
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
                (
                    "direction",
                    "Directions",
                    "Resolution along every direction on a globe, and the share of the directions that reach one.",
                ),
                (
                    "audit",
                    "What it hangs on",
                    "How the estimate moves with mask, sharpening, filter, sampling and voxel size: choose 'What the "
                    "verdict hangs on' in the form.",
                ),
            ),
        ),
        (
            "Map and resolution",
            (
                (
                    "surface",
                    "Surface",
                    "The map's surface in the colours of its local resolution, from three sides.",
                ),
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
            "Half maps",
            (
                (
                    "fsc",
                    "FSC",
                    "Fourier shell correlation of the half maps: as they are, in the mask, with random phases, and "
                    "corrected.",
                ),
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
        group = form.addGroup("Map")
        group.addParam(
            "colourRange",
            params.EnumParam,
            choices=["The same for all maps", "This map's own"],
            default=self.protocol.colourRange.get(),
            display=params.EnumParam.DISPLAY_HLIST,
            label="Colours of resolutions",
            help="The same for all maps, so that two can be compared, or stretched over the local resolution of this one "
            "(without its finest and coarsest 5 %). Of figures that are opened from now on, and of ChimeraX.",
        )
        group.addParam(
            "showMask",
            params.LabelParam,
            label="Mask",
            help="The mask that was used, over the slices of the map: yours, or the automatic one.",
        )
        if len(self._names) > 1:
            group.addParam(
                "showTable",
                params.LabelParam,
                label="All maps",
                help="A table of all maps of this run: claim, estimate, verdict, local resolution. Click a heading to "
                "sort, double-click a map to open it.",
            )
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
        rows = dict(super()._getVisualizeDict(), showMask=self._showMask)
        if len(resultFolders(self.protocol)) > 1:
            rows["showTable"] = self._showTable
        return dict(rows, showChimera=self._showChimera, showReport=self._showReport)

    def _mapName(self):
        """The chosen map of a set, or the file of a single one."""
        volume = self.protocol.inputVolumes.get()
        if volume is None or self.protocol.isSet():
            return super()._mapName()
        return os.path.basename(fileOf(volume))

    def _span(self, results):
        """The range of the colours of resolutions in A, as chosen in the window; None is the same for all maps."""
        chosen = getattr(self, "colourRange", self.protocol.colourRange).get()
        return colours.own_range_of(results) if chosen == OWN else None

    def _showMask(self, _):
        results = ResultsFolder(self.getFolder())
        density, mask = results.density, results.volume(result_files.MASK_USED)
        title = self.getTitle("Mask")
        if density is None or mask is None or density.data.shape != mask.data.shape:
            text = f"{result_files.MASK_USED} or the map is not in {results.folder}."
            return [FigureView(drawing.missing(text, "Mask"), title, self.getTkRoot())]
        figure = slice_figure.MaskFigure(density.data, None, density.voxel_size, density.origin)
        figure.set_mask(np.asarray(mask.data) > 0)
        return [SliceView(figure, title, self.getTkRoot())]

    def _showTable(self, _):
        tables = sorted(
            glob.glob(os.path.join(glob.escape(self.protocol._getExtraPath()), "*", result_files.RESULTS_CSV))
        )
        rows = [row for table in tables for row in readRows(table) if row.get("folder")]
        cells = [
            [name if key == "map" else valueOf(row, key) for key in TABLE.values()]
            for name, row in zip(map_names(rows), rows)
        ]
        return [TableView(list(TABLE), cells, self.getTitle("All maps"), self._open, self.getTkRoot())]

    def _open(self, number):
        """Show the verdict of one map, which becomes the chosen one."""
        self.item.set(number)
        for view in self._show(self.paramOf("verdict")):
            view.show()

    def _showChimera(self, _):
        try:
            script = chimerax_script.write_chimerax_script(
                self.getFolder(), self._origin(), span=self._span(ResultsFolder(self.getFolder()))
            )
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
