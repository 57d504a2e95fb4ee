"""Tests of ``cryoresdl.models.base``."""
