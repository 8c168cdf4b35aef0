"""From candidates to a frozen dataset: duplicates, quality, label issues, labels, review, versions and exports.

Contracts for higher floors: `curate.manifest` (frozen versions) and `curate.duplicates`.
"""
