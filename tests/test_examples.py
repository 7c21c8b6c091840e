"""The scripts of examples/, run as a reader would."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from speech2lip.errors import UserError
from speech2lip.media.decode import read_frames
from speech2lip.media.images import read_image
from speech2lip.media.planes import Picture
from speech2lip.rendering.paste import Rendered

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("say_anything", ROOT / "examples" / "say_anything.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _frame(number: int) -> Rendered:
    image, original = (np.full((4, 2, 3), value, np.uint8) for value in (100 + number, number))
    return Rendered(Picture(original), number, image, np.ones((4, 2), np.float32), (0, 0))


def test_sheet_shows_moments_from_the_first_to_the_last(example):
    sheet = example.contact_sheet((_frame(n) for n in range(51)), 51)
    moments = [0, 10, 20, 30, 40, 50]
    assert sheet.shape == (8, 12, 3)
    assert sheet[0, ::2, 0].tolist() == moments and sheet[4, ::2, 0].tolist() == [100 + n for n in moments]
    assert example.contact_sheet(map(_frame, range(3)), 3).shape == (8, 6, 3)
    with pytest.raises(UserError, match="longer sentence"):
        example.contact_sheet(iter(()), 0)


def test_sentence_becomes_a_picture_and_a_video(example, model_path, subject_config, tmp_path, monkeypatch, capsys):
    out, video = tmp_path / "said.jpg", tmp_path / "said.mp4"
    command = ["say_anything.py", str(model_path), "Hello there.", "--out", str(out), "--video", str(video)]
    monkeypatch.setattr(sys, "argv", command)
    assert example.main() == 0
    frames = list(read_frames(video, 25.0))
    height, width = frames[0].shape[:2]
    assert read_image(out).shape == (2 * height, example.MOMENTS * width, 3)
    assert f"6 of {len(frames)} frames" in capsys.readouterr().out


def test_file_with_speech_is_taken_as_it_is(example, tmp_path):
    (tmp_path / "speech.wav").write_bytes(b"sound")
    assert example.spoken(str(tmp_path / "speech.wav"), tmp_path / "unused") == tmp_path / "speech.wav"
