"""Recipes of the shipped models: complete, within their budget, run whole at a tiny scale, resumed to the same result."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from cryoresdl.models.base.errors import InputError
from cryoresdl.models.base.runs import output_folder
from cryoresdl.models.cli import command_line
from cryoresdl.models.datasets.feature_sets import feature_set_recipes
from cryoresdl.models.networks.model_files import model_store
from cryoresdl.models.training.recipes import make_model, recipe_file, set_makers
from cryoresdl.tests.helpers.made_folders import labelled_in, structures_in

TINY, SMALL_BOX = 0.0005, 40
SHIPPED = [one.name for one in model_store.available() if one.source == "shipped"]
RECIPES = recipe_file.recipe_names()
LONGEST_S = 12 * 3600.0


@pytest.fixture(scope="module")
def structures(tmp_path_factory):
    return structures_in(tmp_path_factory.mktemp("structures"))


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    return labelled_in(tmp_path_factory.mktemp("labelled"))


@pytest.fixture(autouse=True)
def small_boxes(monkeypatch):
    monkeypatch.setattr(feature_set_recipes, "LARGEST_BOX", SMALL_BOX)
    yield
    output_folder.unlock_folders()


def test_every_shipped_model_has_a_recipe_within_the_budget():
    assert set(SHIPPED) <= set(RECIPES) and SHIPPED
    for name in RECIPES:
        recipe = recipe_file.read_recipe(name)
        assert recipe.name == name and 0 < recipe.seconds <= LONGEST_S
        assert recipe.evaluation.sets and recipe.selection in recipe_file.SELECTION_RULES.values()


def test_no_set_is_drawn_twice_from_the_same_seed():
    """Maps of one seed in two sets would be both learned from and measured on."""
    seeds = [
        one.seed for name in RECIPES for one in recipe_file.read_recipe(name).sets if one.maker == "features"
    ]
    assert len(seeds) == len(set(seeds))


def test_a_recipe_is_told_from_every_change_but_expected_times():
    recipe = recipe_file.read_recipe("default")
    assert recipe.digest == recipe_file.read_recipe("default").digest
    slower = replace(recipe, training=replace(recipe.training, seconds=1.0))
    assert slower.digest == recipe.digest
    for other in (
        recipe.scaled(0.5),
        replace(recipe, sets=recipe.sets[:1]),
        replace(recipe, training=replace(recipe.training, options={**recipe.training.options, "seed": 9})),
    ):
        assert other.digest != recipe.digest


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name = [", "is not TOML"),
        ("nonsense = 1", "'nonsense', which no ModelRecipe knows"),
        ('[training]\ntrainer = "local"\nsets = []\nrate = 1', "'rate', which no TrainingRecipe knows"),
        ('name = "x"', "lacks a part"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused_with_its_file(tmp_path, text, words):
    (tmp_path / "own.toml").write_text(text)
    with pytest.raises(InputError, match=words) as caught:
        recipe_file.read_recipe(str(tmp_path / "own.toml"))
    assert "own.toml" in str(caught.value)


def test_a_recipe_that_uses_a_set_it_does_not_make_is_refused(tmp_path):
    shipped = (recipe_file.recipe_folder() / "default.toml").read_text()
    (tmp_path / "own.toml").write_text(shipped.replace('sets = ["learn"]', 'sets = ["learned"]'))
    (tmp_path / "test.toml").write_text(shipped.replace("the last epoch", "the best on test maps"))
    changed = (tmp_path / "own.toml").read_text().replace('sets = ["learn", "noiseless"]', 'sets = ["lern"]')
    (tmp_path / "own.toml").write_text(changed)
    with pytest.raises(
        InputError, match="uses the set 'lern', which it does not make; it makes learn, noiseless"
    ):
        recipe_file.read_recipe(str(tmp_path / "own.toml"))
    with pytest.raises(InputError, match="selects by 'the last epoch'; say so"):
        recipe_file.read_recipe(str(tmp_path / "test.toml"))


@pytest.mark.parametrize(
    ("shipped", "right", "wrong", "words"),
    [
        (
            "default",
            "chain =",
            "chian =",
            "'chian' in the options of the set noiseless; choose box, chain, fragments",
        ),
        (
            "default",
            "maps = {",
            "options = { box = 40 }\nmaps = {",
            "'box' in the options of the set learn; it has none",
        ),
        (
            "default",
            "maps = { train",
            "maps = { trian",
            "'trian' in the maps of the set learn; choose test, train, val",
        ),
        (
            "default",
            "dropout =",
            "dropuot =",
            "'dropuot' in the training's options; choose angstrom_weight, batch, dec",
        ),
        (
            "monores",
            "labels =",
            "label =",
            "'label' in the options of the set labelled; choose labels, splits",
        ),
        (
            "monores",
            "steps =",
            "step =",
            "'step' in the training's options; choose angstrom_weight, batch, bfloat16",
        ),
        (
            "monores",
            "{ crop = 8",
            "{ corp = 8",
            "'corp' in the training's options; choose angstrom_weight, batch",
        ),
        (
            "paper-cnn",
            "optimizer =",
            "optimiser =",
            "'optimiser' in the training's options; choose batch, bfloat16",
        ),
    ],
)
def test_a_misspelt_option_is_named_before_anything_is_made(
    structures, labelled, tmp_path, caplog, capsys, shipped, right, wrong, words
):
    text = (recipe_file.recipe_folder() / f"{shipped}.toml").read_text()
    assert right in text
    (tmp_path / "own.toml").write_text(text.replace(right, wrong, 1))
    made = tmp_path / "made"
    assert command_line.main(words_for(str(tmp_path / "own.toml"), structures, labelled, made)) == 2
    told = capsys.readouterr().err + caplog.text
    assert words in told and ("own.toml" in told or f"The recipe {shipped} " in told)
    assert not made.exists() or not list(made.rglob("*.h5"))


def test_an_unknown_model_is_answered_with_those_that_there_are():
    with pytest.raises(InputError, match="There is no recipe 'other'; choose default, monores"):
        recipe_file.read_recipe("other")


def words_for(name, structures, labelled, out):
    return ["make", name, "--structures", str(structures), "--shared", str(labelled), "--scale", str(TINY)] + [
        "--workers", "1", "--quiet", "--out", str(out)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def whole_default(structures, labelled, tmp_path_factory):
    """The default recipe run from end to end, for both tests that look at it."""
    pytest.importorskip("tensorflow")
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feature_set_recipes, "LARGEST_BOX", SMALL_BOX)
        assert command_line.main(words_for("default", structures, labelled, folder)) == 0
    output_folder.unlock_folders()
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_runs_whole_at_a_tiny_scale(name, structures, labelled, tmp_path, request):
    pytest.importorskip("tensorflow")
    if name == "default":
        tmp_path = request.getfixturevalue("whole_default")
    else:
        assert command_line.main(words_for(name, structures, labelled, tmp_path)) == 0
    model = model_store.load_named(tmp_path / f"{name}.cryoresdl")
    recipe = recipe_file.read_recipe(name).scaled(TINY)
    made = model.card["recipe"]
    assert model.name == name and made["digest"] == recipe.digest and made["scale"] == TINY
    assert set(made["sets"]) == {one.name for one in recipe.sets} and "numpy" in made["versions"]
    for one in recipe.sets:
        file = tmp_path / "sets" / f"{one.name}.h5"
        assert made["sets"][one.name] == set_makers.content_digest(file)
    for one in recipe.evaluation.sets:
        assert json.loads((tmp_path / "evaluation" / one / "metrics.json").read_text())["split"] == "test"
    assert json.loads((tmp_path / "card.json").read_text())["recipe"] == made


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_model(
    structures, labelled, whole_default, tmp_path, monkeypatch, capsys
):
    """Killed in the middle of the sets and again after the training."""
    whole, torn = whole_default, tmp_path / "torn"
    words = words_for("default", structures, labelled, torn)

    class Killed(BaseException):
        pass

    def kill(*_, **__):
        raise Killed

    for module, name in (
        (set_makers.global_map_set, "build_global_set"),
        (make_model.model_archive, "save_model"),
    ):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(module, name, kill)
            command_line.main([*words, "--resume"])
        output_folder.unlock_folders()
    assert command_line.main(words) == 2  # neither --resume nor --overwrite
    assert "already holds recipe.json" in capsys.readouterr().err
    assert command_line.main([*words, "--resume"]) == 0
    found = [model_store.load_named(folder / "default.cryoresdl") for folder in (whole, torn)]
    assert found[0].card["recipe"] == found[1].card["recipe"]
    for key, values in found[0].weights.items():
        assert np.allclose(values, found[1].weights[key], rtol=1e-3, atol=1e-5), key
    other = [*words[: words.index("--scale") + 1], "0.0007", *words[words.index("--scale") + 2 :], "--resume"]
    output_folder.unlock_folders()
    assert command_line.main(other) == 2
    assert "was begun with another recipe or scale" in capsys.readouterr().err


def test_labelled_maps_that_are_missing_are_asked_for(structures, tmp_path, capsys):
    words = ["make", "monores", "--structures", str(structures), "--out", str(tmp_path / "out")]
    assert command_line.main(words) == 2
    assert "give --shared" in capsys.readouterr().err
    empty = tmp_path / "empty"
    empty.mkdir()
    words = ["make", "default", "--structures", str(empty), "--out", str(tmp_path / "other")]
    assert command_line.main(words) == 2
    assert "has no manifest.csv" in capsys.readouterr().err


def test_the_digest_of_a_set_is_that_of_its_content(tmp_path):
    import h5py

    for name, order in (("a.h5", ("x", "y")), ("b.h5", ("y", "x"))):
        with h5py.File(tmp_path / name, "w") as handle:
            for key in order:
                handle[key] = np.arange(3.0) if key == "x" else ["one", "two"]
                handle[key].attrs["unit"] = "A"
    assert set_makers.content_digest(tmp_path / "a.h5") == set_makers.content_digest(tmp_path / "b.h5")
    shutil.copy(tmp_path / "a.h5", tmp_path / "c.h5")
    with h5py.File(tmp_path / "c.h5", "a") as handle:
        handle["x"][1] = 7
    assert set_makers.content_digest(tmp_path / "a.h5") != set_makers.content_digest(tmp_path / "c.h5")
