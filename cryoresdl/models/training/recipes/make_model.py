"""Runs a recipe whole: sets, training, calibration, the model with its card, evaluation; every stage resumes."""

from __future__ import annotations

import platform
import time
from dataclasses import dataclass, fields, replace
from importlib import metadata
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence

from ...base import progress
from ...base.errors import InputError
from ...base.runs import output_folder
from ...base.runs.atomic_files import read_json, remove_result, write_json
from ...base.runs.run_record import remove_made
from ...datasets.set_parts import SetParts
from ...networks.model_files import model_archive, model_store
from ...networks.model_files.model_archive import MODEL_SUFFIX
from ..crop_batches import LocalNetworkRecipe
from .recipe_file import ModelRecipe, TrainingRecipe, check_options
from .set_makers import Sources, check_sets, make_set

RECIPE_RECORD, STAGES, SETS, CARD_OF_RECIPE = "recipe.json", "stages", "sets", "card.json"
_BOUND_TO = {
    "digest": "another recipe or scale",
    "version": "another version",
    "structures": "other structures",
}
_LIBRARIES = ("numpy", "scipy", "h5py", "keras", "tensorflow")

Evaluate = Callable[[str, str, Path], Any]
"""Measures a model (file) on a set (file) into a folder."""
Trainer = Callable[[TrainingRecipe, List[Path], Path, str], Path]
"""Trains on sets in a folder, going on where it was, and returns the model's file; the last argument is its name."""


@dataclass(frozen=True)
class OtherWings:
    """What wings above this one do for a recipe: measuring, and the paper's trainings with their options' names."""

    evaluate: Evaluate
    train_paper: Trainer
    paper_options: Sequence[str]


def make_model(
    recipe: ModelRecipe,
    sources: Sources,
    out: Path,
    others: OtherWings,
    *,
    resume: bool = False,
    overwrite: bool = False,
) -> Path:
    """Run a recipe from the structures to the model's file.

    Args:
        recipe: scaled already.
        sources: structures, labelled maps and the number of processes.
        out: folder for ``NAME.cryoresdl``, its card, the sets and what the stages leave.
        others: of other wings.
        resume: go on where a stopped run was, to the same result.
        overwrite: begin anew.

    Returns:
        path of the model's file.

    Raises:
        InputError: the recipe has an option that nothing knows; the folder holds a run that neither ``resume`` nor
            ``overwrite`` is given for, or one of another recipe, version or structures.
    """
    check_sets(recipe.name, recipe.sets)
    _check_training(recipe, others)
    name = recipe.name + MODEL_SUFFIX
    output_folder.prepare_out(
        out, [name, RECIPE_RECORD], overwrite, resume, command="make", may_remain=(CARD_OF_RECIPE,)
    )
    output_folder.sweep_below(out)
    if overwrite and not resume:
        _begin_anew(out, name)
    _bind(recipe, sources, out)
    stages = _Stages(out / STAGES, recipe.seconds)
    (out / SETS).mkdir(exist_ok=True)
    files = {one.name: out / SETS / f"{one.name}.h5" for one in recipe.sets}
    made: Dict[str, Dict[str, Any]] = {}
    for one in recipe.sets:
        made[one.name] = stages.run(
            f"set-{one.name}",
            one.seconds,
            [files[one.name]],
            lambda one=one: make_set(one, sources, files[one.name], recipe.scale),  # type: ignore[misc]
        )
    trained = _train(recipe, files, out, others, stages)
    model = model_store.load_named(trained)
    card = {**model.card, "name": recipe.name, "recipe": recipe_entry(recipe, made)}
    path = model_archive.save_model(out / name, card, dict(model.weights))
    write_json(out / CARD_OF_RECIPE, card)
    for measured in recipe.evaluation.sets:
        folder = out / "evaluation" / measured
        stages.run(
            f"evaluation-{measured}",
            recipe.evaluation.seconds / len(recipe.evaluation.sets),
            [folder / "metrics.json"],
            lambda one=measured, folder=folder: _evaluate(others, files[one], path, folder),  # type: ignore[misc]
        )
    return path


def recipe_entry(recipe: ModelRecipe, made: Dict[str, Dict[str, Any]]) -> Dict[str, Any]:
    """What a card says of how its model was made: digests of recipe and sets, and versions."""
    versions = {"python": platform.python_version()}
    for library in _LIBRARIES:
        try:
            versions[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return {
        "name": recipe.name,
        "digest": recipe.digest,
        "scale": recipe.scale,
        "selection": recipe.selection,
        "versions": versions,
        "sets": {name: result["digest"] for name, result in made.items()},
    }


def _check_training(recipe: ModelRecipe, others: OtherWings) -> None:
    """Refuse options that the trainer does not have."""
    known: List[str] = list(others.paper_options)
    if recipe.training.trainer == "local":
        known = [one.name for one in fields(LocalNetworkRecipe)]
    elif recipe.training.trainer == "global":
        from ..global_network import GlobalNetworkRecipe

        known = ["members"] + [one.name for one in fields(GlobalNetworkRecipe)]
    check_options(
        recipe.name, "training's options", {**recipe.training.options, **recipe.training.small}, known
    )


def _begin_anew(out: Path, name: str) -> None:
    for parts in (out / SETS).glob("*.parts"):
        SetParts.in_worker(str(parts)).remove()
    for folder in (STAGES, SETS, "training", "calibrated", "evaluation"):
        remove_made(out / folder)
    for file in (name, CARD_OF_RECIPE, RECIPE_RECORD):
        remove_result(out / file)


def _bind(recipe: ModelRecipe, sources: Sources, out: Path) -> None:
    """Keep what the run is, or refuse to go on with another one."""
    from .... import __version__

    manifest = Path(sources.structures) / "manifest.csv"
    if not manifest.is_file():
        raise InputError(
            f"{sources.structures} has no manifest.csv; give --structures a folder as docs/datasets.md says."
        )
    wanted = {"digest": recipe.digest, "version": __version__, "structures": manifest.stat().st_size}
    record = out / RECIPE_RECORD
    if record.exists():
        before = read_json(record)
        for key, words in _BOUND_TO.items():
            if before.get(key) != wanted[key]:
                raise InputError(
                    f"{out} was begun with {words}; give another --out, or --overwrite to begin anew."
                )
    write_json(record, wanted)


class _Stages:
    """Runs stages once each, keeps their results, and says when all will be done."""

    def __init__(self, folder: Path, expected: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.left = folder, expected
        self.spent, self.foreseen = 0.0, 0.0

    def run(
        self, name: str, expected: float, outputs: Sequence[Path], work: Callable[[], Dict[str, Any]]
    ) -> Dict[str, Any]:
        """The result of a stage, from its record if its outputs are there."""
        record = self.folder / f"{name}.json"
        self.left -= expected
        if record.exists() and all(path.exists() for path in outputs):
            progress.note(f"{name}: done before")
            return dict(read_json(record))
        pace = self.spent / self.foreseen if self.foreseen else 1.0
        progress.note(f"{name}: begun; ETA of all {progress.duration((expected + self.left) * pace)}")
        begun = time.monotonic()
        result = work()
        seconds = time.monotonic() - begun
        self.spent, self.foreseen = self.spent + seconds, self.foreseen + expected
        write_json(record, {**result, "seconds": round(seconds, 1)})
        progress.note(f"{name}: done in {progress.duration(seconds)}")
        return result


def _train(
    recipe: ModelRecipe, files: Dict[str, Path], out: Path, others: OtherWings, stages: _Stages
) -> Path:
    """Training and calibration; returns the model's file."""
    trainers: Dict[str, Trainer] = {
        "local": _train_local,
        "global": _train_global,
        "paper": others.train_paper,
    }
    train = trainers[recipe.training.trainer]

    def work() -> Dict[str, Any]:
        data = [files[name] for name in recipe.training.sets]
        path = train(recipe.training, data, out / "training", recipe.name)
        return {"model": str(path.relative_to(out))}

    result = stages.run("training", recipe.training.seconds, [], work)
    path = out / str(result["model"])
    if recipe.calibration is None:
        return path
    again = [files[name] for name in recipe.calibration.sets]

    def calibrate() -> Dict[str, Any]:
        from ..local_network import calibrate_again

        return {
            "model": str(
                calibrate_again(again, str(path), out / "calibrated", overwrite=True).relative_to(out)
            )
        }

    result = stages.run("calibration", recipe.calibration.seconds, [], calibrate)
    return out / str(result["model"])


def _train_local(recipe: TrainingRecipe, data: List[Path], out: Path, name: str) -> Path:
    from ..local_network import train_local

    chosen: Dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in recipe.options.items()}
    options = LocalNetworkRecipe(**chosen)
    if recipe.start != "none":
        # A network that is tuned has the width of its start.
        config = model_store.read_card(recipe.start)["network"]["config"]
        options = replace(options, channels=tuple(config["channels"]))
    return train_local(data, out, resume=True, start=recipe.start, recipe=options, name=name)


def _train_global(recipe: TrainingRecipe, data: List[Path], out: Path, name: str) -> Path:
    from ..global_network import GLOBAL_MEMBERS, GlobalNetworkRecipe, train_global

    options: Dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in recipe.options.items()}
    members = int(options.pop("members", GLOBAL_MEMBERS))
    return train_global(
        data,
        out,
        resume=True,
        name=name,
        recipe=GlobalNetworkRecipe(**options),
        members=members,
        local_model=recipe.start,
    )


def _evaluate(others: OtherWings, data: Path, model: Path, folder: Path) -> Dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    others.evaluate(str(data), str(model), folder)
    return {"metrics": read_json(folder / "metrics.json")}
