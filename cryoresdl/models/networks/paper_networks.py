"""The paper's networks: DNN, 3D CNN and 3D U-Net of Avramov et al. (Molecules 2019, 24, 1181).

Architecture only. A network is described by a small dictionary, ``{"name": ..., "config": {...}}``, that
goes into the model's card; sizes are known from it without building anything. TensorFlow is imported
inside the functions that build, and the compressed DNN needs numpy alone.

Width 1 is the paper; a smaller ``width`` multiplies every number of filters and neurons, so that the same
architecture trains on a small machine.
"""

from __future__ import annotations

from typing import Any, Dict, Tuple

import numpy as np

from ..base.errors import InputError
from ..base.resolution_terms import GLOBAL_CLASSES, LOCAL_CLASSES
from .tensorflow_import import import_tensorflow

DNN, CNN, UNET, DNN_LOW_RANK = "paper-dnn", "paper-cnn", "paper-unet", "paper-dnn-lowrank"
MAP_SIDE = 64
"""Side of the global classifiers' input in voxels, whatever the voxel size (paper, section 4.1)."""
PATCH_SIDE = 16
"""Side of the U-Net's patches in voxels (paper, section 4.1)."""
CNN_DROPOUT, UNET_DROPOUT = 0.4, 0.5
PAPER_BATCH = {DNN: 150, CNN: 75, UNET: 32}
"""Examples per step (paper, sections 4.3-4.5)."""
_FEATURE_MAPS = {DNN: 1, CNN: 80, UNET: 500}
"""Copies of the input that a training step keeps in memory at width 1."""
_DNN_UNITS = (1000, 100)
_CNN_FILTERS, _CNN_KERNELS, _CNN_UNITS = (32, 64, 128), (7, 5, 5), 1024
_UNET_LEFT = ((64, 128), (128, 256), (256, 512), (512, 1024))
_UNET_ROOT = (1024, 1024)
_UNET_RIGHT = (512, 256, 128, 64)


def describe_network(name: str, width: float = 1.0, side: int | None = None) -> Dict[str, Any]:
    """The dictionary that stands for a network in a card.

    Args:
        name: ``paper-dnn``, ``paper-cnn`` or ``paper-unet``.
        width: factor on all filters and hidden neurons; 1 is the paper.
        side: side of the input cube in voxels; default: 64, and 16 for the U-Net.

    Raises:
        InputError: an unknown network or a width or side that it cannot have.
    """
    if name not in (DNN, CNN, UNET):
        raise InputError(f"'{name}' is not a network of the paper; choose dnn, cnn or unet.")
    if not 0 < width <= 1:
        raise InputError(f"The width of a network lies between 0 and 1, not at {width}.")
    side = side or (PATCH_SIDE if name == UNET else MAP_SIDE)
    step = {DNN: 1, CNN: 8, UNET: 16}[name]
    if side % step:
        raise InputError(f"The input of {name} must have a side that is a multiple of {step}, not {side}.")
    return {"name": name, "config": {"width": float(width), "side": int(side)}}


def weight_shapes(network: Dict[str, Any]) -> Dict[str, Tuple[int, ...]]:
    """Name and shape of every trained array, in the order of the layers; nothing is allocated.

    Args:
        network: what :func:`describe_network` gives.
    """
    name, width, side = network["name"], network["config"]["width"], network["config"]["side"]
    shapes: Dict[str, Tuple[int, ...]] = {}

    def dense(layer: str, inputs: int, units: int) -> int:
        shapes[layer + "/kernel"], shapes[layer + "/bias"] = (inputs, units), (units,)
        return units

    def conv(layer: str, kernel: int, inputs: int, filters: int) -> int:
        shapes[layer + "/kernel"], shapes[layer + "/bias"] = (kernel,) * 3 + (inputs, filters), (filters,)
        return filters

    if name == DNN:
        size = side**3
        for number, units in enumerate(_DNN_UNITS, 1):
            size = dense(f"dense{number}", size, _scaled(units, width))
        dense("logits", size, len(GLOBAL_CLASSES))
    elif name == CNN:
        size = 1
        for number, (filters, kernel) in enumerate(zip(_CNN_FILTERS, _CNN_KERNELS), 1):
            size = conv(f"conv{number}", kernel, size, _scaled(filters, width))
        size = dense("dense", size * (side // 8) ** 3, _scaled(_CNN_UNITS, width))
        dense("logits", size, len(GLOBAL_CLASSES))
    else:
        _unet_shapes(conv, width)
    return shapes


def _unet_shapes(conv: Any, width: float) -> None:
    size, skips = 1, []
    for level, (first, second) in enumerate(_UNET_LEFT):
        size = conv(f"left{level}_conv1", 3, size, _scaled(first, width))
        size = conv(f"left{level}_conv2", 3, size, _scaled(second, width))
        skips.append(size)
    for number, filters in enumerate(_UNET_ROOT, 1):
        size = conv(f"root_conv{number}", 3, size, _scaled(filters, width))
    for level, filters in zip(reversed(range(len(_UNET_LEFT))), _UNET_RIGHT):
        size = conv(f"right{level}_up", 2, size, _scaled(filters, width))
        size = conv(f"right{level}_conv1", 3, size + skips[level], _scaled(filters, width))
        size = conv(f"right{level}_conv2", 3, size, _scaled(filters, width))
    conv("classes", 1, size, len(LOCAL_CLASSES))


def parameter_count(network: Dict[str, Any]) -> int:
    """Number of trained parameters of a network, without building it."""
    return sum(int(np.prod(shape)) for shape in weight_shapes(network).values())


def training_memory(network: Dict[str, Any], copies_of_weights: int = 5) -> Tuple[int, int]:
    """Bytes that a training takes, roughly: for the weights, and for every example of a batch.

    Args:
        network: as `describe_network` gives it.
        copies_of_weights: weights, gradients and what the optimizer keeps; 5 for Adam.
    """
    config = network["config"]
    copies = 1 + _FEATURE_MAPS[network["name"]] * config["width"]
    return 4 * copies_of_weights * parameter_count(network), int(4 * config["side"] ** 3 * copies)


def build_paper_network(network: Dict[str, Any], bfloat16: bool = False) -> Any:
    """Build a network with fresh weights as a Keras model.

    The DNN and the CNN take (batch, z, y, x) float32 and give (batch, 3) logits; the U-Net takes
    (batch, z, y, x) and gives (batch, z, y, x, 10) probabilities. All outputs are float32.

    Args:
        network: what :func:`describe_network` gives (a card's ``network`` entry).
        bfloat16: compute in bfloat16 with float32 weights (Keras ``mixed_bfloat16``).

    Raises:
        InputError: a network that this version does not know.
    """
    _, keras = import_tensorflow()
    if network.get("name") not in (DNN, CNN, UNET):
        raise InputError(
            f"This version cannot build a network named '{network.get('name')}'; update CryoResDL."
        )
    width, side = network["config"]["width"], network["config"]["side"]
    policy = "mixed_bfloat16" if bfloat16 else "float32"
    inputs = keras.Input((side,) * 3, dtype="float32", name="map")
    body = {DNN: _build_dnn, CNN: _build_cnn, UNET: _build_unet}[network["name"]]
    return keras.Model(inputs, body(keras, inputs, width, policy), name=network["name"].replace("-", "_"))


def _build_dnn(keras: Any, inputs: Any, width: float, policy: str) -> Any:
    layers = keras.layers
    x = layers.Flatten(name="flatten", dtype=policy)(inputs)
    for number, units in enumerate(_DNN_UNITS, 1):
        x = layers.Dense(_scaled(units, width), activation="relu", name=f"dense{number}", dtype=policy)(x)
    return layers.Dense(len(GLOBAL_CLASSES), name="logits", dtype="float32")(x)


def _build_cnn(keras: Any, inputs: Any, width: float, policy: str) -> Any:
    layers = keras.layers
    x = layers.Reshape((*inputs.shape[1:], 1), name="channel", dtype=policy)(inputs)
    for number, (filters, kernel, activation) in enumerate(
        zip(_CNN_FILTERS, _CNN_KERNELS, ("elu", "elu", "relu")), 1
    ):
        x = layers.Conv3D(
            _scaled(filters, width),
            kernel,
            padding="same",
            activation=activation,
            name=f"conv{number}",
            dtype=policy,
        )(x)
        x = layers.MaxPooling3D(2, 2, name=f"pool{number}", dtype=policy)(x)
    x = layers.Flatten(name="flatten", dtype=policy)(x)
    x = layers.Dense(_scaled(_CNN_UNITS, width), activation="tanh", name="dense", dtype=policy)(x)
    x = layers.Dropout(CNN_DROPOUT, name="dropout", dtype=policy)(x)
    return layers.Dense(len(GLOBAL_CLASSES), name="logits", dtype="float32")(x)


def _build_unet(keras: Any, inputs: Any, width: float, policy: str) -> Any:
    layers = keras.layers

    def conv(x: Any, layer: str, kernel: int, filters: int) -> Any:
        return layers.Conv3D(
            _scaled(filters, width),
            kernel,
            padding="same",
            activation="relu",
            kernel_initializer="he_normal",
            name=layer,
            dtype=policy,
        )(x)

    x = layers.Reshape((*inputs.shape[1:], 1), name="channel", dtype=policy)(inputs)
    skips = []
    for level, (first, second) in enumerate(_UNET_LEFT):
        x = conv(x, f"left{level}_conv1", 3, first)
        x = conv(x, f"left{level}_conv2", 3, second)
        x = layers.SpatialDropout3D(UNET_DROPOUT, name=f"left{level}_dropout", dtype=policy)(x)
        skips.append(x)
        x = layers.MaxPooling3D(2, 2, name=f"left{level}_pool", dtype=policy)(x)
    for number, filters in enumerate(_UNET_ROOT, 1):
        x = conv(x, f"root_conv{number}", 3, filters)
    x = layers.SpatialDropout3D(UNET_DROPOUT, name="root_dropout", dtype=policy)(x)
    for level, filters in zip(reversed(range(len(_UNET_LEFT))), _UNET_RIGHT):
        x = layers.UpSampling3D(2, name=f"right{level}_upsample", dtype=policy)(x)
        x = conv(x, f"right{level}_up", 2, filters)
        x = layers.Concatenate(name=f"right{level}_skip", dtype=policy)([skips[level], x])
        x = conv(x, f"right{level}_conv1", 3, filters)
        x = conv(x, f"right{level}_conv2", 3, filters)
    x = layers.Conv3D(
        len(LOCAL_CLASSES), 1, padding="same", kernel_initializer="he_normal", name="classes", dtype="float32"
    )(x)
    return layers.Softmax(name="probabilities", dtype="float32")(x)


def to_weights(model: Any, dtype: Any = np.float32) -> Dict[str, np.ndarray]:
    """The trained arrays of a Keras model, named as in :func:`weight_shapes`, as ``dtype``."""
    return {
        f"{layer.name}/{variable.name}": np.asarray(variable.numpy()).astype(dtype)
        for layer in model.layers
        for variable in layer.weights
        if variable.name in ("kernel", "bias")
    }


def from_weights(model: Any, weights: Dict[str, np.ndarray]) -> Any:
    """Put named arrays into a Keras model and return it.

    Raises:
        InputError: an array is missing, foreign, or of another shape.
    """
    wanted = {
        f"{layer.name}/{variable.name}": variable
        for layer in model.layers
        for variable in layer.weights
        if variable.name in ("kernel", "bias")
    }
    if set(wanted) != set(weights):
        odd = sorted(set(wanted) ^ set(weights))[0]
        raise InputError(f"The weights do not belong to this network: '{odd}' is missing or foreign.")
    for name, variable in wanted.items():
        if tuple(variable.shape) != weights[name].shape:
            raise InputError(f"The weights do not belong to this network: '{name}' has another shape.")
        variable.assign(np.asarray(weights[name], np.float32))
    return model


def _scaled(number: int, width: float) -> int:
    return max(1, int(round(number * width)))


def low_frequencies(count: int) -> np.ndarray:
    """Indices into ``count``^3 cosine coefficients that lie within the sphere of radius ``count``."""
    squares = np.arange(count) ** 2
    radius = squares[:, None, None] + squares[None, :, None] + squares[None, None, :]
    return np.flatnonzero(radius.ravel() < count**2)
