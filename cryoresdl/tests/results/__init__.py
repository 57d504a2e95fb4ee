"""Tests of ``cryoresdl.models.results``."""
