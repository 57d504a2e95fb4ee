"""Tests that need a program of the system: skipped for users who lack it, failed where everything is promised."""

import os

import pytest


def missing(reason):
    """Skip the test; fail it where ``CRYORESDL_COMPLETE`` says that nothing may be left out, as CI does."""
    if os.environ.get("CRYORESDL_COMPLETE", "") not in ("", "0"):
        pytest.fail(f"CRYORESDL_COMPLETE is set, but this test {reason}")
    pytest.skip(reason)
