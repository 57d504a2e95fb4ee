"""Renders the report's HTML page in one file."""

from __future__ import annotations

import base64
import hashlib
import io
from pathlib import Path
from typing import Any, Mapping

from .slice_browser import _data_url

TEMPLATES = Path(__file__).parent / "templates"


def render(
    page: Mapping[str, Any],
    figures: Mapping[str, Any],
    volumes: Mapping[str, Any],
    narrow: Mapping[str, str] | None = None,
) -> str:
    """The HTML page in one string.

    Args:
        page: `content`.
        figures: kind -> matplotlib figure.
        volumes: `browser`.
        narrow: kind -> data URL of the figure for screens of 560 pixels and less, where there is one.
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
        images={kind: _png(figure) for kind, figure in figures.items()},
        narrow=narrow or {},
        volumes=volumes,
        style=(TEMPLATES / "report.css").read_text(encoding="utf-8"),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _png(figure: Any) -> str:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110, metadata={"Software": None})
    figure.set_layout_engine("none")  # the PDF takes the layout found here instead of solving it again
    return _data_url(stream.getvalue())
