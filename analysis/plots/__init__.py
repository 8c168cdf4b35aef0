"""Charts as SVG, their export to PNG, and pages to PDF."""
