"""The guide: nothing it shows is missing, every protocol and command has its place; it builds without a warning."""

import importlib.util
import re
import shlex
import subprocess
import sys

import pytest

from cryoresdl.models.batch import jobs
from cryoresdl.models.cli import command_line
from cryoresdl.models.results.figures import figure_catalogue
from cryoresdl.tests.helpers.needs import missing
from cryoresdl.tests.helpers.places import REPOSITORY  # noqa: E402

DOCS = REPOSITORY / "docs"

pytestmark = pytest.mark.skipif(not (DOCS / "conf.py").is_file(), reason="the guide is only in the checkout")


def pages():
    return [page for page in DOCS.rglob("*.md") if "_build" not in page.parts]


def test_every_picture_is_there_small_and_used():
    used = set()
    for page in pages():
        for name in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
            picture = (page.parent / name).resolve()
            assert picture.is_file(), f"{page.name} shows {name}, which is missing"
            used.add(picture)
    for picture in (DOCS / "images").glob("*.png"):
        assert picture.stat().st_size < 150_000
        assert picture.resolve() in used, f"{picture.name} is shown nowhere"


def test_every_protocol_has_a_page_with_its_form():
    pytest.importorskip("pwem")
    from cryoresdl import protocols

    names = {name for name in vars(protocols) if name.startswith("ProtCryoRes")}
    text = "".join(page.read_text() for page in (DOCS / "reference" / "protocols").glob("*.md"))
    assert set(re.findall(r"```\{form\} (\w+)", text)) == names


def test_commands_of_the_guide_exist():
    found = 0
    for page in [*pages(), REPOSITORY / "README.rst"]:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        for line in re.findall(r"^ *(?:\.scipion/)?cryoresdl (\w.*)$", text, re.M):
            words = shlex.split(line, comments=True)
            if words[0] == "..." or "--help" in words:
                continue
            found += 1
            try:
                command_line.build_parser(words).parse_args(words)
            except SystemExit:
                pytest.fail(f"{page.name}: cryoresdl {line} is refused")
    assert found > 20
    figures = (DOCS / "guide" / "figures.md").read_text()
    assert [kind for kind in figure_catalogue.FIGURE_KINDS if f"`{kind}`" not in figures] == []
    (row,) = (line for line in figures.splitlines() if line.startswith("| `fsc`"))
    assert "`validate` with half maps" in row.split("|")[3], "what draws the curves of half maps"


@pytest.mark.slow
def test_the_guide_builds_without_a_warning(tmp_path):
    if not all(importlib.util.find_spec(name) for name in ("sphinx", "myst_parser")):
        missing("needs Sphinx and myst-parser (make docs)")
    words = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "-q",
        "-b",
        "html",
        str(DOCS),
        str(tmp_path),
    ]
    built = subprocess.run(words, capture_output=True, text=True, cwd=str(REPOSITORY))
    assert built.returncode == 0, built.stderr[-3000:]
    assert (tmp_path / "reference" / "api" / "maps.mrc.mrc_reader.html").is_file()


def test_the_reference_has_every_command_and_every_column_of_the_results():
    shown = re.findall(r"```\{command\} (.+)", (DOCS / "reference" / "commands.md").read_text())
    assert {line.split()[0] for line in shown} == set(command_line.COMMANDS)
    for words in shown:
        assert f"](#{words.split()[0]})" in (DOCS / "reference" / "commands.md").read_text()
    tables = (DOCS / "reference" / "result-tables.md").read_text()
    assert [column for column in jobs.FIELDS if f"`{column}`" not in tables] == []


def test_lines_and_tables_of_the_guide_stay_readable():
    found = pages()
    assert len(found) > 15
    for page in found:
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
            assert len(line) <= 120, f"{page.name}:{number} has {len(line)} characters"
            if re.fullmatch(r"\|[-:| ]+\|", line):
                assert line.count("|") <= 7, f"{page.name}:{number}: a table of more than six columns"
