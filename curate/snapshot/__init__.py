"""Snapshots of the catalog, and groups of images that must share a split."""
