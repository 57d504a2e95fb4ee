"""From a map and a model to angstroms, classes, intervals, doubts and a verdict."""
