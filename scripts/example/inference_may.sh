#!/usr/bin/env bash
# Render the test split of a subject (default: may) as frames, and join them with their sound.
# usage: bash scripts/example/inference_may.sh [SUBJECT] [key=value ...]
set -euo pipefail
cd "$(dirname "$0")/../.."
source scripts/subject.sh "$@"
out="rendering_result/$SUBJECT/example"
python inference.py "$SUBJECT_CONFIG" ${SUBJECT_SETTINGS[@]+"${SUBJECT_SETTINGS[@]}"} --model_path "$SUBJECT_MODEL" --output_dir "$out"
join_frames "$out/postfusion" "$out/audio_test.wav" "$out/result.mp4"
