"""Label decisions, categories and the review state of an image."""
