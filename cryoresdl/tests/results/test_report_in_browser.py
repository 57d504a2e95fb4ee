"""The report in a real browser."""

import time

import numpy as np
import pytest

from cryoresdl.models.results import result_files, results_folder
from cryoresdl.models.results.figures import colours
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
        "var out = 0; document.querySelectorAll('.plot, .plot .mark, .threes img').forEach(function (e) {"
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
