"""Every viewer on runs in every state, without a screen; and, where a virtual screen can be had, in real windows."""

import csv
import json
import os
import re
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("pwem")

import pyworkflow as pw  # noqa: E402
from pyworkflow.project import Manager  # noqa: E402
from pyworkflow.protocol.constants import STATUS_FAILED, STATUS_FINISHED, STATUS_RUNNING  # noqa: E402
from pyworkflow.viewer import DESKTOP_TKINTER  # noqa: E402

from cryoresdl import protocols  # noqa: E402
from cryoresdl.models.base import resolution_terms
from cryoresdl.models.maps.fsc import directional_fsc
from cryoresdl.models.maps.mrc import mrc_reader
from cryoresdl.models.results import result_files
from cryoresdl.models.results.figures import colours
from cryoresdl.models.results.report import chimerax_script
from cryoresdl.protocols import validation_summary  # noqa: E402

# noqa: E402
# noqa: E402
from cryoresdl.tests.helpers import made_results, virtual_screen  # noqa: E402
from cryoresdl.viewers import viewer_base, views  # noqa: E402
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


def test_colours_stretch_over_the_maps_own_range_where_form_or_window_say_so(project, make, monkeypatch):
    run, folder = make("ProtCryoResValidate")
    made_results.validation(folder)
    span = colours.own_range(made_results.volumes()[2])

    def ends(view):
        norm = figures(view)["showSlices"].slices.images[1].norm
        return pytest.approx((norm.vmin, norm.vmax))

    view = viewer(project, run)
    assert resolution_terms.RESOLUTION_RANGE_A == ends(view)
    view.colourRange.set(1)
    assert span == ends(view)
    run.colourRange.set(1)
    view = viewer(project, run)
    assert span == ends(view)
    given = []
    monkeypatch.setattr(
        chimerax_script, "write_chimerax_script", lambda *_, span: given.append(span) or "x.cxc"
    )
    view._showChimera("showChimera")
    assert given == [span]


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
    axes = directional_fsc.cone_axes()
    resolution = 3.0 + axes[:, 0] ** 2
    told = {"worst_axis_zyx": [1.0, 0.0, 0.0], "half_angle_degrees": 20.0}
    result_files.write_directional(
        SimpleNamespace(axes=axes, resolution=resolution, low=resolution, high=resolution, summary=told),
        folder,
    )
    view = viewer(project, run)
    shown = view._getVisualizeDict()["showDirection"]("showDirection")[0]
    assert "Resolution by direction" in words(shown.figure) and "worst" in words(shown.figure)


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


def test_maps_of_one_name_are_told_apart_in_the_selector_and_in_the_summary(tmp_path):
    table = tmp_path / result_files.RESULTS_CSV
    table.write_text("map,folder\n/a/x.mrc,x\n/b/x.mrc,x_2\n/b/bad.mrc,\n")
    named = viewer_base._listed(str(table))
    assert named == [("a/x.mrc", str(tmp_path / "x")), ("b/x.mrc", str(tmp_path / "x_2"))]
    assert validation_summary.listed(["/a/x.mrc", "/b/x.mrc"]) == "a/x.mrc, b/x.mrc"
