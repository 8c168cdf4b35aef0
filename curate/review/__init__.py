"""Review of labels: queues, the FiftyOne App, the keyboard page, undo, renamed categories, and agreement between reviewers.

Only `fiftyone_app` and `fiftyone_samples` use FiftyOne. The Python API calls `session.list_queues`, `apart.declare_apart`,
`apart.restore_images`, `undo.undo_decisions`, `rename.rename_category` and `agreement.measure_agreement`.
"""
