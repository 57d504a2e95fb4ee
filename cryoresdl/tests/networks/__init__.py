"""Tests of ``cryoresdl.models.networks``."""
