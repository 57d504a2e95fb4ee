"""The default local network on band energies: cells, tiles, corrections, volumes."""
