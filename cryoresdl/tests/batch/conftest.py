"""Fixtures of the tests of lists."""

import pytest

from cryoresdl.tests.helpers import quick_engine


@pytest.fixture
def instant_engine(monkeypatch, request):
    """No networks: every map is answered at once, but for tests that want the real engine."""
    if "real_engine" not in request.keywords:
        quick_engine.instant(monkeypatch)
