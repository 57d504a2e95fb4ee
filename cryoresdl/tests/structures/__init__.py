"""Tests of ``cryoresdl.models.structures``."""
