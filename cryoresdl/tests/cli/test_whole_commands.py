"""Whole commands in this process, from files to files: what users type, on small maps and tiny trainings."""

import csv
import json

import numpy as np
import pytest

from cryoresdl.models.base import errors
from cryoresdl.models.cli import command_line, program_endings
from cryoresdl.models.inference import global_resolution, local_resolution
from cryoresdl.models.maps.mrc import mask_reader, mrc_reader
from cryoresdl.models.networks import network_runners
from cryoresdl.models.networks.model_files import model_archive, model_store
from cryoresdl.models.results import result_files
from cryoresdl.models.training import global_network
from cryoresdl.tests.helpers.places import PACKAGE, sample
from cryoresdl.tests.helpers.scipion_case import needs_models
from cryoresdl.tests.helpers.small_maps import make_item, write_items


@needs_models
def test_localres_writes_what_the_contract_says(tmp_path, capsys):
    out = tmp_path / "out"
    words = ["localres", sample("map"), "--mask", sample("mask"), "--out", str(out)]
    assert command_line.main(words) == 0
    said = capsys.readouterr()
    assert "median" in said.out and str(out) in said.out
    names = (
        result_files.LOCAL_RESOLUTION,
        result_files.LOCAL_CLASS,
        result_files.LOCAL_INTERVAL,
        result_files.MASK_USED,
    )
    assert {path.name for path in out.iterdir()} >= {*names, result_files.LOCAL_JSON}
    info = json.loads((out / result_files.LOCAL_JSON).read_text())
    density = mrc_reader.read(sample("map"))
    resolution = mrc_reader.read_values(out / result_files.LOCAL_RESOLUTION, density)
    assert resolution.voxel_size == pytest.approx(density.voxel_size)
    inside = mask_reader.read_mask(out / result_files.MASK_USED, density)
    assert info["n_voxels"] == inside.sum() == (resolution.data > 0).sum()
    assert info["median_A"] == pytest.approx(float(np.median(resolution.data[inside])), abs=0.01)
    assert not info["half_maps"] and info["mask"]["source"] == "given"
    assert command_line.main(words) == 2 and "--overwrite" in capsys.readouterr().err
    assert command_line.main([*words, "--resume"]) == 0 and "already" in capsys.readouterr().out


@needs_models
@pytest.mark.parametrize("half_maps", [False, True])
def test_the_answers_about_the_sample_are_its_known_truth(half_maps, tmp_path):
    """Simulated from atoms: the local resolution of every voxel and the resolution of the half maps are known."""
    words = [
        "validate",
        sample("map"),
        "--mask",
        sample("mask"),
        "--claimed",
        "3.2",
        "--quiet",
        "--no-report",
    ]
    halves = ["--half1", sample("half1"), "--half2", sample("half2")] if half_maps else []
    assert command_line.main([*words, *halves, "--out", str(tmp_path)]) == 0
    known = json.loads((PACKAGE / "data" / "sample.json").read_text())
    truth = mrc_reader.read_values(sample("truth")).data
    values, halfwidth = (
        mrc_reader.read_values(tmp_path / name).data
        for name in (result_files.LOCAL_RESOLUTION, result_files.LOCAL_INTERVAL)
    )
    error = np.abs(values - truth)[truth > 0]
    assert (values[truth > 0] > 0).all() and error.mean() < 0.2
    assert 0.6 < (error <= halfwidth[truth > 0]).mean() < 0.85  # intervals of 68 %
    assert np.median(truth[truth > 0]) == pytest.approx(known["truth_median_A"], abs=0.01)
    (entry,) = json.loads((tmp_path / result_files.CLASSIFICATION_JSON).read_text())
    assert known["global_fsc0143_A"] == pytest.approx(3.2, abs=0.01)
    assert entry["class"] == "high" and entry["claim"]["verdict"] == "supported"
    assert entry["resolution_A"] == pytest.approx(3.2, abs=0.1 if half_maps else 0.5)
    info = json.loads((tmp_path / result_files.LOCAL_JSON).read_text())
    assert info["half_maps"] == half_maps and not info["warnings"]


@needs_models
def test_classify_several_maps_is_one_list(tmp_path, capsys):
    import shutil

    copy = str(tmp_path / "b.mrc")
    shutil.copy(sample("map"), copy)
    words = ["classify", sample("map"), copy, "--claimed", "3", "--out", str(tmp_path / "out")]
    assert command_line.main(words) == 0
    entries = json.loads((tmp_path / "out" / result_files.CLASSIFICATION_JSON).read_text())
    assert [entry["map"] for entry in entries] == [sample("map"), copy]
    for entry in entries:
        assert sum(entry["probabilities"].values()) == pytest.approx(1, abs=1e-4)
        assert entry["claim"]["claimed_A"] == 3 and entry["interval_A"][0] < entry["resolution_A"]
    assert entries[0]["resolution_A"] == entries[1]["resolution_A"]
    assert entries[0]["class"] in capsys.readouterr().out
    assert command_line.main([*words, "--resume"]) == 0
    assert command_line.main(["classify", str(tmp_path / "none.mrc"), "--out", str(tmp_path / "x")]) == 2


def answer(density, mask=None, claimed=None, model="", half1=None, half2=None, criterion="0.143"):
    """An entry without a network."""
    if "stop" in density.path:
        raise program_endings.Stopped(15)
    return {
        "map": density.path,
        "class": "high",
        "probabilities": {"high": 1.0, "medium": 0.0, "low": 0.0},
        "resolution_A": None,
        "interval_A": None,
        "warnings": ["The map is unlike the others."],
        "claim": {"claimed_A": 3.0, "verdict": "cannot tell", "reasons": ["The mask is small."]},
    }


@pytest.fixture
def quick_classify(monkeypatch, tmp_path):
    """`classify` without networks; returns the words up to the maps, which are a, b, stop and bad."""
    import shutil

    monkeypatch.setattr(global_resolution, "classify", answer)
    monkeypatch.setattr(network_runners, "load_model", lambda *_: None)
    monkeypatch.setattr(model_store, "resolve", lambda name: tmp_path / "a.mrc")
    for name in ("a", "b", "stop"):
        shutil.copy(sample("map"), tmp_path / f"{name}.mrc")
    (tmp_path / "bad.mrc").write_bytes(b"junk")
    return ["classify", "--claimed", "3", "--out", str(tmp_path / "out")]


def classified(tmp_path):
    entries = json.loads((tmp_path / "out" / result_files.CLASSIFICATION_JSON).read_text())
    return [entry["map"].rpartition("/")[2] for entry in entries]


def test_classify_says_reasons_and_warnings(quick_classify, tmp_path, capsys):
    assert command_line.main([*quick_classify, str(tmp_path / "a.mrc")]) == 0
    said = capsys.readouterr().out
    assert "claim 3 A cannot tell" in said
    assert "reason: The mask is small." in said and "warning: The map is unlike the others." in said


def test_classify_keeps_what_is_finished_beside_a_bad_map(quick_classify, tmp_path, capsys):
    words = [*quick_classify, *(str(tmp_path / f"{name}.mrc") for name in ("a", "bad", "b"))]
    assert command_line.main(words) == 2
    first, last = capsys.readouterr().err.splitlines()
    assert "bad.mrc" in first and "1 of 3 maps could not be classified" in last
    assert classified(tmp_path) == ["a.mrc", "b.mrc"]
    # The list is not complete: a resume does not say that it is.
    assert command_line.main([*words, "--resume"]) == 2 and "bad.mrc" in capsys.readouterr().err
    assert command_line.main([*quick_classify, str(tmp_path / "bad.mrc"), "--overwrite"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_classify_keeps_what_is_finished_when_stopped(quick_classify, tmp_path, capsys):
    words = [*quick_classify, *(str(tmp_path / f"{name}.mrc") for name in ("a", "stop", "b"))]
    assert command_line.main(words) == 143 and "is kept" in capsys.readouterr().err
    assert classified(tmp_path) == ["a.mrc"]


def test_localres_with_a_network_of_the_paper(tmp_path):
    """Classes of 16^3 patches; angstroms are class centres, never beyond Nyquist, and it says so."""
    pytest.importorskip("tensorflow")
    from cryoresdl.models.networks import paper_networks

    network = paper_networks.describe_network(paper_networks.UNET, 1 / 64)
    weights = paper_networks.to_weights(paper_networks.build_paper_network(network))
    card = {"kind": "local", "name": "tiny-unet", "network": network}
    path = model_archive.save_model(tmp_path / "tiny.cryoresdl", card, weights)
    words = ["localres", sample("map"), "--mask", sample("mask"), "--model", str(path)]
    assert command_line.main([*words, "--out", str(tmp_path / "out"), "--quiet"]) == 0
    info = json.loads((tmp_path / "out" / result_files.LOCAL_JSON).read_text())
    assert info["model"]["name"] == "tiny-unet" and any("class centres" in text for text in info["warnings"])
    density = mrc_reader.read(sample("map"))
    values = mrc_reader.read_values(tmp_path / "out" / result_files.LOCAL_RESOLUTION, density).data
    inside = mask_reader.read_mask(sample("mask"), density)
    assert (values[inside] >= 2 * density.voxel_size - 1e-5).all() and not values[~inside].any()
    other = {**card, "name": "odd", "network": {"name": "unheard-of", "config": {}}}
    odd = model_archive.save_model(tmp_path / "odd.cryoresdl", other, weights)
    with pytest.raises(errors.InputError, match="unheard-of"):
        local_resolution.localres(density, mask=inside, model=str(odd))


@pytest.fixture(scope="module")
def feature_file(tmp_path_factory):
    """A feature set of a few tiny maps: enough for every stage of a training to run."""
    splits = {}
    for split, count in (("train", 6), ("validation", 3), ("test", 3)):
        for index in range(count):
            item = make_item(index + 10 * len(split), split=split, voxel=1.0 + index)
            rng = np.random.default_rng(index)
            item.summary = {v: rng.normal(size=s.shape).astype(np.float32) for v, s in item.summary.items()}
            known = 3.0 + 4 * index
            item.info.update(global_fsc0143_A=known, measured_fsc0143_masked_A=known)
            item.info.update(global_fsc05_A=1.2 * known, measured_fsc05_masked_A=1.2 * known)
            splits.setdefault(split, []).append(item)
    path = write_items(tmp_path_factory.mktemp("features") / "set.h5", splits)
    return str(path)


@needs_models
def test_the_default_global_network_is_trained_and_measured(feature_file, tmp_path, capsys, monkeypatch):
    pytest.importorskip("tensorflow")
    train = global_network.train_members
    # Each member compiles for seconds: two are enough.
    monkeypatch.setattr(global_network, "train_members", lambda *words: train(*words[:-1], members=2))
    run = tmp_path / "run"
    words = [
        "train",
        "cnn",
        "--data",
        feature_file,
        "--epochs",
        "2",
        "--out",
        str(run),
        "--seed",
        "3",
        "--quiet",
    ]
    assert command_line.main(words) == 0
    card = model_store.read_card(run / "model.cryoresdl")
    assert card["kind"] == "global" and set(card["calibration"]) >= {"temperature", "distance_limit"}
    assert card["name"] == "run" and card["metrics"]["split"].startswith("test, structures of clusters")
    assert json.loads((run / "card.json").read_text())["metrics"] == card["metrics"]
    assert (run / "training.png").stat().st_size > 10_000
    out = tmp_path / "measured"
    measure = ["evaluate", "--data", feature_file, "--model", str(run / "model.cryoresdl"), "--out", str(out)]
    assert command_line.main([*measure, "--quiet"]) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["kind"] == "global" and 0 <= metrics["accuracy"] <= 1
    assert np.sum(metrics["confusion"]["matrix"]) == metrics["n"] > 0
    capsys.readouterr()
    assert command_line.main([*measure, "--resume"]) == 0 and "already" in capsys.readouterr().out
    # The trained network answers about maps as the shipped one does.
    words = ["classify", sample("map"), "--model", str(run / "model.cryoresdl"), "--out", str(tmp_path / "c")]
    assert command_line.main([*words, "--quiet"]) == 0


@needs_models
def test_the_default_local_network_is_measured_on_features(feature_file, tmp_path):
    pytest.importorskip("tensorflow")
    out = tmp_path / "measured"
    words = [
        "evaluate",
        "--data",
        feature_file,
        "--model",
        "truth",
        "--out",
        str(out),
        "--limit",
        "2",
        "--quiet",
    ]
    assert command_line.main(words) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["kind"] == "local" and metrics["n"] == 2 and "mae_A" in metrics["single"]
    with open(next(out.glob("*map*.csv")), newline="") as stream:
        rows = list(csv.DictReader(stream))
    inputs = [row["input"] for row in rows]
    # The features of these maps are drawn: those of one look as if they came from half maps.
    assert inputs.count("single") == 2 and inputs.count("halves") == 1 and len(rows) == 3


def test_measuring_a_model_on_what_it_cannot_read_is_refused(feature_file, tmp_path, capsys):
    for model in ("paper-dnn",):
        words = ["evaluate", "--data", feature_file, "--model", model, "--out", str(tmp_path / "x")]
        assert command_line.main(words) == 2 and "network of the paper" in capsys.readouterr().err
    assert (
        command_line.main(
            ["evaluate", "--data", sample("map"), "--model", "truth", "--out", str(tmp_path / "y")]
        )
        == 2
    )


@pytest.fixture(scope="module")
def triples_csv(tmp_path_factory):
    """Three times the sample map with its truth, without splits."""
    rows = [f"{sample('map')},{sample('truth')},{sample('mask')},m{k}" for k in range(3)]
    path = tmp_path_factory.mktemp("csv") / "triples.csv"
    path.write_text("\n".join(["map,label,mask,name", *rows, ""]))
    return path


def test_a_feature_set_of_ones_own_maps_goes_on_with_the_same_list_only(triples_csv, tmp_path, capsys):
    words = ["dataset", "features", "--out", str(tmp_path / "own.h5"), "--csv"]
    assert command_line.main([*words, str(triples_csv)]) == 0
    assert "3 maps added, 0 skipped; it holds test 1, train 1, validation 1" in capsys.readouterr().err
    card = json.loads((tmp_path / "own.json").read_text())
    assert card["labels"] == ["monores"]
    assert command_line.main([*words, str(triples_csv), "--resume"]) == 0
    assert "0 maps added" in capsys.readouterr().err
    assert command_line.main([*words, str(triples_csv), "--labels", "truth", "--resume"]) == 2
    assert "labels monores, and truth would be added" in capsys.readouterr().err
    other = tmp_path / "other.csv"
    other.write_text(triples_csv.read_text().replace(",m1", ",another"))
    assert command_line.main([*words, str(other), "--resume"]) == 2
    assert "made from another list: its map 2 is 'm1', not 'another'" in capsys.readouterr().err
    train = ["train", "unet", "--data", str(tmp_path / "own.h5"), "--out", str(tmp_path / "run")]
    assert command_line.main([*train, "--labels", "truth"]) == 2
    assert "has monores labels, not truth; leave --labels out" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@needs_models
def test_the_global_network_does_not_learn_from_patches(triples_csv, tmp_path, capsys):
    patches = str(tmp_path / "patches.h5")
    assert (
        command_line.main(["dataset", "local", "--csv", str(triples_csv), "--out", patches, "--quiet"]) == 0
    )
    assert command_line.main(["train", "cnn", "--data", patches, "--out", str(tmp_path / "run")]) == 2
    assert "patches.h5 holds patches with a label per voxel" in capsys.readouterr().err
