"""Serve runs: a page for trying a model, and an HTTP API. `served_run` batches requests, `app` answers them."""
