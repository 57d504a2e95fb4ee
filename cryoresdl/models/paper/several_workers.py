"""Training on several machines or processes: every batch is shared out, the gradients are summed.

TensorFlow's ``MultiWorkerMirroredStrategy`` does the sums. Every worker knows the whole data set and takes
its part of each batch, so that all of them together see exactly what one worker would, in the same order;
without dropout the losses are the same up to rounding. The first worker writes; when one is lost the others stop, and
all go on from the checkpoint with ``--resume``.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any, Callable, Tuple

import numpy as np

from ..base.errors import CryoResError, InputError
from ..networks import tensorflow_import
from .epoch_loop import EpochRecipe
from .examples import ExampleSource, epoch_order, example_batches
from .keras_stepper import KerasStepper


@dataclass(frozen=True)
class Cluster:
    """Addresses (HOST:PORT) of all workers, and the number of this one."""

    workers: Tuple[str, ...]
    index: int

    @classmethod
    def parse(cls, text: str, index: int) -> Cluster:
        """From ``HOST:PORT,HOST:PORT``.

        Raises:
            InputError: fewer than two addresses, an address without a port, or no such worker.
        """
        workers = tuple(part.strip() for part in text.split(",") if part.strip())
        if len(workers) < 2 or len(set(workers)) != len(workers):
            raise InputError(f"--cluster needs two or more different addresses HOST:PORT, not '{text}'.")
        for worker in workers:
            host, _, port = worker.rpartition(":")
            if not host or not port.isdigit() or not 0 < int(port) < 65536:
                raise InputError(f"'{worker}' in --cluster is not HOST:PORT.")
        if not 0 <= index < len(workers):
            raise InputError(f"--worker {index} is not one of 0 ... {len(workers) - 1}.")
        return cls(workers, index)

    @property
    def chief(self) -> bool:
        """Whether this worker writes the results."""
        return self.index == 0


class DistributedStepper(KerasStepper):
    """:class:`.keras_stepper.KerasStepper` over the workers of a cluster."""

    def __init__(
        self,
        cluster: Cluster,
        build: Callable[[], Any],
        train: ExampleSource,
        validation: ExampleSource,
        recipe: EpochRecipe,
        seed: int,
        logits: bool,
    ) -> None:
        """Meet the other workers (waits for them) and build the model on each.

        Args:
            cluster: all workers and which this is.
            build: makes the model; called inside the strategy's scope.
            train: examples to learn from, the same on every worker.
            validation: examples that decide when to stop.
            recipe: optimiser, learning rate and batch (of all workers together).
            seed: of the order of examples and of dropout.
            logits: the model gives logits rather than probabilities.
        """
        tf, keras = tensorflow_import.import_tensorflow()

        task = {"type": "worker", "index": cluster.index}
        os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": list(cluster.workers)}, "task": task})
        self.tf, self.cluster = tf, cluster
        self.strategy = tf.distribute.MultiWorkerMirroredStrategy()
        keras.utils.set_random_seed(seed % 2**32)
        with self.strategy.scope():
            super().__init__(build(), train, validation, recipe, seed, logits)
        self.losses = keras.losses.SparseCategoricalCrossentropy(from_logits=logits, reduction=None)
        self._step = tf.function(self._shared_step, reduce_retracing=True)

    def _shared_step(self, x: Any, y: Any, weight: Any, size: Any) -> Tuple[Any, Any]:
        tf = self.tf

        def one(x: Any, y: Any, weight: Any, size: Any) -> Tuple[Any, Any]:
            with tf.GradientTape() as tape:
                scores = self.model(x, training=True)
                each = self.losses(y, scores)
                each = tf.reshape(each, (tf.shape(each)[0], -1))
                loss = tf.reduce_sum(tf.reduce_mean(each, 1) * weight) / size
            variables = self.model.trainable_variables
            self.model.optimizer.apply(tape.gradient(loss, variables), variables)
            right = tf.cast(tf.equal(tf.argmax(scores, -1, y.dtype), y), tf.float32)
            right = tf.reduce_mean(tf.reshape(right, (tf.shape(right)[0], -1)), 1)
            return loss * size, tf.reduce_sum(right * weight)

        found = self.strategy.run(one, args=(x, y, weight, size))
        total = tf.distribute.ReduceOp.SUM
        return tuple(self.strategy.reduce(total, value, axis=None) for value in found)

    def train_epoch(self, epoch: int) -> Tuple[float, float]:
        """One pass over the training examples by all workers together.

        Raises:
            CryoResError: another worker is lost.
        """
        tf = self.tf
        self._seed_dropout(epoch)
        order = epoch_order(len(self.train), self.seed, epoch)
        loss = right = 0.0
        for batch in example_batches(order, self.recipe.batch):
            mine = batch[self.cluster.index :: len(self.cluster.workers)]
            weight = np.ones(max(len(mine), 1), np.float32) * (len(mine) > 0)
            # A last batch may be too short for everyone: who has nothing computes with weight zero.
            x, y = self.train.take(mine if len(mine) else batch[:1])
            arguments = (x, y.astype(np.int64), weight, np.float32(len(batch)))
            try:
                sums = self._step(*(tf.constant(value) for value in arguments))
                loss, right = loss + float(sums[0]), right + float(sums[1])
            except tf.errors.OpError as error:
                raise CryoResError(
                    "Another worker of the cluster is lost; start all workers again with --resume."
                ) from error
        return loss / len(order), right / len(order)

    def evaluate(self, source: ExampleSource) -> Tuple[float, float]:
        """Mean loss and accuracy on any examples; every worker computes all of it, without talking."""
        loss = right = 0.0
        for indices in example_batches(np.arange(len(source)), self.recipe.batch):
            x, y = source.take(indices)
            scores = self.model(x, training=False)
            loss += float(np.mean(self.losses(y, scores))) * len(indices)
            right += float(np.mean(np.argmax(scores, -1) == y)) * len(indices)
        return loss / len(source), right / len(source)
