"""Features of a run: extraction, out-of-distribution scores and two-dimensional embeddings."""
