"""What validate says and writes of directions, without the networks."""

import csv
import json

import numpy as np
import pytest
import scipy.fft as sf

from cryoresdl.models.batch import directions, jobs
from cryoresdl.models.maps.density_map import DensityMap
from cryoresdl.models.maps.fsc import directional_fsc, fourier_shells
from cryoresdl.models.results import result_files
from cryoresdl.models.results.figures import figure_catalogue
from cryoresdl.models.results.figures.fsc import direction_figures
from cryoresdl.models.results.report.report_tables import _direction_table
from cryoresdl.models.results.results_folder import ResultsFolder
from cryoresdl.models.simulation import view_distribution

SHAPE = (56, 56, 56)


@pytest.fixture(scope="module")
def streaked():
    """Two half maps of a ball whose views lie along z, and its mask."""
    rng = np.random.default_rng(3)
    z, y, x = np.ogrid[:56, :56, :56]
    mask = (z - 28) ** 2 + (y - 28) ** 2 + (x - 28) ** 2 < 21**2
    f = fourier_shells.frequency_grid(SHAPE)
    _, noise = view_distribution.views_of("axis:85").grids(SHAPE)
    signal = sf.rfftn(rng.standard_normal(SHAPE, dtype=np.float32)) * np.sqrt(
        0.167 * np.exp(60.0 * (0.3**2 - f**2))
    )
    signal = sf.irfftn(signal, s=SHAPE) * mask
    halves = [
        signal + sf.irfftn(sf.rfftn(rng.standard_normal(SHAPE, dtype=np.float32)) * np.sqrt(noise), s=SHAPE)
        for _ in range(2)
    ]
    first, second = (DensityMap(half.astype(np.float32), 1.5) for half in halves)
    return DensityMap((first.data + second.data) / 2, 1.5), first, second, mask


def test_half_maps_of_one_axis_reach_the_claim_the_files_and_the_row(streaked, tmp_path):
    density, first, second, mask = streaked
    entry = {"resolution_A": 5.0, "interval_A": [4.5, 5.5], "claim": {"claimed_A": 4.8, "reasons": ["one"]}}
    found = directions.judged_directions(density, (first, second), mask, None, entry, 4.8)
    assert found.summary["source"] == "half maps" and found.summary["anisotropic"]
    assert entry["claim"]["reasons"] == ["one", found.summary["sentence"]]
    assert entry["directional"]["worst_A"] == found.summary["worst_A"]
    assert "the claim of 4.8 A holds in" in found.summary["sentence"]
    result_files.write_directional(found, tmp_path)
    with open(tmp_path / "directional.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 250
    assert max(float(row["resolution_A"]) for row in rows) == pytest.approx(
        found.summary["worst_A"], abs=1e-3
    )
    assert all(float(row["low_A"]) <= float(row["resolution_A"]) <= float(row["high_A"]) for row in rows)
    assert json.loads((tmp_path / "directional.json").read_text())["cfar"] < 1
    columns = directions.direction_columns(found.summary)
    assert set(columns) < set(jobs.FIELDS)
    assert columns["direction_best_A"] < columns["direction_median_A"] < columns["direction_worst_A"]
    figure = figure_catalogue.from_folder("direction", ResultsFolder(tmp_path))
    assert [ax.get_xlabel() for ax in figure.axes][1] == "resolution (Å)"
    table = dict(_direction_table(json.loads((tmp_path / "directional.json").read_text())).rows)
    assert table["measured from"] == "half maps" and table["half-angle of the cones (degrees)"] == "20"


def test_one_map_takes_its_level_from_the_global_estimate(streaked):
    density, _, _, mask = streaked
    fine, coarse = (
        directions.judged_directions(
            density, (None, None), mask, None, {"resolution_A": level, "interval_A": [level, level]}, None
        ).summary
        for level in (4.0, 5.5)
    )
    assert fine["best_A"] < 4.0 < fine["worst_A"] and coarse["best_A"] < 5.5 < coarse["worst_A"]
    assert coarse["median_A"] > 1.15 * fine["median_A"]


def test_without_noise_the_files_and_the_row_say_so_and_the_claim_keeps_its_reasons(streaked, tmp_path):
    density, _, _, mask = streaked
    emptied = DensityMap(np.where(mask, density.data, 0).astype(np.float32), 1.5)
    entry = {"resolution_A": 5.0, "interval_A": [4.5, 5.5], "claim": {"claimed_A": 4.8, "reasons": ["one"]}}
    found = directions.judged_directions(emptied, (None, None), mask, None, entry, 4.8)
    result_files.write_directional(found, tmp_path)
    assert not (tmp_path / "directional.csv").exists()
    assert "no noise" in json.loads((tmp_path / "directional.json").read_text())["cannot_tell"]
    assert set(directions.direction_columns(found.summary).values()) == {None}
    assert entry["claim"]["reasons"] == ["one"]
    drawn = figure_catalogue.from_folder("direction", ResultsFolder(tmp_path))
    assert "directional.csv" in drawn.axes[0].texts[0].get_text()


def test_the_globe_uses_all_of_its_colours_and_marks_both_ends_of_an_axis_on_its_rim():
    axes = directional_fsc.cone_axes()
    resolution = 4.0 + axes[:, 1] ** 2
    columns = {"resolution_A": resolution, "low_A": resolution - 0.2, "high_A": resolution + 0.2}
    table = {**dict(zip("zyx", axes.T)), **columns}
    summary = {"worst_axis_zyx": [0.0, 1.0, 0.0]}
    figure = direction_figures.direction_globe(table, summary)
    globe, bar = figure.axes[0], figure.axes[2]
    inside = globe.images[0].get_array()[..., :3][globe.images[0].get_array()[..., 3] > 0]
    assert np.ptp(inside, axis=0).max() > 0.6
    assert [text.get_text() for text in bar.get_yticklabels()] == ["4", "4.2", "4.4", "4.6", "4.8", "5"]
    (marked,) = globe.lines
    assert sorted(marked.get_ydata()) == [-1.0, 1.0]
    alike = {**table, "resolution_A": 4.0 + 0.1 * axes[:, 1] ** 2}
    shown = direction_figures.direction_globe(alike, summary).axes[0].images[0].get_array()
    assert np.ptp(shown[..., :3][shown[..., 3] > 0], axis=0).max() < 0.3  # chance does not look like much
