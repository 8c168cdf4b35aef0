# Two commands matter: `make demo` and `make test`. Each sets up what it needs; a second call sets nothing up again.
SHELL := bash
python := .venv/bin/python
stamp := .venv/.ready

.PHONY: setup demo test lint clean

setup: $(stamp)

$(stamp): requirements.txt pyproject.toml scripts/setup.sh scripts/link_types.sh
	bash scripts/setup.sh
	@touch $(stamp)

demo: setup
	.venv/bin/fototeca demo data/demo

lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

test: setup lint
	.venv/bin/pytest -n 2 --dist loadgroup

clean:
	rm -rf .venv .types .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
