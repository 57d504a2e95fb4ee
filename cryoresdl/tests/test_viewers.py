"""Every viewer on runs in every state, without a screen; and, where a virtual screen can be had, in real windows."""

import csv
import json
import os
import re
import time

import numpy as np
import pytest

pytest.importorskip("pwem")

import pyworkflow as pw  # noqa: E402
from pyworkflow.project import Manager  # noqa: E402
from pyworkflow.protocol.constants import STATUS_FAILED, STATUS_FINISHED, STATUS_RUNNING  # noqa: E402
from pyworkflow.viewer import DESKTOP_TKINTER  # noqa: E402

from cryoresdl import protocols  # noqa: E402
from cryoresdl.models.base.errors import InputError
from cryoresdl.models.maps.mrc import mrc_reader, mrc_writer
from cryoresdl.models.results import result_files
from cryoresdl.models.results.figures import accuracy_figures, colours, figure_catalogue
from cryoresdl.models.results.figures.slices import slice_figure
from cryoresdl.models.results.report import chimerax_script

# noqa: E402
# noqa: E402
from cryoresdl.tests.helpers import made_results, virtual_screen  # noqa: E402
from cryoresdl.tests.helpers.virtual_screen import settle  # noqa: E402
from cryoresdl.viewers import views  # noqa: E402
from cryoresdl.viewers.viewer_base import resultFolders  # noqa: E402

pytestmark = pytest.mark.scipion
FOLDER = {
    "ProtCryoResValidate": "results",
    "ProtCryoResCompare": "results",
    "ProtCryoResSimulate": "map_00000",
    "ProtCryoResTrainGlobal": "training",
    "ProtCryoResTrainLocal": "training",
}


@pytest.fixture(scope="module")
def project():
    pw.Config.setDomain("pwem")
    here = os.getcwd()
    project = Manager().createProject("Viewers")
    os.chdir(project.path)
    yield project
    os.chdir(here)


@pytest.fixture
def make(project):
    """A run of a protocol with a status, as the project window would have it."""

    def make(name, status=STATUS_FINISHED):
        os.chdir(project.path)
        run = project.newProtocol(getattr(protocols, name))
        run.setObjLabel("my run")
        project.saveProtocol(run)
        run.makePathsAndClean()
        run.setStatus(status)
        return run, run_folder(project, run)

    return make


def run_folder(project, run):
    from pathlib import Path

    return Path(project.path, run._getExtraPath(FOLDER[run.getClassName()]))


def viewer(project, run):
    found = pw.Config.getDomain().findViewers(run, DESKTOP_TKINTER)
    assert found, f"no viewer for {run}"
    view = found[0](project=project, protocol=run)
    view.setProtocol(run)
    return view


def words(figure):
    return " ".join(" ".join(t.get_text().split()) for t in figure.findobj(lambda a: hasattr(a, "get_text")))


def figures(view):
    """What every figure row of a viewer shows."""
    return {
        key: handler(key)[0]
        for key, handler in view._getVisualizeDict().items()
        if key not in ("showChimera", "showReport")
    }


@pytest.mark.parametrize("name", FOLDER)
def test_every_protocol_has_its_viewer_and_a_help_for_every_row(project, make, name):
    run, _ = make(name)
    view = viewer(project, run)
    assert type(view).__module__.startswith("cryoresdl.viewers")
    for key in view._getVisualizeDict():
        param = view.getParam(key)
        assert param.getLabel() and len(str(param.help)) > 15


@pytest.mark.parametrize("name", FOLDER)
@pytest.mark.parametrize("status", [STATUS_RUNNING, STATUS_FAILED])
def test_a_run_without_results_says_so_in_every_figure(project, make, name, status):
    run, folder = make(name, status)
    view = viewer(project, run)
    note = view.getParam("note").getLabel()
    assert ("failed" in note) if status == STATUS_FAILED else ("not ended" in note)
    for shown in figures(view).values():
        assert re.search("does not exist yet|is not in", words(shown.figure))


def test_validation_shows_the_numbers_of_its_results(project, make):
    run, folder = make("ProtCryoResValidate")
    made_results.validation(folder)
    shown = figures(viewer(project, run))
    assert "Claimed 3.2 Å: optimistic" in words(shown["showVerdict"].figure)
    assert isinstance(shown["showSlices"], views.SliceView)
    _, _, values, _ = made_results.volumes()
    slices = shown["showSlices"].slices
    slices.set_index(7)
    assert np.array_equal(slices.images[1].get_array().filled(0), values[7])
    assert [layer.title for layer in shown["showDisagreement"].slices.layers][-1].startswith("Disagreement")
    assert "MonoRes" in words(shown["showHistogram"].figure)
    assert shown["showSlices"].title == "Map, resolution, interval - my run"


def test_the_surface_has_a_row_and_rows_without_data_are_hidden(project, make):
    run, folder = make("ProtCryoResValidate")
    made_results.validation(folder)
    view = viewer(project, run)
    surface = view._getVisualizeDict()["showSurface"]("showSurface")[0]
    assert len(surface.figure.axes) == 4 and "from above" in words(surface.figure)
    for hidden in ("showAudit", "showDirection"):
        assert hidden not in view._getVisualizeDict() and view.getParam(hidden) is None
    case = {"name": "as given", "global_class": "high", "verdict": "supported", "low_A": 3.0, "high_A": 5.0}
    told = {"claimed_A": 3.2, "cases": [{**case, "resolution_A": 4.0}]}
    (folder / result_files.AUDIT_JSON).write_text(json.dumps(told))
    view = viewer(project, run)
    assert "What the answer hangs on" in words(view._getVisualizeDict()["showAudit"]("showAudit")[0].figure)
    assert view.getParam("showDirection") is None


def test_partly_deleted_results_cost_only_their_own_figures(project, make):
    run, folder = make("ProtCryoResValidate")
    made_results.validation(folder)
    (folder / result_files.LOCAL_RESOLUTION).unlink()
    (folder / result_files.CLASSIFICATION_JSON).write_text("[{")
    shown = figures(viewer(project, run))
    assert "local_resolution.mrc is not in" in words(shown["showSlices"].figure)
    assert "is not valid JSON" in words(shown["showVerdict"].figure)
    assert "local resolution class (Å)" in words(shown["showHistogram"].figure)


def test_results_of_a_set_are_chosen_by_map(project, make):
    run, folder = make("ProtCryoResValidate")
    batch = folder.parent / "batch_000"
    for number, claim in enumerate((True, False)):
        made_results.validation(batch / f"row{number}", box=(6, 7, 8), claim=claim)
    with open(batch / result_files.RESULTS_CSV, "w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerows([("map", "folder"), ("a.mrc", "row0"), ("bad.mrc", ""), ("b.mrc", "row1")])
    assert [name for name, _ in resultFolders(run)] == ["a.mrc", "b.mrc"]
    view = viewer(project, run)
    assert view.getParam("item").choices == ["a.mrc", "b.mrc"]
    view.item.set(1)
    assert "High resolution" in words(view._getVisualizeDict()["showVerdict"]("showVerdict")[0].figure)


def set_of_three(make):
    """A finished run over a set: two maps with a claim, one that failed, one without a verdict."""
    run, folder = make("ProtCryoResValidate")
    batch = folder.parent / "batch_000"
    for number in range(3):
        made_results.validation(batch / f"row{number}", box=(6, 7, 8), compared=False)
    header = ("map", "folder", "claimed_A", "resolution_A", "verdict", "in_distribution")
    with open(batch / result_files.RESULTS_CSV, "w", newline="") as stream:
        csv.writer(stream).writerows(
            [
                header,
                ("maps/b.mrc", "row0", "3.2", "10.5", "optimistic", "True"),
                ("maps/bad.mrc", "", "", "", "", ""),
                ("maps/a.mrc", "row1", "8", "9.25", "supported", "False"),
                ("maps/c.mrc", "row2", "", "", "", ""),
            ]
        )
    return run


def test_windows_of_a_set_name_their_map(project, make):
    view = viewer(project, set_of_three(make))
    view.item.set(1)
    shown = view._getVisualizeDict()["showVerdict"]("showVerdict")[0]
    assert shown.title == "Verdict - a.mrc - my run"


def test_the_table_of_a_set_sorts_and_opens_a_map(project, make, monkeypatch):
    view = viewer(project, set_of_three(make))
    table = view._getVisualizeDict()["showTable"]("showTable")[0]
    assert [row[0] for row in table.rows] == ["b.mrc", "a.mrc", "c.mrc"]
    assert table.rows[1][1:3] == [8.0, 9.25] and table.rows[1][8] == "no"
    table._root = virtual_screen.root()
    table.show()
    table.sortBy(table.columns.index("estimate (Å)"))
    assert table.order() == [1, 0, 2]
    table.sortBy(table.columns.index("estimate (Å)"))
    assert table.order() == [0, 1, 2]
    opened = []
    monkeypatch.setattr(views.FigureView, "show", lambda self: opened.append(self.title))
    table.tree.selection_set("1")
    table.openSelected()
    assert opened == ["Verdict - a.mrc - my run"]
    table.window.destroy()


def test_a_run_that_compared_nothing_says_what_to_give_instead_of_empty_rows(project, make):
    run, folder = make("ProtCryoResValidate")
    made_results.validation(folder, compared=False)
    view = viewer(project, run)
    assert "showAgreement" not in view._getVisualizeDict() and view.getParam("showAgreement") is None
    assert "choose MonoRes" in view.getParam("hintComparison").getLabel()
    assert "showFsc" not in view._getVisualizeDict()
    assert "import the volume with them" in view.getParam("hintHalfmaps").getLabel()
    made_results.validation(folder)
    assert "showAgreement" in viewer(project, run)._getVisualizeDict()


def test_the_mask_that_was_used_lies_over_the_map(project, make):
    run, folder = make("ProtCryoResValidate")
    made_results.validation(folder)
    shown = viewer(project, run)._getVisualizeDict()["showMask"]("showMask")[0]
    mask = mrc_reader.read_values(folder / result_files.MASK_USED).data > 0
    shown.slices.set_index(7)
    assert np.array_equal(np.asarray(shown.slices.images[1].get_array())[..., 3] > 0, mask[7])
    (folder / result_files.MASK_USED).unlink()
    shown = viewer(project, run)._getVisualizeDict()["showMask"]("showMask")[0]
    assert "mask_used.mrc" in words(shown.figure)


def test_training_curves_follow_the_run(project, make):
    run, folder = make("ProtCryoResTrainGlobal", STATUS_RUNNING)
    made_results.training(folder, epochs=2)
    live = viewer(project, run)._getVisualizeDict()["showCurves"]("showCurves")[0]
    assert isinstance(live, views.LiveView)
    assert len(live.figure.axes[0].lines[0].get_xdata()) == 2
    assert live.update() is False
    made_results.training(folder, epochs=9)
    assert live.update() is True
    assert len(live.figure.axes[0].lines[0].get_xdata()) == 9
    (folder / "history.csv").unlink()
    assert live.update() is True and "history.csv is not in" in words(live.figure)


def test_curves_that_are_opened_before_the_training_begins_follow_it_too(project, make):
    run, folder = make("ProtCryoResTrainLocal", STATUS_RUNNING)
    live = viewer(project, run)._getVisualizeDict()["showCurves"]("showCurves")[0]
    assert "does not exist yet" in words(live.figure) and live.update() is False
    made_results.training(folder, epochs=3)
    assert live.update() is True
    assert len(live.figure.axes[0].lines[0].get_xdata()) == 3


def test_simulation_shows_truth_beside_the_map(project, make):
    run, folder = make("ProtCryoResSimulate")
    made_results.simulation(folder)
    shown = figures(viewer(project, run))["showTruth"]
    assert [layer.title for layer in shown.slices.layers] == ["Simulated map", "True local resolution"]
    curve = figures(viewer(project, run))["showFsc"].figure
    assert "0.143, expected: 4.00 Å" in words(curve) and "half maps, inside the mask" in words(curve)
    info = {"structure": "1abc.pdb", "target_A": 3.5}
    (folder / "simulation.json").write_text(json.dumps(info))
    assert [name for name, _ in resultFolders(run)] == ["map_00000: 1abc at 3.5 Å"]


def test_comparison_shows_matrix_and_scatter(project, make):
    run, folder = make("ProtCryoResCompare")
    made_results.validation(folder)
    shown = figures(viewer(project, run))
    assert "0.25" in words(shown["showAgreement"].figure)
    assert "mean difference +1.00 Å" in words(shown["showScatter"].figure)


def test_a_comparison_of_three_lets_choose_the_pair_of_the_difference(project, make):
    run, folder = make("ProtCryoResCompare")
    made_results.validation(folder, box=(10, 11, 12))
    view = viewer(project, run)
    assert view.getParam("pair") is None and view.getPair() == ("cryoresdl", "MonoRes")
    comparison = json.loads((folder / result_files.COMPARISON_JSON).read_text())
    comparison["volumes"].append({"name": "ResMap", "path": comparison["volumes"][1]["path"]})
    (folder / result_files.COMPARISON_JSON).write_text(json.dumps(comparison))
    view = viewer(project, run)
    assert view.getParam("pair").choices == [
        "cryoresdl and MonoRes",
        "cryoresdl and ResMap",
        "MonoRes and ResMap",
    ]
    view.pair.set(2)
    shown = view._getVisualizeDict()["showDifference"]("showDifference")[0]
    assert [layer.title for layer in shown.slices.layers] == ["MonoRes", "ResMap", "ResMap - MonoRes"]
    assert (
        len(view._getVisualizeDict()["showScatter"]("showScatter")[0].figure.axes) == 4
    )  # three and the bar


def test_volumes_of_another_version_are_explained_where_the_slices_would_be(project, make):
    run, folder = make("ProtCryoResCompare")
    made_results.validation(folder, box=(10, 11, 12))
    (folder / result_files.COMPARISON_JSON).write_text('{"volumes": [1, "two"], "pairs": 3}')
    for name in ("showDifference", "showScatter", "showDisagreement", "showAgreement", "showHistogram"):
        assert viewer(project, run)._getVisualizeDict()[name](name)[0].figure.axes


def test_report_row_makes_the_report_and_opens_it(project, make, monkeypatch):
    run, folder = make("ProtCryoResValidate")
    made_results.validation(folder, box=(6, 7, 8))
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda url: opened.append(url) or True)
    assert viewer(project, run)._showReport("showReport") == []
    assert (
        opened == [(folder / result_files.REPORT_HTML).as_uri()]
        and (folder / result_files.REPORT_HTML).exists()
    )


def test_report_row_of_a_run_without_results_says_so(project, make):
    run, _ = make("ProtCryoResValidate", STATUS_FAILED)
    message = viewer(project, run)._showReport("showReport")[0]
    assert "results folder" in message.getMessage()


def test_chimerax_row_gives_the_script_where_chimerax_is_not_installed(project, make):
    run, folder = make("ProtCryoResValidate")
    message = viewer(project, run)._showChimera("showChimera")[0]
    assert "nothing to colour" in message.getMessage()
    made_results.validation(folder)
    message = viewer(project, run)._showChimera("showChimera")[0]
    assert str(folder / result_files.CHIMERAX / chimerax_script.SCRIPT) in os.path.abspath(
        message.getMessage().splitlines()[-1]
    )


# --------------------------------------------------------------------------------------------- ChimeraX script


def commands(path):
    return [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]


def test_chimerax_script_sets_voxel_size_and_origin_of_both_volumes(tmp_path):
    script = commands(chimerax_script.write_chimerax_script(made_results.validation(tmp_path / "run")))
    for number in (1, 2):
        assert f"volume #{number} voxelSize 1.5 origin -30.0000,10.0000,5.0000" in script
    assert script[0] == "open map.mrc id 1"
    assert "volume #1 origin" not in " ".join(
        commands(chimerax_script.write_chimerax_script(tmp_path / "run", (1, 2, 3)))
    )
    assert "origin 1.0000,2.0000,3.0000" in " ".join(
        commands(chimerax_script.write_chimerax_script(tmp_path / "run", (1, 2, 3)))
    )


def test_chimerax_colours_and_legend_are_those_of_the_figures(tmp_path):
    script = "\n".join(
        commands(chimerax_script.write_chimerax_script(made_results.validation(tmp_path / "run")))
    )
    for value in (1.5, 3, 12):
        color = colours.resolution_color(value)
        assert f":{value:g},{color}" in script and f"{color}:{value:g}" in script
    assert "local resolution (Å)" in script


def test_the_chimerax_folder_works_on_another_machine(tmp_path):
    folder = made_results.validation(tmp_path / 'a "b"; close\\n\nsession')
    script = chimerax_script.write_chimerax_script(folder)
    text = script.read_text(encoding="utf-8")
    assert str(tmp_path) not in text and '"b"' not in text
    opened = re.findall(r"^open (\S+) id \d$", text, re.M)
    assert len(opened) == 2 == text.count("open ")
    # What it opens lies beside it, the map's own values among them.
    made = [mrc_reader.read_values(script.parent / name) for name in opened]
    assert np.array_equal(made[0].data, mrc_reader.read_values(folder / "input.mrc").data)
    assert made[0].origin == made[1].origin == made_results.ORIGIN


def test_chimerax_colours_stretch_over_the_maps_own_range(tmp_path):
    folder = made_results.validation(tmp_path / "run")
    span = colours.own_range(made_results.volumes()[2])
    script = "\n".join(commands(chimerax_script.write_chimerax_script(folder, span=span)))
    ends = [colours.resolution_color(value) for value in colours.RESOLUTION_RANGE_A]
    for value, color in zip(span, ends):
        assert f":{value:g},{color}" in script and f"{color}:{value:.3g}" in script


def test_chimerax_volume_keeps_the_estimates_and_continues_them_a_little(tmp_path):
    folder = made_results.validation(tmp_path / "run")
    chimerax_script.write_chimerax_script(folder)
    filled = mrc_reader.read_values(folder / result_files.CHIMERAX / chimerax_script.FILLED).data
    _, mask, values, _ = made_results.volumes()
    assert np.array_equal(filled[mask], values[mask])
    ring = (filled > 0) & ~mask
    assert ring.any() and filled[ring].min() >= values[mask].min() and filled[ring].max() <= values.max()
    assert filled[0, 0, 0] == 0


def test_chimerax_script_needs_the_map_and_an_estimate(tmp_path):
    folder = made_results.validation(tmp_path / "run")
    (folder / "input.mrc").unlink()
    with pytest.raises(InputError, match="no longer where it was"):
        chimerax_script.write_chimerax_script(folder)
    folder = made_results.validation(tmp_path / "empty")
    values = mrc_reader.read_values(folder / result_files.LOCAL_RESOLUTION)
    mrc_writer.write_volume(folder / result_files.LOCAL_RESOLUTION, np.zeros_like(values.data), values)
    with pytest.raises(InputError, match="no estimated voxel"):
        chimerax_script.write_chimerax_script(folder)


# ------------------------------------------------------------------------------------------ on a virtual screen


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
