import base64
import io
import json
import re
import subprocess
import sys
from html import unescape

import numpy as np
import pytest
from markupsafe import escape
from PIL import Image

from cryoresdl.models.base import resolution_terms
from cryoresdl.models.cli import command_line
from cryoresdl.models.results import result_files, results_folder
from cryoresdl.models.results.figures import colours
from cryoresdl.models.results.report import build_report, html_page, methods_text, mixed_results, pdf_pages
from cryoresdl.models.results.report.charts import chart, page_colours, result_charts, slice_browser
from cryoresdl.tests.helpers import made_results


@pytest.fixture(scope="module")
def html(folder):
    return (folder / result_files.REPORT_HTML).read_text(encoding="utf-8")


def volumes_of(html):
    return json.loads(re.search(r'id="volumes">(.*?)</script>', html, re.S).group(1))


def test_page_asks_the_network_for_nothing(html):
    assert not re.findall(r'(?:src|href)="(?!data:)[^"]*"', html)
    assert "default-src 'none'" in html and "connect-src" not in html
    library = (html_page.TEMPLATES / "3Dmol-min.js").read_text(encoding="utf-8")
    licence = str(escape((html_page.TEMPLATES / html_page.SURFACE_LICENCE).read_text(encoding="utf-8")))
    assert "University of Pittsburgh" in licence and licence in html, "the page carries the library's licence"
    assert library in html and not re.findall(r"https?://", html.replace(library, "").replace(licence, ""))


def test_page_json_and_pdf_say_the_same(folder, html):
    page = json.loads((folder / result_files.REPORT_JSON).read_text())
    assert page["headline"] == "Claimed 3.2 Å: optimistic (the map looks worse)"
    for line in [page["headline"], *page["methods"], *page["citations"], *page["verdict"]]:
        assert line.replace("'", "&#39;").replace("&#39;", "'") in html.replace("&#39;", "'")
    for table in page["tables"]:
        assert table["title"] in html and all(len(row) == len(table["columns"]) for row in table["rows"])
    pdf = (folder / result_files.REPORT_PDF).read_bytes()
    assert pdf.startswith(b"%PDF") and len(re.findall(rb"/Type /Page\b", pdf)) >= len(page["figures"]) + 2


def test_tables_hold_the_numbers_of_the_results(folder):
    page = json.loads((folder / result_files.REPORT_JSON).read_text())
    tables = {table["title"]: {row[0]: row[1:] for row in table["rows"]} for table in page["tables"]}
    summary = json.loads((folder / result_files.LOCAL_JSON).read_text())
    classes = tables["Local resolution: share of the voxels (%)"]
    assert [classes[n][0] for n in resolution_terms.LOCAL_CLASSES] == [
        f"{100 * summary['fractions'][n]:.1f}" for n in resolution_terms.LOCAL_CLASSES
    ]
    own, other = (float(value) for value in classes["median (Å)"])
    assert own == pytest.approx(summary["median_A"], abs=0.01) and other == pytest.approx(own + 1, abs=0.02)
    assert all(" to " in span for span in classes["quartiles (Å)"])
    assert tables["Global resolution"]["probability of high"] == ["0.700"]
    assert tables["Agreement of the methods"]["cryoresdl / MonoRes"][1:] == ["0.25", "1.00", "+1.00", "1.00"]
    assert tables["The run"]["seed"] == ["7"] and tables["The run"]["version"] == ["0.1.0"]


def test_cards_of_the_networks_are_told_in_words_in_page_json_and_pdf(folder, html):
    page = json.loads((folder / result_files.REPORT_JSON).read_text())
    for card in page["models"]:
        assert any("never saw" in line for line in card["words"])
        assert all(line.strip() in unescape(html) for line in card["words"])
    page = build_report.content(results_folder.ResultsFolder(folder))
    assert ("text", page.models[0].words[0]) in pdf_pages._pdf_lines(page, first=False)


def test_the_pdf_says_what_the_verdict_hangs_on_where_there_was_an_audit(tmp_path):
    folder = made_results.validation(tmp_path / "run", compared=False)
    opened = results_folder.ResultsFolder(folder)
    assert pdf_pages._audit_lines(opened) == []
    case = {
        "group": "",
        "name": "as given",
        "resolution_A": 4.0,
        "low_A": 3.5,
        "high_A": 4.5,
        "verdict": "supported",
    }
    told = {
        "claimed_A": 4.0,
        "cases": [case],
        "sentences": ["The verdict does not hang on the mask."],
        "turning": "",
    }
    (folder / result_files.AUDIT_JSON).write_text(json.dumps(told))
    opened = results_folder.ResultsFolder(folder)
    assert ("text", told["sentences"][0]) in pdf_pages._audit_lines(opened)
    assert "audit" in pdf_pages._kinds(build_report.content(opened), opened)


def test_only_a_pdf_that_was_asked_for_is_written_and_an_older_one_goes(tmp_path):
    folder = made_results.validation(tmp_path / "run", box=(6, 7, 8), compared=False)
    build_report.write_report(folder, pdf=True)
    assert (folder / result_files.REPORT_PDF).is_file()
    build_report.write_report(folder)
    assert not (folder / result_files.REPORT_PDF).exists()


def test_a_report_is_made_without_matplotlibs_figures(tmp_path):
    folder = made_results.validation(tmp_path / "run", box=(12, 12, 12))
    code = (
        "import sys; from cryoresdl.models.results.report import build_report; "
        f"build_report.write_report({str(folder)!r}); sys.exit('matplotlib.figure' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert 'id="figure-scatter"' in (folder / result_files.REPORT_HTML).read_text(encoding="utf-8")


def test_charts_place_values_as_their_axes_say():
    axis = chart.Axis(2, 32, log=True)
    assert [axis.place(value) for value in (1, 2, 8, 32, 99)] == pytest.approx([0, 0, 50, 100, 100])
    assert chart.round_ticks(0, 97, 5) == [(0.0, "0"), (20.0, "20"), (40.0, "40"), (60.0, "60"), (80.0, "80")]
    drawn = chart.Chart(axis, chart.Axis(0, 10), "<name>")
    drawn.rectangle((2, 8), (0, 5), "#123456", "<b>")
    drawn.point(8, 5, "red", text="<i>")
    html = drawn.html()
    assert 'x="0.00" y="50.00" width="50.00" height="50.00"' in html and "left:50.00%;bottom:50.00%" in html
    assert "<b>" not in html and "<i>" not in html and "&lt;name&gt;" in html


def test_bars_of_one_source_take_the_colours_that_the_switch_moves(tmp_path):
    alone = results_folder.ResultsFolder(made_results.validation(tmp_path / "run", compared=False))
    inks = set(re.findall(r"fill:var\((--\w\d)\)", result_charts.class_charts(alone)))
    assert inks == {*page_colours.LOCAL_INKS, *page_colours.GLOBAL_INKS}
    rules = page_colours.variables((3.0, 6.0)).split("}")[:2]
    same, own = (re.search(r"--c4: (#\w+)", rule)[1] for rule in rules)
    assert same == colours.class_colors()[4] and own == colours.class_colors((3.0, 6.0))[4] != same


def test_methods_cite_the_works_they_use_and_no_others(folder):
    page = json.loads((folder / result_files.REPORT_JSON).read_text())
    cited = " ".join(page["citations"])
    assert "Avramov et al. (2019)" in cited and "Molecules 24, 1181" in cited
    assert "Vilas" in cited and "Kucukelbir" not in cited


def test_methods_of_half_maps_say_that_their_fsc_is_corrected_and_cite_it():
    entry = {"class": "high", "estimate_from": "half maps", "criterion": "0.5", "resolution_A": 4.0}
    told = methods_text.methods(entry, {}, None)
    assert "falls to 0.5, corrected for the mask by phase randomisation (Chen et al., 2013)" in " ".join(
        told.text
    )
    assert any(
        "Chen et al. (2013)" in work and "Ultramicroscopy 135, 24-35" in work for work in told.citations
    )
    assert any("Grant et al. (2018)" in work and "eLife" in work for work in told.citations)


def test_browser_codes_give_back_the_resolution_within_one_and_a_half_percent(folder):
    data = slice_browser.browser(results_folder.ResultsFolder(folder))
    layer = next(layer for layer in data["layers"] if layer["title"] == "Local resolution")
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(layer["image"].split(",")[1]))))
    depth, height, width = data["box"]
    tiles = [
        sheet[z // data["columns"] * height :, z % data["columns"] * width :][:height, :width]
        for z in range(depth)
    ]
    z, y, x = data["corner"]
    values = made_results.volumes()[2][z : z + depth, y : y + height, x : x + width]
    read = np.array([0.0] + [float(text.split()[0]) for text in layer["values"][1:]])[np.array(tiles)]
    assert np.array_equal(read > 0, values > 0)
    inside = values > 0
    assert np.abs(read[inside] / values[inside] - 1).max() < 0.015


def test_large_boxes_are_binned_and_keep_their_place(tmp_path, monkeypatch):
    monkeypatch.setattr(slice_browser, "BROWSER_SIDE", 10)
    data = slice_browser.browser(results_folder.ResultsFolder(made_results.validation(tmp_path / "run")))
    assert data["factor"] == 3 and data["pixel_A"] == 4.5
    corner = data["corner"][::-1]
    assert data["origin"] == [o + 1.5 * (c + 1) for o, c in zip(made_results.ORIGIN, corner)]


def test_binning_does_not_mix_background_into_resolutions():
    values = np.zeros((4, 4, 4), np.float32)
    values[:2, :2, :2] = 6
    values[0, 0, 0] = 0
    binned = slice_browser._binned(values, 2, values > 0)
    assert binned[0, 0, 0] == 6 and binned.sum() == 6


def test_a_report_of_256_cubed_stays_small(tmp_path):
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 64, (128, 128, 128), np.uint8) * 4
    assert (
        len(slice_browser._sprite(codes, 12)) < 3.5e6
    )  # of pure noise; the other two layers compress better


def test_hostile_names_and_reasons_are_text(tmp_path):
    texts = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</script><b>", "{{ 7 * 191 }}"]
    text = " ".join(texts)
    folder = made_results.validation(tmp_path / "run", box=(6, 7, 8))
    entries = json.loads((folder / result_files.CLASSIFICATION_JSON).read_text())
    entries[0].update(map=text, warnings=[text], model=text)
    entries[0]["claim"]["reasons"] = [text, "\ud800 $x_$"]
    (folder / result_files.CLASSIFICATION_JSON).write_text(json.dumps(entries))
    comparison = json.loads((folder / result_files.COMPARISON_JSON).read_text())
    comparison["volumes"][0]["name"] = comparison["pairs"][0]["names"][0] = text + "$\\frac"
    (folder / result_files.COMPARISON_JSON).write_text(json.dumps(comparison))
    html = build_report.write_report(folder).read_text(encoding="utf-8")
    for piece in texts[:3]:
        assert piece not in html
    assert texts[3] in html and "1337" not in re.sub(r"data:[^\"]*", "", html)


def test_reports_of_damaged_and_partial_folders_say_what_is_missing(tmp_path):
    folder = made_results.validation(tmp_path / "run")
    (folder / result_files.LOCAL_RESOLUTION).unlink()
    (folder / result_files.LOCAL_JSON).write_text("{broken")
    html = build_report.write_report(folder).read_text(encoding="utf-8")
    assert "local_resolution.mrc is not in" in html and "is not valid JSON" in html
    assert 'id="browser"' not in html and "Claimed 3.2" in html


@pytest.mark.parametrize(
    "name", [result_files.CLASSIFICATION_JSON, result_files.LOCAL_JSON, result_files.COMPARISON_JSON]
)
@pytest.mark.parametrize(
    "content", ["[]", "{}", "[[1]]", '[{"claim": 3, "probabilities": [1]}]', '{"mask": 1, "pairs": [1]}']
)
def test_results_of_other_versions_never_stop_a_report(tmp_path, monkeypatch, name, content):
    folder = made_results.validation(tmp_path / "run", box=(6, 7, 8))
    (folder / name).write_text(content)
    page = build_report.content(results_folder.ResultsFolder(folder))
    json.dumps(page.plain(), allow_nan=False)


def change(path, **values):
    """Put other values into a JSON file of a results folder."""
    found = json.loads(path.read_text())
    for one in found if isinstance(found, list) else [found]:
        one.update(values)
    path.write_text(json.dumps(found))


@pytest.mark.parametrize(
    "name", [result_files.CLASSIFICATION_JSON, result_files.LOCAL_JSON, result_files.COMPARISON_JSON]
)
def test_results_of_different_maps_are_said_to_be(tmp_path, name):
    folder = made_results.validation(tmp_path / "run")
    assert not build_report.content(results_folder.ResultsFolder(folder)).problems
    change(folder / name, map="/data/another.mrc")
    page = build_report.content(results_folder.ResultsFolder(folder))
    said = page.problems[0]
    assert "/data/another.mrc" in said and str(folder / "input.mrc") in said and "--overwrite" in said
    assert page.headline == build_report.MIXED and page.tone == "unsure" and not page.verdict
    html = build_report.write_report(folder).read_text(encoding="utf-8")
    assert html.index("/data/another.mrc") < html.index("The map is sharpened.")


def test_results_put_in_the_place_of_those_of_validate_are_said_to_be(tmp_path):
    folder = made_results.validation(tmp_path / "run")
    known = json.loads((folder / result_files.LOCAL_JSON).read_text())
    row = {"map": known["map"], "local_median_A": round(known["median_A"], 4), "resolution_A": 4.4}
    (folder / result_files.VALIDATION_JSON).write_text(json.dumps({"row": row}))
    assert not build_report.content(results_folder.ResultsFolder(folder)).problems
    change(folder / result_files.LOCAL_JSON, median_A=9.876)
    page = build_report.content(results_folder.ResultsFolder(folder))
    assert "9.876 Å" in page.problems[0] and known["map"] in page.problems[0]
    assert page.headline == build_report.MIXED


@pytest.mark.parametrize(
    "one,other,same",
    [
        ("/a/m.mrc", "/a/./m.mrc:mrc", True),
        ("/a/m.mrc", "/b/m.mrc", False),
        ("maps/m.mrc", "/b/maps/m.mrc", True),
        ("../m.mrc", "maps/m.mrc", True),
        ("m.mrc", "/b/other.mrc", False),
        ("maps/m.mrc", "/b/other/m.mrc", False),
    ],
)
def test_names_of_one_map(one, other, same):
    assert mixed_results._same_map(one, other) == same


def test_a_folder_of_many_maps_becomes_a_table(tmp_path):
    (tmp_path / result_files.RESULTS_CSV).write_text("map,class\na.mrc,high\nb.mrc,low\n")
    html = build_report.write_report(tmp_path).read_text(encoding="utf-8")
    assert "2 maps" in html and "<td>b.mrc</td><td>low</td>" in html


LIST = """map,folder,status,error,class,resolution_A,interval_low_A,interval_high_A,in_distribution,claimed_A,verdict
/data/a.mrc,a,done,,high,3.1,2.9,3.4,True,3.0,supported
/data/b.mrc,b,done,,medium,6.0,5.2,7.1,False,3.5,optimistic
/data/<i>c.mrc,../c,done,,low,12,10,14,True,,
/data/d.mrc,,failed,The map is truncated; copy it again.,,,,,,4.0,
"""


def test_the_report_of_a_list_opens_with_counts_a_narrow_table_with_links_and_claims_against_estimates(
    tmp_path,
):
    (tmp_path / result_files.RESULTS_CSV).write_text(LIST)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / result_files.REPORT_HTML).write_text("page")
    (tmp_path / "b").mkdir()
    page = build_report.content(results_folder.ResultsFolder(tmp_path))
    assert page.headline == "4 maps: 1 supported, 1 optimistic, 1 without a claim; 1 failed"
    table = page.tables[0]
    assert table.columns == [
        "map",
        "claim (Å)",
        "estimate (Å)",
        "68 % interval (Å)",
        "verdict",
        "class",
        "flag",
    ]
    assert table.rows[0] == ["a.mrc", "3.00", "3.10", "2.90 to 3.40", "supported", "high", ""]
    assert [row[-1] for row in table.rows[1:]] == [
        "unlike the training maps",
        "",
        "failed: The map is truncated; copy it again.",
    ]
    assert table.links == ["./a/report.html", "", "", ""]
    html = build_report.write_report(tmp_path).read_text(encoding="utf-8")
    assert '<a href="./a/report.html">a.mrc</a>' in html and "<i>c.mrc" not in html
    claims = next(figure for figure in page.figures if figure.kind == "claims")
    assert "b.mrc: claim 3.50 Å, estimate 6.00 Å, optimistic" in claims.html and "c.mrc" not in claims.html


def test_the_pdf_of_many_maps_stays_short(tmp_path):
    (tmp_path / result_files.RESULTS_CSV).write_text("map,class\n" + "m.mrc,high\n" * 500)
    html = build_report.write_report(tmp_path, pdf=True).read_text(encoding="utf-8")
    assert html.count("<td>m.mrc</td>") == 500
    assert len(re.findall(rb"/Type /Page\b", (tmp_path / result_files.REPORT_PDF).read_bytes())) <= 5


def test_command_line(tmp_path, capsys):
    assert command_line.main(["report", str(tmp_path / "none")]) == 2
    (tmp_path / "empty").mkdir()
    assert command_line.main(["report", str(tmp_path / "empty")]) == 2
    assert "holds no results" in capsys.readouterr().err
    folder = made_results.simulation(tmp_path / "s")
    assert command_line.main(["report", str(folder)]) == 0
    assert capsys.readouterr().out.strip() == str(folder / result_files.REPORT_HTML)
    assert command_line.main(["report", str(folder)]) == 2
    before = (folder / result_files.REPORT_HTML).stat().st_mtime_ns
    assert command_line.main(["report", str(folder), "--overwrite"]) == 0
    assert (folder / result_files.REPORT_HTML).stat().st_mtime_ns > before
    (folder / result_files.REPORT_HTML).write_text("mine")
    assert command_line.main(["report", str(folder), "--overwrite"]) == 2
    assert (folder / result_files.REPORT_HTML).read_text(encoding="utf-8") == "mine"


def test_an_audit_in_the_folder_has_a_figure_and_its_turn_is_in_the_verdict(tmp_path):
    folder = made_results.validation(tmp_path / "run")
    case = {"group": "", "name": "as given", "global_class": "high", "verdict": "supported", "low_A": 3.0}
    cases = [{**case, "resolution_A": 4.0, "high_A": 5.0, "local_median_A": 4.0}]
    told = {
        "claimed_A": 3.2,
        "cases": cases,
        "sentences": ["The verdict does not hang on the mask (4 to 4.1 A)."],
    }
    (folder / result_files.AUDIT_JSON).write_text(json.dumps({**told, "turning": "It turns over at 3 A."}))
    build_report.write_report(folder)
    page = json.loads((folder / result_files.REPORT_JSON).read_text())
    assert page["verdict"][-1] == "It turns over at 3 Å."
    html = (folder / result_files.REPORT_HTML).read_text(encoding="utf-8")
    assert "What the answer hangs on" in html and "does not hang on the mask (4 to 4.1 Å)" in html
    chart = html[html.index('id="figure-audit"') :].split("</figure>")[0]
    assert "<img" not in chart, "a picture's words shrink with the page"
    assert "as given: supported" in chart and "4.00 Å" in chart and "claim 3.2 Å" in chart
