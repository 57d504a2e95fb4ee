"""Renders the report's HTML page in one file."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any, Mapping

from .report_page import ReportPage

TEMPLATES = Path(__file__).parent / "templates"


def render(
    page: ReportPage,
    volumes: Mapping[str, Any],
) -> str:
    """The HTML page in one string.

    Args:
        page: `content`.
        volumes: `browser`.
    """
    import jinja2  # a tenth of a second that drawing a single figure does not need

    script = (TEMPLATES / "report.js").read_text(encoding="utf-8")
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
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
