"""Tests of ``cryoresdl.models.cli``."""
