#!/usr/bin/env bash
# Makes .types/fototeca, a folder of links in which type checkers find the whole package under its import name.
set -euo pipefail
cd "$(dirname "$0")/.."
rm -rf .types
mkdir -p .types/fototeca
for entry in fototeca/*.py fototeca/py.typed; do ln -s "../../$entry" ".types/fototeca/"; done
for stage in core vision collect curate train analysis demo; do ln -s "../../$stage" ".types/fototeca/$stage"; done
