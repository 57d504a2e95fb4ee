"""Tests of ``cryoresdl.models.simulation``."""
