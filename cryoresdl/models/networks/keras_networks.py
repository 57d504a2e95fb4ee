"""The default networks in Keras, for training."""

from __future__ import annotations

from typing import Any, Dict

import numpy as np

from .band_networks import forward_global, forward_local


class KerasOps:
    """The operations of the default networks as Keras layers (TensorFlow is imported on first use)."""

    def __init__(self, keras: Any, dropout: float = 0.0):
        self.keras = keras
        self.layers = keras.layers
        self.dropout = dropout

    def conv(self, name: str, x: Any, width: int, size: int) -> Any:
        dtype = "float32" if name == "logits" else None
        # Residual branches start small: there is no normalisation layer to tame a deep sum.
        gain = 2.0 if name.endswith("a") else 0.2
        initializer = self.keras.initializers.VarianceScaling(gain, "fan_in")
        return self.layers.Conv3D(
            width, size, padding="same", name=name, kernel_initializer=initializer, dtype=dtype
        )(x)

    def dense(self, name: str, x: Any, width: int) -> Any:
        dtype = "float32" if name == "logits" else None
        gain = 0.2 if name == "logits" or name.startswith(("down", "root")) else 2.0
        initializer = self.keras.initializers.VarianceScaling(gain, "fan_in")
        return self.layers.Dense(width, name=name, kernel_initializer=initializer, dtype=dtype)(x)

    def relu(self, x: Any) -> Any:
        x = self.layers.ReLU()(x)
        return self.layers.Dropout(self.dropout)(x) if self.dropout else x

    def add(self, a: Any, b: Any) -> Any:
        return self.layers.Add()([a, b])

    def modulate(self, x: Any, scale: Any, shift: Any) -> Any:
        """x (1 + scale / 4) + shift, scale and shift per channel."""
        width = int(x.shape[-1])
        shape = self.layers.Reshape((1, 1, 1, width))
        scaled = self.layers.Multiply()([x, self.layers.Rescaling(0.25, 1.0)(shape(scale))])
        return self.layers.Add()([scaled, self.layers.Reshape((1, 1, 1, width))(shift)])

    def pool(self, x: Any) -> Any:
        return self.layers.AveragePooling3D(2)(x)

    def up(self, x: Any) -> Any:
        return self.layers.UpSampling3D(2)(x)


def keras_local_network(network: Dict[str, Any], keras: Any) -> Any:
    """Keras model of the local network: inputs (x, summary), output logits."""
    config = network["config"]
    x = keras.Input((None, None, None, config["inputs"]), name="x")
    summary = keras.Input((config["summary"],), name="summary")
    return keras.Model([x, summary], forward_local(KerasOps(keras), x, summary, config))


def keras_global_network(network: Dict[str, Any], keras: Any, dropout: float = 0.0) -> Any:
    """Keras model of one global network: input profile, output logits."""
    config = network["config"]
    profile = keras.Input((config["inputs"],), name="profile")
    return keras.Model(profile, forward_global(KerasOps(keras, dropout), profile, config))


def weights_of(model: Any) -> Dict[str, np.ndarray]:
    """``{"layer/kernel": ..., "layer/bias": ...}`` of a Keras model, float32."""
    found = {}
    for layer in model.layers:
        for variable in layer.weights:
            found[f"{layer.name}/{variable.name}"] = np.asarray(variable.numpy(), np.float32)
    return found


def set_weights(model: Any, weights: Dict[str, np.ndarray]) -> None:
    """Put named arrays into a Keras model of the same network."""
    for layer in model.layers:
        for variable in layer.weights:
            variable.assign(np.asarray(weights[f"{layer.name}/{variable.name}"], np.float32))
