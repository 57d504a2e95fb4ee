"""Tests of ``cryoresdl.models.paper``."""
