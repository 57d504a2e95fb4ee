"""The paper's DNN by plain gradient descent, exactly, without touching its 262 million weights.

Gradient descent changes the first layer's kernel only by sums of training maps: after any number of steps
``W = W0 + X^T A`` with one row of A per training map x_i. Its products with any map x follow from ``x W0`` and
the inner products ``x . x_i``, computed once; a step is ``A[batch] -= rate * dL/dz``. The trained network is
the one that Keras's SGD gives from the same start and order of batches (a test compares them), in
milliseconds per step instead of a second and more.

The short cut also makes many orientations of each map cheap: turning a cube onto itself permutes voxels, so
``(R_a x) . (R_b y) = x . (R_a^-1 R_b y)``, and N maps in G orientations need N x N x G products, not (N G)^2.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any, Dict, List, Tuple

import numpy as np

from ..base import progress
from ..base.errors import InputError
from ..base.runs.array_cache import read_arrays, write_arrays
from ..networks import paper_networks, resolution_bins
from .epoch_loop import EpochRecipe
from .examples import ExampleSource, blocks, epoch_order, example_batches, example_labels

PRODUCTS = "products.npz"
ORIENTATIONS = (1, 4, 12, 24)
"""Sizes of the groups of rotations of a cube that map the voxel grid onto itself."""


def rotations(count: int) -> List[np.ndarray]:
    """A group of proper rotations of the cube as signed permutation matrices, the identity first.

    Args:
        count: 1; 4 (half turns about the axes); 12 (also third turns about the diagonals); 24 (all).
    """
    if count not in ORIENTATIONS:
        raise InputError(f"A cube has no group of {count} rotations here; choose 1, 4, 12 or 24.")
    found = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            matrix = np.zeros((3, 3), int)
            matrix[range(3), order] = signs
            even = np.linalg.det(np.abs(matrix)) > 0
            kept = {1: order == (0, 1, 2) and signs == (1, 1, 1), 4: order == (0, 1, 2), 12: even, 24: True}[
                count
            ]
            if kept and np.linalg.det(matrix) > 0:
                found.append(matrix)
    return sorted(found, key=lambda matrix: -int(np.trace(matrix) == 3))


def turn(maps: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Cubes (n, z, y, x) turned about their middle by a signed permutation of the axes."""
    order = np.abs(matrix).argmax(1)
    signs = matrix[range(3), order]
    turned = maps.transpose(0, *(order + 1))
    return turned[(slice(None), *(slice(None, None, int(sign)) for sign in signs))]


class GramStepper:
    """Stepper (see ``epoch_loop.run_epochs``) of the DNN in its dual form; example ``i G + a`` is map i turned by R_a."""

    def __init__(
        self,
        train: ExampleSource,
        validation: ExampleSource,
        recipe: EpochRecipe,
        seed: int,
        network: Dict[str, Any],
        orientations: int = 1,
        cache: Path | None = None,
        identity: Any = None,
    ):
        """Compute the inner products, or take them from ``cache``.

        Args:
            train: examples to learn from.
            validation: examples that decide when to stop; not turned.
            recipe: plain gradient descent (``sgd``).
            seed: of the first weights and the order of examples.
            network: the DNN's description.
            orientations: in how many orientations each training map is shown.
            cache: file that keeps the products for a resumed run.
            identity: what the cached products must belong to.

        Raises:
            InputError: the recipe is not plain gradient descent, or no such group of orientations.
        """
        if recipe.optimizer != "sgd":
            raise InputError(
                "The gram solver is plain gradient descent; use --solver keras for other optimisers."
            )
        self.train, self.recipe, self.seed = train, recipe, seed
        self.side = int(network["config"]["side"])
        self.group = rotations(orientations)
        self.quotient = quotients(self.group)
        self.start = initial_dnn(network, seed)
        self.labels = np.repeat(example_labels(train), len(self.group))
        self.validation_labels = example_labels(validation)
        self.products = self._cached_products(validation, cache, json.dumps(identity, sort_keys=True))
        self.small = {name: value.copy() for name, value in self.start.items() if name != "dense1/kernel"}
        self.small["a"] = np.zeros((len(self.labels), self.start["dense1/kernel"].shape[1]), np.float32)

    def _cached_products(
        self, validation: ExampleSource, cache: Path | None, identity: str
    ) -> Dict[str, np.ndarray]:
        stored = None if cache is None else read_arrays(cache, identity)
        if stored is not None:
            return stored
        products = self._train_products()
        products["validation"], products["validation_offset"] = self.against_train(validation)
        if cache is not None:
            write_arrays(cache, identity, products)
        return products

    def _train_products(self) -> Dict[str, np.ndarray]:
        """``gram`` (N, N, G): x_i . R_c x_j; ``offset`` (N G, units): of every turned map with the first kernel."""
        count, size = len(self.train), len(self.group)
        inverse = self.quotient[:, 0]
        gram = np.empty((count, count, size), np.float32)
        offset = np.empty((count, size, self.start["dense1/kernel"].shape[1]), np.float32)
        for columns, y in blocks(self.train):
            for c, matrix in enumerate(self.group):
                turned = self._turned(y, matrix)
                offset[columns, c] = turned @ self.start["dense1/kernel"]
                for rows, x in blocks(self.train, columns.start):
                    product = x @ turned.T
                    gram[rows, columns, c] = product
                    # x_j . R_c^-1 x_i is the same number.
                    gram[columns, rows, inverse[c]] = product.T
            progress.note(f"inner products: {columns.stop} of {count} maps")
        return {"gram": gram, "offset": offset.reshape(count * size, -1)}

    def against_train(self, source: ExampleSource) -> Tuple[np.ndarray, np.ndarray]:
        """Products of other maps with all training examples (n, N G), and with the first kernel (n, units)."""
        size = len(self.group)
        gram = np.empty((len(source), len(self.train), size), np.float32)
        offset = np.empty((len(source), self.start["dense1/kernel"].shape[1]), np.float32)
        for rows, x in blocks(source):
            offset[rows] = x @ self.start["dense1/kernel"]
            # Turning the few maps back is cheaper than turning all training maps.
            turned = [self._turned(x, matrix.T) for matrix in self.group]
            for columns, y in blocks(self.train):
                for c in range(size):
                    gram[rows, columns, c] = turned[c] @ y.T
        return gram.reshape(len(source), -1), offset

    def _turned(self, flat: np.ndarray, matrix: np.ndarray) -> np.ndarray:
        cubes = turn(flat.reshape(-1, self.side, self.side, self.side), matrix)
        return np.ascontiguousarray(cubes).reshape(len(flat), -1)

    def train_epoch(self, epoch: int) -> Tuple[float, float]:
        """One pass over the training examples; mean loss and accuracy during it."""
        order = epoch_order(len(self.labels), self.seed, epoch)
        loss = correct = 0.0
        for batch in example_batches(order, self.recipe.batch):
            logits, cache = self._forward(self._rows(batch), self.products["offset"][batch])
            labels = self.labels[batch]
            probabilities = resolution_bins.softmax(logits)
            loss += _cross_entropy(probabilities, labels) * len(batch)
            correct += float((logits.argmax(1) == labels).sum())
            probabilities[np.arange(len(batch)), labels] -= 1
            self._descend(batch, cache, probabilities / np.float32(len(batch)))
        return loss / len(order), correct / len(order)

    def _rows(self, batch: np.ndarray) -> np.ndarray:
        """Inner products of the examples of a batch with all examples, (batch, N G)."""
        gram, size = self.products["gram"], len(self.group)
        if size == 1:
            return gram[batch, :, 0]
        chosen = self.quotient[batch % size][:, None, :]
        rows = np.take_along_axis(gram[batch // size], chosen, axis=2)
        return rows.reshape(len(batch), -1)

    def validate(self) -> Tuple[float, float]:
        """Mean loss and accuracy on the validation examples."""
        logits = self._forward(self.products["validation"], self.products["validation_offset"])[0]
        labels = self.validation_labels
        return _cross_entropy(resolution_bins.softmax(logits), labels), float(
            (logits.argmax(1) == labels).mean()
        )

    def state(self) -> Dict[str, np.ndarray]:
        """All that training changes, copied: A, biases and the small kernels."""
        return {name: value.copy() for name, value in self.small.items()}

    def restore(self, state: Dict[str, np.ndarray]) -> None:
        """Put back what :meth:`state` gave."""
        self.small = {name: value.copy() for name, value in state.items()}

    def weights(self, state: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
        """The trained network in full, named as in ``paper_networks.weight_shapes``; 1 GB at width 1."""
        weights = {name: value for name, value in state.items() if name != "a"}
        kernel = self.start["dense1/kernel"].copy()
        shares = state["a"].reshape(len(self.train), len(self.group), -1)
        for columns, x in blocks(self.train):
            for c, matrix in enumerate(self.group):
                kernel += self._turned(x, matrix).T @ shares[columns, c]
        weights["dense1/kernel"] = kernel
        return weights

    def _forward(
        self, gram: np.ndarray, offset: np.ndarray
    ) -> Tuple[np.ndarray, Tuple[np.ndarray, np.ndarray]]:
        s = self.small
        first = np.maximum(offset + gram @ s["a"] + s["dense1/bias"], 0)
        second = np.maximum(first @ s["dense2/kernel"] + s["dense2/bias"], 0)
        return second @ s["logits/kernel"] + s["logits/bias"], (first, second)

    def _descend(self, batch: np.ndarray, cache: Tuple[np.ndarray, np.ndarray], slope: np.ndarray) -> None:
        s, rate = self.small, np.float32(self.recipe.learning_rate)
        first, second = cache
        slope2 = (slope @ s["logits/kernel"].T) * (second > 0)
        slope1 = (slope2 @ s["dense2/kernel"].T) * (first > 0)
        s["logits/kernel"] -= rate * (second.T @ slope)
        s["logits/bias"] -= rate * slope.sum(0)
        s["dense2/kernel"] -= rate * (first.T @ slope2)
        s["dense2/bias"] -= rate * slope2.sum(0)
        s["a"][batch] -= rate * slope1
        s["dense1/bias"] -= rate * slope1.sum(0)


def quotients(group: List[np.ndarray]) -> np.ndarray:
    """(G, G) table: number of ``R_a^-1 R_b`` in the group."""
    numbers = {matrix.tobytes(): number for number, matrix in enumerate(group)}
    return np.array([[numbers[np.ascontiguousarray(a.T @ b).tobytes()] for b in group] for a in group])


def initial_dnn(network: Dict[str, Any], seed: int) -> Dict[str, np.ndarray]:
    """Fresh DNN weights: Glorot-uniform kernels and zero biases, as Keras (and TensorFlow 1.5) start them."""
    random = np.random.Generator(np.random.Philox(seed))
    weights = {}
    for name, shape in paper_networks.weight_shapes(network).items():
        if name.endswith("/bias"):
            weights[name] = np.zeros(shape, np.float32)
            continue
        limit = np.float32(np.sqrt(6.0 / sum(shape)))
        values = random.random(shape, np.float32)
        values *= 2 * limit
        values -= limit
        weights[name] = values
    return weights


def _cross_entropy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    chosen = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(chosen, 1e-30)).mean())
