"""Clients of service APIs: requests, JSON fields, credentials and quotas."""
