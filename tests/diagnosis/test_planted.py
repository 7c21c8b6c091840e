"""Faults planted in copies of the synthetic speaker are found, and nothing is found in the clean one."""

import wave
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from planted import PICTURES, SOUNDS, PictureFault, write_clip
from scipy.spatial.transform import Rotation

from speech2lip.config import default_config
from speech2lip.demo.speaker import HELD_OUT_SENTENCE, TRAINING_SENTENCES, make_speaker, render_frames, write_script
from speech2lip.diagnosis.doctor import examine_subject, examine_video
from speech2lip.diagnosis.examine import Diagnosis
from speech2lip.media.decode import read_frames
from speech2lip.media.sound import SAMPLE_RATE, load_audio, save_wav
from speech2lip.preparation.pipeline import preprocess

pytestmark = pytest.mark.slow
SHORT = "length"  # of every copy: it lasts 15 s


@pytest.fixture(scope="module")
def frames(clip) -> list[np.ndarray]:
    return [f.copy() for f in read_frames(clip / "speaker.mp4", 25.0)]


def _worse(found: Diagnosis) -> set[str]:
    return {f.name for f in found.findings if f.severity != "ok"}


def _examined(video: Path, root: Path, sound: Path | None = None) -> Diagnosis:
    return examine_video(default_config([f"data.root={root}"]), video, sound, "").diagnosis


def _check(found: Diagnosis, finding: str, beside: tuple[str, ...] = ()) -> None:
    worse = _worse(found)
    assert finding in worse and worse <= {finding, SHORT, *beside}, worse


def test_nothing_is_found_in_a_clean_minute(tmp_path):
    make_speaker(tmp_path, (*TRAINING_SENTENCES, HELD_OUT_SENTENCE, *TRAINING_SENTENCES[:2]), progress=False)
    found = _examined(tmp_path / "speaker.mp4", tmp_path / "s")
    assert _worse(found) == set() and found.forecast == "good", found


@pytest.mark.parametrize("name", PICTURES)
def test_a_fault_of_the_picture(name, frames, clip, tmp_path):
    fault = PICTURES[name]
    video = write_clip(tmp_path / "a.mp4", frames, clip / "speaker.wav", fault)
    _check(_examined(video, tmp_path / "s"), fault.finding, fault.beside)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Where the clip is looked at once for all faults of its sound."""
    return tmp_path_factory.mktemp("sound") / "s"


@pytest.mark.parametrize("name", SOUNDS)
def test_a_fault_of_the_sound(name, clip, place, tmp_path):
    fault = SOUNDS[name]
    samples = fault.plant(load_audio(clip / "speaker.wav"))
    with wave.open(str(tmp_path / "a.wav"), "wb") as stream:
        stream.setparams((samples.ndim, 2, SAMPLE_RATE, 0, "NONE", ""))
        stream.writeframes((samples.clip(-1, 1) * 32767).round().astype("<i2").tobytes())
    _check(_examined(clip / "speaker.mp4", place, tmp_path / "a.wav"), fault.finding, fault.beside)


@pytest.mark.parametrize(
    ("opening", "yaw", "finding", "beside"),
    [(0.15, 0, "mouth_shapes", ("still", "dubbed", "offset")), (1.0, 48, "pose_range", ("dubbed", "offset"))],
)
def test_a_fault_of_the_performance(opening, yaw, finding, beside, tmp_path):
    """Somebody who hardly opens the mouth, and one who looks elsewhere."""
    script = write_script(TRAINING_SENTENCES[:3])
    turn = Rotation.from_euler("y", yaw, degrees=True).as_matrix()
    states = tuple(
        replace(s, mouth=(s.mouth[0] * opening, s.mouth[1] * opening, s.mouth[2] * opening), rotation=turn @ s.rotation)
        for s in script.states
    )
    save_wav(tmp_path / "a.wav", script.wav)
    drawn = list(render_frames(replace(script, states=states), 384))
    video = write_clip(tmp_path / "a.mp4", drawn, tmp_path / "a.wav", PictureFault("", list))
    _check(_examined(video, tmp_path / "s"), finding, beside)


def test_something_in_front_of_the_mouth(frames, clip, truth, tmp_path):
    """A microphone for a third of the clip, which preprocessing finds."""
    covered = list(frames)
    for k in range(100, 225):
        x, y = truth["lips"][k].mean(0)
        covered[k] = cv2.circle(frames[k].copy(), (round(x) + 12, round(y) + 20), 26, (40, 40, 60), -1)
    video = write_clip(tmp_path / "a.mp4", covered, clip / "speaker.wav", PictureFault("", list))
    config = default_config([f"data.root={tmp_path / 's'}", "learnable.sync=-1"])
    preprocess(config, video)
    found = examine_subject(config, tmp_path / "s").diagnosis
    _check(found, "hidden_mouth", ("dubbed", "cuts", "mouth_shapes", "repeats"))
    (hidden,) = [f for f in found.findings if f.name == "hidden_mouth"]
    inside = sum(min(b, 226) - max(a, 99) for a, b in hidden.spans)
    assert hidden.severity == "warning" and inside > 100
