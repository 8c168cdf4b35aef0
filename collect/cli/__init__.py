"""Commands of `fototeca collect`: a thin layer over `collect.ingest`, `collect.search`, `collect.hubs` and `collect.status`."""
