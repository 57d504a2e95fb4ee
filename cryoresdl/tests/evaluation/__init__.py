"""Tests of ``cryoresdl.models.evaluation``."""
