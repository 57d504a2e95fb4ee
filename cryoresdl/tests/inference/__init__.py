"""Tests of ``cryoresdl.models.inference``."""
