"""What a user installs: versions, files, entry points and pins that agree with each other."""

import configparser
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import cryoresdl

try:
    from importlib import metadata
except ImportError:  # Python 3.8 with Scipion's own backport
    import importlib_metadata as metadata

PACKAGE = Path(cryoresdl.__file__).parent
ROOT = PACKAGE.parent
NAME = "scipion-em-cryoresdl"
checkout = pytest.mark.skipif(
    not (ROOT / "setup.py").exists(), reason="needs a checkout, not an installed package"
)


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_installed_version_is_the_package_version():
    assert metadata.version(NAME) == cryoresdl.__version__


def test_entry_points():
    entries = {(e.group, e.name): e.value for e in metadata.distribution(NAME).entry_points}
    assert entries[("pyworkflow.plugin", "cryoresdl")] == "cryoresdl"
    assert entries[("console_scripts", "cryoresdl")] == "cryoresdl.models.cli:main"


@checkout
def test_the_change_log_opens_with_this_version():
    assert (ROOT / "CHANGES.txt").read_text().startswith(f"V{cryoresdl.__version__}")


def pins():
    """{normalised name: [(version, marker)]} of constraints.txt."""
    found = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        match = re.fullmatch(r"([A-Za-z0-9._-]+)==([^\s;]+)(?:; (.+))?", line)
        assert match, f"not a pin: {line!r}"
        found.setdefault(normal(match.group(1)), []).append((match.group(2), match.group(3)))
    return found


@checkout
def test_every_requirement_is_pinned():
    names = {normal(re.split(r"[^A-Za-z0-9._-]", text, maxsplit=1)[0]) for text in metadata.requires(NAME)}
    assert len(names) > 10
    assert names <= set(pins())


@checkout
def test_constraints_name_no_place():
    text = (ROOT / "constraints.txt").read_text()
    assert "://" not in text and "@" not in text and "--" not in text


@checkout
@pytest.mark.skipif(
    ".scipion" not in Path(sys.prefix).parts or not (3, 10) <= sys.version_info[:2] <= (3, 12),
    reason="only the environment that 'make install' makes obeys the constraints",
)
def test_what_is_installed_is_what_is_pinned():
    from packaging.markers import Marker
    from packaging.requirements import Requirement

    pinned = {
        name: version
        for name, choices in pins().items()
        for version, marker in choices
        if marker is None or Marker(marker).evaluate()
    }
    # What our package and Scipion need, and what that needs; the user may have installed other plugins beside.
    # Only the environment's own records: a checkout may have others lying about from builds with other settings.
    places = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    installed = {normal(d.metadata["Name"]): d for d in metadata.distributions(path=list(places))}
    todo, needed = [NAME, "scipion-app"], {}
    while todo:
        name = todo.pop()
        if normal(name) in needed:
            continue
        distribution = installed[normal(name)]
        needed[normal(name)] = distribution.version
        wanted = [Requirement(text) for text in distribution.requires or []]
        todo += [r.name for r in wanted if r.marker is None or r.marker.evaluate({"extra": ""})]
    assert len(needed) > 50
    different = {n: (v, pinned.get(n)) for n, v in needed.items() if n != NAME and pinned.get(n) != v}
    assert different == {}


@checkout
def test_the_wheel_holds_every_data_file(tmp_path):
    """Whatever git tracks in the package arrives at the user: a missing pattern in setup.py loses files silently."""
    if shutil.which("git") is None or importlib.util.find_spec("setuptools") is None:
        pytest.skip("needs git and setuptools")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "cryoresdl"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    tracked = {name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()}
    # A copy: building writes beside the sources, and the tests leave the checkout as it was.
    copy = tmp_path / "checkout"
    for name in tracked | {"setup.py", "pyproject.toml", "README.rst", "MANIFEST.in", "LICENSE"}:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(str(ROOT / name), str(copy / name))
    code = "import setuptools, runpy, sys; sys.argv = ['setup.py', '-q', 'bdist_wheel']; runpy.run_path('setup.py')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=copy, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode and "bdist_wheel" in done.stdout:
        pytest.skip("needs the package wheel")
    assert done.returncode == 0, done.stdout
    (wheel,) = (copy / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    assert tracked - inside == set()


def test_every_protocol_is_in_the_tree_and_every_entry_is_a_protocol():
    text = configparser.ConfigParser()
    text.read(PACKAGE / "protocols.conf")
    tree = json.loads(text["PROTOCOLS"]["Protocols SPA"])

    def walk(nodes, path=()):
        for node in nodes:
            here = path + (node["text"],)
            if node["tag"] == "protocol":
                yield node["value"], path
            yield from walk(node.get("children", []), here)

    placed = dict(walk(tree))
    names = set(re.findall(r"\bProtCryoRes\w+", (PACKAGE / "protocols" / "__init__.py").read_text()))
    assert set(placed) == names
    assert set(placed.values()) == {("3D", "Analysis", "Resolution")}


def test_references_are_in_the_bibliography():
    from cryoresdl import bibtex

    keys = set(re.findall(r"^@\w+\{(\w+),", bibtex.__doc__, re.M))
    used = set(cryoresdl._references)
    for path in (PACKAGE / "protocols").rglob("*.py"):
        used |= set(
            re.findall(r'"((?:avramov|vilas|kucukelbir|rosenthal|chen|grant)\d{4})"', path.read_text())
        )
    assert used <= keys and len(used) >= 3


def test_the_logo_is_a_small_picture():
    data = (PACKAGE / cryoresdl._logo).read_bytes()
    assert data.startswith(b"\x89PNG") and len(data) < 20_000


@pytest.mark.parametrize(
    "setting, expected", [("0", "tensorflow-cpu"), ("1", "tensorflow[and-cuda]"), ("", "tensorflow")]
)
@checkout
def test_the_metadata_name_the_tensorflow_that_is_installed(setting, expected):
    """pip check is clean only when the requirement names the distribution that `make install` takes."""
    code = (
        "import os, setuptools\n"
        "setuptools.setup = lambda **kw: print('\\n'.join(kw['install_requires']))\n"
        "exec(compile(open('setup.py').read(), 'setup.py', 'exec'), {'__file__': os.path.abspath('setup.py')})"
    )
    import os

    env = dict(os.environ, CRYORESDL_GPU=setting)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True, check=True
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("tensorflow")]
    assert lines == [f'{expected}; python_version >= "3.10"']
