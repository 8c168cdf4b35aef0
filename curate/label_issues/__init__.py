"""Rank likely label errors."""
