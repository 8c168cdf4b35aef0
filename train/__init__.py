"""A manifest to runs: datasets, models, the loop, sweeps, ensembles."""
