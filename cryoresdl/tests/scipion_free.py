"""Marks for tests of the engine, which run where Scipion is not installed."""

import pytest

from cryoresdl.models import constants, model_file

_SHIPPED = {model.name for model in model_file.available()}
needs_shipped_models = pytest.mark.skipif(
    not {constants.DEFAULT_GLOBAL_MODEL, constants.DEFAULT_LOCAL_MODEL} <= _SHIPPED,
    reason="the shipped models are missing",
)
