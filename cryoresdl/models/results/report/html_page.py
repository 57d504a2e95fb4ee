"""Renders the report's HTML page in one file."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping

from .charts.surface_view import SurfaceData
from .report_page import ReportPage

TEMPLATES = Path(__file__).parent / "templates"
SURFACE_SCRIPTS = ("3Dmol-min.js", "surface.js")


def render(
    page: ReportPage,
    volumes: Mapping[str, Any],
    surface: SurfaceData | None = None,
) -> str:
    """The HTML page in one string.

    Args:
        page: `content`.
        volumes: `browser`.
        surface: `surface_view.surface`.
    """
    import jinja2  # a tenth of a second that drawing a single figure does not need

    names = [*(SURFACE_SCRIPTS if surface else ()), *(["report.js"] if volumes else [])]
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
        style=(TEMPLATES / "report.css").read_text(encoding="utf-8"),
        surface=surface,
        scripts=[_script(name) for name in names],
    )


@dataclass(frozen=True)
class PageScript:
    """A script of the page and the digest that lets it run."""

    text: str
    hash: str


def _script(name: str) -> PageScript:
    text = (TEMPLATES / name).read_text(encoding="utf-8")
    return PageScript(text, base64.b64encode(hashlib.sha256(text.encode()).digest()).decode())
