"""HTTP for untrusted servers: guarded sockets, throttling, robots.txt and bounded responses."""
