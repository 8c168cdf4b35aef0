"""Workspace paths, settings, errors, atomic files, typed results, tables and local pages.

Imports the standard library only; every module may be imported by every floor.
"""
