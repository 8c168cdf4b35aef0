"""Rank likely label errors, outliers and near-boundary images by confident learning over pretrained features."""
