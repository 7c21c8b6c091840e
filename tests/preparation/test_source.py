"""The kept source: an independent copy with a fingerprint, and a folder that belongs to one clip."""

import json
import os
import shutil
from dataclasses import asdict, replace

import numpy as np
import pytest

from speech2lip import files
from speech2lip.cli import main
from speech2lip.errors import UserError
from speech2lip.media.images import write_image
from speech2lip.preparation.source import Clip, check_clip, keep_source, restore_source
from speech2lip.subject.layout import SubjectLayout
from speech2lip.subject.source import content_hash, read_record, stamp


def _clip(path, content=b"a clip", sound=None):
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(content)
    return Clip(path, content_hash(path), stamp(path), sound or path, 25.0)


def _frames(folder, colours=(10, 20, 30)):
    folder.mkdir()
    for number, colour in enumerate(colours):
        write_image(folder / f"{number}.png", np.full((8, 8, 3), colour, np.uint8))
    return Clip(folder, content_hash(folder), stamp(folder), folder, 25.0)


@pytest.fixture
def layout(tmp_path):
    (tmp_path / "subject").mkdir()
    return SubjectLayout(tmp_path / "subject")


@pytest.fixture(params=["copy_file_range", "plain"])
def way(request, monkeypatch):
    if request.param == "plain":
        monkeypatch.delattr(os, "copy_file_range", raising=False)


def test_the_source_is_a_copy_of_its_own(tmp_path, layout, way):
    clip = _clip(tmp_path / "me.MP4", bytes(range(256)) * 5000)
    assert keep_source(clip, layout) == "source.mp4"
    kept = layout.root / "source.mp4"
    assert kept.read_bytes() == clip.video.read_bytes()
    assert kept.stat().st_nlink == 1 and not kept.is_symlink() and not kept.samefile(clip.video)
    with open(clip.video, "r+b") as stream:
        stream.write(b"rewritten")
    assert content_hash(kept) == clip.sha256


def test_a_clip_that_changes_while_it_is_read_is_refused(tmp_path, layout):
    clip = _clip(tmp_path / "me.mp4")
    clip.video.write_bytes(b"another")
    with pytest.raises(UserError, match="changed while it was read"):
        keep_source(clip, layout)
    assert not layout.source_record.exists()


def test_a_full_disk_is_a_sentence_and_leaves_nothing(tmp_path, layout, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "_copy_range", full)
    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(UserError, match=r"cannot write .*source.mp4 \(No space left on device\)"):
        keep_source(_clip(tmp_path / "me.mp4"), layout)
    assert not list(layout.root.iterdir())


def test_another_clip_of_the_same_name_is_refused_and_nothing_touched(tmp_path, layout):
    keep_source(_clip(tmp_path / "me.mp4"), layout)
    before = {p.name: p.read_bytes() for p in layout.root.iterdir()}
    other = _clip(tmp_path / "other" / "me.mp4", b"another clip")
    with pytest.raises(UserError) as caught:
        check_clip(other.video, layout, "use --name")
    assert str(caught.value) == (
        f"{layout.root} was made from {tmp_path / 'me.mp4'}, {other.video} is another clip: use --name"
    )
    assert {p.name: p.read_bytes() for p in layout.root.iterdir()} == before


def test_of_equal_length_too(tmp_path, layout):
    clip = _clip(tmp_path / "me.mp4", b"one")
    keep_source(clip, layout)
    other = _clip(tmp_path / "other" / "me.mp4", b"two")
    os.utime(other.video, ns=(clip.seen.time, clip.seen.time))
    with pytest.raises(UserError, match="another clip"):
        check_clip(other.video, layout, "")


def test_a_clip_that_has_changed_is_refused(tmp_path, layout):
    clip = _clip(tmp_path / "me.mp4")
    keep_source(clip, layout)
    clip.video.write_bytes(b"cut anew")
    with pytest.raises(UserError, match=r"changed since: X, or delete .*subject to start over"):
        check_clip(clip.video, layout, "X")


def test_a_moved_and_renamed_clip_is_the_same(tmp_path, layout):
    clip = _clip(tmp_path / "me.mp4")
    keep_source(clip, layout)
    moved = tmp_path / "elsewhere.mkv"
    clip.video.rename(moved)
    assert check_clip(moved, layout, "")[0] == clip.sha256


def test_a_known_clip_is_not_read_again(tmp_path, layout, monkeypatch):
    from speech2lip.preparation import source

    clip = _clip(tmp_path / "me.mp4")
    keep_source(clip, layout)
    monkeypatch.setattr(source, "content_hash", lambda path: pytest.fail("read"))
    assert check_clip(clip.video, layout, "") == (clip.sha256, clip.seen)


def test_a_video_in_the_folder_stays_there(layout):
    clip = _clip(layout.root / "me.mp4")
    assert keep_source(clip, layout) == "me.mp4"
    assert sorted(p.name for p in layout.root.iterdir()) == ["me.mp4", "source.json"]
    clip.video.write_bytes(b"cut anew")
    with pytest.raises(UserError, match=r"or delete .*source.json to start over"):
        check_clip(clip.video, layout, "X")


def test_frames_are_one_clip(tmp_path, layout):
    clip = _frames(tmp_path / "frames")
    assert keep_source(clip, layout) == "../frames"
    assert check_clip(clip.video, layout, "")[0] == clip.sha256
    write_image(clip.video / "1.png", np.full((8, 8, 3), 99, np.uint8))
    with pytest.raises(UserError, match="changed since"):
        check_clip(clip.video, layout, "")


@pytest.mark.parametrize("damage", ["", "[]", "{", '{"clip": 5}', "[" * 3000, '{"clip":"a","kept":"b","sha256":"c"}'])
def test_a_damaged_record_is_a_sentence(layout, damage):
    layout.source_record.write_text(damage)
    with pytest.raises(UserError, match=r"source.json is damaged .* delete it"):
        read_record(layout.source_record)


# ---------------------------------------------------------------- a finished subject


@pytest.fixture
def finished(subject_config, tmp_path):
    """A copy of a finished subject's folder; its times are new."""
    shutil.copytree(subject_config.data.root, tmp_path / "copy")
    return SubjectLayout(tmp_path / "copy")


def test_preprocessing_leaves_a_copy_and_what_it_held(subject_config, clip):
    layout = SubjectLayout(subject_config.data.root)
    record = read_record(layout.source_record)
    kept = layout.source_path(layout.load_subject())
    assert record is not None and record.sha256 == content_hash(clip / "speaker.mp4") == content_hash(kept)
    assert kept.stat().st_nlink == 1 and not kept.is_symlink()


def test_a_copied_folder_is_compared_once(finished):
    os.utime(finished.root / "source.mp4", ns=(5, 5))
    finished.source_path(finished.load_subject())
    record = read_record(finished.source_record)
    assert record is not None and record.kept_stamp.time == 5


@pytest.mark.parametrize("damage", ["shortened", "replaced", "missing"])
@pytest.mark.parametrize("command", ["train", "render", "evaluate"])
def test_a_source_that_is_not_the_clip_is_refused(finished, damage, command, model_path, tmp_path, clip, capsys):
    source = finished.root / "source.mp4"
    content = source.read_bytes()
    source.unlink()
    if damage == "shortened":
        source.write_bytes(content[: len(content) // 2])
    if damage == "replaced":
        source.write_bytes(content[:-1] + b"!")
    arguments = {
        "train": [f"data.root={finished.root}", f"train.output={tmp_path / 'log'}"],
        "render": ["--model", model_path, "--data", finished.root, "--audio", clip / "speaker.wav", "--out", tmp_path / "o.mp4"],
        "evaluate": ["--model", model_path, "--data", finished.root, "--out", tmp_path / "report"],
    }[command]  # fmt: skip
    assert main([command, *map(str, arguments)]) == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    wanted = "is missing: put the source" if damage == "missing" else "is not what this subject was made from"
    assert message.startswith(f"error: {source} {wanted}")
    assert not (tmp_path / "o.mp4").exists() and not (tmp_path / "log").exists()


def test_a_missing_source_is_copied_again_without_work(finished, clip, subject_config, capsys):
    from speech2lip.preparation.pipeline import preprocess

    before = finished.subject.read_bytes()
    (finished.root / "source.mp4").unlink()
    config = replace(subject_config, data=replace(subject_config.data, root=str(finished.root)))
    preprocess(config, clip / "speaker.mp4")
    assert capsys.readouterr().out.count("unchanged, kept") == 5 and finished.subject.read_bytes() == before
    assert content_hash(finished.source_path(finished.load_subject())) == content_hash(clip / "speaker.mp4")


def test_a_folder_of_an_older_version_is_adopted_and_its_link_becomes_a_copy(finished, clip, tmp_path):
    finished.source_record.unlink()
    (finished.root / "source.mp4").unlink()
    own = shutil.copy(clip / "speaker.mp4", tmp_path / "mine.mp4")
    os.link(own, finished.root / "source.mp4")
    other = _clip(tmp_path / "other.mp4")
    with pytest.raises(UserError, match="another clip"):
        check_clip(other.video, finished, "")
    video = tmp_path / "mine.mp4"
    restore_source(Clip(video, *check_clip(video, finished, ""), video, 25.0), finished)
    assert (finished.root / "source.mp4").stat().st_nlink == 1
    assert json.loads(finished.source_record.read_text())["kept_stamp"] == asdict(stamp(finished.root / "source.mp4"))
