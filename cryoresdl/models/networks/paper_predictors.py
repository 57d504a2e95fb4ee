"""The paper's global networks run in numpy: cropping, scaling, compressed first layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Iterable

import numpy as np

from ..base.errors import InputError
from ..base.resolution_terms import GLOBAL_CLASSES
from .paper_networks import (
    CNN,
    DNN,
    DNN_LOW_RANK,
    MAP_SIDE,
    build_paper_network,
    from_weights,
    low_frequencies,
)
from .resolution_bins import softmax

if TYPE_CHECKING:
    from .model_archive import Model


def scale01(data: np.ndarray) -> np.ndarray:
    """Min-max scaling of a whole map to [0, 1] as float32; a constant map becomes zeros."""
    data = np.asarray(data, np.float32)
    low, high = float(data.min()), float(data.max())
    if not high > low:
        return np.zeros_like(data)
    return (data - np.float32(low)) / np.float32(high - low)


def crop_or_pad(data: np.ndarray, side: int = MAP_SIDE) -> np.ndarray:
    """Central crop of long axes, zeros appended at the end of short ones (paper, section 2.3).

    Args:
        data: (z, y, x), any lengths.
        side: length of every axis of the result, in voxels.
    """
    for axis, length in enumerate(data.shape):
        if length > side:
            start = (length - side) // 2
            data = np.take(data, range(start, start + side), axis)
    return np.pad(data, [(0, side - length) for length in data.shape])


def prepare_map(data: np.ndarray, side: int = MAP_SIDE) -> np.ndarray:
    """A map as the paper's classifiers read it: scaled first, then cropped or padded; voxel size ignored."""
    return crop_or_pad(scale01(data), side)


def paper_predict(model: Model, maps: Iterable[np.ndarray], batch: int = 16) -> np.ndarray:
    """Class probabilities that a global network of the paper gives.

    Args:
        model: a loaded model whose network is the paper's DNN (full or low-rank) or CNN.
        maps: raw (z, y, x) maps of any box and voxel size; they are prepared here.
        batch: maps per step.

    Returns:
        (n, 3) float32 probabilities of high, medium and low.

    Raises:
        InputError: the model is of another kind, or TensorFlow is needed and missing.
    """
    network = model.card["network"]
    if network["name"] not in (DNN, CNN, DNN_LOW_RANK):
        raise InputError(f"The model {model.name} is not a global classifier of the paper.")
    side = network["config"]["side"]
    stack = [prepare_map(data, side) for data in maps]
    if not stack:
        return np.zeros((0, len(GLOBAL_CLASSES)), np.float32)
    logits = classifier(model)
    return np.concatenate(
        [softmax(logits(np.stack(stack[start : start + batch]))) for start in range(0, len(stack), batch)]
    )


def classifier(model: Model) -> Any:
    """A function from prepared maps (n, side, side, side) to scores; numpy alone where it can be.

    The DNN and CNN give (n, 3) logits, the U-Net (n, side, side, side, 10) probabilities. The last two models are
    kept ready, because a list of maps asks for the same ones, in turn, again and again.
    """
    if model.digest in _READY:
        return _READY[model.digest]
    ready = _classifier(model)
    if model.digest:
        while len(_READY) >= _KEPT_READY:
            _READY.pop(next(iter(_READY)))
        _READY[model.digest] = ready
    return ready


_READY: Dict[str, Any] = {}
_KEPT_READY = 2


def _classifier(model: Model) -> Any:
    network = model.card["network"]
    if network["name"] == DNN_LOW_RANK:
        return _LowRank(network["config"], model.weights)
    if network["name"] == DNN:
        return _Dense(model.weights)
    keras_model = from_weights(build_paper_network(network), model.weights)
    return lambda maps: np.asarray(keras_model(maps, training=False))


class _Dense:
    """The full DNN in numpy: three matrix products need no framework."""

    def __init__(self, weights: Dict[str, np.ndarray]) -> None:
        self.weights = {name: np.asarray(value, np.float32) for name, value in weights.items()}

    def __call__(self, maps: np.ndarray) -> np.ndarray:
        return self.head(maps.reshape(len(maps), -1) @ self.weights["dense1/kernel"])

    def head(self, x: np.ndarray) -> np.ndarray:
        w = self.weights
        x = np.maximum(x + w["dense1/bias"], 0)
        x = np.maximum(x @ w["dense2/kernel"] + w["dense2/bias"], 0)
        return x @ w["logits/kernel"] + w["logits/bias"]


class _LowRank(_Dense):
    """The DNN with its first layer as (cosine coefficients) x (rank) x (neurons); see ``compress_dnn``."""

    def __init__(self, config: Dict[str, Any], weights: Dict[str, np.ndarray]) -> None:
        super().__init__(weights)
        self.side, self.cosines = int(config["side"]), int(config["cosines"])
        self.index = low_frequencies(self.cosines)

    def __call__(self, maps: np.ndarray) -> np.ndarray:
        coefficients = cosine_coefficients(maps, self.cosines)[:, self.index]
        return self.head(coefficients @ self.weights["dense1/coefficients"] @ self.weights["dense1/neurons"])


def cosine_coefficients(maps: np.ndarray, count: int) -> np.ndarray:
    """The first ``count`` orthonormal cosine (DCT-II) coefficients per axis of cubes.

    Args:
        maps: (n, side, side, side).
        count: coefficients kept along each axis; the highest stands for count / (2 side) cycles/voxel.

    Returns:
        (n, count^3) float32.
    """
    from scipy import fft

    x = np.asarray(maps, np.float32)
    for axis in (1, 2, 3):
        x = np.take(fft.dct(x, axis=axis, norm="ortho"), range(count), axis)
    return np.ascontiguousarray(x).reshape(len(x), -1)
