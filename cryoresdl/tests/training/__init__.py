"""Tests of ``cryoresdl.models.training``."""
