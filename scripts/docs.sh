#!/usr/bin/env bash
# The documentation as a site, from docs/ and the docstrings: build/site/index.html. A warning is an error.
# usage: bash scripts/docs.sh [serve]
set -euo pipefail
EXTRAS=docs
source "$(dirname "$0")/env.sh"
if [ "${1:-}" = serve ]; then exec mkdocs serve --strict; fi
mkdocs build --strict --clean
echo "site: build/site/index.html"
