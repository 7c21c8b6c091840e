"""`speech2lip doctor`, from the file to the report."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from speech2lip.audio.features import extract_windows, make_backend
from speech2lip.cli import main
from speech2lip.config import Config, default_config
from speech2lip.detection import detect
from speech2lip.diagnosis.doctor import examine_subject
from speech2lip.diagnosis.report import check_place, render_page, short_lines, times_of
from speech2lip.errors import UserError
from speech2lip.media.encode import VideoWriter
from speech2lip.media.sound import SAMPLE_RATE, load_audio, save_wav
from speech2lip.preparation import pipeline
from speech2lip.preparation.learnable import lip_opening, rows_of
from speech2lip.preparation.offset import estimate_offset
from speech2lip.preparation.sound import extract_audio, moved
from speech2lip.subject.layout import SubjectLayout


def _doctor(*arguments: object) -> int:
    return main(["doctor", *map(str, arguments)])


@pytest.fixture(scope="module")
def looked_at(clip, tmp_path_factory) -> Path:
    """The folder in which the doctor has looked at the clip; its report lies in `doctor`."""
    root = tmp_path_factory.mktemp("doctor") / "speaker"
    assert _doctor(clip / "speaker.mp4", f"data.root={root}") == 0
    return root


def _severities(folder: Path) -> dict[str, str]:
    return {f["name"]: f["severity"] for f in json.loads((folder / "findings.json").read_text())["findings"]}


def test_a_clean_clip_is_only_short(looked_at):
    worse = {name: s for name, s in _severities(looked_at / "doctor").items() if s != "ok"}
    assert worse == {"length": "warning"}
    record = json.loads((looked_at / "doctor" / "findings.json").read_text())
    assert record["forecast"] == "usable" and record["offset"]["clear"] and abs(record["offset"]["seconds"]) < 0.05


def test_the_page_loads_nothing_and_shows_the_clip(looked_at):
    page = (looked_at / "doctor" / "report.html").read_text("utf-8")
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)|url\(|@import|<script""", page)
    assert page.count('src="data:image/jpeg;base64,') >= 5 and "default-src 'none'" in page
    assert "usable" in page and 'id="length"' in page


def test_what_was_looked_at_is_kept_for_preprocessing(looked_at, clip, capsys):
    assert _doctor(clip / "speaker.mp4", f"data.root={looked_at}") == 0
    said = capsys.readouterr().out
    assert (
        "frames: unchanged, kept" in said and "forecast: usable" in said and not (looked_at / "subject.json").exists()
    )


def test_a_finished_subject_is_not_looked_at_again(subject_config, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(detect.FaceMesh, "__call__", None)  # nobody may look for landmarks
    assert _doctor(subject_config.data.root, "--out", tmp_path) == 0
    assert "hidden_mouth" in _severities(tmp_path) and "not looked at" not in capsys.readouterr().out
    assert not (Path(subject_config.data.root) / "doctor").exists()


def test_the_video_of_a_finished_subject_uses_its_folder(subject_config, clip, tmp_path, capsys):
    before = (Path(subject_config.data.root) / "stages.json").read_bytes()
    root = f"data.root={subject_config.data.root}"
    assert (
        _doctor(clip / "speaker.mp4", "--out", tmp_path, root, "face.max_crop=200") == 0
    )  # other settings spoil nothing
    assert "hidden_mouth" in _severities(tmp_path)
    assert (Path(subject_config.data.root) / "stages.json").read_bytes() == before


def test_names_are_data_in_the_page(subject_config):
    found = examine_subject(subject_config, Path(subject_config.data.root))
    evil = replace(found, diagnosis=replace(found.diagnosis, name="<script>alert(1)</script>"))
    assert "<script" not in render_page(evil)


# ---------------------------------------------------------------- refusals


def test_a_clip_that_cannot_work_is_refused_after_its_report(looked_at, clip, tmp_path, capsys):
    save_wav(tmp_path / "silent.wav", np.zeros(15 * SAMPLE_RATE))
    given = [
        clip / "speaker.mp4",
        "--voice",
        tmp_path / "silent.wav",
        f"data.root={looked_at}",
        "--out",
        tmp_path / "r",
    ]
    assert _doctor(*given) == 2
    said = capsys.readouterr()
    error = said.err.strip().splitlines()[-1]
    assert error.startswith("error: ") and "cannot work" in error and "--anyway" in error
    assert "forecast: poor" in said.out and (tmp_path / "r" / "report.html").is_file()
    assert _doctor(*given, "--anyway") == 0


def test_preprocess_goes_on_anyway(monkeypatch, tmp_path, capsys):
    asked: list[Config] = []

    def stop(config: Config, *_: object) -> None:
        asked.append(config)
        raise UserError("stop")

    monkeypatch.setattr(pipeline, "preprocess", stop)
    for more in ([], ["--anyway"]):
        assert main(["preprocess", "a.mp4", "--out", str(tmp_path), *more]) == 2
    assert asked[0].learnable == Config().learnable
    least = asked[1].learnable
    assert (least.seconds, least.level, least.lips, least.sync) == (0, -400, 0, -1)


def _picture_without_a_face(path: Path, sound: Path | None) -> Path:
    with VideoWriter(path, 25.0, sound) as video:
        for k in range(60):
            video.write(np.full((64, 64, 3), k, np.uint8))
    return path


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda p, wav: p / "none.mp4", "does not exist"),
        (lambda p, wav: _picture_without_a_face(p / "a.mp4", None), "has no sound"),
        (lambda p, wav: _picture_without_a_face(p / "a.mp4", wav), "no face was found"),
        (lambda p, wav: wav, "no video stream"),
        (lambda p, wav: p, "holds no images"),
    ],
)
def test_what_cannot_be_looked_at_is_one_sentence(made, said, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    save_wav(tmp_path / "tone.wav", 0.1 * np.sin(np.arange(4 * SAMPLE_RATE)))
    assert _doctor("--video", made(tmp_path / "in", tmp_path / "tone.wav")) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and said in error and "Traceback" not in error


def test_no_video_and_files_of_the_users_own(tmp_path, capsys):
    assert _doctor() == 2
    (tmp_path / "report.html").write_text("mine")
    with pytest.raises(UserError, match="no report of the doctor"):
        check_place(tmp_path)
    (tmp_path / "findings.json").write_text("[]")
    with pytest.raises(UserError, match=r"findings.json is there already"):
        check_place(tmp_path)


def test_an_imported_folder_has_no_landmarks(subject_config, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(Path(subject_config.data.root) / "subject.json", copy)
    with pytest.raises(UserError, match=r"has no landmarks.npz .*give the video itself"):
        examine_subject(subject_config, copy)


# ---------------------------------------------------------------- with preprocessing


def test_preprocess_ends_with_the_forecast(subject_config, clip, capsys):
    root = subject_config.data.root
    assert main(["preprocess", str(clip / "speaker.mp4"), "--out", root, "--name", subject_config.name]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("forecast: usable") for line in lines) and lines[-1].startswith("next: ")
    assert any("warning: length:" in line for line in lines) and not any("note: " in line for line in lines)


def test_short_lines_are_of_warnings_alone(subject_config):
    diagnosis = examine_subject(subject_config, Path(subject_config.data.root)).diagnosis
    assert [line.split(":")[0].strip() for line in short_lines(diagnosis)] == ["warning", "forecast"]
    assert times_of(replace(diagnosis.findings[0], spans=((0, 25), (30, 31))), 25.0) == "0.0 to 1.0, 1.2 s"


# ---------------------------------------------------------------- offsets


@pytest.mark.parametrize("frames", range(-6, 7))
def test_a_planted_offset_is_found_and_undone(subject_config, frames):
    """On the synthetic speaker; the sound is made late by so many frames."""
    layout = SubjectLayout(subject_config.data.root)
    opening, _ = lip_opening(layout.load_landmarks())
    late = moved(load_audio(layout.audio), -frames / 25)
    found = estimate_offset(opening, rows_of([late], 25.0, len(opening)), 25.0)
    assert found.clear and abs(found.frames - frames) <= 1
    again = estimate_offset(opening, rows_of([late], 25.0, len(opening), found.frames / 25), 25.0)
    assert abs(again.frames) < 0.25
    moved_back = estimate_offset(opening, rows_of([moved(late, found.frames / 25)], 25.0, len(opening)), 25.0)
    assert abs(moved_back.frames) < 0.25


def test_features_are_those_of_the_moved_sound(subject_config, tmp_path):
    source = SubjectLayout(subject_config.data.root).audio
    config = default_config(["data.fps=25", "audio.backend=mel", "data.offset=0.2"])
    layout = SubjectLayout(tmp_path)
    layout.audio.parent.mkdir()
    extract_audio(config, source, layout)
    wav, kept = load_audio(source), load_audio(layout.audio)
    np.testing.assert_allclose(kept, wav[round(0.2 * SAMPLE_RATE) :], atol=1e-4)
    plain = extract_windows([wav], 25.0, make_backend(config.audio), source)[:]
    made = np.load(layout.features)
    np.testing.assert_allclose(made[5:200], plain[10:205], atol=5e-3)  # five frames earlier
    with pytest.raises(UserError, match=r"would move again every time.*--voice FILE"):
        extract_audio(config, layout.audio, layout)


def test_sound_that_is_early_is_preceded_by_silence():
    wav = np.arange(1, 8001, dtype=np.float32)
    early, late = moved(wav, -0.1), moved(wav, 0.1)
    assert (early[:1600] == 0).all() and (early[1600:] == wav).all() and early.dtype == np.float32
    assert (late == wav[1600:]).all() and len(moved(wav, 0.0)) == 8000
