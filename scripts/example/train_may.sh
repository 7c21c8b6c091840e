#!/usr/bin/env bash
# Train a subject (default: may). usage: bash scripts/example/train_may.sh [SUBJECT] [key=value ...]
set -euo pipefail
cd "$(dirname "$0")/../.."
source scripts/subject.sh "$@"
exec python train.py "$SUBJECT_CONFIG" ${SUBJECT_SETTINGS[@]+"${SUBJECT_SETTINGS[@]}"}
