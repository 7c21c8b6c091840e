#!/usr/bin/env bash
# Train a subject (default: may). usage: bash scripts/example/train_may.sh [SUBJECT] [key=value ...]
# On several GPUs, one process each, with one frame per step and GPU as published; PROCESSES=N starts that many.
set -euo pipefail
cd "$(dirname "$0")/../.."
source scripts/subject.sh "$@"
PROCESSES=${PROCESSES:-$(python -c "import torch; print(max(torch.cuda.device_count(), 1))")}
if [ "$PROCESSES" -gt 1 ]; then
    exec python -m torch.distributed.run --standalone --nproc-per-node "$PROCESSES" --max-restarts 3 \
        train.py "$SUBJECT_CONFIG" "train.batch=$PROCESSES" ${SUBJECT_SETTINGS[@]+"${SUBJECT_SETTINGS[@]}"}
fi
exec python train.py "$SUBJECT_CONFIG" ${SUBJECT_SETTINGS[@]+"${SUBJECT_SETTINGS[@]}"}
