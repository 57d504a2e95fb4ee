"""What the sets of these tests are made from."""

import shutil
from pathlib import Path

import pytest

from cryoresdl.tests.helpers import set_inputs


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
