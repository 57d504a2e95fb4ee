"""Sphinx configuration: ``make docs`` builds the guide with warnings as errors."""

import contextlib
import io
import os
import pkgutil
import sys
import tempfile
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

# The width that argparse breaks the commands' help at.
os.environ["COLUMNS"] = "100"

import cryoresdl  # noqa: E402
import cryoresdl.models  # noqa: E402

project = "CryoResDL"
author = "The CryoResDL developers"
project_copyright = author
release = version = cryoresdl.__version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax", "myst_parser"]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
exclude_patterns = ["_build", "Thumbs.db", ".DS_Store"]
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
# A page may start at any heading level.
suppress_warnings = ["myst.header", "config.cache"]
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_mock_imports = ["tensorflow", "keras", "openvino"]
napoleon_google_docstring = True
napoleon_numpy_docstring = False
default_role = "code"
html_theme = "alabaster"
html_theme_options = {"description": "How well is this cryo-EM map resolved?", "page_width": "1080px"}
html_logo = (
    "../cryoresdl/cryoresdl_logo.png" if (HERE.parent / "cryoresdl/cryoresdl_logo.png").exists() else None
)

NOT_API = ("__main__", "cli.commands")


def write_api(app):
    """One page per engine module, so that no module can be forgotten."""
    folder = HERE / "reference" / "api"
    folder.mkdir(exist_ok=True)
    start = cryoresdl.models.__name__ + "."
    found = pkgutil.walk_packages(cryoresdl.models.__path__, start)
    names = [m.name[len(start) :] for m in found if not m.name[len(start) :].startswith(NOT_API)]
    for old in folder.glob("*.rst"):
        if old.stem not in names and old.stem != "index":
            old.unlink()
    for name in names:
        text = f"{name}\n{'=' * len(name)}\n\n.. automodule:: cryoresdl.models.{name}\n   :members:\n"
        page = folder / f"{name}.rst"
        if not page.exists() or page.read_text() != text:
            page.write_text(text)


class FormTable(Directive):
    """``{form} ProtocolClass``: the parameters of a protocol's form, read from the form itself."""

    required_arguments = 1

    def run(self):
        """Build a definition list, one entry per parameter."""
        try:
            protocol = _protocol(self.arguments[0])
        except ImportError:
            return [
                nodes.paragraph(text="(Build the guide where Scipion is installed to see the parameters.)")
            ]
        items = nodes.definition_list()
        for section in protocol.iterDefinitionSections():
            if section.getLabel() in ("General", "Parallelization", "Run"):
                continue
            for _, param in _flat(section):
                items += self._entry(param)
        return [items]

    def _entry(self, param):
        from pyworkflow.protocol.params import LEVEL_ADVANCED

        notes = ["advanced"] if param.expertLevel.get() == LEVEL_ADVANCED else []
        if getattr(param, "allowsNull", None) is not None and param.allowsNull.get():
            notes.append("may be empty")
        title = str(param.getLabel()) + (f" ({', '.join(notes)})" if notes else "")
        item = nodes.definition_list_item()
        item += nodes.term(text=title)
        body = nodes.definition()
        body += nodes.paragraph(text=" ".join(str(param.help).split()))
        item += body
        return item


class CommandHelp(Directive):
    """``{command} validate``: what ``cryoresdl validate --help`` prints, so that the page cannot differ from it."""

    required_arguments = 1
    optional_arguments = 1
    final_argument_whitespace = True

    def run(self):
        """A literal block of the help."""
        from cryoresdl.models.cli import command_line

        words = self.arguments[0].split()
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
            command_line.build_parser(words).parse_args([*words, "--help"])
        text = printed.getvalue()
        if not text.startswith("usage:"):
            raise self.error(f"cryoresdl {' '.join(words)} has no help")
        return [nodes.literal_block(text, text, language="none")]


def _flat(container):
    from pyworkflow.protocol.params import ElementGroup

    for name, param in container.iterParams():
        if isinstance(param, ElementGroup):
            yield from _flat(param)
        elif str(param.help or "").strip():
            yield name, param


def _protocol(name):
    home = tempfile.mkdtemp(prefix="cryoresdl-docs-")
    os.environ.setdefault("SCIPION_HOME", home)
    os.environ.setdefault("SCIPION_USER_DATA", home)
    os.environ.setdefault("SCIPION_DOMAIN", "pwem")
    os.environ.setdefault("SCIPION_NOTIFY", "False")
    import pyworkflow

    pyworkflow.Config.setDomain("pwem")
    from cryoresdl import protocols

    return getattr(protocols, name)()


def setup(app):
    """Register the API pages and the directive."""
    app.connect("builder-inited", write_api)
    app.add_directive("form", FormTable)
    app.add_directive("command", CommandHelp)
