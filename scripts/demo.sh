#!/usr/bin/env bash
# The whole product on the built-in synthetic speaker: video, training, a new sentence, figures.
# usage: bash scripts/demo.sh [--minutes N] [--out FOLDER]
set -euo pipefail
source "$(dirname "$0")/env.sh"
exec python -m speech2lip demo "$@"
