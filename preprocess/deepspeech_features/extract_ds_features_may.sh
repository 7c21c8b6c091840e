#!/usr/bin/env bash
# Audio features of a subject (default: may): audio/audio.wav -> audio/audio.npy, and
# audio_test/audio.wav -> audio_test/audio.npy where it is there.
# usage: cd preprocess/deepspeech_features && bash extract_ds_features_may.sh [SUBJECT] [key=value ...]
set -euo pipefail
cd "$(dirname "$0")/../.."
source scripts/subject.sh "$@"
for part in audio audio_test; do
    wav="$SUBJECT_ROOT/$part/audio.wav"
    if [ "$part" = audio ] || [ -f "$wav" ]; then
        python preprocess/extract_features.py "$SUBJECT_CONFIG" ${SUBJECT_SETTINGS[@]+"${SUBJECT_SETTINGS[@]}"} --audio "$wav"
    fi
done
