"""Candidates to a frozen dataset: groups, quality, suggestions, decisions, review, splits, versions."""
