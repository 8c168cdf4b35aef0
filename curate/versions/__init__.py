"""Freeze, verify, rebuild, compare and recover versions."""
