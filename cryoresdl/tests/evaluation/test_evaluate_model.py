"""``cryoresdl evaluate`` and ``cryoresdl models``: measured on made data whose answers are known."""

import json

import numpy as np
import pytest

from cryoresdl.models.cli import command_line
from cryoresdl.models.evaluation import class_measures, map_set_measures
from cryoresdl.models.networks import paper_networks
from cryoresdl.models.networks.model_files import model_archive, model_store
from cryoresdl.models.results.figures import drawing
from cryoresdl.tests.helpers.map_sets import global_set
from cryoresdl.tests.helpers.small_maps import make_item, save_local_model, write_items


def constant_dnn(path, favourite):
    network = paper_networks.describe_network("paper-dnn", 0.02, 8)
    weights = {
        name: np.zeros(shape, np.float32) for name, shape in paper_networks.weight_shapes(network).items()
    }
    weights["logits/bias"][favourite] = 2.0
    card = {"name": "constant", "kind": "global", "network": network, "metrics": {"test": {"accuracy": 0.5}}}
    return str(model_archive.save_model(path, card, weights))


def test_no_cell_or_heading_of_a_table_is_a_formula(tmp_path):
    rows = [{"map": "=1+1", "@name": "+a", "error": -1.5}, {"map": "b", "error": None}]
    path = class_measures.write_measures(tmp_path / "per_map.csv", rows)
    assert path.read_text() == "map,'@name,error\n'=1+1,'+a,-1.5\nb,,\n"


def test_a_constant_classifier_scores_a_third(tmp_path):
    data, model = global_set(tmp_path / "g.h5"), constant_dnn(tmp_path / "c.cryoresdl", 1)
    words = ["evaluate", "--data", data, "--model", model, "--out", str(tmp_path / "out"), "--quiet"]
    assert command_line.main(words) == 0
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["n"] == 3 and metrics["accuracy"] == pytest.approx(1 / 3)
    assert metrics["majority_baseline"] == pytest.approx(1 / 3)
    assert metrics["accuracy_interval"][0] < 1 / 3 < metrics["accuracy_interval"][1]
    assert metrics["confusion"]["matrix"] == [[0, 1, 0], [0, 1, 0], [0, 1, 0]]
    assert metrics["one_vs_rest"]["medium"]["sensitivity"] == 1
    sure = float(np.exp(2) / (np.exp(2) + 2))
    assert metrics["calibration"]["ece"] == pytest.approx(sure - 1 / 3, abs=1e-5)
    table = (tmp_path / "out" / "metrics.csv").read_text().splitlines()
    assert table[0].startswith("class,predicted high") and table[2].startswith("medium,0,1,0,100.0")
    assert len((tmp_path / "out" / "per_map.csv").read_text().splitlines()) == 4
    for name in ("confusion.png", "reliability.png"):
        assert (tmp_path / "out" / name).stat().st_size > 5000
    assert command_line.main(words) == 2


def test_train_evaluate_and_reproduce_from_the_command_line(tmp_path, capsys):
    """The whole way of the DNN: data set, training, model file, measurement, figure."""
    data = global_set(tmp_path / "g.h5", 30)
    run = str(tmp_path / "run")
    words = ["train", "dnn", "--paper", "--data", data, "--width", "0.05", "--epochs", "60", "--batch", "6"]
    words += ["--learning-rate", "0.1", "--orientations", "4", "--out", run, "--seed", "2", "--quiet"]
    assert command_line.main(words) == 0
    assert command_line.main(words) == 2 and "already holds" in capsys.readouterr().err
    card = model_store.read_card(f"{run}/model.cryoresdl")
    assert card["training"]["epochs_run"] == 60 and card["training"]["orientations"] == 4
    assert card["data"]["examples"] == {"train": 24, "validation": 3, "test": 3}
    assert len(card["history"]["epoch"]) == 60 and card["metrics"]["test"]["accuracy"] == 1
    small = model_store.read_card(f"{run}/model-small.cryoresdl")
    assert small["network"]["name"] == "paper-dnn-lowrank"
    assert small["metrics"]["full_network"]["accuracy"] == 1 and small["metrics"]["test"]["accuracy"] == 1
    for name in ("history.csv", "training.png", "confusion.png", "card.json", "model.cryoresdl"):
        assert (tmp_path / "run" / name).stat().st_size > 0
    for name in ("model", "model-small"):
        out = str(tmp_path / name)
        assert (
            command_line.main(
                ["evaluate", "--data", data, "--model", f"{run}/{name}.cryoresdl", "--out", out, "--quiet"]
            )
            == 0
        )
        assert json.loads((tmp_path / name / "metrics.json").read_text())["accuracy"] == 1
    capsys.readouterr()
    words = ["evaluate", "--data", data, "--out", out, "--quiet", "--resume", "--model"]
    assert command_line.main([*words, f"{run}/model-small.cryoresdl"]) == 0
    assert "already complete" in capsys.readouterr().out
    assert command_line.main([*words, f"{run}/model.cryoresdl"]) == 0
    assert "already" not in capsys.readouterr().out
    assert command_line.main([*words, f"{run}/model.cryoresdl", "--split", "train"]) == 0
    assert json.loads((tmp_path / name / "metrics.json").read_text())["split"] == "train"
    assert (
        command_line.main(["reproduce", "fig2", "--history", run, "--out", str(tmp_path / "fig"), "--quiet"])
        == 0
    )
    assert (tmp_path / "fig" / "fig2.png").exists()


def test_resumed_training_of_the_command_line_is_the_same(tmp_path):
    data = global_set(tmp_path / "g.h5", 30)
    common = ["train", "dnn", "--paper", "--data", data, "--width", "0.05", "--batch", "6", "--quiet"]
    whole, parts = str(tmp_path / "whole"), str(tmp_path / "parts")
    assert command_line.main([*common, "--epochs", "8", "--out", whole]) == 0
    assert command_line.main([*common, "--epochs", "3", "--out", parts]) == 0
    assert command_line.main([*common, "--epochs", "8", "--out", parts, "--resume"]) == 0
    assert (tmp_path / "parts" / "history.csv").read_text() == (
        tmp_path / "whole" / "history.csv"
    ).read_text()
    first, second = (model_store.load_named(f"{folder}/model.cryoresdl") for folder in (whole, parts))
    for name, value in first.weights.items():
        np.testing.assert_array_equal(value, second.weights[name])


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["train", "unet", "--paper"], "not a local data set"),
        (["train", "dnn"], "only as in the paper"),
        (["train", "cnn", "--width", "0.5"], "--paper"),
        (["train", "cnn", "--paper", "--labels", "monores"], "U-Net"),
        (["train", "cnn", "--paper", "--orientations", "4"], "gram"),
        (["train", "dnn", "--paper", "--optimizer", "adam"], "gram"),
        (["train", "dnn", "--paper", "--width", "3"], "width"),
        (["train", "dnn", "--paper", "--start", "truth"], "scratch"),
    ],
)
def test_options_that_do_not_go_together(tmp_path, capsys, words, sentence):
    data = global_set(tmp_path / "g.h5")
    assert command_line.main([*words, "--data", data, "--out", str(tmp_path / "out"), "--quiet"]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out" / "model.cryoresdl").exists()


def test_models_that_do_not_fit_the_data_are_refused(tmp_path, capsys):
    data = global_set(tmp_path / "g.h5")
    network = paper_networks.describe_network("paper-unet", 1 / 64)
    weights = {
        name: np.zeros(shape, np.float32) for name, shape in paper_networks.weight_shapes(network).items()
    }
    unet = str(
        model_archive.save_model(
            tmp_path / "u.cryoresdl", {"name": "u", "kind": "local", "network": network}, weights
        )
    )
    assert command_line.main(["evaluate", "--data", data, "--model", unet, "--out", str(tmp_path / "a")]) == 2
    assert "local model" in capsys.readouterr().err
    (tmp_path / "no.h5").write_text("no")
    assert (
        command_line.main(
            ["evaluate", "--data", str(tmp_path / "no.h5"), "--model", unet, "--out", str(tmp_path / "b")]
        )
        == 2
    )
    assert "Cannot open" in capsys.readouterr().err


def test_spread_takes_both_ends():
    np.testing.assert_array_equal(map_set_measures.spread(np.arange(10), 3), [0, 4, 9])
    np.testing.assert_array_equal(map_set_measures.spread(np.arange(2), 3), [0, 1])


def test_models_lists_shows_and_installs(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("CRYORESDL_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(model_store, "shipped_folder", lambda: tmp_path / "none")
    assert command_line.main(["models"]) == 0
    assert "no models" in capsys.readouterr().out
    path = constant_dnn(tmp_path / "c.cryoresdl", 0)
    assert command_line.main(["models", "mine", "--install", path]) == 0
    assert command_line.main(["models"]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.split()[:4] == ["mine", "global", "installed", "paper-dnn"] and "accuracy 50.0%" in line
    assert command_line.main(["models", "mine"]) == 0
    text = capsys.readouterr().out
    assert "digest: " in text and "width: 0.02" in text
    assert command_line.main(["models", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["card"]["name"] == "mine"
    assert command_line.main(["models", "other"]) == 2
    assert "models at hand: mine" in capsys.readouterr().err


def test_shipped_paper_dnn_names_the_full_network():
    """Whatever is shipped under the paper's names says what it was compressed from and how good both are."""
    for one in model_store.available():
        card = model_store.read_card(one.path)
        if card["network"]["name"] == paper_networks.DNN_LOW_RANK:
            assert card["compressed_from"]["name"] == paper_networks.DNN
            assert paper_networks.parameter_count(card["compressed_from"]) == 262_245_403
            assert {"accuracy", "accuracy_n"} <= set(card["metrics"]["full_network"])


@pytest.mark.parametrize("labels, said", [("monores", "class by MonoRes"), ("truth", "true class")])
def test_labels_of_a_program_are_not_called_true(labels, said, tmp_path, monkeypatch):
    """A confusion matrix against MonoRes' answers says so."""
    data = write_items(tmp_path / "f.h5", {"test": [make_item(0, split="test", labels=labels)]})
    model = save_local_model(tmp_path / "m.cryoresdl")
    drawn = []
    monkeypatch.setattr(drawing, "save_figure", lambda figure, path, **_: drawn.append(figure) or path)
    words = [
        "evaluate",
        "--data",
        str(data),
        "--model",
        str(model),
        "--out",
        str(tmp_path / "out"),
        "--quiet",
    ]
    assert command_line.main(words) == 0
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["labels"] == labels and metrics["confusion"]["classes"][0] == "0-2"
    assert drawn[0].axes[0].get_ylabel() == said + " (Å)"
