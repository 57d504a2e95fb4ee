"""What the viewers share: from a run to its results folders, and from a folder to a window."""

import csv
import glob
import os

import pyworkflow.protocol.params as params
from pyworkflow.protocol.constants import STATUS_ABORTED, STATUS_FAILED, STATUS_FINISHED
from pyworkflow.viewer import DESKTOP_TKINTER, ProtocolViewer

from ..models import constants, plots
from ..models.results import ResultsFolder
from .views import FigureView, SliceView

ENDED = (STATUS_FINISHED, STATUS_FAILED, STATUS_ABORTED)
MARKS = (
    constants.CLASSIFICATION_JSON,
    constants.LOCAL_JSON,
    constants.LOCAL_RESOLUTION,
    constants.COMPARISON_JSON,
    "history.csv",
    "metrics.json",
    "simulation.json",
    "map.mrc",
)
"""Files that tell a results folder from any other."""


def resultFolders(protocol):
    """The engine's results folders of a run: (what it is about, path), one per map, as far as they exist.

    Only files are asked, so that runs that failed, still go on or were made by another version can be seen.
    """
    extra = protocol._getExtraPath()
    found = []
    for table in sorted(glob.glob(os.path.join(glob.escape(extra), "*", constants.RESULTS_CSV))):
        found += _listed(table)
    if not found:
        inside = (
            sorted(entry.path for entry in os.scandir(extra) if entry.is_dir())
            if os.path.isdir(extra)
            else []
        )
        found = [
            (os.path.basename(os.path.normpath(path)), path) for path in [extra, *inside] if _isResults(path)
        ]
    return found or [("results", os.path.join(extra, "results"))]


def _isResults(folder):
    return any(os.path.isfile(os.path.join(folder, name)) for name in MARKS)


def _listed(table):
    """Folders that a ``results.csv`` names, relative to itself; rows of maps that failed have none."""
    try:
        with open(table, newline="", encoding="utf-8", errors="replace") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, csv.Error):
        return []
    home = os.path.dirname(table)
    pairs = [(os.path.basename(row.get("map") or "?"), row.get("folder")) for row in rows]
    return [(name, os.path.join(home, folder)) for name, folder in pairs if folder]


class CryoResViewer(ProtocolViewer):
    """Base of the viewers: a form whose rows are figures of one results folder."""

    _environments = [DESKTOP_TKINTER]
    _figures = ()
    """Rows of the form: (group, ((kind of figure, label, help), ...)); kinds are those of ``plots.KINDS``."""

    def _defineParams(self, form):
        form.addSection(label="Results")
        note = self._note()
        if note:
            form.addParam("note", params.LabelParam, label=note, important=True)
        self._names = [name for name, _ in resultFolders(self.protocol)]
        if len(self._names) > 1:
            form.addParam(
                "item",
                params.EnumParam,
                choices=self._names,
                default=0,
                label="Map",
                help=f"Which of the {len(self._names)} maps of this run to show.",
            )
        for title, rows in self._figures:
            group = form.addGroup(title)
            for kind, label, text in rows:
                group.addParam(self.paramOf(kind), params.LabelParam, label=label, help=text)
        self._defineMore(form)

    def _defineMore(self, form):
        """More rows, below those of ``_figures``."""

    def _getVisualizeDict(self):
        return {self.paramOf(kind): self._show for _, rows in self._figures for kind, _, _ in rows}

    @staticmethod
    def paramOf(kind):
        """Name of the form's parameter that shows a kind of figure."""
        return "show" + kind.capitalize()

    def getFolder(self):
        """Results folder of the chosen map."""
        folders = resultFolders(self.protocol)
        chosen = self.item.get() if hasattr(self, "item") else 0
        return folders[min(chosen, len(folders) - 1)][1]

    def getTitle(self, label):
        """Title of a window: what it shows, of which run."""
        return f"{label} - {self.protocol.getObjLabel() or self.protocol.getClassLabel()}"

    def _note(self):
        """A sentence when the run did not end well, or has not ended."""
        status = self.protocol.getStatus()
        if status == STATUS_FINISHED:
            return None
        if status in ENDED:
            ending = "failed" if status == STATUS_FAILED else "been stopped"
            return f"This run has {ending}; what it left behind is shown."
        return "This run has not ended; what is there already is shown."

    def _show(self, param):
        """The view of one row; whatever is missing is said in it."""
        kind = next(kind for _, rows in self._figures for kind, _, _ in rows if self.paramOf(kind) == param)
        label = next(label for _, rows in self._figures for each, label, _ in rows if each == kind)
        results = ResultsFolder(self.getFolder())
        if kind in plots.SLICE_KINDS:
            slices = plots.slices_from_folder(results, kind)
            if slices is not None:
                return [SliceView(slices, self.getTitle(label), self.getTkRoot())]
        return [FigureView(plots.from_folder(kind, results), self.getTitle(label), self.getTkRoot())]
