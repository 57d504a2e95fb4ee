"""Atoms of the Protein Data Bank: reading, downloading and selecting them."""
