"""The report of a dataset version as one HTML page, in English or Spanish. Use `report.page.write_report`."""
