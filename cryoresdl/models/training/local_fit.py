"""Fitting of the default local network: loss, batches, validation, checkpoints.

Loss: the continuous ranked probability score of the predicted distribution, in log2(resolution) and in angstroms. It is
ordinal (a near miss costs little, a far one much) and proper (honest spreads score best).
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Dict, List, Optional

import numpy as np

from ..base.errors import InputError
from ..base.runs.array_cache import part_of
from ..base.runs.atomic_files import PathLike
from ..datasets.feature_sets.feature_set_file import KNOWN, FeatureItem, load_split
from ..networks import band_networks
from ..networks.tensorflow_import import import_tensorflow
from .crop_batches import LocalNetworkRecipe, crop_dataset
from .held_out_answers import validate_local
from .probability_score import _loss
from .run_files import CHECKPOINT, HISTORY, identity_of, load_checkpoint, save_checkpoint, write_history
from .training_report import epoch_line

VALIDATION_MAPS = 30
"""Maps of each feature set that a training is watched on."""
CROPS_PER_MAP = 6
"""Crops of every map in what counts as one epoch."""


def fit_local(
    data: Any,
    out: PathLike,
    recipe: Optional[LocalNetworkRecipe] = None,
    resume: bool = False,
    start: Optional[Dict[str, np.ndarray]] = None,
    report: Any = print,
    validate_every: int = 500,
    labels: str = "",
) -> Dict[str, np.ndarray]:
    """Train the local network; checkpoint and history in ``out``.

    Args:
        data: feature set(s).
        out: folder for ``checkpoint.npz`` and ``history.csv``.
        recipe: hyper-parameters.
        resume: go on from the checkpoint when there is one.
        start: named weights to begin with (fine-tuning).
        report: called with one line of progress.
        validate_every: steps between validations on whole maps; the best validation error is kept.
        labels: what the sets' labels are, which a run keeps when it is resumed; empty where nobody knows.

    Returns:
        the best weights by name.
    """
    recipe = recipe or LocalNetworkRecipe()
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    train_items, check_items = load_split(data, "train"), load_split(data, "validation", VALIDATION_MAPS)
    if any(item.info.get("kind") == KNOWN for item in [*train_items, *check_items]):
        raise InputError(
            "The training set knows one resolution per map only; train 'cnn' on it, or give local-resolution volumes."
        )
    run = _LocalFit(out, recipe, identity_of(recipe, data, labels, start), check_items, report)
    run.epoch_steps = epoch_steps(len(train_items), recipe.batch)
    run.build(start)
    if resume:
        run.restore()
    while run.number < recipe.steps:
        run.advance(train_items, min(validate_every - run.number % validate_every, recipe.steps - run.number))
    if not run.best:
        raise InputError(
            "The validation error is not a finite number; lower the learning rate and start again."
        )
    return run.best


def epoch_steps(maps: int, batch: int) -> float:
    """Optimiser steps of one epoch over so many training maps; below 1 where a step holds more than an epoch."""
    return maps * CROPS_PER_MAP / batch


class _LocalFit:
    """One training of the local network: the model, how far it is, and what it leaves in its folder."""

    def __init__(
        self,
        out: Path,
        recipe: LocalNetworkRecipe,
        identity: Dict[str, Any],
        check_items: List[FeatureItem],
        report: Any,
    ) -> None:
        self.out, self.recipe, self.identity = out, recipe, identity
        self.check_items, self.report = check_items, report
        self.number, self.score = 0, float("inf")
        self.best: Dict[str, np.ndarray] = {}
        self.rows: List[Dict[str, Any]] = []
        self.first, self.begun = 0, time.monotonic()
        self.epoch_steps = 1.0
        self.model: Any = None
        self.keras: Any = None

    def build(self, start: Optional[Dict[str, np.ndarray]]) -> None:
        """The network, its optimizer and its loss."""
        tf, keras = import_tensorflow()
        self.keras, recipe = keras, self.recipe
        keras.utils.set_random_seed(recipe.seed)
        self.model = band_networks.keras_local_network(
            band_networks.local_network(recipe.channels),
            keras,
            policy="mixed_bfloat16" if recipe.bfloat16 else "float32",
        )
        if start is not None:
            band_networks.set_weights(self.model, start)

        def loss(known: Any, logits: Any) -> Any:
            return _loss(tf, logits, known[..., 0], known[:, 0, 0, 0, 1], recipe.angstrom_weight)[0]

        def log2_error(known: Any, logits: Any) -> Any:
            return _loss(tf, logits, known[..., 0], known[:, 0, 0, 0, 1], recipe.angstrom_weight)[1]

        warm = min(WARM_UP, recipe.steps // 2)
        rate = keras.optimizers.schedules.CosineDecay(
            recipe.rate / 100, max(1, recipe.steps - warm), 0.02, warmup_target=recipe.rate, warmup_steps=warm
        )
        optimizer = keras.optimizers.Adam(rate, beta_2=0.995, global_clipnorm=1.0)
        self.model.compile(optimizer, loss, metrics=[log2_error])
        optimizer.build(self.model.trainable_variables)

    def restore(self) -> None:
        """Go on from the checkpoint when there is one."""
        path = self.out / CHECKPOINT
        if not path.exists():
            return
        facts, arrays = load_checkpoint(path, self.identity)
        for name, variable in self._variables().items():
            variable.assign(arrays.pop(name))
        self.best = part_of(arrays, _BEST)
        self.number = self.first = facts["step"]
        self.score, self.rows = facts["score"], facts["history"]
        write_history(self.out / HISTORY, self.rows)  # without what a killed run wrote after its checkpoint
        self.report(f"resumed at step {self.number}")

    def _variables(self) -> Dict[str, Any]:
        """Weights and the optimizer's variables, by their names in a checkpoint."""
        groups = {"weights": self.model.trainable_variables, "optimizer": self.model.optimizer.variables}
        return {f"{group}/{k}": one for group, several in groups.items() for k, one in enumerate(several)}

    def _keep(self) -> None:
        """Write history and checkpoint."""
        write_history(self.out / HISTORY, self.rows)
        arrays = {name: np.asarray(variable) for name, variable in self._variables().items()}
        arrays.update({_BEST + name: value for name, value in self.best.items()})
        facts = {"step": self.number, "score": self.score, "history": self.rows}
        save_checkpoint(self.out / CHECKPOINT, self.identity, facts, arrays)

    def advance(self, items: List[FeatureItem], steps: int) -> None:
        """Train for some steps, validate, and keep what is best and where the run is."""
        batches = crop_dataset(self.keras, items, self.recipe, self.number, steps)
        trained = self.model.fit(batches, epochs=1, verbose=0, shuffle=False).history
        self.number += steps
        checks = validate_local(self.model, self.check_items)
        row = {
            "step": self.number,
            "loss": round(trained["loss"][0], 5),
            "log2_error": round(trained["log2_error"][0], 5),
            **{k: round(v, 5) for k, v in checks.items()},
            "rate": round(float(self.model.optimizer.learning_rate), 7),
            "seconds": round(time.monotonic() - self.begun, 1),
        }
        self.rows.append(row)
        score = selection_score(checks)
        if score < self.score:
            self.score, self.best = score, band_networks.weights_of(self.model)
        self._keep()
        self.report(self._line(row))

    def _line(self, row: Dict[str, Any]) -> str:
        """The line of progress after a validation."""
        per_step = (time.monotonic() - self.begun) / (self.number - self.first)
        best = min(self.rows, key=lambda one: selection_score(one))["step"]
        figures = {"loss": f"{row['loss']:.4f}", "validation error": f"{row['val_single_mae_A']:.2f} A"}
        if "val_halves_mae_A" in row:
            figures["half maps"] = f"{row['val_halves_mae_A']:.2f} A"
        epoch, last, best = (step / self.epoch_steps for step in (self.number, self.recipe.steps, best))
        return epoch_line(
            f"epoch {epoch:.3g}/{last:.3g}",
            figures,
            per_step * self.epoch_steps,
            per_step * (self.recipe.steps - self.number),
            best=f"{best:.3g}",
        )


_BEST = "best/"
WARM_UP = 300
"""Steps in which the learning rate rises."""


def selection_score(checks: Dict[str, float]) -> float:
    """What the best weights have least of: the error in octaves from one map, and half of that from half maps.

    Relative errors: in angstroms a few maps of 20 A and more would choose the weights.
    """
    return checks["val_single_log2"] + 0.5 * checks.get("val_halves_log2", 0.0)
