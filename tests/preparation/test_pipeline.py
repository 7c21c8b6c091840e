"""Preprocessing: which settings redo which stage, and what a whole run leaves."""

import json
import shutil
from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest

from speech2lip.config import Config, default_config
from speech2lip.errors import UserError
from speech2lip.facemesh import mouth_opening
from speech2lip.preparation.pipeline import preprocess, stages_of
from speech2lip.preparation.source import Clip
from speech2lip.preparation.stages import Stage
from speech2lip.subject.layout import SubjectLayout
from speech2lip.subject.source import content_hash, stamp


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stages")
    for name in ("me.mp4", "me.wav"):
        (folder / name).write_bytes(b"x")
    clip = Clip(folder / "me.mp4", content_hash(folder / "me.mp4"), stamp(folder / "me.mp4"), folder / "me.wav", 25.0)
    return clip, SubjectLayout(folder / "subject")


def _key(stage: Stage) -> str:
    """Of a stage's own inputs, without those that only the stages before it tell."""
    return replace(stage, chosen=dict).key("")


def _redone(inputs, *settings: str, before: tuple[str, ...] = ()) -> list[str]:
    """Stages whose own inputs (not those of earlier stages) differ from the defaults'."""
    old, new = (stages_of(default_config([*before, *s]), *inputs) for s in ((), settings))
    return [a.name for a, b in zip(old, new, strict=True) if _key(a) != _key(b)]


@pytest.mark.parametrize(
    ("setting", "stages"),
    [
        ("data.fps=30", ["people"]), ("face.max_crop=320", ["frames"]), ("face.jpeg_quality=80", ["frames"]),
        ("face.max_gap=1", ["track"]), ("face.smooth=2", ["track"]), ("photometric.rounds=2", ["track"]), ("bundle.keyframes=100", ["track"]),
        ("bundle.noise=0.1", ["track"]),
        ("fit.keyframes=100", []), ("face.tracker=gnm", ["track"]), ("rasterizer=pytorch3d", ["canonical"]),
        ("audio.window=16", ["audio"]), ("audio.backend=mel", ["audio"]),
        ("face.lip_margin=0.3", ["canonical"]), ("face.lip_max_width=96", ["canonical"]), ("face.exposure=0", ["canonical"]), ("name=x", []),
        ("learnable.lips=0", []), ("train.steps=7", []), ("render.crf=20", []), ("model.lip.width=64", []),
    ],
)  # fmt: skip
def test_a_setting_redoes_the_stage_that_reads_it_and_no_earlier_one(inputs, setting, stages):
    assert _redone(inputs, setting) == stages


def test_morphable_trackers_depend_on_their_own_settings_and_the_rasterizer(inputs):
    gnm = ("face.tracker=gnm",)
    assert _redone(inputs, "fit.keyframes=100", before=gnm) == ["track"]
    assert _redone(inputs, "fit.focal_guess=2", before=gnm) == ["track"]
    assert _redone(inputs, "bundle.keyframes=100", before=gnm) == []
    assert _redone(inputs, "rasterizer=pytorch3d", before=gnm) == ["track", "canonical"]


def test_every_entry_of_the_face_section_enters_some_stage(inputs):
    """A new key cannot be forgotten."""
    face = Config().face
    for item in fields(face):
        value = getattr(face, item.name)
        choices = [c for c in item.metadata["choices"] if c != value]
        other = choices[0] if choices else value + (1 if value < item.metadata["high"] else -1)
        config = replace(Config(), face=replace(face, **{item.name: other}))
        old, new = stages_of(Config(), *inputs), stages_of(config, *inputs)
        assert not is_dataclass(value)
        assert any(_key(a) != _key(b) for a, b in zip(old, new, strict=True)), item.name


def test_a_finished_folder_is_kept_whole(subject_config, clip, capsys):
    before = SubjectLayout(subject_config.data.root).subject.stat().st_mtime_ns
    preprocess(subject_config, clip / "speaker.mp4")
    assert capsys.readouterr().out.count("unchanged, kept") == 5
    assert SubjectLayout(subject_config.data.root).subject.stat().st_mtime_ns == before


def test_a_choice_of_face_that_is_none_costs_a_finished_folder_nothing(subject_config, clip, tmp_path):
    layout = SubjectLayout(subject_config.data.root)
    before = layout.subject.read_bytes(), layout.stages.read_bytes()
    for face, message in (("7", "there is no face 7: 1 person was found"), (str(tmp_path / "no.jpg"), r"no\.jpg")):
        config = replace(subject_config, data=replace(subject_config.data, face=face))
        with pytest.raises(UserError, match=message):
            preprocess(config, clip / "speaker.mp4")
        assert (layout.subject.read_bytes(), layout.stages.read_bytes()) == before
    named = replace(subject_config, data=replace(subject_config.data, face="1"))
    assert preprocess(named, clip / "speaker.mp4").face == 1 and layout.subject.read_bytes() == before[0]


def test_a_picture_of_a_face_enters_by_the_number_that_it_means(inputs):
    assert _redone(inputs, "data.face=2") == [] and stages_of(Config(), *inputs)[1].chosen is not dict


def test_a_clip_enters_by_its_content(inputs, tmp_path):
    """Moved and renamed it is the same; what was cut anew is another."""
    clip, layout = inputs
    moved = tmp_path / "other.mkv"
    moved.write_bytes(b"x")
    same = Clip(moved, content_hash(moved), stamp(moved), clip.sound, 25.0)
    old, new = (stages_of(Config(), c, layout) for c in (clip, same))
    assert [_key(a) for a in old] == [_key(b) for b in new]
    other = replace(same, sha256="another")
    assert _key(stages_of(Config(), other, layout)[0]) != _key(old[0])


def test_a_refused_clip_leaves_no_folder(tmp_path):
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(UserError, match="empty"):
        preprocess(default_config([f"data.root={tmp_path / 'subject'}"]), tmp_path / "empty.mp4")
    assert not (tmp_path / "subject").exists()


def test_a_photograph_is_refused_before_its_head_is_tracked(tmp_path, monkeypatch, subject_config):
    """Frames are kept, so that going on anyway costs nothing twice."""
    from speech2lip.preparation import pipeline

    layout = SubjectLayout(tmp_path / "still")
    shutil.copytree(subject_config.data.root, layout.root)
    found = layout.load_landmarks()
    still = replace(found, landmarks=np.repeat(found.landmarks[:1], len(found.landmarks), 0))
    monkeypatch.setattr(pipeline, "find_landmarks", lambda *_: layout.save_landmarks(still))
    layout.landmarks.unlink()
    monkeypatch.setattr(pipeline, "track_clip", lambda *_: pytest.fail("tracked"))
    source = layout.root / "source.mp4"
    config = replace(
        subject_config,
        data=replace(subject_config.data, root=str(layout.root)),
        face=replace(subject_config.face, smooth=2.0),
    )
    with pytest.raises(UserError, match=r"^the lips of .* move 0.00 pixels"):
        preprocess(config, source)
    assert "frames" in json.loads(layout.stages.read_text())


def test_face_is_found_in_every_frame_and_opening_follows_the_truth(subject_config, truth):
    track = SubjectLayout(subject_config.data.root).load_track()
    assert track.valid.all()
    gap = np.linalg.norm(truth["lips"][:, 0] - truth["lips"][:, 1], axis=1)
    assert np.corrcoef(mouth_opening(track.landmarks), gap)[0, 1] > 0.97


def test_folder_is_small_and_complete(subject_config):
    layout = SubjectLayout(subject_config.data.root)
    subject = layout.load_subject()
    size = sum(f.stat().st_size for f in layout.root.rglob("*") if f.is_file())
    assert size / subject.frames < 150e3
    for path in (layout.canonical, layout.lip_mask, layout.face_mask, layout.head_mask, layout.depth, layout.features):
        assert path.is_file()
    assert layout.face_image(subject.frames - 1).is_file() and layout.lip_image(0).is_file()


def test_second_run_keeps_what_is_unchanged(subject_config, clip, capsys):
    layout = SubjectLayout(subject_config.data.root)
    before = layout.face_image(0).stat().st_mtime_ns
    preprocess(subject_config, clip / "speaker.mp4")
    assert capsys.readouterr().out.count("unchanged") == 5
    assert layout.face_image(0).stat().st_mtime_ns == before
