# Sourced by the recipes: which subject, its configuration, folder and model.
# usage: source scripts/subject.sh [SUBJECT] [key=value ...]
# A subject without a configuration of its own uses may's with its name and folder.

SUBJECT=may
if [ $# -gt 0 ] && [[ "$1" != *=* ]]; then
    SUBJECT=$1
    shift
fi
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
    python - "$@" <<'PYTHON'
import subprocess
import sys

from speech2lip.media.ffmpeg import ffmpeg

frames, audio, target = sys.argv[1:]
command = [ffmpeg(), "-v", "error", "-y", "-framerate", "25", "-i", f"{frames}/%05d.jpg", "-i", audio]
command += ["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-c:v", "libx264", "-crf", "17", "-pix_fmt", "yuv420p"]
sys.exit(subprocess.run([*command, "-c:a", "aac", "-shortest", "-movflags", "+faststart", target]).returncode)
PYTHON
    echo "video: $3"
}
