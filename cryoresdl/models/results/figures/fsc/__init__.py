"""Figures of half maps' FSC, and of the resolution by direction."""
