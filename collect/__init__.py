"""Collect candidate images: search, fetch, validate, store and record them.

Contracts for higher floors: `collect.catalog` (candidates, images, provenance, decisions) and `collect.store` (image bytes).
Inside: `sources`, `sites` and `browser` find images, `api` and `http` talk to services, `hubs` imports datasets, `files` reads
local images and archives, `ingest` validates and records, `cli` holds the commands.
"""
