"""Ingest: fetch, validate, store and record the candidates that sources, hubs, lists and folders yield.

Entry points: `folder.collect_folder`, `url_list.collect_urls`, `pipeline.ingest_provenances`, `pipeline.retry_candidates`; each
returns a `summary.CollectSummary`. `targets` counts the images that each category still needs. Nothing here depends on the CLI.
"""
