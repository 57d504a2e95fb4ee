"""What the viewers share: from a run to its results folders, and from a folder to a window."""

import csv
import glob
import os
from itertools import combinations

import pyworkflow.protocol.params as params
from pyworkflow.protocol.constants import STATUS_ABORTED, STATUS_FAILED, STATUS_FINISHED
from pyworkflow.viewer import DESKTOP_TKINTER, ProtocolViewer

from ..models.results import compared_results, result_files
from ..models.results.figures import figure_catalogue
from ..models.results.figures.slices import folder_slices, slice_figure
from ..models.results.report.map_list import map_names
from ..models.results.results_folder import SIMULATION_JSON, ResultsFolder
from .views import FigureView, SliceView

ENDED = (STATUS_FINISHED, STATUS_FAILED, STATUS_ABORTED)
MARKS = (
    result_files.CLASSIFICATION_JSON,
    result_files.LOCAL_JSON,
    result_files.LOCAL_RESOLUTION,
    result_files.COMPARISON_JSON,
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
    for table in sorted(glob.glob(os.path.join(glob.escape(extra), "*", result_files.RESULTS_CSV))):
        found += _listed(table)
    if not found:
        inside = (
            sorted(entry.path for entry in os.scandir(extra) if entry.is_dir())
            if os.path.isdir(extra)
            else []
        )
        found = [(_nameOf(path), path) for path in [extra, *inside] if _isResults(path)]
    return found or [("results", os.path.join(extra, "results"))]


def _nameOf(folder):
    """What a results folder is called in the viewer: a simulated map by its structure and resolution."""
    name = os.path.basename(os.path.normpath(folder))
    info = ResultsFolder(folder).json(SIMULATION_JSON)
    if not isinstance(info, dict):
        return name
    structure = os.path.basename(str(info.get("structure") or "")).split(".")[0]
    target = info.get("target_A")
    if not structure or not compared_results.is_number(target):
        return name
    return f"{name}: {structure} at {target:g} Å"


def _isResults(folder):
    return any(os.path.isfile(os.path.join(folder, name)) for name in MARKS)


def _listed(table):
    """Folders that a ``results.csv`` names, relative to itself; rows of maps that failed have none."""
    home = os.path.dirname(table)
    rows = [row for row in readRows(table) if row.get("folder")]
    return [(name, os.path.join(home, row["folder"])) for name, row in zip(map_names(rows), rows)]


def readRows(table):
    """Rows of a CSV table as dictionaries; none where it cannot be read."""
    try:
        with open(table, newline="", encoding="utf-8", errors="replace") as stream:
            return list(csv.DictReader(stream))
    except (OSError, csv.Error):
        return []


class CryoResViewer(ProtocolViewer):
    """Base of the viewers: a form whose rows are figures of one results folder."""

    _environments = [DESKTOP_TKINTER]
    _figures = ()
    """Rows of the form: (group, ((kind of figure, label, help), ...)); kinds: ``figure_catalogue.FIGURE_KINDS``."""
    _hints = {}
    """Group -> what a run has to be given for it to show anything; said in the place of its rows."""
    _optional = ()
    """Kinds of figures that many runs have no files for: their rows are hidden then."""

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
        self._pairs = self._comparedPairs()
        for title, rows in self._figures:
            group = form.addGroup(title)
            if self._isEmpty(title, rows):
                group.addParam("hint" + title.replace(" ", ""), params.LabelParam, label=self._hints[title])
                continue
            if len(self._pairs) > 1 and "difference" in [kind for kind, _, _ in rows]:
                group.addParam(
                    "pair",
                    params.EnumParam,
                    choices=[f"{first} and {second}" for first, second in self._pairs],
                    default=0,
                    label="Two of the volumes",
                    help="Which two volumes the difference slices show.",
                )
            for kind, label, text in self._shown(rows):
                group.addParam(self.paramOf(kind), params.LabelParam, label=label, help=text)
        self._defineMore(form)

    def _defineMore(self, form):
        """More rows, below those of ``_figures``."""

    def _isEmpty(self, title, rows):
        """Whether a finished run has nothing for a group, on any of its maps."""
        return title in self._hints and self._lacks([kind for kind, _, _ in rows])

    def _shown(self, rows):
        """Rows without the optional ones that a finished run has nothing for."""
        return [row for row in rows if row[0] not in self._optional or not self._lacks([row[0]])]

    def _lacks(self, kinds):
        """Whether a finished run has files for none of these kinds, on any of its maps."""
        if self.protocol.getStatus() != STATUS_FINISHED:
            return False
        folders = [ResultsFolder(path) for _, path in resultFolders(self.protocol)]
        return not any(
            figure_catalogue.FIGURE_KINDS[kind].ready(folder) for folder in folders for kind in kinds
        )

    def _getVisualizeDict(self):
        return {
            self.paramOf(kind): self._show
            for title, rows in self._figures
            if not self._isEmpty(title, rows)
            for kind, _, _ in self._shown(rows)
        }

    @staticmethod
    def paramOf(kind):
        """Name of the form's parameter that shows a kind of figure."""
        return "show" + kind.capitalize()

    def getFolder(self):
        """Results folder of the chosen map."""
        folders = resultFolders(self.protocol)
        chosen = self.item.get() if hasattr(self, "item") else 0
        return folders[min(chosen, len(folders) - 1)][1]

    def _comparedPairs(self):
        """Every two of the volumes that were compared."""
        volumes = (ResultsFolder(self.getFolder()).comparison or {}).get("volumes")
        listed = volumes if isinstance(volumes, (list, dict)) else []
        names = [str(v.get("name")) if isinstance(v, dict) else str(v) for v in listed]
        return list(combinations(names, 2))

    def getPair(self):
        """The two volumes that were chosen for the difference slices, or None."""
        if not self._pairs:
            return None
        chosen = self.pair.get() if hasattr(self, "pair") else 0
        return self._pairs[min(chosen, len(self._pairs) - 1)]

    def getTitle(self, label):
        """Title of a window: what it shows, of which map and run."""
        words = [label, self._mapName(), self.protocol.getObjLabel() or self.protocol.getClassLabel()]
        return " - ".join(word for word in words if word)

    def _mapName(self):
        """The map that is shown, where the run's label does not tell it."""
        if len(getattr(self, "_names", [])) < 2 or not hasattr(self, "item"):
            return ""
        return self._names[min(self.item.get(), len(self._names) - 1)]

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
        pair = self.getPair() if kind == "difference" else None
        span = self._span(results) if kind in figure_catalogue.COLOURED else None
        if kind in folder_slices.SLICE_KINDS:
            slices = self._slices(results, kind, pair, span)
            if slices is not None:
                return [SliceView(slices, self.getTitle(label), self.getTkRoot())]
        figure = figure_catalogue.from_folder(kind, results, pair=pair, span=span)
        return [FigureView(figure, self.getTitle(label), self.getTkRoot())]

    def _span(self, results):
        """The range of the colours of resolutions in A; None is the same for all maps."""
        return None

    @staticmethod
    def _slices(results, kind, pair, span):
        """Slices to move through, or None where from_folder has to say what is missing or damaged."""
        try:
            return slice_figure.slices_from_folder(results, kind, pair=pair, span=span)
        except Exception:  # files of another version: the figure in its place names the problem
            return None
