"""Layouts of other tools: COCO, YOLO and Pascal VOC boxes, crops of them, and frames of videos.

`detections.read_detections` reads a set of annotated images, `crops` cuts their boxes out, `video` reads frames. Every reader
counts what it cannot use and reads no file outside the folder it is given. Used by `collect.ingest`.
"""
