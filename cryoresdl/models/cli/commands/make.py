"""Make a shipped model from its recipe, whole: sets, training, calibration, evaluation, card and file.

Every recipe is one TOML file (docs/models.md lists them); a file of one's own will do, too. A run that was stopped or
killed goes on with --resume to the same result. --scale 0.01 makes a hundredth of the maps and steps, to try a recipe.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, List

from ..argument_types import count, positive

if TYPE_CHECKING:
    from ...training.recipes.recipe_file import TrainingRecipe

HELP = "make a shipped model from its recipe"
EXAMPLE = "cryoresdl make default --structures structures --out made"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    parser.add_argument("name", metavar="NAME|FILE.toml", help="a shipped model, or a recipe of your own")
    parser.add_argument(
        "--structures",
        required=True,
        metavar="DIR",
        help="folder with manifest.csv and pdb/ (docs/datasets.md)",
    )
    parser.add_argument(
        "--shared",
        metavar="DIR",
        help="folder of maps with local-resolution volumes (index.json): 'truth', 'monores' and 'resmap' need it",
    )
    parser.add_argument(
        "--scale", type=positive, default=1.0, metavar="S", help="factor on the numbers of maps and steps (1)"
    )
    parser.add_argument("--workers", type=count, default=2, metavar="N", help="processes that make maps (2)")


def run(args: argparse.Namespace) -> None:
    """Make the model and print the path of its file."""
    from ...paper.train_paper_network import RECIPE_OPTIONS
    from ...training.recipes import make_model, recipe_file, set_makers

    recipe = recipe_file.read_recipe(args.name).scaled(args.scale)
    sources = set_makers.Sources(args.structures, args.shared, args.workers)
    others = make_model.OtherWings(_evaluate, _train_paper, RECIPE_OPTIONS)
    path = make_model.make_model(
        recipe, sources, Path(args.out), others, resume=args.resume, overwrite=args.overwrite
    )
    print(path)


def _evaluate(data: str, model: str, folder: Path) -> Any:
    from ...evaluation.evaluate_model import evaluate

    return evaluate(data, model, folder)


def _train_paper(recipe: TrainingRecipe, data: List[Path], out: Path, name: str) -> Path:
    from ...paper import train_paper_network
    from ...training.run_files import SMALL_MODEL

    options = train_paper_network.PaperTrainingOptions(
        data=str(data[0]), out=str(out), name=name, resume=True, **recipe.options
    )
    path = train_paper_network.train(options)
    compressed = out / SMALL_MODEL
    return compressed if compressed.exists() else path
