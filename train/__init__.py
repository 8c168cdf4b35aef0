"""From a manifest to runs: datasets, models, training loop, heads, sweeps, ensembles. Higher packages import `train.runs`."""
