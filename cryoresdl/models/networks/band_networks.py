"""The default networks: a small 3-D U-Net and a profile network on band-energy features.

The architecture is written once, against a handful of operations; :class:`KerasOps` makes the trainable model of it and
``backend`` runs the same text on the CPU without TensorFlow. Weights go by layer name.

Outputs are logits over bins of log2(resolution / voxel size), so one network serves every voxel size and its answer is
a distribution: median, interval and class probabilities all come from it (``resolution_bins``).
"""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

from ..base.errors import InputError
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
    inputs: int, widths: Tuple[int, ...] = (256, 256, 128), members: int = 1
) -> Dict[str, Any]:
    """Description of the global network, or of several whose distributions are averaged, as kept in a model's card."""
    return {
        "name": GLOBAL_NETWORK,
        "config": {
            "widths": list(widths),
            "inputs": int(inputs),
            "bins": N_BINS,
            "members": int(members),
            "features": network_inputs.VERSION,
        },
    }


def check_features(card: Dict[str, Any], path: Any) -> None:
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
        logits (batch, bins).
    """
    h = profile
    for k, width in enumerate(config["widths"]):
        h = ops.relu(ops.dense(f"{prefix}dense{k}", h, width))
    return ops.dense(prefix + "logits", h, config["bins"])
