"""The paper's finding on experimental maps: who counts, what is beside it, and what the controlled experiments change."""

import csv

import numpy as np
import pytest

from cryoresdl.models.base.errors import InputError
from cryoresdl.models.maps.density_map import DensityMap
from cryoresdl.models.maps.mrc import mrc_writer
from cryoresdl.models.networks import paper_networks
from cryoresdl.models.networks.model_files import model_archive, model_store
from cryoresdl.models.paper.tables import (
    all_tables,
    controlled_experiments,
    experimental_maps,
    global_tables,
    training_curves,
)
from cryoresdl.models.paper.tables.context import Context
from cryoresdl.models.training import run_files
from cryoresdl.tests.helpers.small_maps import ball

INDEX = "file,class,claimed_A\n"


def read(path):
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def data(tmp_path):
    """Shared data with two lists of small maps: high, medium and low, one beyond its Nyquist limit, one without a class."""
    random = np.random.default_rng(0)
    listed = {
        "maps": [("fine", 1.1, "high", "3.3")],
        "real_maps": [
            ("coarse", 5.0, "low", "20"),
            ("middle", 2.0, "medium", ""),
            ("beyond", 1.8, "high", "3.5"),
            ("unknown", 2.0, "", ""),
        ],
    }
    for folder, rows in listed.items():
        (tmp_path / folder).mkdir()
        for name, voxel, _, _ in rows:
            volume = random.random((20, 24, 22)).astype(np.float32)
            mrc_writer.write_volume(tmp_path / folder / f"{name}.mrc", volume, DensityMap(volume, voxel))
        text = INDEX + "".join(f"{name}.mrc,{kind},{claim}\n" for name, _, kind, claim in rows)
        (tmp_path / folder / "index.csv").write_text(text)
    return tmp_path


@pytest.fixture
def models(tmp_path):
    """Columns of tiny paper networks that always say one class."""
    found = {}
    for column, favourite in (("DNN", 0), ("CNN", 1), ("default", 2)):
        network = paper_networks.describe_network("paper-dnn", 0.002)
        shapes = paper_networks.weight_shapes(network)
        weights = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
        weights["logits/bias"][favourite] = 5
        card = {"name": column, "kind": "global", "network": network, "mode": "paper"}
        found[column] = str(model_archive.save_model(tmp_path / f"{column}.cryoresdl", card, weights))
    return found


def test_maps_of_both_lists_count_but_a_claim_beyond_nyquist_does_not(data, models, tmp_path):
    written = global_tables.table2(tmp_path, Context(shared=data, models=models))
    rows = {row["map"]: row for row in read(tmp_path / "table2_real_maps.csv")}
    assert set(rows) == {"fine.mrc", "coarse.mrc", "middle.mrc", "beyond.mrc"}
    assert "finer than Nyquist" in rows["beyond.mrc"]["note"] and not rows["beyond.mrc"]["our DNN"]
    found = {row["classifier"]: row for row in read(tmp_path / "table2_agreement.csv")}
    assert (found["paper DNN"]["right"], found["paper DNN"]["n"]) == ("18", "30")
    assert found["paper DNN"]["95 %"] == "42-75"
    assert (found["our DNN"]["right"], found["our DNN"]["n"]) == ("1", "3")
    # 3.3, 15 and 6 A: three voxels hit every class here.
    assert (found[experimental_maps.BASELINE]["right"], found[experimental_maps.BASELINE]["n"]) == ("3", "3")
    assert written[-1].stat().st_size > 5000


def test_table_5_states_how_many_maps_each_measure_counts(data, models, tmp_path):
    rows = read(global_tables.table5(tmp_path, Context(shared=data, models=models))[0])
    mine = {(row["classifier"], row["class"]): row for row in rows}
    high = mine["our DNN", "high"]
    assert (high["sensitivity %"], high["sensitivity n"], high["sensitivity 95 %"]) == (
        "100.0",
        "1",
        "21-100",
    )
    assert (high["PPV n"], high["specificity n"], high["NPV n"], high["NPV %"]) == ("3", "2", "0", "")
    assert mine[experimental_maps.BASELINE, "low"]["sensitivity %"] == "100.0"
    assert mine["paper DNN", "low"]["PPV 95 %"] == "30-95"


def test_a_map_is_asked_about_once_for_all_tables(data, models, tmp_path, monkeypatch):
    asked = []
    real = experimental_maps._classify_with

    def counted(name, density):
        asked.append((name, density.path))
        return real(name, density)

    monkeypatch.setattr(experimental_maps, "_classify_with", counted)
    context = Context(shared=data, models=models)
    for make in (global_tables.table2, global_tables.table3, global_tables.table4, global_tables.table5):
        make(tmp_path, context)
    assert len(asked) == 9 and len(set(asked)) == 9


def test_each_condition_changes_what_it_names():
    axis = np.arange(40) - 19.5
    blob = np.exp(-((axis[:, None, None] - 6) ** 2 + axis[:, None] ** 2 + axis**2) / 18).astype(np.float32)
    density = DensityMap(blob, 2.0)

    def width(box):
        weights = box[:, :, box.shape[2] // 2].sum(1) ** 2
        middle = np.average(np.arange(len(weights)), weights=weights)
        return middle, np.sqrt(np.average((np.arange(len(weights)) - middle) ** 2, weights=weights))

    change = controlled_experiments.REAL
    _, plain = width(blob)
    middle, spread = width(change["at 1 Å/voxel"]("low", density).prepared)
    assert spread == pytest.approx(2 * plain, rel=0.05) and middle == pytest.approx(31.5 + 12, abs=0.5)
    middle, spread = width(change["1 Å/voxel, masked, centred"]("low", density).prepared)
    assert middle == pytest.approx(31.5, abs=1.0)
    holes = DensityMap(blob - 0.2 * np.roll(blob, 9, 1), 2.0)
    assert change["1 Å/voxel, masked, centred"]("low", holes).prepared[0, 0, 0] > 0.02
    assert change["the same, negative values cut"]("low", holes).prepared[0, 0, 0] == pytest.approx(
        0, abs=1e-6
    )
    assert change["negative values cut"]("low", holes).prepared.min() == 0
    noisy = density.data + np.random.default_rng(0).normal(0, 0.02, blob.shape).astype(np.float32)
    masked = change["masked"]("low", DensityMap(noisy, 2.0)).prepared[:40, :40, :40]
    assert len(np.unique(masked[:4])) == 1  # one value where the noise was
    large = DensityMap(np.pad(blob, 30), 2.0)
    cropped = change["central crop for all"]("low", large)
    assert cropped.density.data.shape == (64, 64, 64) and cropped.density.voxel_size == 2.0


def test_the_finding_has_every_condition_for_every_classifier(data, models, tmp_path, monkeypatch):
    proteins = [("a", ball(300, 12.0, seed=0)), ("b", ball(300, 12.0, seed=1))]
    monkeypatch.setattr(controlled_experiments, "unseen_proteins", lambda *_, **__: proteins)
    monkeypatch.setattr(controlled_experiments, "LARGE_BOX", 72)
    table, figure = controlled_experiments.finding(tmp_path, Context(shared=data, models=models))
    rows = read(table)
    named = {(row["maps"], row["condition"]) for row in rows}
    assert len(named) == len(controlled_experiments.SIMULATED) + len(controlled_experiments.REAL) + 1
    counts = {row["condition"]: row["n"] for row in rows}
    assert (counts["as in their training"], counts["2 Å/voxel"], counts["as deposited"]) == ("6", "4", "3")
    said = [
        row["agreement %"] for row in rows if row["classifier"] == "our DNN" and row["maps"] == "simulated"
    ]
    assert said == ["33.3", "33.3", "33.3", "0.0", "33.3"]  # it always says high
    assert figure.stat().st_size > 10000


def test_all_makes_what_can_be_made_and_names_the_rest(tmp_path, monkeypatch, capsys):
    def refuse(out, context):
        raise InputError("no model.")

    made = {"one": lambda out, context: [out / "one.csv"], "two": refuse}
    monkeypatch.setattr(all_tables, "ALL", made)
    assert all_tables.everything(tmp_path, Context()) == [tmp_path / "one.csv"]
    assert "two is not made: no model." in capsys.readouterr().err
    monkeypatch.setattr(all_tables, "ALL", {"two": refuse})
    with pytest.raises(InputError, match="two is not made"):
        all_tables.everything(tmp_path, Context())


@pytest.mark.parametrize("name", ["paper-dnn", "paper-cnn"])
def test_the_history_beside_a_shipped_model_is_the_one_on_its_card(name):
    on_card = model_store.read_card(name)["history"]
    path = model_store.shipped_folder() / f"{name}{training_curves.SHIPPED_HISTORY}"
    beside = run_files.read_history(path, list(on_card))
    assert {key: pytest.approx(values) for key, values in on_card.items()} == beside


def test_a_curve_that_no_training_made_is_not_drawn(tmp_path):
    if "paper-unet-resmap" in [one.name for one in model_store.available()]:
        pytest.skip("a ResMap U-Net is at hand")
    with pytest.raises(InputError, match="paper-unet-resmap"):
        training_curves.fig5(tmp_path, Context())
    assert not list(tmp_path.glob("fig5*"))
