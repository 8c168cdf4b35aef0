"""Workspace paths, settings, errors, atomic files, typed results and tables.

Imports the standard library only; every module may be imported by every floor.
"""
