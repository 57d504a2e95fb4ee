"""The tables and figures of Avramov et al. 2019, made with our models."""

from ...base.quiet_libraries import import_matplotlib

import_matplotlib()
