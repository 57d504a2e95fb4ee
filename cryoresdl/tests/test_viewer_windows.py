"""Viewers in real windows, on a virtual screen where one can be had."""

import time

import numpy as np
import pytest

pytest.importorskip("pwem")


from cryoresdl.models.results.figures import accuracy_figures, figure_catalogue
from cryoresdl.models.results.figures.slices import slice_figure

# noqa: E402
# noqa: E402
from cryoresdl.tests.helpers import made_results, virtual_screen  # noqa: E402
from cryoresdl.tests.helpers.virtual_screen import settle  # noqa: E402
from cryoresdl.viewers import views  # noqa: E402

pytestmark = pytest.mark.scipion


@pytest.fixture
def screen():
    return virtual_screen.root()


def test_slices_move_in_a_real_window(screen, tmp_path):
    shown = slice_figure.slices_from_folder(made_results.validation(tmp_path / "run"))
    view = views.SliceView(shown, "slices", screen)
    view.show()
    for _ in range(50):
        settle(screen, 0.2)
        if view._background is not None:
            break
    settle(screen, 1.0)
    before = bytes(view.canvas.buffer_rgba())
    view.move(3)
    settle(screen)
    assert shown.index == 13 and bytes(view.canvas.buffer_rgba()) != before
    after = np.array(view.canvas.buffer_rgba())
    view.canvas.draw()
    settle(screen, 0.1)
    # What the quick way drew is what a full drawing gives.
    assert np.abs(after.astype(int) - np.array(view.canvas.buffer_rgba()).astype(int)).mean() < 0.5
    view._axis.set("x")
    view._onAxis()
    settle(screen)
    assert shown.axis == "x" and view._slider.cget("to") == 28
    view.window.destroy()


def test_every_figure_fits_on_the_screen(screen, tmp_path):
    history = {name: [1.0, 2.0] for name in "abcdefghi"}
    view = views.FigureView(accuracy_figures.training_curves(history), "curves", screen)
    view.show()
    settle(screen, 0.5)
    assert view.window.winfo_reqheight() <= screen.winfo_screenheight() - 60
    assert view.window.winfo_reqwidth() <= screen.winfo_screenwidth()
    view.window.destroy()


def test_a_256_cubed_run_opens_within_two_seconds_and_scrolls_ten_slices_a_second(screen, tmp_path):
    folder = tmp_path / "big"
    made_results.validation(folder, box=(256, 256, 256), compared=False)
    start = time.process_time()
    view = views.SliceView(slice_figure.slices_from_folder(folder), "slices", screen)
    view.show()
    while view._background is None:
        screen.update()
    # Processor time: this process alone, however busy the machine that tests is.
    assert time.process_time() - start < 2.0
    start = time.process_time()
    for index in range(100, 130):
        view.showSlice(index)
        screen.update()
    assert 30 / (time.process_time() - start) > 10
    view.window.destroy()


def test_a_live_window_stops_watching_when_the_run_ends(screen, tmp_path, monkeypatch):
    monkeypatch.setattr(views, "LIVE_INTERVAL_MS", 30)
    folder = made_results.training(tmp_path / "t", epochs=2)
    running, looked = [True], []

    def stamp():
        looked.append(1)
        return (folder / "history.csv").stat().st_mtime_ns

    view = views.LiveView(
        lambda: figure_catalogue.from_folder("curves", folder), stamp, lambda: running[0], "live", screen
    )
    view.show()
    made_results.training(folder, epochs=6)
    settle(screen, 1.0)
    assert len(view.figure.axes[0].lines[0].get_xdata()) == 6
    running[0] = False
    settle(screen, 0.5)
    assert "ended" in view._note.cget("text")
    count = len(looked)
    settle(screen, 0.3)
    assert len(looked) == count
    view.window.destroy()
