"""Sweeps over plans and hyperparameter searches."""
