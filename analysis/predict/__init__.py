"""Predict new images from files, folders and URLs."""
