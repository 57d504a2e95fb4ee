"""What the sets of these tests are made from."""

import shutil
from pathlib import Path

import pytest

from cryoresdl.models.datasets.feature_sets import feature_set_builder, feature_set_recipes
from cryoresdl.tests.helpers import set_inputs
from cryoresdl.tests.helpers.feature_sets import COUNTS, write_pdb
from cryoresdl.tests.helpers.small_maps import ball


@pytest.fixture
def structures_folder(tmp_path, all_structures):
    """A copy of the structures that a test may change."""
    return Path(shutil.copytree(all_structures, tmp_path / "structures"))


@pytest.fixture(scope="package")
def all_structures(tmp_path_factory):
    """Structures with a manifest; not to be changed."""
    return set_inputs.write_structures(tmp_path_factory.mktemp("structures"))


@pytest.fixture
def triples(tmp_path):
    """A table of five triples of map, label and mask."""
    lines = [set_inputs.write_triple(tmp_path, f"m{number}", number) for number in range(5)]
    (tmp_path / "t.csv").write_text("map,label,mask\n" + "\n".join(lines) + "\n")
    return tmp_path / "t.csv"


@pytest.fixture(scope="module")
def structures(tmp_path_factory):
    """Four structures with a manifest, for sets of simulated maps."""
    folder = tmp_path_factory.mktemp("structures")
    (folder / "pdb").mkdir()
    rows = ["id,split,max_extent_A"]
    for k, split in enumerate(("train", "train", "validation", "test")):
        write_pdb(folder / "pdb" / f"s{k}.pdb.gz", ball(300, 12.0, seed=k))
        rows.append(f"s{k},{split},24.0")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="module")
def small_boxes():
    """At most 40 voxels an edge: the sets of these tests are made in a second."""
    patch = pytest.MonkeyPatch()
    patch.setattr(feature_set_recipes, "LARGEST_BOX", 40)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def built(structures, small_boxes, tmp_path_factory):
    """A set of three simulated maps, and what making it told."""
    out = tmp_path_factory.mktemp("sets") / "set.h5"
    outcome = feature_set_builder.build_feature_set(structures, out, COUNTS, seed=5)
    return out, outcome
