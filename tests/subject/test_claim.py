"""A folder of the user's own is never emptied, nor are files in it replaced."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from speech2lip.cli import main
from speech2lip.config import Config, DataConfig
from speech2lip.errors import UserError
from speech2lip.evaluation.report import Evaluation, check_report, write_evaluation
from speech2lip.importing import dataset
from speech2lip.importing.config import import_config
from speech2lip.media.images import write_image
from speech2lip.preparation import pipeline
from speech2lip.subject.claim import check_free
from speech2lip.subject.layout import SubjectLayout


def _free(root: Path, kept: tuple[Path, ...] = ()) -> None:
    layout = SubjectLayout(root)
    check_free(layout, (*layout.written, root / "source.mp4"), kept, "name another folder")


def _put(path: Path, content: bytes = b"the user's") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


NAMES = (
    "images/1.jpg", "mouth_images/a", "ori_images_face/holiday.jpg", "audio/audio.wav", "audio/audio.npy", "source.mp4", "head.npz",
    "track.npz", "subject.json", "stages.json", "source.json", "landmarks.npz", "canonical_face.png",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_files_of_names_that_are_written_are_refused(tmp_path, name):
    _put(tmp_path / name)
    with pytest.raises(UserError, match="would be replaced: name another folder") as caught:
        _free(tmp_path)
    assert name.split("/")[0] in str(caught.value)


def test_what_is_in_nobodys_way(tmp_path):
    _free(tmp_path / "new")
    _free(tmp_path)
    (tmp_path / "images").mkdir()
    _put(tmp_path / "audio" / "song.mp3")
    _put(tmp_path / "letter.txt")
    _free(tmp_path)
    _free(tmp_path, (_put(tmp_path / "audio" / "audio.wav"),))
    (tmp_path / "source.mp4").symlink_to(tmp_path / "gone")
    with pytest.raises(UserError, match=r"source\.mp4"):
        _free(tmp_path, (tmp_path / "audio" / "audio.wav",))


@pytest.mark.parametrize("kept", ["subject.json", "stages.json", "source.json", "landmarks.npz"])
def test_each_file_of_a_subject_tells_whose_folder_it_is(tmp_path, subject_config, kept):
    _put(tmp_path / "images" / "00000.jpg")
    shutil.copy(Path(subject_config.data.root) / kept, tmp_path)
    _free(tmp_path)


def test_a_folder_whose_first_stage_was_killed_is_ours(tmp_path):
    _put(tmp_path / "ori_images_face" / "00000.jpg")
    _put(tmp_path / "stages.json", b"{}")
    _free(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "subject.json")
    with pytest.raises(UserError, match=r"subject\.json"):
        _free(tmp_path)


def _frozen(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_preprocess_leaves_a_users_folder_alone(tmp_path, clip, capsys):
    _put(tmp_path / "images" / "holiday.jpg")
    _put(tmp_path / "source.mp4")
    before = _frozen(tmp_path)
    assert main(["preprocess", "--video", str(clip / "speaker.mp4"), "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "images" in error and "--out" in error and error.count("\n") == 1
    assert _frozen(tmp_path) == before


def test_frames_inside_the_folder_are_not_taken_for_ours(tmp_path, clip):
    """`--video me/images --out me` would empty the clip itself."""
    shutil.copytree(_frames(tmp_path), tmp_path / "me" / "images")
    shutil.copy(clip / "speaker.wav", tmp_path / "voice.wav")
    before = _frozen(tmp_path)
    command = [
        "preprocess",
        "--video",
        tmp_path / "me" / "images",
        "--out",
        tmp_path / "me",
        "--voice",
        tmp_path / "voice.wav",
    ]
    assert main([str(word) for word in command]) == 2
    assert _frozen(tmp_path) == before


def _frames(folder: Path) -> Path:
    (folder / "frames").mkdir()
    for number in range(3):
        write_image(folder / "frames" / f"{number}.png", np.full((64, 64, 3), number, np.uint8))
    return folder / "frames"


def test_sound_that_lies_there_for_a_folder_of_frames_is_documented(tmp_path, clip):
    """With the features that the recipe makes of it beforehand."""
    root = tmp_path / "me"
    for name in ("audio.npy", "audio.json"):
        _put(root / "audio" / name)
    shutil.copy(clip / "speaker.wav", root / "audio" / "audio.wav")
    config = Config(data=DataConfig(root=str(root)))
    opened = pipeline.open_clip(config, _frames(tmp_path), None, "")
    assert opened.sound == root / "audio" / "audio.wav"
    with pytest.raises(UserError, match=r"audio/audio\.wav, which would be replaced"):
        pipeline.open_clip(config, tmp_path / "frames", clip / "speaker.wav", "")


@pytest.mark.parametrize("name", ["report.html", "metrics.json", "frames_self.csv"])
def test_reports_replace_only_reports(tmp_path, name):
    _put(tmp_path / "letter.txt")
    check_report(tmp_path / "new")
    check_report(tmp_path)
    _put(tmp_path / name, b'{"format": 3}')
    with pytest.raises(UserError, match=f"{name} is there already"):
        check_report(tmp_path)
    write_evaluation(Evaluation("me", [], {}), tmp_path / "ours")
    _put(tmp_path / "ours" / "frames_self.csv")
    check_report(tmp_path / "ours")


def test_import_config_replaces_only_imports(tmp_path):
    theirs, out = _put(tmp_path / "may.yaml", b"data:\n  path: x\ntraining:\n  batch_size: 1\n"), tmp_path / "ours.yaml"
    import_config(theirs, out)
    import_config(theirs, out)
    assert b"import config" in out.read_bytes()
    for own in (theirs, _put(tmp_path / "mine.yaml", b"name: me\n")):
        before = own.read_bytes()
        with pytest.raises(UserError, match="is there already"):
            import_config(theirs, own)
        assert own.read_bytes() == before


def test_import_leaves_a_users_folder_alone_and_its_own_half_made_one_not(tmp_path):
    layout = SubjectLayout(tmp_path / "mine")
    picture = _put(layout.grids / "map.npy")
    with pytest.raises(UserError, match="coords, which would be replaced"):
        dataset._claim(layout)
    picture.unlink()
    dataset._claim(layout)
    _put(layout.grids / "00000.npy")
    dataset._claim(layout)
