"""The real browser: selenium driver and the filtering proxy it uses."""
