"""Tests of ``cryoresdl.models.maps``."""
