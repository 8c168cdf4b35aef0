"""Evaluate runs: metrics, intervals, calibration, comparison, test-time augmentation and the log of test accesses."""
