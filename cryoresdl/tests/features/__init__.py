"""Tests of ``cryoresdl.models.features``."""
