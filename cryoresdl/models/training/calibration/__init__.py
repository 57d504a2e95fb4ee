"""Intervals and probabilities fitted on held-out maps."""
