"""A table in a window of its own: click a heading to sort, double-click a row to open it."""

import tkinter as tk
from tkinter import ttk

from pyworkflow.viewer import View

ROWS_SHOWN = 25
WIDEST_COLUMN = 320


class TableView(View):
    """Rows that sort by any column; one row can be opened.

    Args:
        columns: headings.
        rows: a list of values (numbers, texts or None) per row.
        title: of the window.
        opened: called with the number of the row that was double-clicked.
        root: the Tk window that it belongs to.
    """

    def __init__(self, columns, rows, title, opened, root=None):
        super().__init__()
        self.columns, self.rows, self.title, self.opened = columns, rows, title, opened
        self._root = root
        self.window = self.tree = None
        self._sorted = (None, False)

    def show(self):
        """Open the window; returns at once when it belongs to another one."""
        self.window = tk.Toplevel(self._root) if self._root is not None else tk.Tk()
        self.window.title(self.title)
        frame = ttk.Frame(self.window, padding=6)
        frame.pack(fill=tk.BOTH, expand=True)
        height = min(ROWS_SHOWN, max(4, len(self.rows)))
        self.tree = ttk.Treeview(
            frame, columns=list(range(len(self.columns))), show="headings", height=height
        )
        bar = ttk.Scrollbar(frame, command=self.tree.yview)
        self.tree.configure(yscrollcommand=bar.set)
        for place, name in enumerate(self.columns):
            texts = [name] + [textOf(row[place]) for row in self.rows]
            numeric = all(isinstance(row[place], (int, float, type(None))) for row in self.rows)
            self.tree.heading(place, text=name, command=lambda place=place: self.sortBy(place))
            width = min(WIDEST_COLUMN, 14 + 8 * max(map(len, texts)))
            self.tree.column(place, width=width, anchor=tk.E if numeric else tk.W)
        self.tree.pack(side=tk.LEFT, fill=tk.BOTH, expand=True)
        bar.pack(side=tk.LEFT, fill=tk.Y)
        ttk.Label(
            self.window, padding=6, text="Click a heading to sort; double-click a map to open it."
        ).pack(anchor=tk.W)
        self.tree.bind("<Double-1>", self._onDouble)
        self.tree.bind("<Return>", lambda event: self.openSelected())
        self._fill(range(len(self.rows)))
        if self._root is None:
            self.window.mainloop()

    def sortBy(self, place):
        """Sort by a column; by the same one again turns the order. What has no value comes last."""
        turned = self._sorted == (place, False)
        self._sorted = (place, turned)
        filled = [number for number, row in enumerate(self.rows) if row[place] not in (None, "")]
        empty = [number for number, row in enumerate(self.rows) if row[place] in (None, "")]
        filled.sort(key=lambda number: self.rows[number][place], reverse=turned)
        self._fill(filled + empty)

    def order(self):
        """Numbers of the rows, as they are shown from top to bottom."""
        return [int(name) for name in self.tree.get_children()]

    def openSelected(self):
        """Open the selected row."""
        chosen = self.tree.selection()
        if chosen:
            self.opened(int(chosen[0]))

    def _fill(self, order):
        self.tree.delete(*self.tree.get_children())
        for number in order:
            self.tree.insert(
                "", tk.END, iid=str(number), values=[textOf(value) for value in self.rows[number]]
            )

    def _onDouble(self, event):
        row = self.tree.identify_row(event.y)
        if row and self.tree.identify_region(event.x, event.y) == "cell":
            self.tree.selection_set(row)
            self.openSelected()


def textOf(value):
    """A cell: numbers with two decimals, nothing for no value."""
    if value is None:
        return ""
    return "%.2f" % value if isinstance(value, float) else str(value)
