"""Print the files that Scipion's own Python, possibly 3.8, imports: the GUI side, and what it uses of the engine.

``make lint`` checks exactly these for that Python. The list is computed, so that it cannot go stale: it starts at
the plugin, its protocols, viewers and wizards, and follows every import inside the package, also those in functions.
Engine commands run in an interpreter of their own and are where it stops.
"""

import ast
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "cryoresdl"
STARTS = ("__init__.py", "plugin.py", "objects.py", "bibtex.py", "protocols", "viewers", "wizards")


def files():
    """Paths of the GUI side, sorted."""
    todo = []
    for name in STARTS:
        start = PACKAGE / name
        todo += [start] if start.is_file() else sorted(start.rglob("*.py"))
    found = set()
    while todo:
        path = todo.pop()
        if path in found:
            continue
        found.add(path)
        todo += imported(path)
    return sorted(found)


def imported(path):
    """Files of the package that one file imports relatively."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        base = path.parents[node.level - 1]
        if node.module:
            base = base.joinpath(*node.module.split("."))
        for name in ["", *(alias.name for alias in node.names)]:
            for candidate in (base.joinpath(name).with_suffix(".py") if name else base.with_suffix(".py"),):
                if candidate.is_file():
                    yield candidate
            if (base / name / "__init__.py").is_file():
                yield base / name / "__init__.py"


if __name__ == "__main__":
    print("\n".join(str(path.relative_to(PACKAGE.parent)) for path in files()))
