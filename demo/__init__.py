"""Drawn images with known truth, a local gallery site, and the whole pipeline on it."""
