"""Runs to understanding: metrics, errors, attribution, embeddings, the test, predictions, the report."""
