"""Tests: ``make test``, ``python -m pytest``, or ``scipion3 tests cryoresdl.tests.test_protocols_validate``."""
