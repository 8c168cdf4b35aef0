"""Commands of `fototeca curate`."""
