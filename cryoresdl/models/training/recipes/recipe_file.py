"""A model's recipe: sets, training, calibration and evaluation, read from the TOML file of its name."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, Optional, Tuple, Type, TypeVar

from ...base.errors import InputError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SUFFIX = ".toml"
SELECTION_RULES = {
    "local": "least error in octaves on the validation maps, from one map plus half of that from half maps",
    "global": "the last epoch",
    "paper": "least validation loss",
}
"""What each trainer keeps. Test maps, and real ones, never choose."""
SMALL_SCALE = 0.1
"""Below it a run is a trial: ``small`` overrides of a recipe count."""
LEAST_SCALED_MAPS = {"train": 4, "validation": 2, "test": 2}
_SCALED_OPTIONS = ("steps", "epochs")

Part = TypeVar("Part")


@dataclass(frozen=True)
class SetRecipe:
    """One set of maps.

    Attributes:
        name: of the file, and how other parts of the recipe call it.
        maker: "features" (simulated maps), "whole_maps" (noiseless maps of structures), "labelled" (maps with volumes
            of local resolution) or "patches" (such maps, cut as the paper's U-Net reads them).
        seed: of everything drawn.
        maps: per split, of simulated maps.
        options: of the maker: of ``GlobalSetRecipe`` and the ``share`` of the structures, or ``labels`` and ``splits``.
        seconds: expected on two cores.
    """

    name: str
    maker: str
    seed: int = 0
    maps: Dict[str, int] = field(default_factory=dict)
    options: Dict[str, Any] = field(default_factory=dict)
    seconds: float = 60.0


@dataclass(frozen=True)
class TrainingRecipe:
    """The training.

    Attributes:
        trainer: "local", "global" or "paper".
        sets: names of the sets to learn from.
        start: model to begin with, "none" for random weights; for "global" the local model whose answers it reads.
        options: hyper-parameters, all that the trainer has.
        small: what replaces them in trials (``SMALL_SCALE``), where the size of the network would take all the time.
        seconds: expected on two cores.
    """

    trainer: str
    sets: Tuple[str, ...]
    start: str = "none"
    options: Dict[str, Any] = field(default_factory=dict)
    small: Dict[str, Any] = field(default_factory=dict)
    seconds: float = 600.0


@dataclass(frozen=True)
class HeldOutRecipe:
    """A step on held-out maps, calibration or evaluation: names of its sets, and seconds expected on two cores."""

    sets: Tuple[str, ...]
    seconds: float = 60.0


@dataclass(frozen=True)
class ModelRecipe:
    """Everything that decides a model's file, besides the structures and the versions of libraries.

    Attributes:
        name: of the model.
        about: one sentence.
        selection: how the weights are chosen (``SELECTION_RULES``).
        sets: all sets.
        training: the training.
        evaluation: measured at the end.
        calibration: again, on other maps than those beside the training; None keeps what the training gave.
        scale: of the numbers of maps and steps; 1 for the model that is shipped.
    """

    name: str
    about: str
    selection: str
    sets: Tuple[SetRecipe, ...]
    training: TrainingRecipe
    evaluation: HeldOutRecipe
    calibration: Optional[HeldOutRecipe] = None
    scale: float = 1.0

    @property
    def digest(self) -> str:
        """SHA-256 of what the recipe says; expected times do not count."""
        plain = _without_seconds(asdict(self))
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()

    @property
    def seconds(self) -> float:
        """How long all of it is expected to take on two cores."""
        total = sum(one.seconds for one in self.sets) + self.training.seconds + self.evaluation.seconds
        return total + (self.calibration.seconds if self.calibration else 0.0)

    def scaled(self, scale: float) -> ModelRecipe:
        """The same with ``scale`` times as many maps and steps; what is left is enough for every stage to run."""
        if scale == 1.0:
            return self
        options = dict(self.training.options)
        if scale < SMALL_SCALE:
            options.update(self.training.small)
        for name in _SCALED_OPTIONS:
            if name in options:
                options[name] = max(2, round(options[name] * scale))

        def shorter(part: Part) -> Part:
            return replace(part, seconds=part.seconds * scale)  # type: ignore[type-var, attr-defined]

        return replace(
            self,
            sets=tuple(
                replace(
                    shorter(one),
                    maps={k: max(LEAST_SCALED_MAPS[k], round(v * scale)) for k, v in one.maps.items() if v},
                )
                for one in self.sets
            ),
            training=replace(shorter(self.training), options=options),
            evaluation=shorter(self.evaluation),
            calibration=shorter(self.calibration) if self.calibration else None,
            scale=scale,
        )


def _without_seconds(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_seconds(v) for k, v in value.items() if k != "seconds"}
    return [_without_seconds(v) for v in value] if isinstance(value, (list, tuple)) else value


def recipe_folder() -> Path:
    """Where the recipes of the shipped models lie."""
    return Path(__file__).parent


def recipe_names() -> List[str]:
    """The models that have a recipe."""
    return sorted(path.name[: -len(SUFFIX)] for path in recipe_folder().glob("*" + SUFFIX))


def read_recipe(name: str) -> ModelRecipe:
    """The recipe of a shipped model, or that of a file.

    Raises:
        InputError: no such recipe, or one that says what no part of it understands.
    """
    path = Path(name) if name.endswith(SUFFIX) else recipe_folder() / (name + SUFFIX)
    try:
        with open(path, "rb") as handle:
            text = tomllib.load(handle)
    except OSError as error:
        raise InputError(
            f"There is no recipe {name!r}; choose {', '.join(recipe_names())}, or give a TOML file."
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path} is not TOML ({error}).") from error
    sets = tuple(_part(SetRecipe, one, path) for one in text.pop("sets", []))
    parts: Dict[str, Any] = {"sets": sets}
    for key, kind in (
        ("training", TrainingRecipe),
        ("evaluation", HeldOutRecipe),
        ("calibration", HeldOutRecipe),
    ):
        if key in text:
            parts[key] = _part(kind, text.pop(key), path)
    recipe = _part(ModelRecipe, {**text, **parts}, path)
    _check(recipe, path)
    return recipe


def _part(kind: Type[Part], values: Mapping[str, Any], path: Path) -> Part:
    known = {one.name for one in fields(kind)}  # type: ignore[arg-type]
    for name in values:
        if name not in known:
            raise InputError(
                f"{path} has {name!r}, which no {kind.__name__} knows; it knows {', '.join(sorted(known))}."
            )
    plain = {k: tuple(v) if k == "sets" and isinstance(v, list) else v for k, v in values.items()}
    try:
        return kind(**plain)
    except TypeError as error:
        raise InputError(f"{path} lacks a part: {error}.") from error


def check_options(recipe: object, part: str, options: Iterable[str], known: Iterable[str]) -> None:
    """Refuse options that a part of a recipe does not know.

    Args:
        recipe: its file or name, for the sentence.
        part: of the recipe, for the sentence.
        options: names that the recipe gives.
        known: names that there are.

    Raises:
        InputError: an unknown name.
    """
    known = sorted(known)
    for name in options:
        if name not in known:
            there = f"choose {', '.join(known)}" if known else "it has none"
            raise InputError(f"The recipe {recipe} has the unknown option {name!r} in the {part}; {there}.")


def _check(recipe: ModelRecipe, path: Path) -> None:
    """Refuse names of sets that are none, and a rule that the trainer does not follow."""
    names = [one.name for one in recipe.sets]
    for one in recipe.sets:
        check_options(path, f"maps of the set {one.name}", one.maps, LEAST_SCALED_MAPS)
    wanted = [*recipe.training.sets, *recipe.evaluation.sets]
    wanted += recipe.calibration.sets if recipe.calibration else ()
    for name in wanted:
        if name not in names:
            raise InputError(
                f"{path} uses the set {name!r}, which it does not make; it makes {', '.join(names)}."
            )
    rule = SELECTION_RULES.get(recipe.training.trainer)
    if rule is None:
        raise InputError(
            f"{path} has the trainer {recipe.training.trainer!r}; choose {', '.join(SELECTION_RULES)}."
        )
    if recipe.selection != rule:
        raise InputError(f"{path}: the trainer {recipe.training.trainer} selects by {rule!r}; say so.")
