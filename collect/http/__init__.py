"""HTTP for untrusted servers: guarded sockets, one requests session, throttling, robots.txt and responses read within limits.

`client.Downloader` is the entry point; `client.FetchOptions` are the options of every command that fetches.
"""
