"""Limits of pixels. Standard library only, so that options can name them."""

MAX_PIXELS = 50_000_000
"""Images with more pixels are rejected when they are collected, unless `--max-pixels` allows more (200 MB as RGB)."""

MAX_STORED_PIXELS = 250_000_000
"""Largest value of `--max-pixels`, which every reader of stored images accepts (1 GB as RGB)."""
