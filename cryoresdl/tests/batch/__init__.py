"""Tests of ``cryoresdl.models.batch``."""
