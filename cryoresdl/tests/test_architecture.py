"""The rules of the house that no reviewer should have to watch: who may import what, and when."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1]
SCIPION = {"pyworkflow", "pwem", "scipion", "xmipp3", "resmap", "xmippLib"}
HEAVY = {"tensorflow", "keras"}


def sources(*folders):
    """Every source file of these folders of the package, tests left out."""
    return sorted(
        path for folder in folders for path in (PACKAGE / folder).rglob("*.py") if "tests" not in path.parts
    )


def imported(tree):
    """(top-level name, line) of every absolute import in a syntax tree, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.split(".")[0], node.lineno
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module.split(".")[0], node.lineno


def relative_rooms(path, tree):
    """Names of the package's rooms that a file imports relatively from outside its own."""
    depth = len(path.relative_to(PACKAGE).parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == depth and node.module:
            yield node.module.split(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.level == depth:
            yield from (alias.name for alias in node.names)


def test_there_is_an_engine_to_check():
    assert len(sources("models")) > 15


@pytest.mark.parametrize("path", sources("models"), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_the_engine_never_imports_scipion(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not [(name, line) for name, line in imported(tree) if name in SCIPION]
    assert not set(relative_rooms(path, tree)) & {
        "protocols",
        "viewers",
        "wizards",
        "objects",
        "plugin",
        "Plugin",
    }


@pytest.mark.parametrize(
    "path",
    [p for p in sources("models", "protocols", "viewers", "wizards") + sorted(PACKAGE.glob("*.py"))],
    ids=lambda p: str(p.relative_to(PACKAGE)),
)
def test_tensorflow_is_imported_late_and_in_its_own_rooms(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    engine = PACKAGE / "models" in path.parents
    if engine:
        at_import_time = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
        names = {name for name, _ in imported(ast.Module(body=at_import_time, type_ignores=[]))}
        assert not names & HEAVY, "TensorFlow would be imported with this module"
    else:
        assert not {name for name, _ in imported(tree)} & HEAVY


def test_no_asserts_outside_tests():
    """Scipion's GUI runs ``python -O``, which strips them."""
    found = [
        f"{path.name}:{node.lineno}"
        for path in sources(".")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Assert)
    ]
    assert not found


def modules_after(code):
    """Names in sys.modules after running ``code`` in a fresh interpreter."""
    code += "\nimport sys; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    return set(done.stdout.split("\n"))


def test_importing_the_package_is_light():
    modules = modules_after("import cryoresdl; cryoresdl.__version__")
    assert not modules & (SCIPION | HEAVY | {"numpy", "matplotlib"})


def test_the_engine_runs_where_scipion_is_not_installed():
    modules = modules_after(
        "import cryoresdl.models.cli, cryoresdl.models.maps.mrc_reader, cryoresdl.models.inference.claim_verdict"
    )
    assert not modules & (SCIPION | HEAVY)


def test_opening_scipion_with_every_form_viewer_and_wizard_never_imports_tensorflow():
    code = """
import pyworkflow as pw
pw.Config.setDomain("pwem")
domain = pw.Config.getDomain()
protocols = {n: c for n, c in domain.getProtocols().items() if c.__module__.startswith("cryoresdl.")}
assert len(protocols) >= 6, protocols
for protocol in protocols.values():
    form = protocol().getDefinition()
    assert list(form.iterParams())
domain.getViewers(); domain.getWizards(); domain.getObjects()
"""
    modules = modules_after(code)
    assert "cryoresdl.protocols" in modules and "cryoresdl.viewers" in modules
    assert not modules & (HEAVY | {"openvino"})
