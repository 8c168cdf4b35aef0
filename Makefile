# Each target sets up what it needs the first time: `make demo` runs the pipeline, `make test` all checks, `make docs` builds the site.
SHELL := bash
python := .venv/bin/python
stamp := .venv/.ready

.PHONY: setup demo test lint docs clean

setup: $(stamp)

$(stamp): requirements.txt pyproject.toml scripts/setup.sh scripts/link_types.sh
	bash scripts/setup.sh
	@touch $(stamp)

demo: setup
	.venv/bin/fototeca demo data/demo

lint: setup
	bash scripts/link_types.sh
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

test: setup lint
	.venv/bin/pytest -n 2 --dist loadgroup

docs: setup
	NO_MKDOCS_2_WARNING=1 .venv/bin/python -m mkdocs build --quiet --strict

clean:
	rm -rf .venv .types .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
