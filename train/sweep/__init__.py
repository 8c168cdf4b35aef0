"""Sweeps: plans, hyperparameter search and parallel workers."""
