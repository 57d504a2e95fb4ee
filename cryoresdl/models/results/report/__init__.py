"""The report of a results folder: HTML, PDF, JSON and a ChimeraX script."""

from ...base.quiet_libraries import import_matplotlib

import_matplotlib()
