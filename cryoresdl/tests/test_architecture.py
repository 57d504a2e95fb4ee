"""What is loaded when, and what stands in the way of Scipion's ``python -O``. Who may import whom: ``make lint``."""

import ast
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
SCIPION = {"pyworkflow", "pwem", "scipion", "xmipp3", "resmap", "xmippLib"}
HEAVY = {"tensorflow", "keras"}


def sources(*folders):
    """Every source file of these folders of the package, tests left out."""
    return sorted(
        path for folder in folders for path in (PACKAGE / folder).rglob("*.py") if "tests" not in path.parts
    )


def test_there_is_an_engine_to_check():
    assert len(sources("models")) > 15


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
        "import cryoresdl.models.cli, cryoresdl.models.maps.mrc.mrc_reader, cryoresdl.models.inference.claim_verdict"
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
