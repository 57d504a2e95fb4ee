"""Architectures, runners, model files, and the one door to TensorFlow."""
