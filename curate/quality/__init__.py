"""Measure image quality and flag outliers."""
