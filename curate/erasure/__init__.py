"""Erase images on request: their bytes, everything derived from them, and the chance to collect them again."""
