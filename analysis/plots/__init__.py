"""Charts as SVG, and their export to PNG and PDF."""
