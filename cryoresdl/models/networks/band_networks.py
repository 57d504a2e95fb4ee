"""The default networks: a small 3-D U-Net and a profile network on band-energy features.

The architecture is written once, against a handful of operations; :class:`KerasOps` makes the trainable model of it and
`network_runners` runs the same text on the CPU without TensorFlow. Weights go by layer name.

Outputs are logits over bins of log2(resolution / voxel size), so one network serves every voxel size and its answer is
a distribution: median, interval and class probabilities all come from it (`resolution_bins`).
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Sequence, Tuple

import numpy as np

from ..base.errors import InputError
from ..base.resolution_terms import CRITERIA
from ..features import network_inputs
from .resolution_bins import N_BINS

LOCAL_NETWORK, GLOBAL_NETWORK = "band-unet", "band-profile"


def local_network(channels: Tuple[int, ...] = (32, 64, 128)) -> Dict[str, Any]:
    """Description of the local network, as kept in a model's card."""
    return {
        "name": LOCAL_NETWORK,
        "config": {
            "channels": list(channels),
            "inputs": network_inputs.N_LOCAL,
            "summary": network_inputs.summary_length(),
            "bins": N_BINS,
            "features": network_inputs.VERSION,
        },
    }


def global_network(
    inputs: int,
    widths: Tuple[int, ...] = (256, 256, 128),
    members: int = 1,
    criteria: Sequence[str] = CRITERIA[:1],
) -> Dict[str, Any]:
    """Description of the global network, or of several whose distributions are averaged, as kept in a model's card.

    For each of the ``criteria`` of FSC it gives a distribution of its own.
    """
    return {
        "name": GLOBAL_NETWORK,
        "config": {
            "widths": list(widths),
            "inputs": int(inputs),
            "bins": N_BINS,
            "members": int(members),
            "criteria": list(criteria),
            "features": network_inputs.VERSION,
        },
    }


def check_features(card: Mapping[str, Any], path: Any) -> None:
    """Refuse a default model that was trained on features of another version: it would answer, and wrongly.

    Raises:
        InputError: such a model.
    """
    network = card["network"]
    if network["name"] not in (LOCAL_NETWORK, GLOBAL_NETWORK):
        return
    version = network["config"].get("features", 1)
    if version not in network_inputs.READABLE:
        raise InputError(
            f"{path} was trained on features of version {version}, and this program computes "
            f"version {network_inputs.VERSION}: "
            "train it again, or use the shipped model."
        )


def criteria_of(config: Dict[str, Any]) -> List[str]:
    """The criteria of FSC that a global network answers for, in the order of its outputs; older ones know the first."""
    return list(config.get("criteria", CRITERIA[:1]))


def member_prefixes(config: Dict[str, Any]) -> List[str]:
    """What the layers' names of each member begin with; models of one member have plain names."""
    members = int(config.get("members", 1))
    return [""] if members == 1 else [f"member{k}-" for k in range(members)]


def forward_local(ops: Any, x: Any, summary: Any, config: Dict[str, Any]) -> Any:
    """The U-Net: residual convolutions on three levels, the way down modulated by the map's own profile.

    Args:
        ops: operations (``KerasOps`` or the backend's).
        x: (batch, z, y, x, inputs), every axis divisible by 4.
        summary: (batch, summary).
        config: of :func:`local_network`.

    Returns:
        logits (batch, z, y, x, bins).
    """
    channels: List[int] = config["channels"]
    code = ops.relu(ops.dense("code1", summary, 96))
    code = ops.relu(ops.dense("code2", code, 64))

    def block(name: str, h: Any, width: int) -> Any:
        h = ops.conv(name + "a", h, width, 3)
        h = ops.relu(ops.modulate(h, ops.dense(name + "s", code, width), ops.dense(name + "b", code, width)))
        return ops.relu(ops.add(ops.conv(name + "c", h, width, 3), h))

    skips = []
    h = x
    for level, width in enumerate(channels[:-1]):
        h = block(f"down{level}", h, width)
        skips.append(h)
        h = ops.pool(h)
    h = block("root", h, channels[-1])
    for level in range(len(channels) - 2, -1, -1):
        width = channels[level]
        h = ops.add(ops.up(ops.conv(f"up{level}p", h, width, 1)), skips[level])
        h = ops.relu(ops.add(ops.conv(f"up{level}", h, width, 3), h))
    return ops.conv("logits", h, config["bins"], 1)


def forward_global(ops: Any, profile: Any, config: Dict[str, Any], prefix: str = "") -> Any:
    """The profile network, or the member of that prefix: dense layers on the map's profile.

    Returns:
        logits (batch, criteria * bins).
    """
    h = profile
    for k, width in enumerate(config["widths"]):
        h = ops.relu(ops.dense(f"{prefix}dense{k}", h, width))
    return ops.dense(prefix + "logits", h, config["bins"] * len(criteria_of(config)))


class KerasOps:
    """The operations of the default networks as Keras layers (TensorFlow is imported on first use)."""

    def __init__(self, keras: Any, dropout: float = 0.0, policy: str = "float32"):
        self.keras = keras
        self.layers = keras.layers
        self.dropout = dropout
        # Every layer is told: the policy of the process is the user's, who may have set another.
        self.policy = policy

    def conv(self, name: str, x: Any, width: int, size: int) -> Any:
        dtype = "float32" if name == "logits" else self.policy
        # Residual branches start small: there is no normalisation layer to tame a deep sum.
        gain = 2.0 if name.endswith("a") else 0.2
        initializer = self.keras.initializers.VarianceScaling(gain, "fan_in")
        return self.layers.Conv3D(
            width, size, padding="same", name=name, kernel_initializer=initializer, dtype=dtype
        )(x)

    def dense(self, name: str, x: Any, width: int) -> Any:
        dtype = "float32" if name == "logits" else self.policy
        gain = 0.2 if name == "logits" or name.startswith(("down", "root")) else 2.0
        initializer = self.keras.initializers.VarianceScaling(gain, "fan_in")
        return self.layers.Dense(width, name=name, kernel_initializer=initializer, dtype=dtype)(x)

    def relu(self, x: Any) -> Any:
        x = self.layers.ReLU(dtype=self.policy)(x)
        return self.layers.Dropout(self.dropout, dtype=self.policy)(x) if self.dropout else x

    def add(self, a: Any, b: Any) -> Any:
        return self.layers.Add(dtype=self.policy)([a, b])

    def modulate(self, x: Any, scale: Any, shift: Any) -> Any:
        """x (1 + scale / 4) + shift, scale and shift per channel."""
        width = int(x.shape[-1])
        shape = self.layers.Reshape((1, 1, 1, width), dtype=self.policy)
        scaled = self.layers.Multiply(dtype=self.policy)(
            [x, self.layers.Rescaling(0.25, 1.0, dtype=self.policy)(shape(scale))]
        )
        return self.layers.Add(dtype=self.policy)(
            [scaled, self.layers.Reshape((1, 1, 1, width), dtype=self.policy)(shift)]
        )

    def pool(self, x: Any) -> Any:
        return self.layers.AveragePooling3D(2, dtype=self.policy)(x)

    def up(self, x: Any) -> Any:
        return self.layers.UpSampling3D(2, dtype=self.policy)(x)


def keras_local_network(network: Dict[str, Any], keras: Any, *, policy: str = "float32") -> Any:
    """Keras model of the local network: inputs (x, summary), output logits; ``policy`` as ``mixed_bfloat16``."""
    config = network["config"]
    x = keras.Input((None, None, None, config["inputs"]), dtype="float32", name="x")
    summary = keras.Input((config["summary"],), dtype="float32", name="summary")
    return keras.Model([x, summary], forward_local(KerasOps(keras, policy=policy), x, summary, config))


def keras_global_network(network: Dict[str, Any], keras: Any, dropout: float = 0.0) -> Any:
    """Keras model of one global network: input profile, output logits."""
    config = network["config"]
    profile = keras.Input((config["inputs"],), dtype="float32", name="profile")
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
