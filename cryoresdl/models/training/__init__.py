"""Fitting, checkpointing and calibrating the default networks."""
