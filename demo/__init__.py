"""Drawn pictures with known truth, a local gallery site, and the whole pipeline on it."""
