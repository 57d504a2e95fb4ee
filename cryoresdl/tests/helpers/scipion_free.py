"""Marks for tests of the engine, which run where Scipion is not installed."""

import pytest

from cryoresdl.models.networks.model_files import model_store

_SHIPPED = {model.name for model in model_store.available()}
needs_shipped_models = pytest.mark.skipif(
    not {model_store.DEFAULT_GLOBAL_MODEL, model_store.DEFAULT_LOCAL_MODEL} <= _SHIPPED,
    reason="the shipped models are missing",
)
