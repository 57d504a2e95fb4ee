"""The wands beside the form's parameters: mask, sampling rate, models, batch."""

import os
import tkinter as tk
from dataclasses import replace
from tkinter import ttk

import numpy as np
from pwem.protocols import ProtImportMask
from pyworkflow.gui import dialog
from pyworkflow.object import Pointer
from pyworkflow.viewer import DESKTOP_TKINTER
from pyworkflow.wizard import Wizard

from ..models.base.errors import CryoResError
from ..models.maps import automatic_mask
from ..models.maps.mrc import mrc_reader, mrc_writer
from ..models.networks import paper_networks
from ..models.networks.model_files import model_card, model_store
from ..models.results.figures.slices import slice_figure
from ..protocols import ProtCryoResTrainGlobal, ProtCryoResTrainLocal, ProtCryoResValidate
from ..protocols.protocol_base import fileOf
from ..viewers.views import SliceView
from . import tools

MASK_FILE = "mask_by_hand.mrc"
REST_MS = 250
"""How long the threshold rests before the mask is made of it."""


class CryoResWizard(Wizard):
    """Base: a failure of the engine becomes a message, never a traceback in the terminal."""

    _environments = [DESKTOP_TKINTER]

    def show(self, form, *params):
        try:
            self._show(form)
        except CryoResError as error:
            dialog.showError("CryoResDL", str(error), form.root)

    def _show(self, form):
        raise CryoResError("This wizard shows nothing.")


class CryoResMaskWizard(CryoResWizard):
    """Choose a mask's threshold by eye: the mask lies over the slice and follows the slider."""

    _targets = [(ProtCryoResValidate, ["inputMask"])]

    def _show(self, form):
        volume = inputVolume(form.protocol)
        density = mrc_reader.read(fileOf(volume), volume.getSamplingRate())
        MaskDialog(form, density)


class MaskDialog(SliceView):
    """The window of the mask wizard.

    Args:
        form: the form window whose protocol gets the mask.
        density: the map.
    """

    def __init__(self, form, density):
        self.form, self.density = form, density
        self.lowPassed = automatic_mask.low_passed(density)
        _, info = automatic_mask.auto_mask(density)
        start = info["threshold"]
        if info["inverted"]:
            self.lowPassed = replace(self.lowPassed, values=-self.lowPassed.values)
            start = -start
        self.smooth = self.lowPassed.whole()
        figure = slice_figure.MaskFigure(density.data, self.smooth, density.voxel_size, density.offset())
        super().__init__(figure, "Mask", form.root)
        low, high = np.percentile(self.smooth, (50, 99.95))
        self._range = (float(low), float(high))
        self._start = float(np.clip(start, low, high))
        self._note = self._threshold = self._later = None
        self.show()

    def _fill(self, window):
        row = ttk.Frame(window, padding=6)
        row.pack(side=tk.BOTTOM, fill=tk.X)
        ttk.Button(row, text="Use this mask", command=self.use).pack(side=tk.RIGHT)
        ttk.Button(row, text="Close", command=window.destroy).pack(side=tk.RIGHT, padx=6)
        self._note = ttk.Label(row)
        self._note.pack(side=tk.LEFT)
        row = ttk.Frame(window, padding=6)
        row.pack(side=tk.BOTTOM, fill=tk.X)
        ttk.Label(row, text="threshold").pack(side=tk.LEFT)
        low, high = self._range
        self._threshold = ttk.Scale(row, from_=low, to=high, value=self._start, command=self._onThreshold)
        self._threshold.pack(side=tk.LEFT, fill=tk.X, expand=True)
        super()._fill(window)
        self._onThreshold(self._start)

    def _onThreshold(self, value):
        self.slices.set_threshold(float(value))
        self._describe(100 * float(np.mean(self.smooth[::2, ::2, ::2] > self.slices.threshold)), "above it")
        if self.canvas is not None and self._background is not None:
            self.showSlice(self.slices.index)
        # The mask itself takes longer than a slider moves: it is made when the slider has come to rest.
        if self._later is not None:
            self.window.after_cancel(self._later)
        self._later = self.window.after(REST_MS, self.showMask)

    def showMask(self):
        """Show the mask that would be used: specks removed, grown by a few A."""
        self._later = None
        mask = self.getMask()
        self.slices.set_mask(mask)
        self._describe(100 * float(mask.mean()), "in the mask")
        if self.canvas is not None and self._background is not None:
            self.showSlice(self.slices.index)

    def _describe(self, part, where):
        text = "threshold %.4g of the map low-passed to %.0f Å: %.1f %% of the box %s"
        self._note.configure(text=text % (self.slices.threshold, self.lowPassed.cutoff_A, part, where))

    def getMask(self):
        """The mask of the threshold shown, made as the automatic one: specks removed, grown by a few A."""
        return self.lowPassed.above(self.slices.threshold)

    def use(self):
        """Import the mask into the project as a run of its own, and set the form's parameter to it."""
        mask = self.getMask()
        if not mask.any():
            dialog.showError("Mask", "Nothing lies above this threshold; move it to the left.", self.window)
            return
        project = self.form.protocol.getProject()
        path = os.path.join(project.getTmpPath(), MASK_FILE)
        mrc_writer.write_volume(path, mask.astype(np.int8), self.density)
        run = importMask(project, path, self.density.voxel_size, self.slices.threshold)
        self.form.setVar("inputMask", Pointer(run, extended="outputMask"))
        self.window.destroy()


def importMask(project, path, rate, threshold):
    """Run Scipion's own mask import, so that the mask has a history like every other object.

    Raises:
        CryoResError: the import failed.
    """
    run = project.newProtocol(ProtImportMask, maskPath=path, samplingRate=rate)
    run.setObjLabel("mask above %.4g" % threshold)
    project.launchProtocol(run, wait=True)
    run = project.getProtocol(run.getObjId(), fromRuns=False) if not hasattr(run, "outputMask") else run
    if not hasattr(run, "outputMask"):
        raise CryoResError(
            "The mask could not be imported: %s" % (run.getErrorMessage() or "see the run's log")
        )
    return run


class CryoResSamplingWizard(CryoResWizard):
    """Tells what speaks for and against the sampling rate that Scipion has for the map, and if it fits in memory."""

    _targets = [(ProtCryoResValidate, ["inputVolumes"])]

    def _show(self, form):
        volume = inputVolume(form.protocol)
        lines = samplingLines(volume)
        dialog.showInfo("Sampling rate", "\n\n".join(lines), form.root)


def samplingLines(volume):
    """The report of the sampling-rate wizard about a Scipion volume."""
    rate = volume.getSamplingRate()
    if not rate:
        raise CryoResError("The volume has no sampling rate; import it again with the right one.")
    density = mrc_reader.read_values(fileOf(volume), role="map")
    header = density.voxel_size
    density.voxel_size = rate
    mask, _ = automatic_mask.auto_mask(density)
    density.voxel_size = header
    lines = tools.sampling_report(density, rate, mask)
    return [*lines, tools.memory_report(density.data.shape, mask, tools.free_memory())]


class CryoResModelWizard(CryoResWizard):
    """Choose a network by its card: what it is, on what it was trained, how good it is."""

    _targets = [(ProtCryoResValidate, ["globalModel", "localModel"])]

    def _show(self, form):
        param = form.wizParamName  # the form notes whose wand was clicked
        kind = param.replace("Model", "")
        models = [model for model in model_store.available() if model.kind == kind]
        if not models:
            raise CryoResError("No %s network is installed." % kind)
        chosen = ModelDialog(form.root, models, getattr(form.protocol, param).get()).chosen
        if chosen:
            form.setVar(param, chosen)


class ModelDialog(dialog.Dialog):
    """Names on the left, the card of the selected one on the right; ``chosen`` is a name or None."""

    def __init__(self, parent, models, current=None):
        self.models, self.current = models, current
        self.chosen = None
        super().__init__(
            parent,
            "Choose a network",
            buttons=[("Select", dialog.RESULT_YES), ("Cancel", dialog.RESULT_CANCEL)],
        )

    def body(self, master):
        frame = ttk.Frame(master)
        frame.grid(row=0, column=0, sticky="news")
        self._list = tk.Listbox(frame, width=24, height=22, exportselection=False)
        self._list.pack(side=tk.LEFT, fill=tk.Y)
        self._card = tk.Text(frame, width=84, height=24, wrap=tk.WORD, padx=10, pady=6, font="TkTextFont")
        self._card.tag_configure("name", font="TkHeadingFont", spacing3=4)
        self._card.tag_configure("details", font="TkFixedFont", foreground="#555555")
        bar = ttk.Scrollbar(frame, command=self._card.yview)
        self._card.configure(yscrollcommand=bar.set)
        self._card.pack(side=tk.LEFT, fill=tk.BOTH, expand=True)
        bar.pack(side=tk.LEFT, fill=tk.Y)
        for model in self.models:
            self._list.insert(tk.END, "%s (%s)" % (model.name, model.source))
        names = [model.name for model in self.models]
        self._list.selection_set(names.index(self.current) if self.current in names else 0)
        self._list.bind("<<ListboxSelect>>", lambda event: self.showCard())
        self.showCard()
        self.initial_focus = self._list

    def selected(self):
        """The selected model."""
        return self.models[(self._list.curselection() or (0,))[0]]

    def showCard(self):
        """Write the card of the selected model."""
        card = model_store.read_card(self.selected().path)
        self._card.configure(state=tk.NORMAL)
        self._card.delete("1.0", tk.END)
        self._card.insert("1.0", self.selected().name + "\n", "name")
        self._card.insert(tk.END, "\n".join(model_card.in_words(card)) + "\n\n")
        self._card.insert(tk.END, "Everything on its card\n", "name")
        self._card.insert(tk.END, "\n".join(model_card.card_lines(card)), "details")
        self._card.configure(state=tk.DISABLED)

    def apply(self):
        self.chosen = self.selected().name


class CryoResBatchWizard(CryoResWizard):
    """Suggests the number of examples per step from the free memory."""

    _targets = [(ProtCryoResTrainGlobal, ["batch"]), (ProtCryoResTrainLocal, ["batch"])]

    def _show(self, form):
        found = batchFor(form.protocol, tools.free_memory())
        if found["batch"]:
            form.setVar("batch", found["batch"])
        dialog.showInfo("Batch", found["text"], form.root)


def batchFor(protocol, free):
    """The suggestion for one training protocol; 0 where the parameter should stay as it is."""
    if not protocol._isPaper():
        return {
            "batch": 0,
            "text": "The recommended network needs less than 2 GB with its own batch: leave it empty.",
        }
    if isinstance(protocol, ProtCryoResTrainLocal):
        return tools.batch_suggestion(paper_networks.UNET, protocol.width.get(), protocol.patch.get(), free)
    name = paper_networks.DNN if "DNN" in protocol.getEnumText("network") else paper_networks.CNN
    return tools.batch_suggestion(name, protocol.width.get(), None, free)


def inputVolume(protocol):
    """The volume of a form (the first one of a set).

    Raises:
        CryoResError: none is chosen, or its file is missing.
    """
    volume = protocol.inputVolumes.get()
    if volume is None:
        raise CryoResError("Choose a volume first.")
    if hasattr(volume, "getFirstItem"):
        volume = volume.getFirstItem()
    if not os.path.isfile(fileOf(volume)):
        raise CryoResError("The file of the volume, %s, is missing." % volume.getFileName())
    return volume
