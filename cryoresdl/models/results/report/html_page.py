"""Renders the report's HTML page in one file."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Tuple

from ...base.resolution_terms import RESOLUTION_RANGE_A
from .charts import page_colours
from .charts.surface_view import SurfaceData
from .report_page import ReportPage

TEMPLATES = Path(__file__).parent / "templates"
SURFACE_SCRIPTS = ("3Dmol-min.js", "surface.js")
SURFACE_LICENCE = "3Dmol-LICENSE.txt"


def render(
    page: ReportPage,
    volumes: Mapping[str, Any],
    surface: SurfaceData | None = None,
    own: Tuple[float, float] | None = None,
) -> str:
    """The HTML page in one string.

    Args:
        page: `content`.
        volumes: `browser`.
        surface: `surface_view.surface`.
        own: the map's own range of colours of resolutions (A), or None where there is none to switch to.
    """
    import jinja2  # a tenth of a second that drawing a single figure does not need

    names = [
        *(SURFACE_SCRIPTS if surface else ()),
        *(["report.js"] if volumes else []),
        *(["colours.js"] if own else []),
    ]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(str(TEMPLATES)),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html").render(
        page=page,
        volumes=volumes,
        style=_template("report.css") + page_colours.variables(own),
        ranges={"same": RESOLUTION_RANGE_A, "own": own} if own else None,
        licence=_template(SURFACE_LICENCE) if surface else "",
        surface=surface,
        scripts=[_script(name) for name in names],
    )


@dataclass(frozen=True)
class PageScript:
    """A script of the page and the digest that lets it run."""

    text: str
    hash: str


def _template(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _script(name: str) -> PageScript:
    text = _template(name)
    return PageScript(text, base64.b64encode(hashlib.sha256(text.encode()).digest()).decode())
