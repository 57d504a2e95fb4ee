"""Colours of resolutions over the map's own range, or one that is given; the absolute scale stays the default."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from cryoresdl.models.base import resolution_terms
from cryoresdl.models.cli import command_line
from cryoresdl.models.results import result_files
from cryoresdl.models.results.figures import colours, figure_catalogue
from cryoresdl.models.results.figures.slices import slice_figure
from cryoresdl.tests.helpers import made_results


def test_the_own_range_is_the_middle_90_percent_of_what_is_estimated():
    values = np.where(np.arange(1000) < 500, 0.0, np.linspace(2, 12, 1000)).astype(np.float32)
    low, high = colours.own_range(values.reshape(10, 10, 10))
    assert (low, high) == pytest.approx(tuple(np.percentile(values[500:], (5, 95))))
    assert colours.own_range(np.zeros((4, 4, 4), np.float32)) is None
    low, high = colours.own_range(np.full((4, 4, 4), 3.0, np.float32))
    assert low < 3 < high
    assert len(colours.resolution_ticks((3.1, 3.6))) >= 3 and colours.resolution_ticks()[0] == 1.5


@pytest.mark.parametrize("kind", ["slices", "axes", "interval", "surface", "histogram", "difference"])
def test_every_coloured_figure_changes_with_the_range_and_only_with_it(tmp_path, kind):
    folder = made_results.validation(tmp_path / "run")

    def drawn(span):
        figure = figure_catalogue.from_folder(kind, folder, span=span)
        figure.set_dpi(40)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())

    absolute, own = drawn(None), drawn((3.0, 6.0))
    assert kind in figure_catalogue.COLOURED
    assert (drawn(resolution_terms.RESOLUTION_RANGE_A) == absolute).all() and (own != absolute).any()


def test_the_scale_of_a_figure_shows_its_range(tmp_path):
    made = slice_figure.slices_from_folder(made_results.validation(tmp_path / "run"), span=(3.0, 6.0))
    norm = made.images[1].norm
    assert (norm.vmin, norm.vmax) == (3.0, 6.0)


@pytest.mark.parametrize(
    "words,said",
    [
        (["slices", "--range", "6", "3"], "the first number is the finer"),
        (["slices", "--range", "narrow"], "neither own nor two numbers"),
        (["slices", "--range", "1", "2", "3"], "neither own nor two numbers"),
        (["verdict", "--range", "own"], "those of verdict are none"),
    ],
)
def test_a_range_that_is_none_is_refused(tmp_path, capsys, words, said):
    folder = made_results.validation(tmp_path / "run")
    assert command_line.main(["plot", words[0], str(folder), *words[1:]]) == 2
    assert said in capsys.readouterr().err


def test_the_command_draws_own_and_given_ranges_and_the_folder_for_chimerax(tmp_path, capsys):
    folder = made_results.validation(tmp_path / "run")
    for words in (["surface", "--range", "own"], ["slices", "--range", "3", "6"]):
        assert command_line.main(["plot", words[0], str(folder), *words[1:]]) == 0
        assert (folder / f"figures/{words[0]}.png").is_file()
    words = ["plot", "chimerax", str(folder), "--range", "3", "6"]
    assert command_line.main(words) == 0
    assert "chimerax.cxc" in capsys.readouterr().out
    assert ":6,#fde725" in (folder / "chimerax" / "chimerax.cxc").read_text()
    assert command_line.main(words) == 2 and command_line.main([*words, "--overwrite"]) == 0
    (folder / result_files.LOCAL_RESOLUTION).unlink()
    assert command_line.main(["plot", "slices", str(folder), "--range", "own", "--overwrite"]) == 2
