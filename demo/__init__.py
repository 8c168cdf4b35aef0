"""Demo: drawn images with known labels, a local gallery site, and the whole pipeline run on it.

`pipeline.run_demo` is the command. Drawing: `images` (one photograph-like image) from `signs`, `board`, `scenes`, `objects`,
`camera` and `noise`. Gallery: `plan` (its contents), `gallery` (its files), `site` (its server). `truth` compares the results
with the plan, `backbone` chooses pretrained weights.
"""
