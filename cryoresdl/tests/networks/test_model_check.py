"""Crafted model files: each is refused in one sentence, or answers as the file that it was made from."""

import copy
import io
import json
import resource
import subprocess
import sys
import zipfile
from hashlib import sha256

import numpy as np
import pytest

from cryoresdl.models.base.errors import InputError
from cryoresdl.models.features import band_energies, network_inputs
from cryoresdl.models.inference import global_resolution
from cryoresdl.models.inference.bands import map_corrections
from cryoresdl.models.networks import network_runners, paper_networks, paper_predictors
from cryoresdl.models.networks.model_files import model_store
from cryoresdl.tests.helpers.small_maps import save_global_model, save_local_model


def members_of(path):
    """Card and arrays of a model file, unchecked."""
    with zipfile.ZipFile(path) as archive:
        with zipfile.ZipFile(io.BytesIO(archive.read("weights.npz"))) as inner:
            arrays = {name[:-4]: np.load(io.BytesIO(inner.read(name))) for name in inner.namelist()}
        return json.loads(archive.read("card.json")), arrays


def forge(path, card, arrays, method=zipfile.ZIP_STORED):
    """A file whose digests are right, whatever is in it; bytes stand for a whole .npy."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name, values in arrays.items():
            stream = io.BytesIO()
            if isinstance(values, bytes):
                stream.write(values)
            else:
                np.lib.format.write_array(stream, np.asarray(values), version=(1, 0), allow_pickle=False)
            archive.writestr(name + ".npy", stream.getvalue())
    text = card if isinstance(card, bytes) else json.dumps(card).encode()
    parts = {"card.json": text, "weights.npz": packed.getvalue()}
    files = {name: {"sha256": sha256(body).hexdigest(), "bytes": len(body)} for name, body in parts.items()}
    parts["manifest.json"] = json.dumps({"magic": "cryoresdl-model", "format": 1, "files": files}).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, body in parts.items():
            archive.writestr(name, body)
    return path


def low_rank(path):
    random = np.random.default_rng(0)
    count = len(paper_networks.low_frequencies(4))
    shapes = {
        "dense1/coefficients": (count, 3),
        "dense1/neurons": (3, 6),
        "dense1/bias": (6,),
        "dense2/kernel": (6, 5),
        "dense2/bias": (5,),
        "logits/kernel": (5, 3),
        "logits/bias": (3,),
    }
    network = {"name": "paper-dnn-lowrank", "config": {"side": 8, "cosines": 4, "rank": 3}}
    card = {"name": "low", "kind": "global", "network": network, "calibration": {}}
    return forge(path, card, {k: random.normal(size=s).astype(np.float32) for k, s in shapes.items()})


def corrected_local(path):
    """A local model with correcting networks, as the shipped ones have them."""
    random = np.random.default_rng(1)
    save_local_model(path)
    card, arrays = members_of(path)
    config = {
        name: {"widths": [4], "inputs": 185, "bins": bins, "members": 2}
        for name, bins in (("shift", 2), ("width", 1))
    }
    for name, one in config.items():
        start = f"correction/{name}/"
        arrays[start + "input/mean"], arrays[start + "input/scale"] = np.zeros(185), np.ones(185)
        for member in ("member0-", "member1-"):
            arrays[f"{start}{member}dense0/kernel"] = random.normal(size=(185, 4)) / 20
            arrays[f"{start}{member}dense0/bias"] = np.zeros(4)
            arrays[f"{start}{member}logits/kernel"] = random.normal(size=(4, one["bins"])) / 9
            arrays[f"{start}{member}logits/bias"] = np.zeros(one["bins"])
    card["calibration"].update(
        by_map={"config": config, "factors": {"all": 1.1, "background": 0.9}, "maps": 9},
        half_maps={"spread": 0.8, "spread_knots": [0.1, 0.2], "spread_factors": [0.9, 1.1]},
        no_background={"spread": 1.2},
        profile={"spread": 1.0},
    )
    return forge(path, card, {k: np.float32(v) for k, v in arrays.items()})


MAKERS = {
    "local": corrected_local,
    "global": lambda path: save_global_model(path, 173, calibration=GLOBAL_CALIBRATION),
    "low-rank": low_rank,
}
GLOBAL_CALIBRATION = {
    "spread": 1.2,
    "temperature": 1.3,
    "distance_limit": 2.0,
    "half_maps": {"spread": 1.1, "temperature": 0.9, "doubt": 0.2},
}


def answer(path, kind):
    """What commands compute with a model: its network and everything of its card that changes a number."""
    model = network_runners.load_model(path, "local" if kind == "local" else "global")
    random = np.random.default_rng(0)
    network = model.card["network"]
    if kind == "low-rank":
        return paper_predictors.paper_predict(model, [random.random((8, 8, 8))])
    if kind == "global":
        rows = random.normal(size=(3, 173)).astype(np.float32)
        rows[1, network_inputs.MEASURED_INPUTS.start] = 1
        found = global_resolution.global_answers(
            network, model.weights, rows, np.ones(3), model.card["calibration"]
        )
        limit = float(model.card["calibration"]["distance_limit"])
        return np.concatenate([found.probabilities.ravel(), found.low, found.high, [limit]])
    run, _ = network_runners.runner(network, model.weights, "numpy")
    values = {
        "x": random.normal(size=(1, 4, 4, 4, network_inputs.N_LOCAL)),
        "summary": random.normal(size=(1, 107)),
    }
    parts = [run({k: v.astype(np.float32) for k, v in values.items()}).ravel()]
    known = map_corrections.Corrections.of(model)
    for flags in ((0, 0), (0, 1), (1, 0)):
        summary = random.normal(size=107).astype(np.float32)
        summary[[network_inputs.HALF_MAPS_FLAG, network_inputs.NOISE_FLAG]] = flags
        median, spread = np.full(5, 2.0, np.float32), np.full(5, 0.15, np.float32)
        rise = np.zeros(band_energies.N_BANDS, np.float32)
        parts += map_corrections.corrected(known, summary, rise, median, spread)
    return np.concatenate(parts + [map_corrections.calibrated_spread(spread, known.calibration, "profile")])


def spoiled(values, value):
    changed = np.array(values, np.float64)
    changed.flat[changed.size // 2] = value
    return changed


ARRAY_CHANGES = {
    "nan": lambda a: spoiled(a, np.nan).astype(np.float32),
    "inf": lambda a: spoiled(a, np.inf).astype(np.float32),
    "huge": lambda a: spoiled(a, -1e30).astype(np.float32),
    "half inf": lambda a: spoiled(a, -np.inf).astype(np.float16),
    "double beyond float": lambda a: spoiled(a, 1e300),
    "one more": lambda a: np.concatenate([a, a[:1]]),
    "one axis more": lambda a: a[None],
    "flat": lambda a: a.reshape(-1, 1),
    "empty": lambda a: a[:0],
    "whole numbers": lambda a: a.astype(np.int32),
    "bytes": lambda a: a.astype(np.uint8),
    "truth values": lambda a: a.astype(bool),
    "cut": lambda a: b"\x93NUMPY\x01\x00",
    "of one number": lambda a: np.float32(1),
}
ODD = (None, "", "x", [], {}, -1, True, [1], {"a": 1}, "NaN", 10**400, [[]])


SMALLER = [
    ("calibration", "half_maps"),
    ("calibration", "no_background"),
    ("calibration", "by_map", "factors", "all"),
    ("calibration", "by_map", "factors", "background"),
]
"""Parts of a calibration that a training with few maps does not make either: without them it is another whole model."""


def card_paths(value, path=()):
    """Every place of a card."""
    for key, below in value.items() if isinstance(value, dict) else ():
        yield (*path, key)
        yield from card_paths(below, (*path, key))


def changed_card(card, place, value, drop=False):
    changed = copy.deepcopy(card)
    holder = changed
    for key in place[:-1]:
        holder = holder[key]
    if drop:
        del holder[place[-1]]
    else:
        holder[place[-1]] = value
    return changed


def crafted(kind, path):
    """(what, card, arrays) of every crafted file of a kind."""
    card, arrays = members_of(path)
    for number, (name, values) in enumerate(arrays.items()):
        for place, (what, change) in enumerate(ARRAY_CHANGES.items()):
            # Of many arrays each is spoiled in a few ways, all of them in every way.
            if len(arrays) > 9 and number % 7 != place % 7:
                continue
            yield f"{name} {what}", card, {**arrays, name: change(values)}
        yield f"{name} missing", card, {k: v for k, v in arrays.items() if k != name}
    for name in ("extra", "member9-dense0/kernel", "input/scale2"):
        yield f"{name} added", card, {**arrays, name: np.ones(3, np.float32)}
    for place in card_paths(card):
        if place not in SMALLER:
            yield f"{place} missing", changed_card(card, place, None, drop=True), arrays
        for value in ODD:
            if place == ("calibration", "by_map", "factors") and value == {"a": 1}:
                continue
            yield f"{place} is {str(value)[:9]!r}", changed_card(card, place, value), arrays
    text = json.dumps(card)
    for number in ("NaN", "Infinity", "1e999", "[" * 3000):
        yield number[:9], text.replace("1.", number, 1).encode() if "1." in text else number.encode(), arrays


@pytest.mark.parametrize("kind", MAKERS)
def test_crafted_files_are_refused_in_one_sentence_or_answer_alike(kind, tmp_path):
    path = MAKERS[kind](tmp_path / "model.cryoresdl")
    right = answer(path, kind)
    assert np.isfinite(right).all()
    bad = tmp_path / "crafted.cryoresdl"
    refused = tried = 0
    for what, card, arrays in crafted(kind, path):
        forge(bad, card, arrays)
        tried += 1
        try:
            found = answer(bad, kind)
        except InputError as error:
            assert "\n" not in str(error) and str(bad) in str(error), what
            refused += 1
            continue
        np.testing.assert_array_equal(found, right, err_msg=what)
    assert tried > 200 and refused > tried / 2


@pytest.mark.parametrize("name", ["input/scale"])
def test_a_scale_of_zero_is_refused(name, tmp_path):
    card, arrays = members_of(save_global_model(tmp_path / "m.cryoresdl", 173))
    for value in (0.0, -1.0):
        forge(
            tmp_path / "bad.cryoresdl",
            card,
            {**arrays, name: spoiled(arrays[name], value).astype(np.float32)},
        )
        with pytest.raises(InputError, match="scale"):
            model_store.load_named(tmp_path / "bad.cryoresdl")


def test_bombs_of_every_shape_take_little_memory(tmp_path):
    """A card that announces much, zeros packed to nothing, many arrays, deep nesting."""
    card, arrays = members_of(save_local_model(tmp_path / "m.cryoresdl"))
    zeros = np.zeros(60 << 18, np.float32)  # 60 MB
    wide = changed_card(card, ("network", "config", "channels"), [8192, 8192, 8192])
    dnn = {
        "name": "d",
        "kind": "global",
        "network": {"name": "paper-dnn", "config": {"width": 1.0, "side": 64}},
    }
    unknown = {"name": "u", "kind": "global", "network": {"name": "later", "config": {}}}
    cases = {
        "zeros": (card, {**arrays, "logits/kernel": zeros}, zipfile.ZIP_DEFLATED),
        "many": (card, {f"a{n}": zeros for n in range(5)}, zipfile.ZIP_DEFLATED),
        "wide": (wide, arrays, zipfile.ZIP_STORED),
        "dnn": (dnn, {"dense1/kernel": zeros}, zipfile.ZIP_DEFLATED),
        "unknown": (unknown, {f"a{n}": zeros for n in range(5)}, zipfile.ZIP_DEFLATED),
        "deep": (b"[" * (3 << 20), arrays, zipfile.ZIP_STORED),
    }
    paths = [forge(tmp_path / f"{name}.cryoresdl", *case) for name, case in cases.items()]
    code = (
        "import sys, time, resource\n"
        "from cryoresdl.models.base.errors import InputError\n"
        "from cryoresdl.models.networks.model_files import model_store\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for path in sys.argv[1:]:\n"
        "    start = time.process_time()\n"
        "    try: model_store.load_named(path); sys.exit(path + ' was read')\n"
        "    except InputError: pass\n"
        "    if time.process_time() - start > 1: sys.exit(path + ' took long')\n"
        "used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before\n"
        "sys.exit(used > 200_000 and f'{used} kB')\n"
    )
    assert resource.RUSAGE_SELF == 0
    done = subprocess.run([sys.executable, "-c", code, *map(str, paths)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_model_without_calibration_is_refused_and_says_why(tmp_path):
    card, arrays = members_of(save_local_model(tmp_path / "m.cryoresdl"))
    del card["calibration"]
    with pytest.raises(InputError, match="no calibration of its intervals"):
        model_store.load_named(forge(tmp_path / "bad.cryoresdl", card, arrays))
