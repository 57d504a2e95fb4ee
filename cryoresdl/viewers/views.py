"""Tk windows for the figures of :mod:`cryoresdl.models.results.figures`; ``figure`` and ``savefig`` need no screen."""

import tkinter as tk
from tkinter import ttk

from pyworkflow.viewer import View

from ..models.results.figures.slices import volume_slices

LIVE_INTERVAL_MS = 3000
"""How often a live figure looks for news."""


class FigureView(View):
    """One figure in a window with matplotlib's toolbar (zoom, save as PNG or SVG).

    Args:
        figure: a matplotlib figure.
        title: of the window.
        root: the Tk window that it belongs to; None opens its own.
    """

    def __init__(self, figure, title, root=None):
        super().__init__()
        self.figure = figure
        self.title = title
        self._root = root
        self.window = None
        self.canvas = None

    def savefig(self, path, **options):
        """Write the figure to a file, without a window."""
        self.figure.savefig(path, **options)

    def show(self):
        """Open the window; returns at once when it belongs to another one."""
        self.window = tk.Toplevel(self._root) if self._root is not None else tk.Tk()
        self.window.title(self.title)
        self._fill(self.window)
        if self._root is None:
            self.window.mainloop()

    def _fill(self, window):
        self._addCanvas(window)

    def _addCanvas(self, window):
        # Imported here: the TkAgg backend needs a display library that headless machines may lack.
        from matplotlib.backends.backend_tkagg import FigureCanvasTkAgg, NavigationToolbar2Tk

        width, height = self.figure.get_size_inches()
        # Toolbar, slider and the window's frame need some room, too: a window taller than the screen is cut.
        room = (0.96 * window.winfo_screenwidth(), window.winfo_screenheight() - 190)
        scale = min(1.0, room[0] / (width * 100), room[1] / (height * 100))
        self.figure.set_dpi(100 * scale)
        self.canvas = FigureCanvasTkAgg(self.figure, master=window)
        toolbar = NavigationToolbar2Tk(self.canvas, window, pack_toolbar=False)
        toolbar.update()
        toolbar.pack(side=tk.BOTTOM, fill=tk.X)
        # Tk's first <Configure> draws: drawing here too would solve the layout twice.
        self.canvas.get_tk_widget().pack(side=tk.TOP, fill=tk.BOTH, expand=True)


class SliceView(FigureView):
    """Slices that move with a slider, the mouse wheel and the arrow keys, along x, y or z.

    Args:
        slices: a :class:`cryoresdl.models.results.figures.slices.slice_figure.SliceFigure`.
        title: of the window.
        root: the Tk window that it belongs to.
    """

    def __init__(self, slices, title, root=None):
        super().__init__(slices.figure, title, root)
        self.slices = slices
        self._background = None
        self._waiting = False
        self._axis = self._slider = None

    def _fill(self, window):
        row = ttk.Frame(window, padding=6)
        row.pack(side=tk.TOP, fill=tk.X)
        ttk.Label(row, text="along").pack(side=tk.LEFT)
        self._axis = tk.StringVar(window, self.slices.axis)
        for axis in volume_slices.AXES:
            ttk.Radiobutton(row, text=axis, value=axis, variable=self._axis, command=self._onAxis).pack(
                side=tk.LEFT, padx=3
            )
        ttk.Label(row, text="slice").pack(side=tk.LEFT, padx=(12, 0))
        self._slider = tk.Scale(
            row, orient=tk.HORIZONTAL, from_=1, to=self.slices.count, command=self._onSlide
        )
        self._slider.pack(side=tk.LEFT, fill=tk.X, expand=True)
        self._setAnimated(True)
        self._addCanvas(window)
        self._slider.set(self.slices.index + 1)
        self.canvas.mpl_connect("draw_event", self._onDraw)
        self.canvas.mpl_connect("resize_event", self._onResize)
        self.canvas.mpl_connect("scroll_event", lambda event: self.move(1 if event.button == "up" else -1))
        for key, step in (("<Left>", -1), ("<Right>", 1), ("<Prior>", 10), ("<Next>", -10)):
            window.bind(key, lambda event, step=step: self.move(step))

    def move(self, step):
        """Show another slice, ``step`` further."""
        self._slider.set(self.slices.index + step + 1)

    def showSlice(self, index):
        """Show slice ``index`` now: only the pixels and the heading are drawn again."""
        self.slices.set_index(index)
        if self._background is None:
            self.canvas.draw()
            return
        self.canvas.restore_region(self._background)
        self._drawMoving()
        self.canvas.blit(self.figure.bbox)

    def _onSlide(self, _):
        # The slider sends more events than can be drawn: only the last before the next idle moment counts.
        if not self._waiting:
            self._waiting = True
            self.window.after_idle(self._slide)

    def _slide(self):
        self._waiting = False
        index = int(self._slider.get()) - 1
        if index != self.slices.index:
            self.showSlice(index)

    def _onAxis(self):
        self._onResize(None)
        self.slices.set_axis(self._axis.get())
        self._setAnimated(True)
        self._slider.configure(to=self.slices.count)
        self._slider.set(self.slices.index + 1)
        self.canvas.draw()

    def _moving(self):
        return [*self.slices.images, self.slices.heading]

    def _setAnimated(self, animated):
        for artist in self._moving():
            artist.set_animated(animated)

    def _onResize(self, _):
        # The layout is solved once per size of the window; after that a slice costs only its pixels.
        self.figure.set_layout_engine("constrained")
        self._background = None

    def _onDraw(self, _):
        self.figure.set_layout_engine("none")
        self._background = self.canvas.copy_from_bbox(self.figure.bbox)
        self._drawMoving()

    def _drawMoving(self):
        for artist in self._moving():
            self.figure.draw_artist(artist)


class LiveView(FigureView):
    """A figure that is drawn again while a run writes its files.

    Args:
        draw: function without arguments that returns the figure of now.
        stamp: function without arguments whose value changes when there is something new.
        running: function without arguments: whether news can still come.
        title: of the window.
        root: the Tk window that it belongs to.
    """

    def __init__(self, draw, stamp, running, title, root=None):
        super().__init__(draw(), title, root)
        self._draw, self._stamp, self._running = draw, stamp, running
        self._seen = stamp()
        self._note = None

    def _fill(self, window):
        self._note = ttk.Label(window, padding=4)
        self._note.pack(side=tk.TOP, anchor=tk.W)
        self._holder = ttk.Frame(window)
        self._holder.pack(fill=tk.BOTH, expand=True)
        self._addCanvas(self._holder)
        self._watch()

    def update(self):
        """Draw again if there is something new; returns whether there was."""
        stamp = self._stamp()
        if stamp == self._seen:
            return False
        self._seen = stamp
        self.figure = self._draw()
        if self.window is not None:
            for child in self._holder.winfo_children():
                child.destroy()
            self._addCanvas(self._holder)
        return True

    def _watch(self):
        self.update()
        running = self._running()
        self._note.configure(text="Running: the curves follow." if running else "The run has ended.")
        if running:
            self.window.after(LIVE_INTERVAL_MS, self._watch)
