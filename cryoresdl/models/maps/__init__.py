"""A density map: reading, checking, masking and writing it, and averages over Fourier shells."""
