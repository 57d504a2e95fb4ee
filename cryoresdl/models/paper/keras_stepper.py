"""One training step of a Keras network of the paper, split over parts of a batch."""

from __future__ import annotations

from typing import Any, Callable, Dict, Tuple

import numpy as np

from ..base.errors import InputError
from ..base.runs.array_cache import part_of
from ..networks import paper_networks, tensorflow_import
from .epoch_loop import EpochRecipe
from .examples import ExampleSource, epoch_order, example_batches


class KerasStepper:
    """Mini-batch training of a Keras model; examples are read batch by batch."""

    def __init__(
        self,
        model: Any,
        train: ExampleSource,
        validation: ExampleSource,
        recipe: EpochRecipe,
        seed: int,
        logits: bool,
    ) -> None:
        """Compile the model.

        Args:
            model: built by :func:`.paper_networks.build_paper_network` (or alike).
            train: examples to learn from.
            validation: examples that decide when to stop.
            recipe: optimiser, learning rate and batch.
            seed: of the order of examples and of dropout.
            logits: the model gives logits rather than probabilities.
        """
        _, keras = tensorflow_import.import_tensorflow()
        optimizers = {"sgd": keras.optimizers.SGD, "adam": keras.optimizers.Adam}
        if recipe.optimizer not in optimizers:
            raise InputError(f"'{recipe.optimizer}' is not an optimiser; choose sgd or adam.")
        self.model, self.train, self.validation = model, train, validation
        self.recipe, self.seed = recipe, seed
        # XLA would compile 3D convolutions into slower code than TensorFlow's own (oneDNN) on CPUs.
        model.compile(
            optimizer=optimizers[recipe.optimizer](recipe.learning_rate),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=logits),
            metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
            jit_compile=False,
        )
        model.optimizer.build(model.trainable_variables)

    def train_epoch(self, epoch: int) -> Tuple[float, float]:
        """One pass over the training examples; mean loss and accuracy during it."""
        self._seed_dropout(epoch)
        order = epoch_order(len(self.train), self.seed, epoch)
        return self._mean(self.model.train_on_batch, self.train, order)

    def validate(self) -> Tuple[float, float]:
        """Mean loss and accuracy on the validation examples."""
        return self.evaluate(self.validation)

    def evaluate(self, source: ExampleSource) -> Tuple[float, float]:
        """Mean loss and accuracy on any examples."""
        return self._mean(self.model.test_on_batch, source, np.arange(len(source)))

    def _mean(
        self, step: Callable[..., Any], source: ExampleSource, order: np.ndarray
    ) -> Tuple[float, float]:
        """Run ``step`` over batches; figures of batches are averaged here, by their numbers of examples."""
        loss = accuracy = 0.0
        for indices in example_batches(order, self.recipe.batch):
            # Keras versions differ in whether a step's figures include the steps before it.
            self.model.reset_metrics()
            logs = step(*source.take(indices), return_dict=True)
            loss += float(logs["loss"]) * len(indices)
            accuracy += float(logs["accuracy"]) * len(indices)
        return loss / len(order), accuracy / len(order)

    def state(self) -> Dict[str, np.ndarray]:
        """Weights and optimiser variables, copied."""
        state = {f"weights/{key}": value for key, value in paper_networks.to_weights(self.model).items()}
        for number, variable in enumerate(self.model.optimizer.variables):
            state[f"optimizer/{number}"] = np.array(variable.numpy())
        return state

    def restore(self, state: Dict[str, np.ndarray]) -> None:
        """Put back what :meth:`state` gave."""
        paper_networks.from_weights(self.model, part_of(state, "weights/"))
        for number, variable in enumerate(self.model.optimizer.variables):
            variable.assign(state[f"optimizer/{number}"])

    def weights(self, state: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
        """The trained network's arrays in a state, named as in ``paper_networks.weight_shapes``."""
        return part_of(state, "weights/")

    def _seed_dropout(self, epoch: int) -> None:
        for number, layer in enumerate(self.model.layers):
            generator = getattr(layer, "seed_generator", None)
            if generator is not None:
                words = np.random.default_rng([self.seed, epoch, number, 2]).integers(0, 2**32, 2, np.uint32)
                generator.state.assign(words.astype(generator.state.dtype))
