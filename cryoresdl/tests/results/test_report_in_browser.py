"""The report in a real browser."""

import time

import numpy as np
import pytest

from cryoresdl.models.base import resolution_terms
from cryoresdl.models.maps.mrc import mrc_reader, mrc_writer
from cryoresdl.models.results import result_files, results_folder
from cryoresdl.models.results.figures import colours
from cryoresdl.models.results.figures.slices import slice_figure
from cryoresdl.models.results.report import build_report
from cryoresdl.models.results.report.charts import slice_browser
from cryoresdl.tests.helpers import made_results
from cryoresdl.tests.helpers.browser import CHROMIUM, Browser
from cryoresdl.tests.helpers.needs import missing


@pytest.fixture(scope="module")
def browser(folder, tmp_path_factory):
    if not CHROMIUM:
        missing("needs Chromium (apt-get install chromium)")
    browser = Browser(tmp_path_factory.mktemp("profile"))
    browser.size(1280, 900)
    browser.open((folder / result_files.REPORT_HTML).as_uri())
    yield browser
    browser.close()


SLICE = "return document.getElementById('browser').dataset.slice"


MIDDLE = (
    "var c = document.querySelector('#panel-1 canvas'); c.scrollIntoView({block: 'center'});"
    "var b = c.getBoundingClientRect(); return [(b.left + b.right) / 2, (b.top + b.bottom) / 2]"
)


PIXELS = "return document.querySelector('#panel-1 canvas').toDataURL()"


def test_real_browser_slider_keys_wheel_and_axes_move_the_slices(browser, folder):
    assert browser.run(SLICE) == "z10"
    first = browser.run(PIXELS)
    left, right, middle = browser.run(
        "var s = document.getElementById('slice'); s.scrollIntoView({block: 'center'});"
        "var b = s.getBoundingClientRect(); return [b.left, b.right, (b.top + b.bottom) / 2]"
    )
    browser.drag((left + right) / 2, middle, left + 0.22 * (right - left), middle)
    moved = int(browser.run(SLICE)[1:])
    assert 2 <= moved <= 6 and browser.run(PIXELS) != first, "the slider follows the mouse"
    browser.run("var s = document.getElementById('slice'); s.value = 4; s.dispatchEvent(new Event('input'))")
    assert browser.run(SLICE) == "z3"
    assert browser.run("return document.getElementById('where').textContent") == "slice 4 of 20, z = 9.5 Å"
    browser.key("ArrowRight")
    assert browser.run(SLICE) == "z4"
    browser.key("x")
    assert browser.run(SLICE).startswith("x")
    sizes = browser.run("var c = document.querySelector('#panel-1 canvas'); return [c.width, c.height]")
    depth, height, _ = slice_browser.browser(results_folder.ResultsFolder(folder))["box"]
    assert sizes == [height, depth]
    before = browser.run(SLICE)
    browser.wheel(*browser.run(MIDDLE), 100)
    assert int(browser.run(SLICE)[1:]) == int(before[1:]) + 1
    browser.key("z")


def test_real_browser_shows_the_colours_of_the_figures_and_the_value_under_the_pointer(browser, folder):
    shown = slice_browser.browser(results_folder.ResultsFolder(folder))
    z, y, x = shown["corner"]
    values = made_results.volumes()[2][z:, y:, x:]
    _, height, width = shown["box"]
    browser.run("var s = document.getElementById('slice'); s.value = 11; s.dispatchEvent(new Event('input'))")
    row, column = 12, 14
    script = (
        "var c = document.querySelector('#panel-1 canvas'), p = c.getContext('2d')"
        f".getImageData({column}, c.height - 1 - {row}, 1, 1).data; return [p[0], p[1], p[2]]"
    )
    wanted = 255 * np.array(colours.resolution_colors().to_rgba(float(values[10, row, column])))[:3]
    assert np.abs(np.array(browser.run(script)) - wanted).max() <= 3
    point = (
        "var c = document.querySelector('#panel-1 canvas'), b = c.getBoundingClientRect();"
        "c.dispatchEvent(new PointerEvent('pointermove', "
        f"{{clientX: b.left + b.width * {(column + 0.5) / width},"
        f"clientY: b.top + b.height * {1 - (row + 0.5) / height}}}));"
        "return document.querySelector('#panel-1 .value').textContent"
    )
    assert float(browser.run(point).split()[0]) == pytest.approx(values[10, row, column], rel=0.015)
    assert "density" in browser.run("return document.querySelector('#panel-0 .value').textContent")
    place = browser.run("return document.getElementById('pointer').textContent").split(", ")
    steps = (shown["corner"][2] + column, shown["corner"][1] + row, 10)
    volume = results_folder.ResultsFolder(folder).resolution
    for name, step, start, said in zip("xyz", steps, volume.origin, place):
        assert said == f"{name} = {start + step * volume.voxel_size:.1f} Å"


def test_real_browser_switch_moves_the_colours_of_slices_legends_bars_and_surface(browser, folder):
    """Not of the surface alone; and back again."""
    low, high = colours.own_range_of(results_folder.ResultsFolder(folder))
    colours_of = (
        "var p = document.querySelector('#panel-1 canvas').toDataURL();"
        "var seen = [...document.querySelectorAll('.threes img')].filter(e => e.offsetParent).map(e => e.src);"
        "var item = getComputedStyle(document.querySelectorAll('.legend li')[4]).borderTopColor;"
        "var bar = getComputedStyle(document.documentElement).getPropertyValue('--c4');"
        "var says = document.getElementById('surface-says').textContent;"
        "return [p, seen.join(), item, bar, says]"
    )
    browser.run(
        "var s = document.getElementById('slice'); s.value = 11; s.dispatchEvent(new Event('input'));"
    )
    same = until(browser, colours_of, f"{resolution_terms.RESOLUTION_RANGE_A[1]:.1f} Å")
    browser.run("document.getElementById('colours-own').click()")
    own = until(browser, colours_of, f"{low:.1f} to {high:.1f} Å")
    assert all(before != after for before, after in zip(same, own))
    assert len(own[1].split("data:")) == len(same[1].split("data:")), "one picture of each slice is seen"
    wanted = colours.class_colors((low, high))[4]
    assert own[2] == "rgb({}, {}, {})".format(*(int(wanted[n : n + 2], 16) for n in (1, 3, 5)))
    browser.run("document.querySelector('input[name=colours]').click()")
    assert until(browser, colours_of, f"{resolution_terms.RESOLUTION_RANGE_A[1]:.1f} Å") == same


def until(browser, script, words):
    """What a script gives as soon as its last value ends with these words: the surface is drawn a little later."""
    for _ in range(100):
        found = browser.run(script)
        if found[-1].endswith(words):
            return found
        time.sleep(0.1)
    raise AssertionError(f"{found[-1]!r} does not end with {words!r}")


@pytest.mark.parametrize("width", [1280, 400])
def test_real_browser_needs_no_sideways_scrolling_and_logs_no_error(browser, width):
    browser.size(width, 900)
    assert browser.run("return document.documentElement.scrollWidth") <= width
    smallest = browser.run(
        "return Math.min(...[...document.querySelectorAll('p, li, td, h2, h3')].map("
        "e => parseFloat(getComputedStyle(e).fontSize)))"
    )
    assert smallest >= 12
    assert browser.errors == []


def test_real_browser_shows_charts_whole_at_any_width(browser):
    inside = (
        "var out = 0; document.querySelectorAll('.plot, .plot .mark, .threes img:not(.own)').forEach(function (e) {"
        "var b = e.getBoundingClientRect(); if (b.left < -1 || b.right > innerWidth + 1 || !b.width) { out += 1; } });"
        "return [out, document.querySelectorAll('.plot').length]"
    )
    for width in (1280, 400):
        browser.size(width, 900)
        out, plots = browser.run(inside)
        assert out == 0 and plots >= 6


def test_real_browser_tells_errors_of_a_page(browser, tmp_path):
    """What the test above relies on: a page that fails is heard."""
    page = tmp_path / "broken.html"
    page.write_text(
        "<img src='https://example.org/x.png'><script>console.error('no'); nothing.here()</script>"
    )
    other = Browser()
    try:
        other.call("Page.navigate", url=page.as_uri())
        for _ in range(50):
            if len(other.errors) >= 2:
                break
            other.run("return 1")
            time.sleep(0.1)
        assert any("no" in error for error in other.errors)
        assert any("Uncaught" in error for error in other.errors)
    finally:
        other.close()


def test_real_browser_numbers_slices_as_the_figures_do_and_outlines_the_mask(browser, tmp_path, monkeypatch):
    """The page counted within the window that it shows: "45 of 88" was slice 56 of 108 in the figures."""
    run = made_results.validation(tmp_path / "run", box=(60, 64, 68), compared=False)
    resolution = mrc_reader.read_values(run / result_files.LOCAL_RESOLUTION)
    grids = np.indices(resolution.data.shape) - np.reshape((40, 36, 34), (3, 1, 1, 1))
    small = (grids**2).sum(0) < 64
    mrc_writer.write_volume(
        run / result_files.LOCAL_RESOLUTION, np.where(small, 4, 0).astype("f4"), resolution
    )
    mrc_writer.write_volume(run / result_files.MASK_USED, small.astype(np.int8), resolution)
    shown = slice_figure.slices_from_folder(run)
    for side, said in ((144, "slice 40 of 60"), (10, "slices 40 to 42 of 60")):
        monkeypatch.setattr(slice_browser, "BROWSER_SIDE", side)
        build_report.write_report(run)
        browser.open((run / result_files.REPORT_HTML).as_uri())
        assert browser.run("return document.getElementById('where').textContent").startswith(said)
        orange = (
            "var c = document.querySelector('#panel-0 canvas'), d = c.getContext('2d').getImageData(0, 0, c.width, "
            "c.height).data, n = 0;"
            "for (var i = 0; i < d.length; i += 4) { n += d[i] === 255 && d[i + 1] === 140; } return n"
        )
        assert browser.run(orange) > 0
        assert browser.run("return +document.getElementById('slice').value") == int(said.split()[1])
        assert browser.errors == []
    assert shown.heading.get_text().startswith("slice 40 of 60, z = ")
    assert "slice 40 of 60, z = " in (run / result_files.REPORT_HTML).read_text(encoding="utf-8")
