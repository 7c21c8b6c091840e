"""`--face` that chooses nobody: one clear sentence, status 2, and nothing half-written."""

import shutil
import zlib
from contextlib import closing
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from speech2lip.cli import main
from speech2lip.detection.detect import FaceMesh
from speech2lip.media.decode import read_frames
from speech2lip.media.encode import VideoWriter
from speech2lip.media.images import write_image
from tests.detection.second_look import second_look


def _fails(capsys, *words: object) -> str:
    assert main([str(word) for word in words]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("error: ") and not any("Traceback" in line for line in lines)
    return lines[-1]


@pytest.fixture(scope="module")
def frame(clip) -> np.ndarray:
    return next(islice(read_frames(clip / "speaker.mp4", 25.0), 40, 41)).copy()


def _wall(path: Path, frame: np.ndarray) -> None:
    write_image(path, np.full((200, 200, 3), 120, np.uint8))


def _both(path: Path, frame: np.ndarray) -> None:
    write_image(path, np.hstack([frame, cv2.flip(frame, 1)]))


def _text(path: Path, frame: np.ndarray) -> None:
    path.write_text("this is no picture")


def _video(path: Path, frame: np.ndarray) -> None:
    with VideoWriter(path.with_suffix(".mp4"), 25.0) as video:
        for _ in range(3):
            video.write(frame)
    path.with_suffix(".mp4").rename(path)


def _half(path: Path, frame: np.ndarray) -> None:
    write_image(path, frame)
    path.write_bytes(path.read_bytes()[:40])


def _endless(path: Path, frame: np.ndarray) -> None:
    """A header of more pixels than any picture has."""
    write_image(path, frame)
    content = bytearray(path.read_bytes())
    content[16:24] = (1 << 20).to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(bytes(content[12:29])).to_bytes(4, "big")
    path.write_bytes(content)


PICTURES = {
    "without a face": (_wall, "shows no face that can be recognised: give --face another picture, or a number"),
    "of two faces": (_both, "shows 2 faces: give --face a picture of that person alone"),
    "that is a text": (_text, "is no picture that can be read: give --face a JPEG or PNG"),
    "that is a video": (_video, "is no picture that can be read: give --face a JPEG or PNG"),
    "that is a half": (_half, "is no picture that can be read: give --face a JPEG or PNG"),
    "that is endless": (_endless, "is no picture that can be read: give --face a JPEG or PNG"),
    "that is empty": (lambda path, _: path.touch(), "is empty: give a file with a picture of the person"),
    "that is a folder": (lambda path, _: path.mkdir(), "is a folder: give a file with a picture of the person, or a number, for --face"),
    "that is not there": (lambda path, _: None, "does not exist: give the path of a picture of the person, or a number"),
}  # fmt: skip


@pytest.mark.parametrize("picture", PICTURES)
def test_a_picture_is_refused_before_anything_is_written(picture, frame, clip, tmp_path, monkeypatch, capsys):
    make, said = PICTURES[picture]
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "her.png", frame)
    before = sorted(tmp_path.rglob("*"))
    video = clip / "speaker.mp4"
    for command in (
        ["preprocess", video, "--out", "s"],
        ["doctor", video, "data.root=s"],
        ["run", video, "--audio", clip / "speaker.wav", "--out", "o.mp4", "--name", "s"],
    ):
        message = _fails(capsys, *command, "--face", "her.png")
        assert message.startswith("error: her.png ") and said in message, message
    assert sorted(tmp_path.rglob("*")) == before


@pytest.fixture(scope="module")
def surveyed(clip, tmp_path_factory) -> Path:
    """A folder in which the people of the clip are known: a number that is not there was asked for."""
    root = tmp_path_factory.mktemp("faces") / "s"
    assert main(["preprocess", str(clip / "speaker.mp4"), "--out", str(root), "--face", "3"]) == 2
    return root


def _is_a_beginning(root: Path) -> bool:
    """Only the search for people is there, whole."""
    files = {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()}
    return files <= {"people.npz", "stages.json", "source.json", ".lock"} and "people.npz" in files


def test_a_number_that_is_not_there_says_how_many_there_are(surveyed, clip, capsys, monkeypatch, tmp_path):
    assert _is_a_beginning(surveyed)
    video = clip / "speaker.mp4"
    for number in ("2", "9" * 20, "9" * 5000):
        for command in (["preprocess", video, "--out", surveyed], ["doctor", video, f"data.root={surveyed}"]):
            message = _fails(capsys, *command, "--face", number)
            assert f"there is no face {number}: 1 person was found in the clip: give --face 1 to 1" in message
    assert _is_a_beginning(surveyed)


def test_somebody_who_is_not_in_the_clip(surveyed, frame, clip, tmp_path, capsys):
    with closing(FaceMesh(static=True)) as mesh:
        write_image(tmp_path / "him.png", second_look(frame, mesh))
    root = tmp_path / "s"
    shutil.copytree(surveyed, root)
    command = "preprocess", clip / "speaker.mp4", "--out", root
    message = _fails(capsys, *command, "--face", tmp_path / "him.png")
    assert f"{tmp_path / 'him.png'} shows nobody of the clip: its face is " in message
    assert "give --face another picture, or a number" in message and _is_a_beginning(root)


def test_a_finished_folder_is_not_touched(subject_config, clip, tmp_path, capsys):
    root = Path(subject_config.data.root)
    before = {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in root.rglob("*") if p.is_file() and p.name != ".lock"}
    for face in ("2", tmp_path / "nobody.png"):
        _fails(capsys, "preprocess", clip / "speaker.mp4", "--out", root, "--face", face)
    assert before == {
        p: (p.stat().st_mtime_ns, p.stat().st_size) for p in root.rglob("*") if p.is_file() and p.name != ".lock"
    }
