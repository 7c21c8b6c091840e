#!/usr/bin/env bash
# Lint, types, the import contracts and the fast tests. usage: bash scripts/test.sh [pytest options]
# The slow tests (over a minute each): bash scripts/test.sh -m slow
# With coverage and its gate:          bash scripts/test.sh --cov
set -euo pipefail
EXTRAS=dev
source "$(dirname "$0")/env.sh"
ruff check .
ruff format --check .
mypy
exec python -m pytest "$@"
