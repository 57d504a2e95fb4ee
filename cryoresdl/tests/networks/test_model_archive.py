"""The model file: what goes in comes out, and nothing damaged, foreign or hostile gets in."""

import io
import json
import pickle
import zipfile

import numpy as np
import pytest

from cryoresdl.models.base.errors import InputError
from cryoresdl.models.networks.model_files import model_archive, model_store

CARD = {
    "name": "tiny",
    "kind": "global",
    "network": {"name": "a-later-network", "config": {"side": 8}},
    "created": "x",
}


@pytest.fixture
def weights():
    random = np.random.default_rng(1)
    return {
        "dense/kernel:0": random.normal(size=(7, 5)).astype(np.float16),
        "bias": np.arange(5, dtype=np.float32),
        "scalar": np.float32(2.5),
        "zeros": np.zeros((60, 60), np.float32),
        "fortran": np.asfortranarray(random.normal(size=(4, 3))),
    }


@pytest.fixture
def saved(tmp_path, weights):
    return model_archive.save_model(tmp_path / "tiny.cryoresdl", CARD, weights)


def test_round_trip_keeps_types_shapes_and_values(saved, weights):
    model = model_store.load_named(saved)
    assert (
        model.name == "tiny" and model.kind == "global" and model.card["format"] == model_archive.MODEL_FORMAT
    )
    assert set(model.weights) == set(weights)
    for name, value in weights.items():
        got = model.weights[name]
        assert got.dtype == np.asarray(value).dtype and got.shape == np.shape(value)
        np.testing.assert_array_equal(got, value)
        assert got.flags.writeable
    assert model.digest == model_store.digest(saved) == model_store.digest(model) and len(model.digest) == 64


def test_same_content_gives_same_bytes_and_other_content_another_digest(tmp_path, saved, weights):
    again = model_archive.save_model(
        tmp_path / "again.cryoresdl", dict(CARD), dict(reversed(list(weights.items())))
    )
    assert again.read_bytes() == saved.read_bytes()
    weights["bias"][0] += 1
    other = model_archive.save_model(tmp_path / "other.cryoresdl", CARD, weights)
    assert model_store.digest(other) != model_store.digest(saved)


def test_every_truncation_is_refused(saved, tmp_path):
    data = saved.read_bytes()
    cut = tmp_path / "cut.cryoresdl"
    for length in list(range(0, len(data), 37)) + [len(data) - 1]:
        cut.write_bytes(data[:length])
        with pytest.raises(InputError):
            model_store.load_named(cut)


def test_a_flipped_bit_is_refused_or_harmless(saved, tmp_path, weights):
    data = bytearray(saved.read_bytes())
    flipped = tmp_path / "flipped.cryoresdl"
    refused = 0
    for position in range(0, len(data), 41):
        changed = bytearray(data)
        changed[position] ^= 1 << (position % 8)
        flipped.write_bytes(changed)
        try:
            model = model_store.load_named(flipped)
        except InputError:
            refused += 1
            continue
        # Only bits of the zip's own bookkeeping (dates, attributes) may pass: content is as saved.
        for name, value in weights.items():
            np.testing.assert_array_equal(model.weights[name], value)
        assert {key: model.card[key] for key in CARD} == CARD
    assert refused > 0.8 * len(range(0, len(data), 41))


def rewrite(source, target, change):
    """Copy a model, passing its members (name -> bytes) through ``change``."""
    with zipfile.ZipFile(source) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return target


def set_manifest(**values):
    def change(members):
        members["manifest.json"] = json.dumps(dict(json.loads(members["manifest.json"]), **values)).encode()

    return change


@pytest.mark.parametrize(
    "change, word",
    [
        (set_manifest(format=99), "update CryoResDL"),
        (set_manifest(format="1"), "format number"),
        (set_manifest(format=True), "format number"),
        (set_manifest(magic="other"), "not a CryoResDL model"),
        (set_manifest(files={}), "digests"),
        (lambda members: members.update({"card.json": b"{}"}), "digest"),
        (lambda members: members.update({"../evil.py": b"x"}), "foreign"),
        (lambda members: members.pop("weights.npz"), "lacks parts"),
        (lambda members: members.pop("manifest.json"), "not a CryoResDL model"),
        (lambda members: members.update({"manifest.json": b"[" * 100_000}), "not JSON"),
    ],
)
def test_foreign_or_newer_files_are_refused_with_a_reason(saved, tmp_path, change, word):
    bad = rewrite(saved, tmp_path / "bad.cryoresdl", change)
    with pytest.raises(InputError, match=word):
        model_store.load_named(bad)
    with pytest.raises(InputError):
        model_store.digest(
            rewrite(saved, tmp_path / "b.cryoresdl", lambda m: m.update({"manifest.json": b"x"}))
        )


def forge(path, npz):
    """A model whose digests are right but whose weights member is ``npz``."""
    from hashlib import sha256

    card = json.dumps(CARD).encode()
    files = {
        n: {"sha256": sha256(d).hexdigest(), "bytes": len(d)}
        for n, d in (("card.json", card), ("weights.npz", npz))
    }
    manifest = json.dumps({"magic": "cryoresdl-model", "format": 1, "files": files})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest.json", manifest)
        archive.writestr("card.json", card)
        archive.writestr("weights.npz", npz)
    return path


def npz(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "/") + ".npy", data)
    return buffer.getvalue()


def npy(array, allow_pickle=False):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=allow_pickle)
    return buffer.getvalue()


class Exploit:
    """Unpickling it would leave a trace."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('code from a model file was run')",))


def test_pickles_are_never_run(tmp_path):
    loaded = npy(np.array([Exploit()], dtype=object), allow_pickle=True)
    for data in (npz(a=loaded), npz(a=pickle.dumps(Exploit())), pickle.dumps(Exploit())):
        with pytest.raises(InputError):
            model_store.load_named(forge(tmp_path / "evil.cryoresdl", data))


def test_bombs_and_lying_headers_are_refused_before_memory_is_taken(tmp_path):
    path = tmp_path / "bomb.cryoresdl"
    with pytest.raises(InputError, match="far more"):
        model_store.load_named(forge(path, npz(a=npy(np.zeros(50_000_000, np.uint8)))))
    for text in (b"(-4,)", b"(4.0,)", b"(4,", b"[4]*9**9"):
        lie = npy(np.zeros(4, np.float32)).replace(b"(4,), }" + b" " * (len(text) - 4), text + b", }")
        with pytest.raises(InputError, match="damaged"):
            model_store.load_named(forge(path, npz(a=lie)))
    header = npy(np.zeros((4,), np.float32))
    huge = header.replace(b"(4,), }            ", b"(4000000000000,), }")
    assert huge != header and len(huge) == len(header)
    with pytest.raises(InputError, match="damaged"):
        model_store.load_named(forge(path, npz(a=huge)))


def test_paths_inside_are_refused(tmp_path):
    good = npy(np.zeros(3, np.float32))
    for name in ("..__..__evil", "__etc__passwd", "a__..__b"):
        with pytest.raises(InputError, match="name"):
            model_store.load_named(forge(tmp_path / "paths.cryoresdl", npz(**{name: good})))
    with pytest.raises(InputError):
        model_archive.save_model(tmp_path / "x.cryoresdl", CARD, {"../x": np.zeros(2)})
    assert [path.name for path in tmp_path.iterdir()] == ["paths.cryoresdl"]


@pytest.mark.parametrize("data", [b"", b"not a zip", b"PK\x03\x04" + b"\0" * 200])
def test_other_files_are_refused(tmp_path, data):
    path = tmp_path / "a b;c%.cryoresdl"
    path.write_bytes(data)
    with pytest.raises(InputError, match="not a CryoResDL model"):
        model_store.load_named(path)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "other"},
        {"name": ""},
        {"name": "../x"},
        {"network": None},
        {"extra": float("nan")},
        {"extra": object()},
    ],
)
def test_bad_cards_are_not_saved(tmp_path, change):
    with pytest.raises(InputError):
        model_archive.save_model(tmp_path / "x.cryoresdl", dict(CARD, **change), {})
    assert not list(tmp_path.iterdir())


def test_names_find_shipped_before_installed(tmp_path, saved, monkeypatch):
    shipped, installed = tmp_path / "shipped", tmp_path / "installed"
    shipped.mkdir()
    monkeypatch.setattr(model_store, "shipped_folder", lambda: shipped)
    monkeypatch.setenv("CRYORESDL_MODELS", str(installed))
    assert model_store.available() == []
    path = model_store.install(saved)
    assert path.parent == installed and model_store.resolve("tiny") == path
    assert model_store.available() == [("tiny", "global", str(path), "installed")]
    with pytest.raises(InputError, match="already installed"):
        model_store.install(saved)
    model_store.install(saved, overwrite=True)
    model_store.install(saved, "second")
    assert model_store.load_named("second").name == "second"
    model_archive.save_model(shipped / "tiny.cryoresdl", CARD, {})
    (installed / "broken.cryoresdl").write_bytes(b"junk")
    assert [(one.name, one.source) for one in model_store.available()] == [
        ("tiny", "shipped"),
        ("second", "installed"),
    ]
    assert model_store.resolve("tiny").parent == shipped
    with pytest.raises(InputError, match="shipped model"):
        model_store.install(saved)
    with pytest.raises(InputError, match="cannot name"):
        model_store.install(saved, "a/b")


@pytest.mark.parametrize("name", ["nothing", "", "../tiny", "a\0b", "/no/such.cryoresdl"])
def test_unknown_names_say_what_is_there(name):
    with pytest.raises(InputError, match="model"):
        model_store.resolve(name)


def test_read_card_does_not_touch_the_weights(saved, tmp_path):
    broken = rewrite(
        saved, tmp_path / "half.cryoresdl", lambda members: members.update({"weights.npz": b"gone"})
    )
    assert model_store.read_card(broken)["name"] == "tiny"
    with pytest.raises(InputError, match="digest"):
        model_store.load_named(broken)


def test_lists_of_models_begin_with_the_recommended_and_count_maps_as_their_cards_do():
    """They were in alphabetical order, and 'n' was maps for one network and answers for another."""
    from cryoresdl.models.cli.commands import models
    from cryoresdl.models.networks.model_files import model_card

    assert [one.name for one in model_store.available()][:2] == ["default", "truth"]
    groups = {"all": 1150, "realistic single": 647, "realistic halves": 383, "clean single": 120}
    metrics = {
        "all": {"accuracy": 0.9, "rows": 1150},
        **{k: {"rows": v, "accuracy": 0.9} for k, v in groups.items()},
    }
    card = {"kind": "global", "name": "x", "network": {"name": "band-profile"}, "metrics": metrics}
    assert models.headline(card) == "accuracy 90.0% (767 maps)"
    said = "How good, on 767 maps (1,150 answers, 383 of them from half maps) that it never saw:"
    assert said in model_card.in_words(card)
    data = {"maps": {"train": 9, "test": 771}}
    local = {"kind": "local", "data": data, "metrics": {"maps": 298, "single_mae_A": 1.0}}
    assert "How good, on 298 maps of other sets that it never saw:" in model_card.in_words(local)
    assert "Learned from 9 maps; 771 of its own sets kept apart for testing." in model_card.in_words(local)
