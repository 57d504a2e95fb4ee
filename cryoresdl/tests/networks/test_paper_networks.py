"""The paper's networks: sizes, layers, preprocessing to the letter, and weights that travel."""

import os
import subprocess
import sys

import numpy as np
import pytest
from scipy.fft import dct

from cryoresdl.models.base.errors import InputError
from cryoresdl.models.networks import paper_networks, paper_predictors, resolution_bins, tensorflow_import
from cryoresdl.models.networks.model_files.model_archive import Model


def model_of(network, weights):
    return Model({"name": "m", "kind": "global", "network": network}, weights)


@pytest.mark.parametrize(
    "name, count", [("paper-dnn", 262_245_403), ("paper-cnn", 68_404_163), ("paper-unet", 127_895_498)]
)
def test_parameter_counts_are_the_papers(name, count):
    assert paper_networks.parameter_count(paper_networks.describe_network(name)) == count


def test_keras_counts_the_same_without_allocating(keras):
    for name, count in (("paper-dnn", 262_245_403), ("paper-cnn", 68_404_163), ("paper-unet", 127_895_498)):
        with keras.StatelessScope(initialize_variables=False):
            network = paper_networks.build_paper_network(paper_networks.describe_network(name))
            assert network.count_params() == count


def test_importing_the_module_does_not_import_tensorflow():
    code = (
        "import sys, numpy as np\nfrom cryoresdl.models.networks import paper_networks, paper_predictors\n"
        "paper_predictors.prepare_map(np.ones((3, 4, 5)))\n"
        "paper_networks.parameter_count(paper_networks.describe_network('paper-unet'))\n"
        "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.fixture(scope="module")
def keras():
    return tensorflow_import.import_tensorflow()[1]


def layers_of(model, kind):
    return [layer for layer in model.layers if type(layer).__name__ == kind]


def test_cnn_layers(keras):
    network = paper_networks.describe_network("paper-cnn", 1 / 16, 16)
    model = paper_networks.build_paper_network(network)
    convolutions = layers_of(model, "Conv3D")
    assert [layer.filters for layer in convolutions] == [2, 4, 8]
    assert [layer.kernel_size[0] for layer in convolutions] == [7, 5, 5]
    assert [layer.activation.__name__ for layer in convolutions] == ["elu", "elu", "relu"]
    assert all(layer.padding == "same" for layer in convolutions)
    assert [layer.pool_size for layer in layers_of(model, "MaxPooling3D")] == [(2, 2, 2)] * 3
    assert layers_of(model, "Dropout")[0].rate == 0.4
    dense, logits = layers_of(model, "Dense")
    assert dense.activation.__name__ == "tanh" and dense.units == 64
    assert logits.activation.__name__ == "linear" and logits.units == 3
    assert model.output_shape == (None, 3)


def test_dnn_layers(keras):
    model = paper_networks.build_paper_network(paper_networks.describe_network("paper-dnn", 0.1, 8))
    assert [(layer.units, layer.activation.__name__) for layer in layers_of(model, "Dense")] == [
        (100, "relu"),
        (10, "relu"),
        (3, "linear"),
    ]


def test_unet_layers(keras):
    network = paper_networks.describe_network("paper-unet", 1 / 32)
    model = paper_networks.build_paper_network(network)
    assert model.input_shape == (None, 16, 16, 16) and model.output_shape == (None, 16, 16, 16, 10)
    filters = {
        layer.name: layer.filters * 32 for layer in layers_of(model, "Conv3D") if layer.name != "classes"
    }
    assert [filters[f"left{n}_conv{k}"] for n in range(4) for k in (1, 2)] == [
        64,
        128,
        128,
        256,
        256,
        512,
        512,
        1024,
    ]
    assert [filters[f"root_conv{k}"] for k in (1, 2)] == [1024, 1024]
    assert [filters[f"right{n}_up"] for n in (3, 2, 1, 0)] == [512, 256, 128, 64]
    for level in range(4):
        assert model.get_layer(f"right{level}_up").kernel_size == (2, 2, 2)
        assert filters[f"right{level}_conv1"] == filters[f"right{level}_conv2"] == filters[f"right{level}_up"]
        first, second = model.get_layer(f"right{level}_skip").input
        # The left arm's dropout output comes first; both are as large as the level.
        assert first.shape[-1] * 32 == (128, 256, 512, 1024)[level] and first.shape[1] == 16 >> level
        assert second.shape[1] == 16 >> level
    assert all(layer.rate == 0.5 for layer in layers_of(model, "SpatialDropout3D"))
    assert len(layers_of(model, "SpatialDropout3D")) == 5
    assert all(type(layer.kernel_initializer).__name__ == "HeNormal" for layer in layers_of(model, "Conv3D"))
    assert model.get_layer("root_conv1").input.shape[1:4] == (1, 1, 1)
    probabilities = np.asarray(model(np.random.default_rng(0).random((2, 16, 16, 16), np.float32)))
    np.testing.assert_allclose(probabilities.sum(-1), 1, atol=1e-5)


def test_weights_travel_and_foreign_ones_are_refused(keras):
    network = paper_networks.describe_network("paper-cnn", 1 / 16, 8)
    model = paper_networks.build_paper_network(network)
    weights = paper_networks.to_weights(model)
    assert {name: value.shape for name, value in weights.items()} == paper_networks.weight_shapes(network)
    other = paper_networks.from_weights(paper_networks.build_paper_network(network), weights)
    maps = np.random.default_rng(0).random((2, 8, 8, 8), np.float32)
    np.testing.assert_allclose(other(maps), model(maps), rtol=1e-6)
    with pytest.raises(InputError, match="missing or foreign"):
        paper_networks.from_weights(
            model, {name: value for name, value in weights.items() if name != "dense/bias"}
        )
    with pytest.raises(InputError, match="shape"):
        paper_networks.from_weights(model, dict(weights, **{"dense/bias": np.zeros(2)}))


def test_bfloat16_computes_in_bfloat16_and_answers_in_float32(keras):
    model = paper_networks.build_paper_network(
        paper_networks.describe_network("paper-cnn", 1 / 16, 8), bfloat16=True
    )
    assert model.get_layer("conv1").compute_dtype == "bfloat16"
    assert model.get_layer("conv1").variable_dtype == "float32"
    assert np.asarray(model(np.zeros((1, 8, 8, 8), np.float32))).dtype == np.float32


@pytest.mark.parametrize(
    "name, width, side", [("other", 1, None), ("paper-cnn", 0, None), ("paper-cnn", 2, None)]
)
def test_bad_descriptions(name, width, side):
    with pytest.raises(InputError):
        paper_networks.describe_network(name, width, side)


def test_sides_must_divide():
    with pytest.raises(InputError, match="multiple of 16"):
        paper_networks.describe_network("paper-unet", 1, 24)
    with pytest.raises(InputError, match="build"):
        paper_networks.build_paper_network({"name": "transformer", "config": {"width": 1, "side": 8}})


def test_scale01():
    data = np.array([[[-2, 0, 6]]], np.int16)
    np.testing.assert_allclose(paper_predictors.scale01(data), [[[0, 0.25, 1]]])
    assert paper_predictors.scale01(np.full((2, 2, 2), 7.0)).max() == 0
    assert paper_predictors.scale01(np.array([[[-32768, 32767]]], np.int16)).tolist() == [[[0, 1]]]


def test_crop_is_central_and_padding_at_the_end():
    data = np.arange(10 * 3 * 4).reshape(10, 3, 4)
    got = paper_predictors.crop_or_pad(data, 4)
    assert got.shape == (4, 4, 4)
    np.testing.assert_array_equal(got[:, :3, :], data[3:7])
    assert (got[:, 3, :] == 0).all()
    odd = paper_predictors.crop_or_pad(np.arange(7), 4)
    np.testing.assert_array_equal(odd, [1, 2, 3, 4])


def test_maps_are_scaled_before_they_are_cropped():
    data = np.zeros((70, 64, 64), np.float32)
    data[0, 0, 0], data[35, 32, 32] = 4.0, 1.0
    got = paper_predictors.prepare_map(data)
    assert got.shape == (64, 64, 64) and got.max() == pytest.approx(0.25)


def test_cosines_are_orthonormal_and_ordered():
    a, b, c = dct(np.eye(8), axis=0, norm="ortho")[[1, 2, 3]]
    wave = np.einsum("x,y,z->xyz", a, b, c)[None].astype(np.float32)
    coefficients = paper_predictors.cosine_coefficients(wave, 5).reshape(5, 5, 5)
    assert coefficients[1, 2, 3] == pytest.approx(1, abs=1e-5)
    assert np.abs(coefficients).sum() == pytest.approx(1, abs=1e-4)
    kept = paper_networks.low_frequencies(5)
    assert 0 in kept and 124 not in kept and len(kept) < 125


def test_numpy_dnn_equals_keras(keras):
    network = paper_networks.describe_network("paper-dnn", 0.1, 8)
    built = paper_networks.build_paper_network(network)
    random = np.random.default_rng(0)
    weights = {
        n: random.normal(size=v.shape).astype(np.float32) for n, v in paper_networks.to_weights(built).items()
    }
    paper_networks.from_weights(built, weights)
    maps = [random.random((8, 8, 8)), random.random((10, 6, 8)), random.integers(0, 9, (5, 9, 9))]
    got = paper_predictors.paper_predict(model_of(network, weights), maps, batch=2)
    prepared = np.stack([paper_predictors.prepare_map(one, 8) for one in maps])
    np.testing.assert_allclose(
        got, resolution_bins.softmax(np.asarray(built(prepared))), rtol=1e-4, atol=1e-6
    )
    assert paper_predictors.paper_predict(model_of(network, weights), []).shape == (0, 3)


def test_cnn_predicts_through_keras(keras):
    network = paper_networks.describe_network("paper-cnn", 1 / 16, 8)
    built = paper_networks.build_paper_network(network)
    maps = np.random.default_rng(0).random((3, 8, 8, 8), np.float32)
    got = paper_predictors.paper_predict(
        model_of(network, paper_networks.to_weights(built, np.float16)), maps
    )
    expected = resolution_bins.softmax(
        np.asarray(built(np.stack([paper_predictors.scale01(one) for one in maps])))
    )
    np.testing.assert_allclose(got, expected, atol=2e-3)


def test_local_models_do_not_classify():
    with pytest.raises(InputError, match="not a global classifier"):
        paper_predictors.paper_predict(
            model_of(paper_networks.describe_network("paper-unet", 1 / 32), {}), [np.zeros((4, 4, 4))]
        )


def test_what_libraries_print_while_imported_is_shown_only_where_that_fails(capfd):
    with tensorflow_import.quiet_stderr():
        os.write(2, b"oneDNN custom operations are on\n")
    assert capfd.readouterr().err == ""
    with pytest.raises(ImportError):
        with tensorflow_import.quiet_stderr():
            os.write(2, b"cannot open libcudart\n")
            raise ImportError("tensorflow")
    assert capfd.readouterr().err == "cannot open libcudart\n"
    os.write(2, b"later\n")
    assert capfd.readouterr().err == "later\n"
