"""Whole commands in this process, from files to files: what users type, on small maps and tiny trainings."""

import csv
import functools
import json

import numpy as np
import pytest

from cryoresdl.models import cli, constants, inference, maps, model_file, profile_training

from .scipion_case import needs_models
from .small_maps import make_item, write_items


def sample(part):
    from pathlib import Path

    return str(Path(maps.__file__).resolve().parents[1] / "data" / f"sample_{part}.mrc")


@needs_models
def test_localres_writes_what_the_contract_says(tmp_path, capsys):
    out = tmp_path / "out"
    words = ["localres", sample("map"), "--mask", sample("mask"), "--out", str(out)]
    assert cli.main(words) == 0
    said = capsys.readouterr()
    assert "median" in said.out and str(out) in said.out
    names = (constants.LOCAL_RESOLUTION, constants.LOCAL_CLASS, constants.LOCAL_INTERVAL, constants.MASK_USED)
    assert {path.name for path in out.iterdir()} >= {*names, constants.LOCAL_JSON}
    info = json.loads((out / constants.LOCAL_JSON).read_text())
    density = maps.read(sample("map"))
    resolution = maps.read_values(out / constants.LOCAL_RESOLUTION, density)
    assert resolution.voxel_size == pytest.approx(density.voxel_size)
    inside = maps.read_mask(out / constants.MASK_USED, density)
    assert info["n_voxels"] == inside.sum() == (resolution.data > 0).sum()
    assert info["median_A"] == pytest.approx(float(np.median(resolution.data[inside])), abs=0.01)
    assert not info["half_maps"] and info["mask"]["source"] == "given"
    assert cli.main(words) == 2 and "--overwrite" in capsys.readouterr().err
    assert cli.main([*words, "--resume"]) == 0 and "already" in capsys.readouterr().out


@needs_models
def test_half_maps_bring_the_answer_nearer_to_the_truth(tmp_path):
    words = ["localres", sample("map"), "--mask", sample("mask"), "--quiet"]
    halves = ["--half1", sample("half1"), "--half2", sample("half2")]
    truth = maps.read_values(sample("truth"))
    errors = []
    for name, more in (("one", []), ("two", halves)):
        assert cli.main([*words, *more, "--out", str(tmp_path / name)]) == 0
        values = maps.read_values(tmp_path / name / constants.LOCAL_RESOLUTION).data
        inside = (truth.data > 0) & (values > 0)
        errors.append(np.abs(values - truth.data)[inside].mean())
        info = json.loads((tmp_path / name / constants.LOCAL_JSON).read_text())
        assert info["half_maps"] == bool(more)
    assert max(errors) < 0.6 and errors[1] < errors[0] + 0.1


@needs_models
def test_classify_several_maps_is_one_list(tmp_path, capsys):
    import shutil

    copy = str(tmp_path / "b.mrc")
    shutil.copy(sample("map"), copy)
    words = ["classify", sample("map"), copy, "--claimed", "3", "--out", str(tmp_path / "out")]
    assert cli.main(words) == 0
    entries = json.loads((tmp_path / "out" / constants.CLASSIFICATION_JSON).read_text())
    assert [entry["map"] for entry in entries] == [sample("map"), copy]
    for entry in entries:
        assert sum(entry["probabilities"].values()) == pytest.approx(1, abs=1e-4)
        assert entry["claim"]["claimed_A"] == 3 and entry["interval_A"][0] < entry["resolution_A"]
    assert entries[0]["resolution_A"] == entries[1]["resolution_A"]
    assert entries[0]["class"] in capsys.readouterr().out
    assert cli.main([*words, "--resume"]) == 0
    assert cli.main(["classify", str(tmp_path / "none.mrc"), "--out", str(tmp_path / "x")]) == 2


def test_localres_with_a_network_of_the_paper(tmp_path):
    """Classes of 16^3 patches; angstroms are class centres, never beyond Nyquist, and it says so."""
    pytest.importorskip("tensorflow")
    from cryoresdl.models import networks

    network = networks.describe(networks.UNET, 1 / 64)
    weights = networks.to_weights(networks.build(network))
    card = {"kind": "local", "name": "tiny-unet", "network": network}
    path = model_file.save(tmp_path / "tiny.cryoresdl", card, weights)
    words = ["localres", sample("map"), "--mask", sample("mask"), "--model", str(path)]
    assert cli.main([*words, "--out", str(tmp_path / "out"), "--quiet"]) == 0
    info = json.loads((tmp_path / "out" / constants.LOCAL_JSON).read_text())
    assert info["model"]["name"] == "tiny-unet" and any("class centres" in text for text in info["warnings"])
    density = maps.read(sample("map"))
    values = maps.read_values(tmp_path / "out" / constants.LOCAL_RESOLUTION, density).data
    inside = maps.read_mask(sample("mask"), density)
    assert (values[inside] >= 2 * density.voxel_size - 1e-5).all() and not values[~inside].any()
    other = {**card, "name": "odd", "network": {"name": "unheard-of", "config": {}}}
    odd = model_file.save(tmp_path / "odd.cryoresdl", other, weights)
    with pytest.raises(inference.InputError, match="unheard-of"):
        inference.localres(density, mask=inside, model=str(odd))


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
            splits.setdefault(split, []).append(item)
    path = write_items(tmp_path_factory.mktemp("features") / "set.h5", splits)
    return str(path)


@needs_models
def test_the_default_global_network_is_trained_and_measured(feature_file, tmp_path, capsys, monkeypatch):
    pytest.importorskip("tensorflow")
    two = functools.partial(profile_training.train_members, members=2)  # each compiles for seconds
    monkeypatch.setattr(profile_training, "train_members", two)
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
    assert cli.main(words) == 0
    card = model_file.read_card(run / "model.cryoresdl")
    assert card["kind"] == "global" and set(card["calibration"]) >= {"temperature", "distance_limit"}
    out = tmp_path / "measured"
    measure = ["evaluate", "--data", feature_file, "--model", str(run / "model.cryoresdl"), "--out", str(out)]
    assert cli.main([*measure, "--quiet"]) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["kind"] == "global" and 0 <= metrics["accuracy"] <= 1
    assert np.sum(metrics["confusion"]["matrix"]) == metrics["n"] > 0
    capsys.readouterr()
    assert cli.main([*measure, "--resume"]) == 0 and "already" in capsys.readouterr().out
    # The trained network answers about maps as the shipped one does.
    words = ["classify", sample("map"), "--model", str(run / "model.cryoresdl"), "--out", str(tmp_path / "c")]
    assert cli.main([*words, "--quiet"]) == 0


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
    assert cli.main(words) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["kind"] == "local" and metrics["n"] == 2 and "mae_A" in metrics["single"]
    with open(next(out.glob("*map*.csv")), newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["input"] for row in rows} == {"single", "halves"} and len(rows) == 4


def test_measuring_a_model_on_what_it_cannot_read_is_refused(feature_file, tmp_path, capsys):
    for model in ("paper-dnn",):
        words = ["evaluate", "--data", feature_file, "--model", model, "--out", str(tmp_path / "x")]
        assert cli.main(words) == 2 and "network of the paper" in capsys.readouterr().err
    assert (
        cli.main(["evaluate", "--data", sample("map"), "--model", "truth", "--out", str(tmp_path / "y")]) == 2
    )
