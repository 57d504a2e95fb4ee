"""Slices through volumes: which planes, in which colours, and the figures that move through them."""
