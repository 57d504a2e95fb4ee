"""Tests of ``cryoresdl.models.datasets``."""
