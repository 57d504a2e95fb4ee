"""Training sets on disk, and splits that do not leak."""
