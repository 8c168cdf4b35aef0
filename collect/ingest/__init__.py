"""From provenance records to accepted images: fetch, validate, store and record."""
