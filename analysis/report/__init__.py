"""The report: one page that tells the whole story, from the task to new pictures, in Spanish or English."""
