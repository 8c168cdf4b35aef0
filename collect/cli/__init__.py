"""Commands of `fototeca collect`."""
