"""Measure image quality and list images beyond the thresholds."""
