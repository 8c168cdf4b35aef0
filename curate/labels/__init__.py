"""Label decisions, categories, and how edits of an image merge with the catalog.

Other packages of `curate` may import its modules: `decisions` (label, reject and restore images), `categories` (categories of a
label, renamed categories), `apart` (pairs that are different images) and `review_state` (tags, merging of edits, active
decisions).
"""
