import json
import re

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from cryoresdl.models.base import resolution_terms
from cryoresdl.models.cli import command_line
from cryoresdl.models.maps import density_map, foreign_volumes
from cryoresdl.models.maps.mrc import mrc_writer
from cryoresdl.models.results import compared_results, result_files, results_folder, verdict_words
from cryoresdl.models.results.figures import (
    accuracy_figures,
    class_histogram,
    colours,
    comparison_figures,
    drawing,
    figure_catalogue,
    verdict_panel,
)
from cryoresdl.models.results.figures.fsc import fsc_figure
from cryoresdl.models.results.figures.slices import slice_figure, slice_layers, volume_slices
from cryoresdl.tests.helpers import made_results


def words(figure):
    """Every text of a figure, joined without its line breaks."""
    return " ".join(" ".join(t.get_text().split()) for t in figure.findobj(lambda a: hasattr(a, "get_text")))


@pytest.fixture
def folder(tmp_path):
    return made_results.validation(tmp_path / "run")


def test_the_same_resolution_has_the_same_colour_in_slices_bars_and_legends():
    density, _, values, _ = made_results.volumes()
    image = slice_figure.SliceFigure([slice_layers.Layer("r", values, "resolution")], 1.5).images[0]
    for centre in (2.5, 3.5, 9.5):
        shown = image.to_rgba(np.array([[centre]]))[0, 0]
        assert to_hex(shown) == colours.resolution_color(centre)
    bars = class_histogram.class_histogram({"a": [0.1] * 10}).axes[0].patches
    assert to_hex(bars[1].get_facecolor()) == colours.resolution_color(2.5)


def test_colours_get_lighter_towards_coarse_resolution_so_that_every_reader_orders_them():
    grey = [
        colours.resolution_colors().to_rgba(v)[:3] @ np.array([0.3, 0.59, 0.11])
        for v in np.geomspace(1.5, 12, 40)
    ]
    assert np.all(np.diff(grey) > 0)


@pytest.mark.parametrize("axis, plane", [("z", (24, 28)), ("y", (20, 28)), ("x", (20, 24))])
def test_slices_show_the_right_voxels_at_their_place_in_angstroms(axis, plane):
    density, _, values, interval = made_results.volumes()
    shown = slice_figure.SliceFigure(
        slice_layers._layers(density, values, interval), 1.5, made_results.ORIGIN, axis, 11
    )
    assert [image.get_array().shape for image in shown.images] == [plane] * 3
    expected = np.take(values, 11, axis=volume_slices.AXES.index(axis))
    pixels = shown.images[1].get_array()
    assert np.array_equal(pixels.filled(0), expected)
    assert np.array_equal(pixels.mask, expected <= 0)
    across, up = shown.axes[0].get_xlabel(), shown.axes[0].get_ylabel()
    assert (across[0], up[0]) == {"z": ("x", "y"), "y": ("x", "z"), "x": ("y", "z")}[axis]
    assert across.endswith("(Å)") and up.endswith("(Å)")
    left, right, bottom, top = shown.images[0].get_extent()
    assert left == made_results.ORIGIN["xyz".index(across[0])] - 0.75
    assert right - left == pytest.approx(1.5 * plane[1]) and top - bottom == pytest.approx(1.5 * plane[0])


def test_moving_the_slice_changes_the_pixels_the_heading_and_stays_in_the_box():
    _, _, values, _ = made_results.volumes()
    shown = slice_figure.SliceFigure(
        [slice_layers.Layer("r", values, "resolution")], 1.5, made_results.ORIGIN
    )
    assert shown.set_index(4) == 4
    assert np.array_equal(shown.images[0].get_array().filled(0), values[4])
    assert "slice 5 of 20, z = 11.0 Å" in words(shown.figure)
    assert shown.set_index(99) == 19 and shown.set_index(-5) == 0
    shown.set_axis("x")
    assert shown.count == 28


def test_the_first_slice_shown_is_the_fullest_one():
    values = np.zeros((9, 8, 7))
    values[6, 2:6, 2:6] = 4
    values[2, 2:4, 2:4] = 4
    assert volume_slices.best_index(values, "z") == 6
    assert volume_slices.best_index(np.zeros((9, 8, 7)), "z") == 4


def test_not_estimated_voxels_of_monores_and_resmap_are_not_drawn():
    values = np.array([[[0, 100, 5, np.nan]]], np.float32)
    pixels = (
        slice_figure.SliceFigure([slice_layers.Layer("r", values, "resolution")], 1.0, index=0)
        .images[0]
        .get_array()
    )
    assert pixels.mask.tolist() == [[True, True, False, True]]


def test_histogram_bars_are_the_fractions_and_the_curve_their_sum():
    fractions = [0, 0.1, 0.2, 0.3, 0.1, 0.1, 0.05, 0.05, 0, 0.1]
    figure = class_histogram.class_histogram({"a": fractions, "b": fractions[::-1]}, {"a": 1234})
    ten, three, total = figure.axes
    assert [round(b.get_height(), 6) for b in ten.patches[:10]] == [100 * f for f in fractions]
    assert [b.get_height() for b in three.patches[:3]] == pytest.approx([60, 30, 10])
    assert [t.get_text() for t in ten.get_xticklabels()] == list(resolution_terms.LOCAL_CLASSES)
    assert total.lines[0].get_ydata()[-1] == pytest.approx(90)
    assert "a (1,234 voxels)" in words(figure)
    assert ten.get_xlabel().endswith("(Å)") and ten.get_ylabel() == "voxels (%)"


def test_class_fractions_close_the_classes_on_the_right_and_leave_out_the_background():
    values = np.array([2.0, 2.01, 3.0, 10.0, 10.5, 0.0, 100.0, np.nan])
    assert compared_results.class_fractions(values).tolist() == [0.2, 0.4, 0, 0, 0, 0, 0, 0, 0.2, 0.2]


def test_verdict_panel_says_claim_class_estimate_and_reasons(folder):
    text = words(figure_catalogue.from_folder("verdict", folder))
    for piece in (
        "Claimed 3.2 Å: optimistic",
        "high (better than 5 Å)",
        "70 %",
        "Estimate: 4.4 Å",
        "3.9 to 5.0 Å",
    ):
        assert piece in text
    assert "claim 3.2 Å" in text and "Why: " in text


def test_verdict_panel_warns_when_the_map_is_unlike_the_training_maps():
    lines = verdict_words.verdict_lines(
        {"class": "low", "in_distribution": False, "warnings": ["a $b_x$ <i>"]}
    )
    assert any("do not rely" in line for line in lines) and "Warning: a $b_x$ <i>" in lines
    verdict_panel.verdict_panel({"class": "low", "warnings": ["$\\frac"]}).savefig("/dev/null", format="png")


def test_reliability_training_confusion_agreement_scatter_and_fsc_draw_the_values():
    line = accuracy_figures.reliability([0.4, 0.9], [0.5, 0.8], [30, 9], 0.02).axes[0].lines[1]
    assert line.get_xdata().tolist() == [40, 90] and line.get_ydata().tolist() == [50, 80]
    lonely = accuracy_figures.training_curves(
        {"step": [200, 400], "loss": [3, 2], "val_single_mae_A": [2, 1], "rate": [1, 1]}
    )
    assert [ax.get_ylabel() for ax in lonely.axes] == ["loss", "mean absolute error (Å)"]
    assert lonely.axes[1].lines[0].get_label() == "validation, one map"
    curves = accuracy_figures.training_curves(
        {"epoch": [1, 2], "loss": [3, 2], "val_loss": [4, 3], "mae": [1, 0.5]}
    )
    assert [ax.get_ylabel() for ax in curves.axes] == ["loss", "mean absolute error (Å)"]
    assert curves.axes[0].lines[1].get_ydata().tolist() == [4, 3]
    assert "accuracy 80.0 % of 10" in words(accuracy_figures.confusion_matrix([[4, 1], [1, 4]], ["a", "b"]))
    assert "0.25" in words(
        comparison_figures.agreement_matrices(["a", "b"], {"kappa": [[1, 0.25], [0.25, 1]]})
    )
    a = np.linspace(2, 9, 500)
    assert "500 voxels, mean difference +1.00 Å" in words(
        comparison_figures.scatter_grid({"a": a, "b": a + 1})
    )
    fsc = fsc_figure.fsc_curve([0, 0.1, 0.2], {"halves": [1, 0.5, 0]}, {"0.143": 5.8})
    assert fsc.axes[0].get_xlabel() == "spatial frequency (1/Å)" and "0.143: 5.80 Å" in words(fsc)


def test_volumes_without_a_common_voxel_are_said_to_have_none():
    assert comparison_figures.scatter_grid({"a": np.zeros(5), "b": np.ones(5)}) is None


@pytest.mark.parametrize("kind", figure_catalogue.FIGURE_KINDS)
def test_every_kind_says_what_is_missing_and_never_raises(kind, tmp_path):
    assert "does not exist yet" in words(figure_catalogue.from_folder(kind, tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    text = words(figure_catalogue.from_folder(kind, tmp_path / "empty"))
    assert figure_catalogue.FIGURE_KINDS[kind].needs[0] in text and "is not in" in text


@pytest.mark.parametrize("kind", figure_catalogue.FIGURE_KINDS)
@pytest.mark.parametrize("content", ["", "[3]", '{"volumes": 3, "pairs": 4, "fsc": {"a": 1}}'])
def test_every_kind_survives_damaged_files_and_files_of_other_versions(kind, content, folder):
    for path in folder.glob("*.json"):
        path.write_text(content)
    for path in folder.glob("*.mrc"):
        path.write_bytes(path.read_bytes()[:1500])
    (folder / "history.csv").write_text(content)
    assert isinstance(figure_catalogue.from_folder(kind, folder), Figure)


def test_a_missing_input_map_leaves_the_resolution_to_see(folder):
    (folder / "input.mrc").unlink()
    opened = results_folder.ResultsFolder(folder)
    shown = slice_figure.slices_from_folder(opened)
    assert [layer.kind for layer in shown.layers] == ["resolution", "interval"]
    assert "no longer where it was" in opened.problems["the input map"]


def test_a_map_of_another_box_is_not_drawn_beside_the_results(folder):
    small = density_map.DensityMap(np.random.default_rng(0).random((8, 8, 8), np.float32), 1.5)
    mrc_writer.write_volume(folder / "input.mrc", small.data, small)
    assert [layer.kind for layer in slice_figure.slices_from_folder(folder).layers] == [
        "resolution",
        "interval",
    ]


def test_volumes_open_memory_mapped_with_voxel_size_and_origin(folder):
    volume = results_folder.open_volume(folder / result_files.LOCAL_RESOLUTION)
    assert isinstance(volume.data.base, np.memmap) or isinstance(volume.data, np.memmap)
    assert volume.voxel_size == 1.5 and volume.origin == made_results.ORIGIN


def test_histogram_of_a_folder_has_the_compared_methods(folder):
    sources, voxels = compared_results.histogram_sources(results_folder.ResultsFolder(folder))
    assert (
        list(sources) == [compared_results.OURS, "MonoRes"]
        and voxels["MonoRes"] == voxels[compared_results.OURS]
    )
    assert sum(sources["MonoRes"]) == pytest.approx(1)


def test_disagreement_and_agreement_come_from_the_comparison(folder):
    layers = slice_figure.slices_from_folder(folder, "disagreement").layers
    titles = ["Map", "cryoresdl", "MonoRes", "Disagreement: largest - smallest"]
    assert [layer.title for layer in layers] == titles
    comparison = json.loads((folder / "comparison.json").read_text())
    names, matrix = compared_results.volumes_agreement(comparison, "kappa")
    assert names == ["cryoresdl", "MonoRes"] and matrix[0][1] == matrix[1][0] == 0.25
    names, apart = compared_results.volumes_agreement(comparison, "mae_A")
    assert apart == [[0, 1], [1, 0]]
    titles = [
        ax.get_title() for ax in figure_catalogue.from_folder("agreement", folder).axes if ax.get_title()
    ]
    assert titles == list(compared_results.AGREEMENT.values())


def test_a_comparison_with_a_map_shows_it_beside_the_volumes(folder, tmp_path):
    words_ = [f"{folder / result_files.LOCAL_RESOLUTION}=net", f"{folder / 'monores.mrc'}=MonoRes"]
    assert (
        command_line.main(
            ["compare", *words_, "--map", str(folder / "input.mrc"), "--out", str(tmp_path / "a")]
        )
        == 0
    )
    titles = [layer.title for layer in slice_figure.slices_from_folder(tmp_path / "a", "disagreement").layers]
    assert titles == ["Map", "net", "MonoRes", "Disagreement: largest - smallest"]
    assert command_line.main(["compare", *words_, "--out", str(tmp_path / "b")]) == 0
    titles = [layer.title for layer in slice_figure.slices_from_folder(tmp_path / "b", "disagreement").layers]
    assert titles == ["net", "MonoRes", "Disagreement: largest - smallest"]


def test_difference_is_signed_and_only_where_both_have_an_estimate(folder):
    shown = slice_figure.slices_from_folder(folder, "difference", pair=("MonoRes", "cryoresdl"))
    assert [layer.title for layer in shown.layers] == ["MonoRes", "cryoresdl", "cryoresdl - MonoRes"]
    pixels, (_, mask, _, _) = shown.images[2].get_array(), made_results.volumes()
    assert np.allclose(pixels[~pixels.mask], -1)
    assert np.array_equal(~pixels.mask, mask[shown.index])
    assert "are not both among the volumes: cryoresdl, MonoRes" in words(
        figure_catalogue.from_folder("difference", folder, pair=("MonoRes", "RELION"))
    )


def test_every_pair_of_three_methods_has_its_panel_and_its_numbers(folder):
    values = made_results.volumes()[2]
    volumes = {
        "a": values,
        "b": np.where(values > 0, values + 1, 0),
        "c": np.where(values > 0, values + 3, 0),
    }
    figure = comparison_figures.scatter_grid(volumes)
    panels = [(ax.get_xlabel(), ax.get_ylabel()) for ax in figure.axes if ax.get_xlabel()]
    assert panels == [("a (Å)", "b (Å)"), ("a (Å)", "c (Å)"), ("b (Å)", "c (Å)")]
    text = words(figure)
    assert all(f"mean difference {change} Å" in text for change in ("+1.00", "+3.00", "+2.00"))
    counts = figure.axes[0].collections[0].get_array()
    assert counts.sum() == (values > 0).sum() and figure.axes[-1].get_ylabel() == "voxels"


def test_a_filled_background_is_not_drawn_as_resolution():
    _, mask, values, _ = made_results.volumes()
    filled = np.where(mask, values, np.float32(8.86)).astype(np.float32)
    assert foreign_volumes.filled_with(filled) == pytest.approx(8.86)
    assert foreign_volumes.filled_with(values) is None
    assert foreign_volumes.filled_with(np.full((9, 9, 9), 4.0, np.float32)) is None, (
        "a whole box of one estimate"
    )
    image = slice_figure.SliceFigure(
        slice_layers._difference_layers(("net", "RELION"), values, filled), 1.5
    ).images
    for drawn in image:
        assert np.array_equal(np.ma.getmaskarray(drawn.get_array()), ~mask[10])
    assert volume_slices.focus(foreign_volumes.only_estimates(filled)) == volume_slices.focus(values)
    assert f"{int(mask.sum()):,} voxels" in words(
        comparison_figures.scatter_grid({"net": values, "RELION": filled})
    )


def test_relions_fill_is_no_estimate_inside_a_mask_either(folder, tmp_path):
    _, mask, values, _ = made_results.volumes()
    inside = values.copy()
    inside[mask & (values > 5)] = 8.86  # the mask is wider than what RELION estimated
    left = mask & (inside != np.float32(8.86))
    like = density_map.DensityMap(values, made_results.VOXEL, made_results.ORIGIN)
    mrc_writer.write_volume(
        folder / "relion.mrc", np.where(mask, inside, np.float32(8.86)).astype(np.float32), like
    )
    words_ = [f"{folder / result_files.LOCAL_RESOLUTION}=net", f"{folder / 'relion.mrc'}=RELION"]
    given = ["--mask", str(folder / result_files.MASK_USED), "--out", str(tmp_path / "a")]
    assert command_line.main(["compare", *words_, *given]) == 0
    counted = json.loads((tmp_path / "a" / "comparison.json").read_text())["pairs"][0]["n_voxels"]
    assert counted == left.sum() < mask.sum()
    assert f"{counted:,} voxels" in words(figure_catalogue.from_folder("scatter", tmp_path / "a"))
    drawn = slice_figure.slices_from_folder(tmp_path / "a", "difference").images[1].get_array()
    assert np.array_equal(~np.ma.getmaskarray(drawn), left[volume_slices.best_index(values)])


def test_cumulative_curve_is_that_of_the_voxels():
    values = np.zeros((10, 10, 10), np.float32)
    values.ravel()[:4] = (2.0, 3.0, 3.5, 8.0)
    x, y = compared_results.cumulative(values)
    assert [y[np.searchsorted(x, at)] for at in (1.9, 2.05, 3.05, 3.6, 7.9, 8.05)] == [
        0,
        0.25,
        0.5,
        0.75,
        0.75,
        1,
    ]
    assert compared_results.cumulative(np.zeros((4, 4, 4))) is None
    total = class_histogram.class_histogram({"a": [0.1] * 10}, curves={"a": (x, y)}).axes[2]
    assert total.lines[0].get_ydata()[-1] == 100 and total.get_xlabel() == "local resolution (Å)"


def test_several_sources_have_a_colour_each_and_the_classes_theirs_below():
    figure = class_histogram.class_histogram({"a": [0.1] * 10, "b": [0.1] * 10})
    bars, strip = figure.axes[0].containers, figure.axes[0].patches[-10:]
    assert to_hex(bars[0][0].get_facecolor()) != to_hex(bars[1][0].get_facecolor())
    assert [to_hex(patch.get_facecolor()) for patch in strip] == colours.class_colors()


def test_calibration_points_have_intervals_that_tell_one_map_from_many():
    figure = accuracy_figures.reliability([0.45, 0.9], [1.0, 0.9], [1, 400])
    lines = [c for c in figure.axes[0].collections if len(c.get_segments()) == 2][0].get_segments()
    lone, many = (segment[1][1] - segment[0][1] for segment in lines)
    assert lone > 70 and many < 7
    curve, chance = (line for line in figure.axes[0].lines if line.get_marker() == "o")
    assert list(curve.get_xdata()) == [90] and list(chance.get_xdata()) == [45]
    assert chance.get_markerfacecolor() == "white"


def test_calibration_of_a_run_is_that_of_the_card_of_its_network(folder):
    text = words(figure_catalogue.from_folder("reliability", folder))
    assert "Calibration of 'default'" in text and "expected calibration error" in text
    assert "reliability" in figure_catalogue.drawable(folder)


def test_histories_show_every_start_and_both_kinds_of_input():
    twice = accuracy_figures.training_curves(
        {"epoch": [0, 1, 0, 1], "loss": [4, 3, 5, 2], "val_loss": [4, 3, 5, 2]}
    )
    lines = twice.axes[0].lines
    assert [line.get_xdata().tolist() for line in lines] == [[1, 2]] * 4
    assert lines[1].get_ydata().tolist() == [5, 2] and lines[0].get_label() == "training (2 networks)"
    both = accuracy_figures.training_curves(
        {"step": [1, 2], "val_single_rho": [0, 1], "val_halves_rho": [0, 1]}
    )
    assert [line.get_label() for line in both.axes[0].lines] == [
        "validation, one map",
        "validation, half maps",
    ]


def test_a_trained_network_without_held_out_measures_says_how_to_get_them(tmp_path):
    folder = made_results.training(tmp_path / "t")
    (folder / "card.json").write_text("{}")
    assert "cryoresdl evaluate" in words(figure_catalogue.from_folder("confusion", folder))
    assert "confusion" not in figure_catalogue.drawable(folder)
    (folder / "card.json").write_text('{"metrics": {"confusion": [[3, 1, 0], [0, 4, 0], [0, 0, 2]]}}')
    assert "confusion" in figure_catalogue.drawable(folder)
    assert "accuracy 90.0 % of 10" in words(figure_catalogue.from_folder("confusion", folder))


def test_every_axis_of_every_figure_has_its_unit(folder, tmp_path):
    """A quantity without a unit has its range or a count in its label; images of classes are named by them."""
    evaluated = made_results.training(tmp_path / "t")
    (evaluated / "card.json").write_text('{"metrics": {"confusion": [[3, 1, 0], [0, 4, 0], [0, 0, 2]]}}')
    plain = ("voxels", "class", "loss", "epoch", "step", "density", "correlation", "n per point", "accuracy")
    for kind in figure_catalogue.FIGURE_KINDS:
        figure = figure_catalogue.from_folder(kind, evaluated if kind in ("curves", "confusion") else folder)
        for ax in figure.axes:
            for label in (ax.get_xlabel(), ax.get_ylabel()):
                assert not label or re.search("Å|%|" + "|".join(plain), label), f"{kind}: {label!r}"


def test_simulation_shows_truth_beside_the_map(tmp_path):
    shown = slice_figure.slices_from_folder(made_results.simulation(tmp_path / "s"), "truth")
    assert [layer.title for layer in shown.layers] == ["Simulated map", "True local resolution"]


def test_saved_figures_are_the_same_bytes_every_time(folder):
    first = drawing.save_figure(figure_catalogue.from_folder("slices", folder), folder / "a.png").read_bytes()
    assert (
        drawing.save_figure(figure_catalogue.from_folder("slices", folder), folder / "b.png").read_bytes()
        == first
    )


def test_the_edge_of_the_mask_is_drawn_over_the_map_and_moves_with_the_slice(tmp_path):
    """The mask was nowhere to be seen on the slices."""
    folder = made_results.validation(tmp_path / "run")
    shown = slice_figure.slices_from_folder(folder)
    mask = made_results.volumes()[1]
    for index in (10, 4):
        shown.set_index(index)
        edge, plane = np.asarray(shown.edges[0].get_array())[..., 3] > 0, mask[index]
        assert edge.any() and not (edge & ~plane).any()
        neighbours = np.pad(plane, 1)
        whole = neighbours[:-2, 1:-1] & neighbours[2:, 1:-1] & neighbours[1:-1, :-2] & neighbours[1:-1, 2:]
        assert np.array_equal(edge, plane & ~whole)
    assert shown.edges[1:] == [None, None] and "Map, mask outlined" in words(shown.figure)
    (folder / result_files.MASK_USED).unlink()
    assert slice_figure.slices_from_folder(folder).edges == [None] * 3
