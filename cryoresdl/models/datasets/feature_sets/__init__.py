"""Sets of networks' inputs with the true local resolution, in one HDF5 file."""
