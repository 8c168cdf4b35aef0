"""Candidates in: sources, browser, download, image store, catalog."""
