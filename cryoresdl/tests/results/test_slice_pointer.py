"""What the toolbar of a slice window says of the point under the mouse: place, value, unit."""

import numpy as np
import pytest
from matplotlib.backend_bases import MouseEvent, NavigationToolbar2
from matplotlib.backends.backend_agg import FigureCanvasAgg

from cryoresdl.models.results.figures.slices import slice_figure, slice_layers
from cryoresdl.tests.helpers import made_results

VOXEL = 1.5


def told(figure, ax, x, y):
    """The toolbar's words with the mouse at a place (A) of the axes."""
    canvas = figure.canvas if isinstance(figure.canvas, FigureCanvasAgg) else FigureCanvasAgg(figure)
    canvas.draw()
    event = MouseEvent("motion_notify_event", canvas, *ax.transData.transform((x, y)))
    return NavigationToolbar2._mouse_event_to_message(event)


def place_of(z, y, x):
    return [origin + step * VOXEL for origin, step in zip(made_results.ORIGIN, (x, y, z))]


@pytest.mark.parametrize("axis", ["z", "y", "x"])
def test_the_pointer_is_told_its_place_along_all_axes_and_the_value_with_its_name_and_unit(axis):
    density, _, values, interval = made_results.volumes()
    layers = slice_layers._layers(density, values, interval)
    place = (10, 12, 14)
    shown = slice_figure.SliceFigure(layers, VOXEL, made_results.ORIGIN, axis, place["zyx".index(axis)])
    x, y, z = place_of(*place)
    across, up = {"z": (x, y), "y": (x, z), "x": (y, z)}[axis]
    said = [told(shown.figure, ax, across, up).splitlines() for ax in shown.axes]
    assert {lines[0] for lines in said} == {f"x = {x:.1f} Å, y = {y:.1f} Å, z = {z:.1f} Å"}
    assert [lines[1] for lines in said] == [
        f"density {density[place]:.3g} (the map's units)",
        f"local resolution {values[place]:.2f} Å",
        f"half-width {interval[place]:.2f} Å",
    ]
    if axis == "z":
        shown.set_index(11)
        assert f"z = {place_of(11, 0, 0)[2]:.1f} Å" in told(shown.figure, shown.axes[0], across, up)


def test_the_pointer_beside_the_molecule_is_told_that_nothing_is_estimated():
    _, _, values, _ = made_results.volumes()
    shown = slice_figure.SliceFigure([slice_layers.Layer("r", values, "resolution")], VOXEL, index=10)
    row, column = np.argwhere(values[10] == 0)[0]
    shown.axes[0].set_xlim(-1, 60)
    shown.axes[0].set_ylim(-1, 60)
    assert told(shown.figure, shown.axes[0], column * VOXEL, row * VOXEL).endswith("not estimated")


def test_the_pointer_over_a_mask_is_told_the_density_below_it():
    density, mask, *_ = made_results.volumes()
    shown = slice_figure.MaskFigure(density, None, VOXEL)
    shown.set_mask(mask.astype(bool))
    shown.set_index(10)
    assert f"density {density[10, 12, 14]:.3g}" in told(shown.figure, shown.axes[0], 14 * VOXEL, 12 * VOXEL)
