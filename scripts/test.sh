#!/usr/bin/env bash
# Lint, types, the import contracts and the fast tests. usage: bash scripts/test.sh [--cov] [pytest options]
# The slow tests (over a minute each): bash scripts/test.sh -m slow
# With coverage and its gate (fail_under in pyproject.toml): bash scripts/test.sh --cov
set -euo pipefail
EXTRAS=dev
source "$(dirname "$0")/env.sh"
ruff check .
ruff format --check .
mypy
[ "${1:-}" != --cov ] || set -- --cov=speech2lip "${@:2}"
exec python -m pytest "$@"
