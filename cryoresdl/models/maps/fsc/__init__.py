"""Fourier shells and half maps: FSC, its corrections, and FSC by direction."""
