"""Ground floor: workspace paths, settings, errors and atomic files. Imports the standard library only."""
