"""The tables and figures of Avramov et al. 2019, made with our models."""
