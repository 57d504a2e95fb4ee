"""The paper's tables: as printed, recomputed, and ours beside them, with what is missing said and not raised."""

import csv
import json

import numpy as np
import pytest

from cryoresdl.models.base.downloads import DownloadRules
from cryoresdl.models.base.errors import InputError
from cryoresdl.models.cli import command_line
from cryoresdl.models.evaluation import class_measures
from cryoresdl.models.maps import emdb_download
from cryoresdl.models.networks import paper_networks
from cryoresdl.models.networks.model_files import model_archive
from cryoresdl.models.paper.tables import (
    all_tables,
    context,
    experimental_maps,
    global_tables,
    patch_tables,
    printed_results,
    training_curves,
)
from cryoresdl.models.paper.tables.context import Context


def read(path):
    with open(path, newline="") as stream:
        return list(csv.DictReader(stream))


def tiny_unet(folder, name, seed):
    network = paper_networks.describe_network("paper-unet", 1 / 64)
    random = np.random.default_rng(seed)
    shapes = paper_networks.weight_shapes(network)
    weights = {n: random.normal(0, 0.1, shape).astype(np.float32) for n, shape in shapes.items()}
    path = folder / f"{name}.cryoresdl"
    model_archive.save_model(path, {"name": name, "kind": "local", "network": network}, weights)
    return str(path)


def tiny_dnn(folder, favourite=1, history=None):
    """A DNN that always says one class."""
    network = paper_networks.describe_network("paper-dnn", 0.002)
    weights = {
        name: np.zeros(shape, np.float32) for name, shape in paper_networks.weight_shapes(network).items()
    }
    weights["logits/bias"][favourite] = 5
    card = {"name": "tiny", "kind": "global", "network": network, "history": history}
    return str(model_archive.save_model(folder / "tiny.cryoresdl", card, weights))


def test_printed_tables_agree_with_each_other():
    assert len(printed_results.TABLE1) == 28 and len(printed_results.TABLE2) == 30
    for column, printed in ((1, printed_results.TABLE3), (2, printed_results.TABLE4)):
        matrix = np.zeros((3, 3), int)
        for row in printed_results.TABLE2.values():
            published = "high" if row[0] < 5 else "medium" if row[0] <= 10 else "low"
            matrix[global_tables._code(published), global_tables._code(row[column])] += 1
        np.testing.assert_array_equal(matrix, printed)
    assert np.trace(printed_results.TABLE3) / 30 == pytest.approx(0.6)
    assert round(100 * np.trace(printed_results.TABLE4) / 30, 1) == 56.7
    assert [sum(counts) for counts in printed_results.TABLE7.values()] == [13444, 1952]


def test_table5_recomputes_the_papers_table(tmp_path):
    context = Context(matrices=[])
    rows = read(global_tables.table5(tmp_path, context)[0])
    assert len(rows) >= 6
    for row in rows[:6]:
        for measure in class_measures.MEASURES:
            # The paper rounded 73.08 to 73.1.
            assert float(row[f"{measure} %"]) == pytest.approx(float(row[f"printed {measure} %"]), abs=0.051)
    assert (tmp_path / "table5.png").stat().st_size > 5000


def test_table5_of_any_matrix(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("published,high,medium,low\nhigh,8,2,0\nmedium,0,0,0\nlow,1,0,9\n")
    rows = read(global_tables.table5(tmp_path, context.Context(matrices=[str(path)]))[0])[6:]
    assert [row["classifier"] for row in rows] == ["mine"] * 3
    assert float(rows[0]["sensitivity %"]) == 80 and rows[1]["sensitivity %"] == ""
    assert float(rows[2]["PPV %"]) == 100
    for text in ("a,b\n1,2\n", "1,2\n3,4\n", "1,-2,3\n1,2,3\n1,2,3\n", ""):
        path.write_text(text)
        with pytest.raises(InputError):
            global_tables.read_matrix(str(path))


def test_boundaries_of_the_papers_table_1():
    rows = [
        {
            "resolution_A": value,
            "ideal": "high" if value < 5 else "medium" if value <= 10 else "low",
            "paper DNN": classes[0],
            "paper CNN": classes[1],
        }
        for value, classes in sorted(printed_results.TABLE1.items())
    ]
    dnn, cnn = global_tables.boundaries(rows, "paper DNN"), global_tables.boundaries(rows, "paper CNN")
    assert (dnn["high_to_medium_A"], dnn["medium_to_low_A"], dnn["outliers"]) == (4.25, 8.75, 2)
    assert (cnn["high_to_medium_A"], cnn["medium_to_low_A"], cnn["outliers"]) == (4.75, 8.75, 0)
    ideal = global_tables.boundaries(rows, "ideal")
    assert (ideal["high_to_medium_A"], ideal["medium_to_low_A"], ideal["as_ideal"]) == (4.75, 10.25, 28)


def test_table2_without_a_network_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(emdb_download.ADDRESS_VARIABLE, "http://127.0.0.1:9")
    monkeypatch.setenv(emdb_download.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(emdb_download, "_SMALL", DownloadRules(tries=1, timeout_s=2.0))
    context = Context(models={"DNN": tiny_dnn(tmp_path)}, download=True)
    out = tmp_path / "out"
    out.mkdir()
    rows = read(global_tables.table2(out, context)[0])
    said = capsys.readouterr().err
    assert (
        said.count("No network: 127.0.0.1:9 cannot be reached for EMD-") == 1
        and "--maps" in said
        and "30 of the 30" in said
    )
    assert len(rows) == 30 and rows[0]["emdb"] == "8221" and rows[0]["paper DNN"] == "high"
    assert not list(out.rglob(".part-*"))


def test_table2_and_3_use_maps_at_hand(tmp_path):
    from cryoresdl.models.maps import density_map
    from cryoresdl.models.maps.mrc import mrc_writer

    folder = tmp_path / "maps"
    folder.mkdir()
    data = np.random.default_rng(0).random((20, 22, 24)).astype(np.float32)
    density = density_map.DensityMap(data, 2.0)
    mrc_writer.write_volume(folder / "emd_5101.mrc", data, density)
    (folder / "emd_1601.map").write_bytes(b"no map")
    context = Context(models={"DNN": tiny_dnn(tmp_path)}, maps=folder)
    rows = {row["emdb"]: row for row in read(global_tables.table2(tmp_path, context)[0])}
    assert rows["5101"]["our DNN"] == "medium" and rows["8221"]["our DNN"] == ""
    assert "emd_1601" in rows["1601"]["note"]
    ours = [row for row in read(global_tables.table3(tmp_path, context)[0]) if row["classifier"] == "our DNN"]
    assert [int(row["predicted medium"]) for row in ours] == [0, 1, 0]
    printed = [row for row in read(tmp_path / "table3.csv") if row["classifier"] == "paper DNN"]
    assert [int(row["predicted high"]) for row in printed] == [10, 4, 2]


def test_table1_on_test_proteins(tmp_path, shared):
    context = Context(shared=shared, models={"DNN": tiny_dnn(tmp_path, 0)})
    entries = global_tables.unseen_proteins(context, 2)
    splits = {row["id"]: row["split"] for row in read(shared / "structures" / "manifest.csv")}
    assert len({name for name, _ in entries}) == 2 and {splits[name] for name, _ in entries} == {"test"}
    density = global_tables._simulate(entries[0][1], 7.5)
    assert density.data.shape == (64, 64, 64) and density.voxel_size == 1.0
    assert experimental_maps.global_predictors(context)["DNN"](density)["class"] == "high"
    with pytest.raises(InputError, match="--structures"):
        global_tables.unseen_proteins(Context(), 2)


@pytest.fixture
def patches(tmp_path):
    """A paper-mode data set of two small maps, made by the project's own builder."""
    from cryoresdl.models.datasets import input_lists, patch_set
    from cryoresdl.models.maps import density_map
    from cryoresdl.models.maps.mrc import mrc_writer

    triples, random = [], np.random.default_rng(0)
    for number in range(2):
        folder = tmp_path / f"m{number}"
        folder.mkdir()
        mask = np.zeros((40, 40, 40), np.float32)
        mask[2:38, 2:38, 2:38] = 1
        volumes = {"map": random.random(mask.shape), "mask": mask, "label": (3.5 + number) * mask}
        for name, data in volumes.items():
            mrc_writer.write_volume(
                folder / f"{name}.mrc", data.astype(np.float32), density_map.DensityMap(mask, 1.0)
            )
        files = [str(folder / f"{name}.mrc") for name in ("map", "label", "mask")]
        triples.append(input_lists.Triple(f"m{number}", *files, voxel_size=1.0, split="train"))
    path = tmp_path / "patches.h5"
    patch_set.build_patch_set(triples, path, patch_set.PatchSetRecipe("paper", "monores", 16, 0))
    return str(path)


def test_table6_and_7_from_patches(tmp_path, patches):
    models = {"monores": tiny_unet(tmp_path, "a", 0), "resmap": tiny_unet(tmp_path, "b", 1)}
    context = Context(models=models, patches={"monores": patches, "resmap": patches})
    rows = read(patch_tables.table6(tmp_path, context)[0])
    assert [(row["evaluation_set"], row["model"]) for row in rows[:2]] == [
        ("monores", "monores"),
        ("monores", "resmap"),
    ]
    assert [float(row["paper_accuracy_%"]) for row in rows if row["paper_accuracy_%"]] == [
        88.3,
        59.4,
        88.9,
        94.7,
    ]
    constant = [row for row in rows if row["model"] == "one resolution per map"][0]
    # Labels are constant within each map: the baseline knows them exactly; centres are 3.5 and 4.5 A.
    assert float(constant["in_mask_accuracy_%"]) == 100 and float(constant["MAE_A"]) == 0
    counts = read(patch_tables.table7(tmp_path, context)[0])
    assert [int(counts[0][name]) for name in ("training", "validation", "evaluation")] == [9670, 1080, 2694]
    ours = counts[2]
    assert (
        int(ours["total"]) == sum(int(ours[name]) for name in ("training", "validation", "evaluation")) == 128
    )
    assert int(ours["evaluation"]) == 2 * 13 and int(ours["validation"]) == 2 * 6


def test_figures_come_from_a_card_or_a_run(tmp_path):
    history = {
        "epoch": [1, 2],
        "loss": [1, 0.5],
        "accuracy": [0.4, 0.8],
        "val_loss": [1.1, 0.6],
        "val_accuracy": [0.3, 0.7],
    }
    context = Context(models={"DNN": tiny_dnn(tmp_path, history=history)})
    rows = read(training_curves.fig2(tmp_path, context)[0])
    assert [float(row["val_loss"]) for row in rows] == [1.1, 0.6]
    summary = read(tmp_path / "fig2_summary.csv")
    assert float(summary[0]["val_accuracy"]) == 0.92 and float(summary[1]["val_accuracy"]) == 0.7
    run = tmp_path / "run"
    run.mkdir()
    (run / "history.csv").write_text("epoch,loss,accuracy,val_loss,val_accuracy\n1,1,0.5,1,0.25\n")
    rows = read(training_curves.fig5(tmp_path, Context(history=str(run)))[0])
    assert len(rows) == 1 and float(rows[0]["val_accuracy"]) == 0.25
    with pytest.raises(InputError, match="history"):
        training_curves.fig2(tmp_path, Context(models={"DNN": tiny_dnn(tmp_path)}))
    figure = training_curves.curves_figure(history, printed_results.PRINTED_CURVES["fig2"], "t")
    assert figure.axes[1].get_lines()[2].get_ydata()[0] == 0.19


def test_command_line(tmp_path, capsys):
    from cryoresdl.models.cli.commands import reproduce

    assert set(reproduce.RESULT_NAMES) == set(all_tables.ALL)
    matrix = tmp_path / "m.csv"
    matrix.write_text("1,0,0\n0,1,0\n0,0,1\n")
    words = ["reproduce", "table5", "--matrix", str(matrix), "--out", str(tmp_path / "out"), "--quiet"]
    assert command_line.main(words) == 0
    assert capsys.readouterr().out.split()[-1].endswith("table5.png")
    assert command_line.main(words) == 2
    assert "already holds" in capsys.readouterr().err
    assert (
        command_line.main(
            ["reproduce", "table1", "--structures", str(tmp_path / "no"), "--out", str(tmp_path / "x")]
        )
        == 2
    )
    assert "no folder" in capsys.readouterr().err
    assert json.loads(json.dumps(sorted(all_tables.ALL)))[0] == "fig2"
