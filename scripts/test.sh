#!/usr/bin/env bash
# Lint, types and the fast tests. usage: bash scripts/test.sh [pytest options]
# The slow tests (over a minute each): bash scripts/test.sh -m slow
set -euo pipefail
EXTRA_REQUIREMENTS="requirements-extra.txt requirements-dev.txt"
source "$(dirname "$0")/env.sh"
ruff check .
ruff format --check .
mypy
exec python -m pytest "$@"
