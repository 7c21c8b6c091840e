#!/usr/bin/env bash
# Make a subject (default: may) say new audio: its features lie in audio_test/audio.npy of the
# subject's folder, or are made there from audio_test/audio.wav.
# usage: bash scripts/example/inference_new_audio_may.sh [SUBJECT] [key=value ...]
set -euo pipefail
cd "$(dirname "$0")/../.."
source scripts/subject.sh "$@"
folder="$SUBJECT_ROOT/audio_test"
if [ ! -f "$folder/audio.npy" ] || [ "$folder/audio.wav" -nt "$folder/audio.npy" ]; then
    python preprocess/extract_features.py "$SUBJECT_CONFIG" ${SUBJECT_SETTINGS[@]+"${SUBJECT_SETTINGS[@]}"} --audio "$folder/audio.wav"
fi
out="rendering_result/$SUBJECT/new_audio"
python inference.py "$SUBJECT_CONFIG" ${SUBJECT_SETTINGS[@]+"${SUBJECT_SETTINGS[@]}"} --model_path "$SUBJECT_MODEL" --output_dir "$out" --use_new_audio
if [ -f "$folder/audio.wav" ]; then join_frames "$out/postfusion" "$folder/audio.wav" "$out/result.mp4"; fi
