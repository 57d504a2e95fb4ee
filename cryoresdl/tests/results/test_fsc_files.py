import csv
import xml.etree.ElementTree as ET

import numpy as np

from cryoresdl.models.cli import command_line
from cryoresdl.models.maps.fsc import half_map_fsc
from cryoresdl.models.results import fsc_files, result_files, results_folder
from cryoresdl.models.results.figures import figure_catalogue
from cryoresdl.models.results.report import build_report
from cryoresdl.tests.helpers import made_results


def curves():
    frequency = np.linspace(0, 1 / 3, 26)
    curve = 1 / (1 + (frequency / 0.2) ** 8)
    return half_map_fsc.HalfMapFsc(
        frequency, curve**2, curve, 0.05 * curve, 0.9 * curve, curve, 0 * curve + 0.2, 7
    )


def test_curves_are_the_same_numbers_in_csv_star_xml_and_json(tmp_path):
    fsc = curves()
    fsc_files.write_fsc(fsc, tmp_path)
    rows = list(csv.DictReader((tmp_path / fsc_files.FSC_CSV).open()))
    assert np.allclose([float(row["corrected"]) for row in rows], fsc.corrected, atol=1e-6)
    root = ET.parse(tmp_path / fsc_files.FSC_XML).getroot()
    points = [[float(one.find(name).text) for name in "xy"] for one in root.iter("coordinate")]
    assert root.tag == "fsc" and root.get("xaxis") == "Resolution (A-1)"
    assert np.allclose(points, np.stack([fsc.frequency, fsc.corrected], 1), atol=2e-6)
    star = (tmp_path / fsc_files.FSC_STAR).read_text()
    labels = [line.split()[0] for line in star.splitlines() if line.startswith("_rln")][2:]
    table = [line.split() for line in star.splitlines() if len(line.split()) == len(labels)]
    column = labels.index("_rlnFourierShellCorrelationCorrected")
    assert np.allclose([float(row[column]) for row in table], fsc.corrected, atol=1e-5)
    told = results_folder.ResultsFolder(tmp_path).json(fsc_files.FSC_JSON)
    assert told["cutoffs_A"]["masked_0143"] == round(fsc.crossing("masked"), 4)


def test_figure_and_report_show_curves_claim_and_what_is_said_of_the_mask(tmp_path):
    folder = made_results.validation(tmp_path / "run", box=(12, 12, 12), compared=False)
    fsc_files.write_fsc(curves(), folder)
    figure = figure_catalogue.from_folder("fsc", folder)
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert "claim: 3.20 Å" in labels and any("corrected for the mask, 0.143 at" in label for label in labels)
    html = build_report.write_report(folder).read_text(encoding="utf-8")
    assert 'id="figure-fsc"' in html and "The corrected curve falls to 0.5 at" in html
    (folder / fsc_files.FSC_JSON).write_text('{"curves": 3}')
    page = build_report.content(results_folder.ResultsFolder(folder))
    assert any("Fourier shell correlation" in problem for problem in page.problems)


def test_plot_fsc_leaves_the_curves_beside_the_figure(tmp_path):
    folder = made_results.validation(tmp_path / "run", box=(12, 12, 12), compared=False)
    fsc_files.write_fsc(curves(), folder)
    assert command_line.main(["plot", "fsc", str(folder), "--out", str(tmp_path / "o")]) == 0
    assert {path.name for path in (tmp_path / "o").iterdir()} == {
        "fsc.png",
        "fsc.csv",
        "fsc.star",
        "fsc.xml",
        "run.json",
    }
    (folder / result_files.CLASSIFICATION_JSON).unlink()
    assert "estimate" not in " ".join(
        text.get_text()
        for text in figure_catalogue.from_folder("fsc", folder).axes[0].get_legend().get_texts()
    )
