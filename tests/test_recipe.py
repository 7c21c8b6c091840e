"""The published recipe, command by command, for a subject that is not may."""

import os
import shutil
import subprocess

import pytest
from imageio_ffmpeg import get_ffmpeg_exe as ffmpeg

from speech2lip.media.images import frame_files

NAME = "recipe-test"
FRAMES = 100
QUICK = [
    "train.steps=6", "train.minutes=0", "train.batch=2", "train.articulate=1", "model.lip.width=32", "model.lip.layers=2",
    "model.lip.skip_after=0", "model.blend.widths=[8,8,8]", "data.test_fraction=0.2", "render.preset=ultrafast",
]  # fmt: skip


@pytest.mark.slow
def test_recipe_from_frames_to_new_audio(workspace, clip):
    """The README's commands in their order, on four seconds of the synthetic speaker: what each must leave behind."""

    def run(*command: object, cwd: str = ".") -> None:
        environment = os.environ | {"PYTHONPATH": str(workspace)}
        subprocess.run([str(c) for c in command], cwd=workspace / cwd, check=True, env=environment)

    images, subject = workspace / "dataset" / NAME / "images", workspace / "dataset" / f"{NAME}_face_crop_lip"
    wav = subject / "audio" / "audio.wav"
    for folder in (images, wav.parent, subject / "audio_test"):
        folder.mkdir(parents=True)
    source = [ffmpeg(), "-v", "error", "-t", FRAMES / 25, "-i", clip / "speaker.mp4"]
    run(*source, "-q:v", "2", "-r", "25", images / "%05d.jpg")
    run(*source, "-vn", "-acodec", "pcm_s16le", "-ar", "16000", wav)
    run("bash", "extract_ds_features_may.sh", NAME, cwd="preprocess/deepspeech_features")
    assert (subject / "audio" / "audio.npy").is_file()
    run("bash", "preprocess_may.sh", NAME, cwd="preprocess")
    run("bash", "scripts/example/train_may.sh", NAME, *QUICK)
    run("bash", "scripts/example/inference_may.sh", NAME, *QUICK)
    example = workspace / "rendering_result" / NAME / "example"
    assert len(frame_files(example / "postfusion")) >= 10 and (example / "result.mp4").is_file()
    shutil.copy(wav, subject / "audio_test" / "audio.wav")
    run("bash", "scripts/example/inference_new_audio_may.sh", NAME, *QUICK)
    fresh = workspace / "rendering_result" / NAME / "new_audio"
    assert abs(len(frame_files(fresh / "postfusion")) - FRAMES) <= 1  # sound ends within a frame
    assert (fresh / "result.mp4").is_file()
