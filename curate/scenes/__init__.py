"""Scenes: photographs of one place and time, which share a split on request and are never set aside for one another."""
