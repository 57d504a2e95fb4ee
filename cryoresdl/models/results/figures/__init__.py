"""The figures of a results folder, drawn with matplotlib."""

from ...base.quiet_libraries import import_matplotlib

import_matplotlib()
