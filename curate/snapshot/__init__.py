"""The catalog at one moment, grouped into what must share a split."""
