"""The report: one page that tells the whole story, from the task to new images, in Spanish or English."""
