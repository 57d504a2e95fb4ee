"""How good a model is, beside trivial baselines."""
