"""The published recipe, command by command, for a subject that is not may."""

import os
import shutil
import subprocess

import pytest

from speech2lip.media.ffmpeg import ffmpeg
from speech2lip.media.images import frame_files

NAME = "recipe-test"
QUICK = ["train.steps=60", "train.minutes=0", "train.batch=4", "model.lip.width=64", "data.test_fraction=0.2"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_recipe_from_frames_to_new_audio(workspace, clip):
    def run(*command: object, cwd: str = ".") -> None:
        environment = os.environ | {"PYTHONPATH": str(workspace)}
        subprocess.run([str(c) for c in command], cwd=workspace / cwd, check=True, env=environment)

    images, subject = workspace / "dataset" / NAME / "images", workspace / "dataset" / f"{NAME}_face_crop_lip"
    for folder in (images, subject / "audio", subject / "audio_test"):
        folder.mkdir(parents=True)
    video = clip / "speaker.mp4"
    run(ffmpeg(), "-v", "error", "-i", video, "-q:v", "2", "-r", "25", images / "%05d.jpg")
    run(
        ffmpeg(),
        "-v",
        "error",
        "-i",
        video,
        "-vn",
        "-acodec",
        "pcm_s16le",
        "-ar",
        "16000",
        subject / "audio" / "audio.wav",
    )
    run("bash", "extract_ds_features_may.sh", NAME, cwd="preprocess/deepspeech_features")
    assert (subject / "audio" / "audio.npy").is_file()
    run("bash", "preprocess_may.sh", NAME, cwd="preprocess")
    run("bash", "scripts/example/train_may.sh", NAME, *QUICK)
    run("bash", "scripts/example/inference_may.sh", NAME, *QUICK)
    example = workspace / "rendering_result" / NAME / "example"
    assert len(frame_files(example / "postfusion")) > 20 and (example / "result.mp4").is_file()
    shutil.copy(clip / "speaker.wav", subject / "audio_test" / "audio.wav")
    run("bash", "scripts/example/inference_new_audio_may.sh", NAME, *QUICK)
    fresh = workspace / "rendering_result" / NAME / "new_audio"
    assert abs(len(frame_files(fresh / "postfusion")) - len(frame_files(images))) <= 1  # sound ends within a frame
    assert (fresh / "result.mp4").is_file()
