#!/usr/bin/env bash
# Lint, types, security (bandit), the import contracts and the fast tests, one process per core. usage: bash scripts/test.sh [--cov] [pytest options]
# All tests, with those that take over a minute: bash scripts/test.sh --slow
# The studio in a real browser, Chromium, which is installed where there is none: bash scripts/test.sh --browser
# With coverage and its gate (fail_under in pyproject.toml): bash scripts/test.sh --cov
set -euo pipefail
EXTRAS=dev
source "$(dirname "$0")/env.sh"
if [ "${1:-}" = --browser ]; then
    python -c "import playwright, gradio" 2>/dev/null || python -m pip install --quiet --constraint constraints.txt --editable ".[studio]" playwright
    if ! command -v chromium chromium-browser google-chrome >/dev/null; then python -m playwright install --with-deps chromium; fi
    exec python -m pytest -m browser tests/studio "${@:2}"
fi
ruff check .
ruff format --check .
mypy
bandit --quiet --recursive --configfile pyproject.toml speech2lip scripts preprocess benchmarks examples train.py inference.py
[ "${1:-}" != --slow ] || set -- -m "slow or not slow" "${@:2}"
[ "${1:-}" != --cov ] || set -- --cov=speech2lip "${@:2}"
# Tests wait for files and programs as much as they compute: whole files side by side, each with one thread.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
exec python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile "$@"
