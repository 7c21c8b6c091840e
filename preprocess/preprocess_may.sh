#!/usr/bin/env bash
# Everything for training from dataset/SUBJECT/images (or dataset/SUBJECT.mp4) and
# dataset/SUBJECT_face_crop_lip/audio/audio.wav into dataset/SUBJECT_face_crop_lip.
# usage: cd preprocess && bash preprocess_may.sh [SUBJECT] [key=value ...]
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/subject.sh "$@"
video=()
if [ ! -d "dataset/$SUBJECT/images" ] && [ -f "dataset/$SUBJECT.mp4" ]; then video=(--video "dataset/$SUBJECT.mp4"); fi
exec python preprocess/preprocess_subject.py "$SUBJECT_CONFIG" ${SUBJECT_SETTINGS[@]+"${SUBJECT_SETTINGS[@]}"} ${video[@]+"${video[@]}"}
