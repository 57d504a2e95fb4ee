"""The default networks give the same numbers on every backend."""

import os
import subprocess
import sys

import numpy as np
import pytest

from cryoresdl.models.base import machine
from cryoresdl.models.base.errors import InputError
from cryoresdl.models.features import network_inputs
from cryoresdl.models.networks import band_networks, network_runners, resolution_bins
from cryoresdl.models.networks.model_files import model_store
from cryoresdl.models.networks.tensorflow_import import import_tensorflow
from cryoresdl.tests.helpers.small_maps import random_global_weights, random_local_weights, save_local_model

CHANNELS = (8, 12, 16)


@pytest.fixture(scope="module")
def local():
    rng = np.random.default_rng(0)
    values = {
        "x": rng.normal(size=(1, 8, 12, 16, network_inputs.N_LOCAL)).astype(np.float32),
        "summary": rng.normal(size=(1, network_inputs.summary_length())).astype(np.float32),
    }
    return band_networks.local_network(CHANNELS), random_local_weights(CHANNELS), values


@pytest.fixture(scope="module")
def profile():
    values = {"profile": np.random.default_rng(1).normal(size=(5, 40)).astype(np.float32)}
    weights = {k: v for k, v in random_global_weights(40).items() if not k.startswith("input/")}
    return band_networks.global_network(40, (16, 8)), weights, values


def by_numpy(case):
    network, weights, values = case
    run, name = network_runners.runner(network, weights, "numpy")
    assert name == "numpy"
    return run(values)


def relative(a, b):
    return np.abs(a - b).max() / np.abs(b).max()


def test_numpy_by_hand():
    """One 3^3 convolution against the sum written out, at a corner (padding) and inside."""
    rng = np.random.default_rng(2)
    weights = {
        "c/kernel": rng.normal(size=(3, 3, 3, 2, 4)).astype(np.float32),
        "c/bias": np.arange(4, dtype=np.float32),
    }
    x = rng.normal(size=(1, 4, 5, 6, 2)).astype(np.float32)
    ops = network_runners.NumpyOps(weights)
    out = ops.conv("c", x, 4, 3)
    padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (1, 1), (0, 0)])
    for place in ((0, 0, 0), (2, 3, 4), (3, 4, 5)):
        z, y, w = place
        expected = np.einsum("ijkc,ijkcd->d", padded[0, z : z + 3, y : y + 3, w : w + 3], weights["c/kernel"])
        assert np.allclose(out[(0,) + place], expected + np.arange(4), atol=1e-5)
    assert np.allclose(ops.pool(x[:, :, :4])[0, 0, 0, 0], x[0, :2, :2, :2].mean((0, 1, 2)), atol=1e-6)
    assert np.array_equal(ops.up(x)[0, ::2, ::2, ::2], x[0]) and ops.up(x).shape == (1, 8, 10, 12, 2)
    scale, shift = np.array([[4.0, 0.0]]), np.array([[0.0, 1.0]])
    assert np.allclose(ops.modulate(x, scale, shift), x * [2, 1] + [0, 1])


def test_shapes(local, profile):
    assert by_numpy(local).shape == (1, 8, 12, 16, resolution_bins.N_BINS)
    assert by_numpy(profile).shape == (5, resolution_bins.N_BINS)


@pytest.mark.parametrize("case", ["local", "profile"])
def test_openvino_equals_numpy(case, request, monkeypatch):
    pytest.importorskip("openvino")
    monkeypatch.setenv(network_runners.PRECISION_VARIABLE, "f32")
    network, weights, values = request.getfixturevalue(case)
    run, name = network_runners.runner(network, weights, "openvino")
    assert name == "openvino"
    assert relative(run(values), by_numpy((network, weights, values))) < 1e-4
    # The graph takes any size: other tiles, the same compiled network.
    if case == "local":
        smaller = {**values, "x": np.ascontiguousarray(values["x"][:, :4, :8, :8])}
        assert relative(run(smaller), by_numpy((network, weights, smaller))) < 1e-4


def test_tensorflow_equals_numpy(local, profile):
    pytest.importorskip("tensorflow")
    import keras

    policy = keras.mixed_precision.global_policy()
    try:
        keras.mixed_precision.set_global_policy("float32")
        for case in (local, profile):
            network, weights, values = case
            run, name = network_runners.runner(network, weights, "tensorflow")
            assert name == "tensorflow"
            assert relative(run(values), by_numpy(case)) < 1e-4
    finally:
        keras.mixed_precision.set_global_policy(policy)


def test_keras_weights_go_out_and_in(local):
    pytest.importorskip("tensorflow")
    import keras

    network, weights, _ = local
    model = band_networks.keras_local_network(network, keras)
    band_networks.set_weights(model, weights)
    back = band_networks.weights_of(model)
    assert back.keys() == weights.keys()
    for name, values in weights.items():
        assert np.array_equal(back[name], values)


def test_float16_weights_are_run_in_float32(local):
    network, weights, values = local
    run, _ = network_runners.runner(network, {k: v.astype(np.float16) for k, v in weights.items()}, "numpy")
    assert run(values).dtype == np.float32
    assert relative(run(values), by_numpy(local)) < 0.02


def test_the_variable_chooses_and_a_wrong_one_is_refused(profile, monkeypatch):
    network, weights, _ = profile
    monkeypatch.setenv(model_store.BACKEND_VARIABLE, "numpy")
    assert network_runners.runner(network, weights)[1] == "numpy"
    monkeypatch.setenv(model_store.BACKEND_VARIABLE, "abacus")
    with pytest.raises(InputError, match="abacus is not a backend"):
        network_runners.runner(network, weights)


def test_without_openvino_numpy_takes_over(profile, monkeypatch):
    def missing(*_):
        raise ImportError("no openvino here")

    network, weights, _ = profile
    monkeypatch.delenv(model_store.BACKEND_VARIABLE, raising=False)
    monkeypatch.setitem(network_runners._BACKENDS, "openvino", missing)
    assert network_runners.runner(network, weights)[1] == "numpy"
    with pytest.raises(InputError, match="openvino cannot be used"):
        network_runners.runner(network, weights, "openvino")


def test_members_of_a_global_model_are_averaged_as_distributions():
    rng = np.random.default_rng(0)
    network = band_networks.global_network(5, (4,), members=2)
    weights = {"input/mean": np.zeros(5, np.float32), "input/scale": np.ones(5, np.float32)}
    for prefix in ("member0-", "member1-"):
        weights[prefix + "dense0/kernel"] = rng.normal(size=(5, 4)).astype(np.float32)
        weights[prefix + "dense0/bias"] = np.zeros(4, np.float32)
        weights[prefix + "logits/kernel"] = rng.normal(size=(4, resolution_bins.N_BINS)).astype(np.float32)
        weights[prefix + "logits/bias"] = np.zeros(resolution_bins.N_BINS, np.float32)
    rows = rng.normal(size=(3, 5))
    both = network_runners.profile_distribution(network, weights, rows, 1.5)
    singles = []
    for number in (0, 1):
        one = {k.replace(f"member{number}-", ""): v for k, v in weights.items()}
        singles.append(
            network_runners.profile_distribution(band_networks.global_network(5, (4,)), one, rows, 1.5)
        )
    assert np.allclose(both, (singles[0] + singles[1]) / 2) and np.allclose(both.sum(1), 1)
    assert not np.allclose(singles[0], singles[1])


def test_profiles_longer_than_an_older_models_are_cut_and_wild_ones_held():
    weights = {"input/mean": np.zeros(2, np.float32), "input/scale": np.full(2, 0.1, np.float32)}
    scaled = network_runners.scaled_profile(weights, np.array([[0.1, 5.0, 99.0]]))
    assert np.allclose(scaled, [[1.0, network_runners.PROFILE_CLIP]])


@pytest.fixture
def old_processor(tmp_path, monkeypatch):
    """A processor whose list of abilities ends with SSE 4.2."""
    listed = tmp_path / "cpuinfo"
    listed.write_text("model name\t: Core 2\nflags\t\t: fpu sse sse2 ssse3 sse4_1 sse4_2\n")
    monkeypatch.setattr(machine, "_CPUINFO", str(listed))
    monkeypatch.delenv(model_store.BACKEND_VARIABLE, raising=False)


def test_a_processor_without_avx_computes_with_numpy_and_says_so(profile, old_processor, capsys):
    network, weights, values = profile
    run, name = network_runners.runner(network, weights)
    assert name == "numpy" and np.array_equal(run(values), by_numpy(profile))
    assert "no AVX" in capsys.readouterr().err
    with pytest.raises(InputError, match="OpenVINO needs a processor with AVX"):
        network_runners.runner(network, weights, "openvino")
    with pytest.raises(InputError, match="TensorFlow needs a processor with AVX"):
        import_tensorflow()


def test_processors_that_list_no_flags_count_as_able(tmp_path, monkeypatch):
    for text in ("Features\t: fp asimd\n", "flags\t\t: sse avx avx2\n"):
        (tmp_path / "cpuinfo").write_text(text)
        monkeypatch.setattr(machine, "_CPUINFO", str(tmp_path / "cpuinfo"))
        assert machine.has_avx()
    monkeypatch.setattr(machine, "_CPUINFO", str(tmp_path / "none"))
    assert machine.has_avx()


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("sse avx2 amx_bf16", "bf16"), ("avx512_bf16", "bf16"), ("sse avx2 avx512f", "f32")],
)
def test_the_network_is_computed_in_bfloat16_where_the_processor_has_it(
    flags, expected, tmp_path, monkeypatch
):
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: {flags}\n")
    monkeypatch.setattr(machine, "_CPUINFO", str(tmp_path / "cpuinfo"))
    monkeypatch.delenv(network_runners.PRECISION_VARIABLE, raising=False)
    assert network_runners.precision() == expected
    monkeypatch.setenv(network_runners.PRECISION_VARIABLE, "f32")
    assert network_runners.precision() == "f32"
    monkeypatch.setenv(network_runners.PRECISION_VARIABLE, "f8")
    with pytest.raises(InputError, match="f8 is not known; choose one of f32, bf16"):
        network_runners.precision()


@pytest.mark.parametrize("limit", ["SSE41", "AVX", "nonsense"])
def test_a_limit_on_instructions_that_others_set_breaks_nothing(limit, tmp_path):
    """The library reads the variable once per process."""
    pytest.importorskip("openvino")
    path = save_local_model(tmp_path / "m.cryoresdl")
    code = (
        "import sys, os, numpy as np; from cryoresdl.models.networks.model_files import model_store\n"
        "from cryoresdl.models.networks import network_runners as n\n"
        "from cryoresdl.models.features import network_inputs as i\n"
        "m = model_store.load_named(sys.argv[1]); x = np.ones((1, 8, 8, 8, i.N_LOCAL), np.float32)\n"
        "v = {'x': x, 'summary': np.ones((1, i.summary_length()), np.float32)}\n"
        "a, b = (n.runner(m.card['network'], m.weights, k)[0](v) for k in ('openvino', 'numpy'))\n"
        "assert np.abs(a - b).max() < 1e-4 * np.abs(b).max() and os.environ['ONEDNN_MAX_CPU_ISA'] == sys.argv[2]\n"
    )
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": limit}
    subprocess.run([sys.executable, "-c", code, str(path), limit], env=environment, check=True)


def test_a_replaced_model_file_is_another_model(tmp_path):
    """Long-lived processes (Dask workers, notebooks) see the file as it is now."""
    path = save_local_model(tmp_path / "m.cryoresdl", seed=0)
    first = network_runners.load_model(path, "local")
    assert network_runners.load_model(path, "local") is first
    run = network_runners._run(first)
    save_local_model(path, seed=1)
    second = network_runners.load_model(path, "local")
    assert second.digest != first.digest and network_runners._run(second) is not run


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_the_users_keras_policy_neither_changes_nor_matters(policy, local, profile):
    pytest.importorskip("tensorflow")
    _, keras = import_tensorflow()
    before = keras.mixed_precision.global_policy()
    try:
        keras.mixed_precision.set_global_policy(policy)
        for case in (local, profile):
            network, weights, values = case
            run, _ = network_runners.runner(network, weights, "tensorflow")
            assert relative(run(values), by_numpy(case)) < 1e-4
        assert keras.mixed_precision.global_policy().name == policy
        model = band_networks.keras_local_network(local[0], keras, policy="mixed_bfloat16")
        assert model.get_layer("roota").compute_dtype == "bfloat16"
        assert model.get_layer("logits").compute_dtype == "float32"
    finally:
        keras.mixed_precision.set_global_policy(before)
