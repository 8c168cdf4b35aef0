"""Clients of JSON service APIs: requests, JSON fields, keys and quotas."""
