"""The drawing half of ``tools/pictures.py``: windows, forms, viewers, wizards and the report as small PNGs."""

import os
import time
import traceback
from pathlib import Path

MEASURED = "measured"
"""Folder below the project with the shipped local network's confusion matrix."""
WIDEST = 1300
SMALL, LARGEST = 45_000, 120_000
"""Bytes: a picture that is small keeps all its colours; none of the guide's is larger than the second."""


def draw(runs, out, only):
    """Draw every picture, or those named; 1 when one of them failed."""
    studio = Studio(runs, out, only)
    studio.all()
    print("%d pictures in %s" % (len(studio.done), out))
    for name in studio.failed:
        print("FAILED: %s" % name)
    return 1 if studio.failed else 0


class Studio:
    """Opens what is to be seen in the process of Scipion's project window, and takes its picture."""

    def __init__(self, runs, out, only):
        from pyworkflow.gui.project import ProjectWindow

        self.runs, self.out, self.only = runs, out, only
        self.done, self.failed = [], []
        self.window = ProjectWindow(runs["project"].path)
        self.project = self.window.project
        self.root = self.window.root

    def all(self):
        """Every picture, in the order of the guide."""
        self.try_("project", self.projectWindow)
        for label, name in (
            ("validate", "validate"),
            ("compare", "compare"),
            ("simulate", "simulate"),
            ("train local", "train_local"),
            ("train global", "train_global"),
        ):
            self.try_("form_" + name, lambda label=label: self.form(self.run(label)))
        for name, tab in (
            ("form_validate_networks", "Networks"),
            ("form_validate_more", "Also make"),
            ("form_train_local_training", "Training"),
        ):
            label = "validate" if "validate" in name else "train local"
            self.try_(name, lambda label=label, tab=tab: self.form(self.run(label), tab=tab, advanced=True))
        self.try_("form_import_model", self.newForm)
        for label, name in (
            ("validate and compare", "validate"),
            ("compare", "compare"),
            ("simulate", "simulate"),
            ("train local", "train"),
        ):
            self.try_("viewer_" + name, lambda label=label: self.viewerForm(self.run(label)))
        for name, label, kind in (
            ("viewer_verdict", "validate", "verdict"),
            ("viewer_histogram", "validate and compare", "histogram"),
            ("viewer_slices", "validate", "slices"),
            ("viewer_axes", "validate", "axes"),
            ("viewer_interval", "validate", "interval"),
            ("viewer_reliability", "validate", "reliability"),
            ("viewer_disagreement", "validate and compare", "disagreement"),
            ("viewer_difference", "validate and compare", "difference"),
            ("viewer_agreement", "compare", "agreement"),
            ("viewer_scatter", "compare", "scatter"),
            ("viewer_truth", "simulate", "truth"),
            ("viewer_fsc", "simulate", "fsc"),
            ("viewer_curves", "train global", "curves"),
            ("viewer_curves_local", "train local", "curves"),
            ("viewer_confusion", "train local", "confusion"),
            ("viewer_confusion_global", "train global", "confusion"),
        ):
            self.try_(name, lambda label=label, kind=kind: self.figure(self.run(label), kind))
        self.try_("wizard_mask", self.maskWizard)
        self.try_("wizard_model", self.modelWizard)
        self.try_("wizard_sampling", self.samplingWizard)
        for name in ("surface", "result", "verdict", "histogram"):
            kind = "slices" if name == "result" else name
            label = "validate and compare" if kind == "histogram" else "validate"
            self.try_(name, lambda kind=kind, label=label: self.plain(label, kind))
        self.try_("confusion", self.confusion)
        self.try_("report", lambda: self.report("validate", 1280, 1100))
        self.try_("report_narrow", lambda: self.report("validate", 400, 900))

    def try_(self, name, make):
        """Take one picture; a failure is noted and the others go on."""
        if self.only and name not in self.only:
            return
        os.chdir(self.project.path)
        try:
            picture = make()
        except Exception:  # one window that cannot be opened must not cost the other pictures
            traceback.print_exc()
            self.failed.append(name)
            return
        store(picture, self.out / (name + ".png"))
        self.done.append(name)
        print("  %s" % name, flush=True)

    def run(self, label):
        """The project window's own copy of a run: the newest, where one that failed was made again."""
        return [run for run in self.project.getRuns() if run.getObjLabel() == label][-1]

    # --------------------------------------------------------------------------------------- windows

    def settle(self, seconds=0.8):
        """Let Tk work for a while."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.root.update()
            time.sleep(0.02)

    def grab(self, window):
        """The picture of one window, which is brought to the front."""
        from PIL import ImageGrab

        window.lift()
        self.settle()
        x, y = window.winfo_rootx(), window.winfo_rooty()
        box = (x, y, x + window.winfo_width(), y + window.winfo_height())
        return ImageGrab.grab(xdisplay=os.environ["DISPLAY"]).crop(box)

    def projectWindow(self):
        """The tree of runs with the verdict in the summary below."""
        self.root.deiconify()
        self.root.geometry("1500x900+0+0")
        self.settle(2)
        view = self.window.viewWidget
        run = self.run("validate")
        view._selection.clear()
        view._selection.append(run.getObjId())
        view._updateSelection()
        widen(view)
        unfold(view.protTree)
        self.settle(2)
        return self.grab(self.root)

    def form(self, run, tab=None, advanced=False):
        """A protocol's form, as it was executed."""
        from pyworkflow.gui.form import FormWindow
        from pyworkflow.protocol.params import LEVEL_ADVANCED, LEVEL_NORMAL

        run.expertLevel.set(LEVEL_ADVANCED if advanced else LEVEL_NORMAL)
        shown = FormWindow("Protocol Run: " + run.getClassName(), run, lambda *a: None, self.window)
        return self._shoot(shown, tab)

    def newForm(self):
        """The form of a protocol that was not used in the project."""
        from cryoresdl import protocols

        run = self.project.newProtocol(protocols.ProtCryoResImportModel)
        return self.form(run)

    def _shoot(self, shown, tab=None):
        if tab:
            for child in notebooks(shown.root):
                names = [child.tab(one, "text") for one in child.tabs()]
                if tab in names:
                    child.select(names.index(tab))
        shown.adjustSize()
        shown.root.geometry("+0+0")
        shown.root.deiconify()
        picture = self.grab(shown.root)
        shown.root.destroy()
        return picture

    # --------------------------------------------------------------------------------------- viewers

    def viewer(self, run):
        """The viewer that *Analyze Results* opens."""
        import pyworkflow as pw
        from pyworkflow.viewer import DESKTOP_TKINTER

        found = pw.Config.getDomain().findViewers(run, DESKTOP_TKINTER)[0]
        return found(project=self.project, protocol=run, parent=self.window)

    def viewerForm(self, run):
        """The viewer's own window."""
        from pyworkflow.gui.form import FormWindow

        opened = []
        show = FormWindow.show
        FormWindow.show = lambda form, *a, **k: (
            opened.append(form),
            form.root.deiconify(),
            form.root.update(),
        )
        try:
            self.viewer(run).visualize(run, windows=self.window)
        finally:
            FormWindow.show = show
        return self._shoot(opened[0])

    def figure(self, run, kind):
        """The window of one row of a viewer."""
        viewer = self.viewer(run)
        viewer.setProtocol(run)
        param = viewer.paramOf(kind)
        view = viewer._getVisualizeDict()[param](param)[0]
        view._root = self.root
        view.show()
        view.window.geometry("+0+0")
        self.settle(1.5)
        picture = self.grab(view.window)
        view.window.destroy()
        return picture

    # --------------------------------------------------------------------------------------- wizards

    def maskWizard(self):
        """The mask over the map."""
        from cryoresdl.models.maps.mrc import mrc_reader
        from cryoresdl.wizards import wizards

        run = self.run("validate")
        volume = run.inputVolumes.get()
        form = Form(self.root, run)
        window = wizards.MaskDialog(form, mrc_reader.read(volume.getFileName(), volume.getSamplingRate()))
        window.window.geometry("+0+0")
        self.settle(2)
        picture = self.grab(window.window)
        window.window.destroy()
        return picture

    def modelWizard(self):
        """The cards of the local networks."""
        from cryoresdl.models.networks.model_files import model_store
        from cryoresdl.wizards import wizards

        models = [model for model in model_store.available() if model.kind == "local"]
        names = [model.name for model in models]
        pictures = []

        class Shown(wizards.ModelDialog):
            def wait_window(dialog, window=None):  # the dialog's own loop: take the picture instead
                dialog.geometry("+0+0")
                pictures.append(self.grab(dialog))
                dialog.destroy()

        Shown(self.root, models, "truth" if "truth" in names else None)
        return pictures[0]

    def samplingWizard(self):
        """What speaks for and against the sampling rate."""
        from pyworkflow.gui import dialog

        from cryoresdl.wizards import wizards

        lines = wizards.samplingLines(self.run("validate").inputVolumes.get())
        pictures = []

        class Shown(dialog.MessageDialog):
            def wait_window(shown, window=None):
                shown.geometry("+0+0")
                pictures.append(self.grab(shown))
                shown.destroy()

        Shown(self.root, "Sampling rate", "\n\n".join(lines), dialog.Icon.INFO, default=True)
        return pictures[0]

    # ------------------------------------------------------------------------------- figures and report

    def results(self, label):
        """The results folder of a validation."""
        return Path(self.run(label).getResultsFolder()).absolute()

    def plain(self, label, kind):
        """A figure as ``cryoresdl plot`` draws it."""
        return picture_of(kind, self.results(label))

    def confusion(self):
        """What the shipped local network mixes up, on maps of this project."""
        return picture_of("confusion", Path(self.project.path, MEASURED))

    def report(self, label, width, height):
        """The top of the report in a headless Chromium."""
        import io

        from PIL import Image

        from cryoresdl.models.results import result_files
        from cryoresdl.tests.helpers.browser import Browser

        browser = Browser()
        try:
            browser.size(width, height)
            browser.open((self.results(label) / result_files.REPORT_HTML).as_uri())
            return Image.open(io.BytesIO(browser.screenshot())).convert("RGB")
        finally:
            browser.close()


class Form:
    """As much of a form's window as the mask wizard asks for."""

    def __init__(self, root, protocol):
        self.root, self.protocol = root, protocol

    def setVar(self, name, value):
        """Nothing is chosen while pictures are taken."""


def picture_of(kind, folder):
    """A figure of a results folder, as an image."""
    import io

    from PIL import Image

    from cryoresdl.models.results.figures import figure_catalogue

    stream = io.BytesIO()
    figure_catalogue.from_folder(kind, folder).savefig(stream, format="png", dpi=100)
    return Image.open(stream).convert("RGB")


def notebooks(widget):
    """Every notebook below a widget."""
    from tkinter import ttk

    for child in widget.winfo_children():
        if isinstance(child, ttk.Notebook):
            yield child
        yield from notebooks(child)


def unfold(tree, node=""):
    """Show the protocols below 3D > Analysis > Resolution."""
    for child in tree.get_children(node):
        if tree.item(child, "text").strip() in ("3D", "Analysis", "Resolution"):
            tree.item(child, open=True)
        unfold(tree, child)


def widen(view):
    """Give the tree of protocols the room that its names need."""
    import tkinter as tk

    def panes(widget):
        for child in widget.winfo_children():
            if isinstance(child, (tk.PanedWindow,)):
                yield child
            yield from panes(child)

    for pane in panes(view.winfo_toplevel()):
        if str(pane.cget("orient")) == "horizontal":
            pane.sash_place(0, 430, 1)


def store(picture, path):
    """Write a picture; one that is too large for the guide gets a palette, and then fewer pixels."""
    from PIL import Image

    picture = picture.convert("RGB")
    if picture.width > WIDEST:
        picture = picture.resize((WIDEST, round(picture.height * WIDEST / picture.width)), Image.LANCZOS)
    partial = path.with_suffix(".part")
    picture.save(str(partial), "PNG", optimize=True)
    while partial.stat().st_size > SMALL:
        # The colours of resolutions must survive: as many as a palette holds, fitted to this picture.
        few = picture.quantize(256, Image.Quantize.MEDIANCUT, kmeans=2, dither=Image.Dither.NONE)
        few.save(str(partial), "PNG", optimize=True)
        if partial.stat().st_size < LARGEST:
            break
        picture = picture.resize((picture.width * 9 // 10, picture.height * 9 // 10), Image.LANCZOS)
    os.replace(str(partial), str(path))
