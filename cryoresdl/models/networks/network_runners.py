"""Runs the default networks on the CPU without TensorFlow: OpenVINO when it is there and the processor has AVX, else numpy.

Importing TensorFlow costs 3 to 7 s, more than a whole 128^3 map needs; OpenVINO starts in 0.3 s and its convolutions
run at the same rate (``benchmarks/inference_speed.py``). The networks are small, so a plain numpy path is kept for
machines without OpenVINO or AVX, and as the reference in the tests.
``CRYORESDL_BACKEND`` chooses: openvino, tensorflow, numpy; ``CRYORESDL_PRECISION`` OpenVINO's numbers: f32, bf16.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import numpy as np

from ..base import machine, progress
from ..base.errors import InputError
from ..base.resolution_terms import CRITERIA
from . import band_networks
from .model_files import model_archive, model_check, model_store
from .model_files.model_store import BACKEND_VARIABLE
from .resolution_bins import softmax

PRECISION_VARIABLE = "CRYORESDL_PRECISION"
PRECISIONS = ("f32", "bf16")
Runner = Callable[[Dict[str, np.ndarray]], np.ndarray]


class NumpyOps:
    """The operations of the default networks in numpy: slow, without dependencies, the reference for the others."""

    def __init__(self, weights: Dict[str, np.ndarray]):
        self.weights = weights

    def conv(self, name: str, x: np.ndarray, width: int, size: int) -> np.ndarray:
        kernel, bias = self.weights[name + "/kernel"], self.weights[name + "/bias"]
        if size == 1:
            return x @ kernel[0, 0, 0] + bias
        half = size // 2
        padded = np.pad(x, [(0, 0)] + [(half, half)] * 3 + [(0, 0)])
        z, y, w = x.shape[1:4]
        total = np.zeros(x.shape[:4] + (width,), np.float32)
        for i in range(size):
            for j in range(size):
                for k in range(size):
                    total += padded[:, i : i + z, j : j + y, k : k + w] @ kernel[i, j, k]
        return total + bias

    def dense(self, name: str, x: np.ndarray, width: int) -> np.ndarray:
        return x @ self.weights[name + "/kernel"] + self.weights[name + "/bias"]

    def relu(self, x: np.ndarray) -> np.ndarray:
        return np.maximum(x, 0)

    def add(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return a + b

    def modulate(self, x: np.ndarray, scale: np.ndarray, shift: np.ndarray) -> np.ndarray:
        return x * (1 + 0.25 * scale[:, None, None, None]) + shift[:, None, None, None]

    def pool(self, x: np.ndarray) -> np.ndarray:
        b, z, y, w, c = x.shape
        return x.reshape(b, z // 2, 2, y // 2, 2, w // 2, 2, c).mean((2, 4, 6))

    def up(self, x: np.ndarray) -> np.ndarray:
        return x.repeat(2, 1).repeat(2, 2).repeat(2, 3)


class OpenVinoOps:
    """The same operations as an OpenVINO graph, channels first as OpenVINO wants them."""

    def __init__(self, weights: Dict[str, np.ndarray], opset: Any):
        self.weights = weights
        self.opset = opset
        self.kept: List[Any] = []

    def _constant(self, value: Any) -> Any:
        return self.opset.constant(np.ascontiguousarray(value, np.float32))

    def conv(self, name: str, x: Any, width: int, size: int) -> Any:
        kernel = self._constant(np.transpose(self.weights[name + "/kernel"], (4, 3, 0, 1, 2)))
        pad = [size // 2] * 3
        h = self.opset.convolution(x, kernel, [1, 1, 1], pad, pad, [1, 1, 1])
        return self.opset.add(h, self._constant(self.weights[name + "/bias"].reshape(1, -1, 1, 1, 1)))

    def dense(self, name: str, x: Any, width: int) -> Any:
        h = self.opset.matmul(x, self._constant(self.weights[name + "/kernel"]), False, False)
        h = self.opset.add(h, self._constant(self.weights[name + "/bias"][None]))
        self.kept.append(h)
        return h

    def relu(self, x: Any) -> Any:
        return self.opset.relu(x)

    def add(self, a: Any, b: Any) -> Any:
        return self.opset.add(a, b)

    def _per_channel(self, x: Any) -> Any:
        axes = self.opset.constant(np.array([2, 3, 4], np.int64))
        return self.opset.unsqueeze(x, axes)

    def modulate(self, x: Any, scale: Any, shift: Any) -> Any:
        gain = self.opset.add(self.opset.multiply(scale, self._constant([[0.25]])), self._constant([[1.0]]))
        return self.opset.add(self.opset.multiply(x, self._per_channel(gain)), self._per_channel(shift))

    def pool(self, x: Any) -> Any:
        return self.opset.avg_pool(x, [2, 2, 2], [0, 0, 0], [0, 0, 0], [2, 2, 2], True)

    def up(self, x: Any) -> Any:
        scales = self.opset.constant(np.array([2.0, 2.0, 2.0], np.float32))
        axes = self.opset.constant(np.array([2, 3, 4], np.int64))
        return self.opset.interpolate(
            x,
            scales,
            mode="nearest",
            shape_calculation_mode="scales",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
            axes=axes,
        )


def import_openvino() -> Tuple[Any, Any]:
    """Import OpenVINO without its telemetry, which would post to a server, start a process and write ``~/intel``.

    Without its package of that name OpenVINO takes an empty stand-in of its own.

    Returns:
        The module and its operations.

    Raises:
        ImportError: it is not installed.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino as ov
    from openvino import opset13 as opset

    return ov, opset


ISA_VARIABLES = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
"""Limits that other programs set; below AVX OpenVINO cannot run the networks."""


@contextlib.contextmanager
def _all_instructions() -> Iterator[None]:
    """What OpenVINO compiles in the block may use all that the processor has."""
    held = {name: os.environ.pop(name) for name in ISA_VARIABLES if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(held)


def precision() -> str:
    """What OpenVINO computes in: ``CRYORESDL_PRECISION``, or bfloat16 where the processor has it, or float32.

    bfloat16 takes a third of the time and moves values by 0.005 A on average (``benchmarks/precision.py``).

    Raises:
        InputError: the variable says neither f32 nor bf16.
    """
    chosen = os.environ.get(PRECISION_VARIABLE) or ("bf16" if machine.has_bfloat16() else "f32")
    if chosen not in PRECISIONS:
        raise InputError(
            f"{PRECISION_VARIABLE}={chosen} is not known; choose one of {', '.join(PRECISIONS)}."
        )
    return chosen


DENSE_KEPT = 2
"""The layers that make a code of the map's profile, the first two of the local network."""


def _openvino_runner(network: Dict[str, Any], weights: Dict[str, np.ndarray], threads: int) -> Runner:
    ov, opset = import_openvino()
    config = network["config"]
    ops = OpenVinoOps(weights, opset)
    if network["name"] == band_networks.LOCAL_NETWORK:
        inputs = [
            opset.parameter([1, config["inputs"], -1, -1, -1], np.float32, name="x"),
            opset.parameter([1, config["summary"]], np.float32, name="summary"),
        ]
        output = band_networks.forward_local(ops, inputs[0], inputs[1], config)
    else:
        inputs = [opset.parameter([-1, config["inputs"]], np.float32, name="profile")]
        output = band_networks.forward_global(ops, inputs[0], config)
    settings = {"INFERENCE_PRECISION_HINT": precision(), "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
    # The small dense layers are outputs, too, so that none is fused with what follows: fused ones add up in another order
    # with another number of threads, and the same map would not give the same bytes on every machine.
    model = ov.Model([output, *ops.kept[:DENSE_KEPT]], inputs, "cryoresdl")
    with _all_instructions():
        compiled = ov.Core().compile_model(model, "CPU", settings)
    local = network["name"] == band_networks.LOCAL_NETWORK

    def run(values: Dict[str, np.ndarray]) -> np.ndarray:
        if local:
            x = np.ascontiguousarray(np.moveaxis(values["x"], -1, 1))
            return np.moveaxis(compiled([x, values["summary"]])[0], 1, -1)
        return compiled([values["profile"]])[0]

    return run


def _numpy_runner(network: Dict[str, Any], weights: Dict[str, np.ndarray], threads: int) -> Runner:
    ops = NumpyOps(weights)
    if network["name"] == band_networks.LOCAL_NETWORK:
        return lambda values: band_networks.forward_local(
            ops, values["x"], values["summary"], network["config"]
        )
    return lambda values: band_networks.forward_global(ops, values["profile"], network["config"])


def _tensorflow_runner(network: Dict[str, Any], weights: Dict[str, np.ndarray], threads: int) -> Runner:
    from .tensorflow_import import import_tensorflow

    _, keras = import_tensorflow()
    local = network["name"] == band_networks.LOCAL_NETWORK
    model = (
        band_networks.keras_local_network(network, keras)
        if local
        else band_networks.keras_global_network(network, keras)
    )
    band_networks.set_weights(model, weights)
    names = ["x", "summary"] if local else ["profile"]
    return lambda values: np.asarray(
        model([values[n] for n in names] if local else values[names[0]], training=False), np.float32
    )


_BACKENDS: Dict[str, Callable[[Dict[str, Any], Dict[str, np.ndarray], int], Runner]] = {
    "openvino": _openvino_runner,
    "tensorflow": _tensorflow_runner,
    "numpy": _numpy_runner,
}


def runner(
    network: Dict[str, Any], weights: Dict[str, np.ndarray], name: Optional[str] = None
) -> Tuple[Runner, str]:
    """A function that runs a default network, and the name of the backend that does it.

    Args:
        network: description from a model's card (``band_networks``).
        weights: named arrays.
        name: openvino, tensorflow or numpy; None takes ``CRYORESDL_BACKEND``, or OpenVINO where it is installed and the
            processor has AVX, or numpy.

    Raises:
        InputError: an unknown backend, or one that is not installed.
    """
    chosen = name or os.environ.get(BACKEND_VARIABLE) or ""
    if chosen and chosen not in _BACKENDS:
        raise InputError(
            f"{BACKEND_VARIABLE}={chosen} is not a backend; choose one of {', '.join(_BACKENDS)}."
        )
    weights = {k: np.asarray(v, np.float32) for k, v in weights.items()}
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    order: List[str] = [chosen] if chosen else ["openvino", "numpy"]
    if not machine.has_avx() and "openvino" in order:
        if chosen:
            raise InputError(
                f"OpenVINO needs a processor with AVX, which this one lacks; unset {BACKEND_VARIABLE} to compute with numpy."
            )
        progress.note("This processor has no AVX: the network is computed with numpy, more slowly.")
        order.remove("openvino")
    problem: Optional[Exception] = None
    for candidate in order:
        try:
            return _BACKENDS[candidate](network, weights, threads), candidate
        except ImportError as error:
            problem = error
    raise InputError(
        f"The backend {order[0]} cannot be used ({problem}); install it or unset {BACKEND_VARIABLE}."
    )


PROFILE_CLIP = 6.0
"""Inputs of the global network beyond so many standard deviations of the training maps are held there."""


def scaled_profile(weights: Dict[str, np.ndarray], profiles: np.ndarray) -> np.ndarray:
    """Profiles (n, inputs) in the training maps' standard deviations; numbers that an older model lacks are cut off."""
    mean = np.asarray(weights["input/mean"], np.float32)
    scaled = (np.asarray(profiles)[:, : mean.size] - mean) / np.asarray(weights["input/scale"], np.float32)
    return np.clip(scaled, -PROFILE_CLIP, PROFILE_CLIP).astype(np.float32)


def profile_outputs(
    config: Dict[str, Any], weights: Dict[str, np.ndarray], profiles: np.ndarray
) -> List[np.ndarray]:
    """What every member of a network on profiles answers: arrays (n, bins).

    The networks are so small that numpy is through before any other engine has started.

    Args:
        config: of the network (``band_networks``).
        weights: its arrays.
        profiles: (n, inputs), in the units of the training maps.
    """
    ops = NumpyOps({name: np.asarray(value, np.float32) for name, value in weights.items()})
    rows = scaled_profile(weights, profiles)
    return [
        band_networks.forward_global(ops, rows, config, prefix)
        for prefix in band_networks.member_prefixes(config)
    ]


def profile_distribution(
    network: Dict[str, Any],
    weights: Dict[str, np.ndarray],
    profiles: np.ndarray,
    temperature: Any = 1.0,
    criterion: str = CRITERIA[0],
) -> np.ndarray:
    """Distribution over the resolution bins that the global network gives, the mean of its members'.

    Args:
        network: a card's ``network`` entry.
        weights: its arrays.
        profiles: (n, inputs), see ``network_inputs.global_profile``.
        temperature: of the calibration, one for all or (n, 1); divides the logits.
        criterion: of FSC, one of those that the network answers for.

    Returns:
        (n, bins), rows of sum 1.

    Raises:
        InputError: the network does not answer for that criterion.
    """
    config = network["config"]
    known, bins = band_networks.criteria_of(config), config["bins"]
    if criterion not in known:
        raise InputError(
            f"The global model answers for FSC {' and '.join(known)} only, not for {criterion}; use the shipped model."
        )
    outputs = profile_outputs(config, weights, profiles)
    total = np.zeros((len(outputs[0]), bins), np.float32)
    first = known.index(criterion) * bins
    for logits in outputs:
        total += softmax(logits[:, first : first + bins] / temperature)
    return total / len(outputs)


_LOADED: Dict[str, model_archive.Model] = {}
_RUNNERS: Dict[str, Tuple[Runner, str]] = {}


def load_model(name_or_path: Any, kind: str) -> model_archive.Model:
    """A model by name or file, loaded once per process.

    Raises:
        InputError: no such model, it is of the other kind, or for features of another version.
    """
    path = str(model_store.resolve(name_or_path))
    # Milliseconds: a file that was replaced since is another model under the same path.
    if path not in _LOADED or _LOADED[path].digest != model_store.digest(path):
        loaded = model_store.load_named(path)
        if loaded.card["network"]["name"] not in model_check.KINDS:
            raise InputError(
                f"{path} holds the network '{loaded.card['network']['name']}', which this version does not know; "
                "update CryoResDL."
            )
        _LOADED[path] = loaded
    model = _LOADED[path]
    if model.card["kind"] != kind:
        wanted = "whole maps" if kind == "global" else "local resolution"
        raise InputError(
            f"The model {model.card['name']} is for {model.card['kind']} resolution; choose one for {wanted}."
        )
    return model


def _run(model: model_archive.Model) -> Runner:
    """The function that runs a model's network, built once per process."""
    return _runner_of(model)[0]


def precision_of(model: model_archive.Model) -> str:
    """What a model's network is computed in here: "f32" or "bf16"."""
    return precision() if _runner_of(model)[1] == "openvino" else PRECISIONS[0]


def _runner_of(model: model_archive.Model) -> Tuple[Runner, str]:
    key = f"{model.path} {model.digest}"
    if key not in _RUNNERS:
        _RUNNERS[key] = runner(model.card["network"], model.weights)
    return _RUNNERS[key]
