# Sourced by the recipes: which subject, its configuration, folder and model.
# usage: source scripts/subject.sh [SUBJECT] [key=value ...]
# A subject without a configuration of its own uses may's with its name and folder.

SUBJECT=may
if [ $# -gt 0 ] && [[ "$1" != *=* ]]; then
    SUBJECT=$1
    shift
fi
case $SUBJECT in
"" | */* | . | .. | -*)
    echo "error: '$SUBJECT' is no subject's name: give one without slashes that does not begin with a dash" >&2
    exit 2
    ;;
esac
SUBJECT_CONFIG="configs/face_simple_configs/$SUBJECT/$SUBJECT.yaml"
SUBJECT_ROOT="dataset/${SUBJECT}_face_crop_lip"
SUBJECT_MODEL="log/face_simple/$SUBJECT/model_$SUBJECT.pt"
[ -f "$SUBJECT_MODEL" ] || SUBJECT_MODEL="log/face_simple/$SUBJECT/model.pt"
SUBJECT_SETTINGS=()
if [ ! -f "$SUBJECT_CONFIG" ]; then
    SUBJECT_CONFIG=configs/face_simple_configs/may/may.yaml
    SUBJECT_SETTINGS=("name=$SUBJECT" "data.root=$SUBJECT_ROOT" "data.video=dataset/$SUBJECT/images")
fi
SUBJECT_SETTINGS+=("$@")
source scripts/env.sh

join_frames() { # frames folder, audio, video
    python - "$@" "$SUBJECT_CONFIG" ${SUBJECT_SETTINGS[@]+"${SUBJECT_SETTINGS[@]}"} <<'PYTHON'
import sys
from pathlib import Path

from speech2lip.config import load_config
from speech2lip.errors import run_guarded
from speech2lip.rendering.files import join_frames

frames, audio, target = map(Path, sys.argv[1:4])


def join() -> int:
    join_frames(frames, audio, target, load_config(sys.argv[4], sys.argv[5:]).render)
    return 0


sys.exit(run_guarded(join))
PYTHON
    printf 'video: %s\n' "$3"
}
