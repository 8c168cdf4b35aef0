"""Readers of label files of other programs, one per format; `detect.read_rows` recognizes the format by content."""
