"""The networks of Avramov et al. 2019, trained as the paper says."""
