"""Evaluation of models and of pairs of videos, against controls whose figures are known."""

import base64
import csv
import json
import re
import shutil
import subprocess
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from speech2lip.cli import main
from speech2lip.evaluation import protocols
from speech2lip.evaluation.controls import nearest_frames, nearest_seen
from speech2lip.evaluation.pair import evaluate_pair, unlike_lengths
from speech2lip.evaluation.recording import Recorder, landmark_mask, picture_measures
from speech2lip.evaluation.report import _frame_title
from speech2lip.evaluation.run import evaluate
from speech2lip.evaluation.summary import METRICS, frame_table, make_scene, summarise
from speech2lip.evaluation.view import View
from speech2lip.facemesh import MOUTH
from speech2lip.media.decode import read_frames
from speech2lip.media.encode import VideoWriter
from speech2lip.media.probe import probe
from speech2lip.media.sound import SAMPLE_RATE, load_audio, save_wav
from speech2lip.nets.pretrained.syncnet import SyncNet


@pytest.fixture(scope="module")
def evaluation(model_path, subject_config, tmp_path_factory):
    """Results of the quickly trained model by protocol, and the folder with their files."""
    folder = tmp_path_factory.mktemp("evaluation")
    return evaluate(model_path, Path(subject_config.data.root), folder, device="cpu"), folder


def test_real_frames_against_themselves_have_the_ideal_figures(evaluation):
    real = evaluation[0]["self"].rows["real"]
    ideal = {
        "opening_r": 1, "width_r": 1, "articulation": 1, "articulation_width": 1, "offset_frames": 0, "lmd": 0, "lmd_68": 0,
        "lmd_stable": 0, "psnr_lip": 100, "psnr_face": 100, "ssim_lip": 1, "ssim_face": 1, "seams": 1, "cpbd_ratio": 1, "cpbd_lip_ratio": 1,
        "jitter_ratio": 1, "lip_jitter_silence_ratio": 1, "rest_z": 0, "face_found": 1,
        "texture_lips": 1, "texture_skin": 1, "open_area": 1, "open_area_r": 1, "told_apart": 0.5, "flicker": 1,
    }  # fmt: skip
    for name, value in ideal.items():
        assert real[name] == pytest.approx(value, abs=1e-6), name


def test_controls_are_told_from_speech(evaluation):
    """The frozen mouth hardly moves; pixels outside the region are untouched in both."""
    rows = evaluation[0]["self"].rows
    assert list(rows) == ["real", "generated", "repasted", "nearest", "frozen"]
    assert rows["frozen"]["articulation"] < 0.5 and rows["frozen"]["lmd"] > 0
    for row in ("generated", "repasted", "nearest", "frozen"):
        assert rows[row]["outside"] == 0 and rows[row]["psnr_face"] > rows[row]["psnr_lip"] and rows[row]["frames"] > 50
    assert 0.5 < rows["generated"]["seams"] < 2 and 0.5 < rows["generated"]["cpbd_ratio"] < 1.5


@pytest.mark.parametrize("protocol, least", [("self", 0.97), ("cross", 0.85)])
def test_real_lips_pasted_are_the_real_mouth(protocol, least, evaluation):
    """The ceiling: shape, texture and area survive warp and paste; the nearest training mouth is nearly as good."""
    rows = evaluation[0][protocol].rows
    pasted, nearest = rows["repasted"], rows["nearest"]
    assert pasted["opening_r"] > least < pasted["open_area_r"] and abs(pasted["open_area"] - 1) < 0.2
    assert 0.8 < pasted["texture_lips"] < 1.2 and 0.5 < pasted["flicker"] < 1.2 and rows["frozen"]["open_area"] < 0.8
    assert 0.7 < nearest["opening_r"] < 1


def test_nearest_mouths_are_of_the_training_part():
    """Shapes on a line: the neighbour is known, and a mouth that moved as a whole is the same one."""
    width = np.array([0.0, 1, 2, 3, 0.4, 2.6, 1.4])
    mouth = np.random.default_rng(0).normal(size=(1, len(MOUTH), 2)) * (1 + width[:, None, None])
    mouth[4:] += 100
    assert list(nearest_frames(mouth, np.arange(4), np.arange(4, 7))) == [0, 3, 1]
    seen = np.array([True, False, False, False, True])
    assert list(nearest_seen(np.array([0, 1, 3, 4]), seen)) == [0, 0, 4, 4]


def test_cross_compares_mouths_alone(evaluation):
    result = evaluation[0]["cross"]
    assert list(result.rows) == ["real", "base", "generated", "repasted", "nearest", "frozen"]
    assert result.source.max() < evaluation[0]["self"].source.min()
    for row in result.rows.values():
        assert "psnr_lip" not in row or row is result.rows["real"]
    generated = result.rows["generated"]
    assert {"opening_r", "width_r", "lmd_stable", "seams", "jitter_ratio", "rest_z"} <= set(generated)
    assert generated["outside"] == 0
    assert result.rows["base"]["leak_opening"] == pytest.approx(1) and "leak_width" not in result.rows["real"]
    assert abs(generated["leak_opening"]) < 0.5
    assert abs(result.rows["base"]["opening_r"]) < 0.6  # other words than those that are heard


def test_every_figure_has_a_definition(evaluation):
    known = {metric.name for metric in METRICS}
    for result in evaluation[0].values():
        for row in result.rows.values():
            assert set(row) <= known
        for recording in result.recordings.values():
            for name in frame_table(recording, result.recordings.get(result.truth)):
                assert _frame_title(name)[0]


def test_files_hold_every_frame_and_say_what_is_missing(evaluation):
    results, folder = evaluation
    content = json.loads((folder / "metrics.json").read_text())
    part = content["protocols"]["self"]
    assert part["rows"]["real"]["opening_r"] == 1 and {"LSE-C, LSE-D, SyncNet offset", "LPIPS"} <= set(
        part["unavailable"]
    )
    assert "speech2lip weights where" in part["unavailable"]["LPIPS"]
    assert part["undefined_frames"]["generated"]["jitter"] >= 2
    lines = list(csv.DictReader((folder / "frames_self.csv").open()))
    assert len(lines) == len(results["self"].source)
    psnr = np.array([float(line["generated.psnr_lip"]) for line in lines])
    assert psnr.mean() == pytest.approx(results["self"].rows["generated"]["psnr_lip"], abs=1e-3)
    assert int(lines[0]["source_frame"]) == results["self"].source[0]


def test_report_is_self_contained_and_carries_a_video_with_sound(evaluation, tmp_path):
    results, folder = evaluation
    page = (folder / "report.html").read_text()
    references = re.findall(r'\b(?:src|href)="([^"]*)"', page)
    assert references and all(r.startswith(("data:", "#")) for r in references)
    assert "@import" not in page and "<script" not in page
    assert "<code>speech2lip weights where" in page and "`" not in re.sub(r"<style.*?</style>", "", page, flags=re.S)
    missed = page.split("Frames without a value")[1].split("</table>")[0]
    assert "<td>Jitter</td>" in missed
    identifiers = re.findall(r'\bid="([^"]+)"', page)
    assert len(identifiers) == len(set(identifiers))
    assert len(re.findall(r'src="data:image/jpeg', page)) == 2 * 3 * 3
    video = tmp_path / "video.mp4"
    video.write_bytes(base64.b64decode(re.search(r"data:video/mp4;base64,([^\"]+)", page).group(1)))
    info = probe(video)
    assert info.has_audio and info.duration == pytest.approx(len(results["self"].source) / 25, abs=0.1)
    assert next(read_frames(video, 25.0)).shape[:2] == (384, 768)


@pytest.mark.skipif(not shutil.which("chromium"), reason="no Chromium: the report's look is not checked")
def test_report_opens_in_a_browser_without_an_error(evaluation, tmp_path):
    command = [
        "chromium",
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
    ]
    command += [f"--user-data-dir={tmp_path}", "--enable-logging=stderr", "--window-size=390,900"]
    run = subprocess.run(
        [*command, f"--screenshot={tmp_path / 's.png'}", (evaluation[1] / "report.html").as_uri()], capture_output=True, text=True
    )  # fmt: skip
    assert run.returncode == 0 and "CONSOLE" not in run.stderr
    assert cv2.imread(str(tmp_path / "s.png")).std() > 5


def test_new_sound_is_measured_without_a_truth(model_path, subject_config, tmp_path):
    audio = tmp_path / "a.wav"
    save_wav(audio, load_audio(Path(subject_config.data.root) / "audio" / "audio.wav")[: 2 * SAMPLE_RATE])
    status = main(["evaluate", "--model", str(model_path), "--audio", str(audio), "--out", str(tmp_path / "report")])
    assert status == 0
    rows = json.loads((tmp_path / "report" / "metrics.json").read_text())["protocols"]["new"]["rows"]
    assert list(rows) == ["base", "generated"] and rows["generated"]["frames"] == 50
    assert "opening_r" not in rows["generated"] and rows["generated"]["outside"] == 0


def test_sync_is_measured_where_the_weights_are(model_path, subject_config, monkeypatch):
    """With a light network in SyncNet's place."""

    class Light(SyncNet):
        def __init__(self):
            torch.nn.Module.__init__(self)

        def embed_frames(self, frames):
            return frames[:, :, 2, 150:, 80:140].mean((1, 2))

        def embed_mfcc(self, mfcc):
            return mfcc.reshape(len(mfcc), -1)[:, :60]

    assert protocols.load_pretrained_metrics(25.0).syncnet is None
    monkeypatch.setattr(
        protocols, "load_pretrained_metrics", lambda fps: protocols.PretrainedMetrics(Light(), None, {})
    )
    rows = evaluate(model_path, Path(subject_config.data.root), protocols=("self",))["self"].rows
    assert all(np.isfinite(row["lse_c"]) and np.isfinite(row["lse_d"]) for row in rows.values())


# ---------------------------------------------------------------- pairs of videos


@pytest.fixture(scope="module")
def scene(clip, tmp_path_factory):
    """Three seconds of the synthetic speaker: real; blurred; late by three frames; without sound."""
    folder = tmp_path_factory.mktemp("pair")
    frames = list(islice(read_frames(clip / "speaker.mp4", 25.0), 78))
    versions = {
        "real": frames[:75], "blurred": [cv2.GaussianBlur(f, (0, 0), 2.5) for f in frames[:75]],
        "late": [frames[0]] * 3 + frames[:72],
    }  # fmt: skip
    for name, pictures in versions.items():
        with VideoWriter(folder / f"{name}.mp4", 25.0, clip / "speaker.wav", crf=10) as video:
            for picture in pictures:
                video.write(picture)
    return folder


def test_a_video_beside_itself_is_perfect_and_its_frozen_mouth_is_not(scene, tmp_path):
    rows = evaluate_pair(scene / "real.mp4", scene / "real.mp4", tmp_path).rows
    made, frozen = rows["generated"], rows["frozen"]
    assert made["psnr_face"] == 100 and made["opening_r"] == pytest.approx(1) and made["seams"] == pytest.approx(1)
    assert frozen["articulation"] < 0.5 and frozen["psnr_lip"] < 40 and frozen["lmd_iod"] > 0.3
    assert frozen["psnr_face"] > frozen["psnr_lip"]


@pytest.mark.slow
def test_blur_costs_sharpness_and_lag_is_found(scene, tmp_path):
    blurred = evaluate_pair(scene / "blurred.mp4", scene / "real.mp4", tmp_path / "a").rows["generated"]
    assert blurred["cpbd_ratio"] < 0.8 and blurred["psnr_face"] < 60 and blurred["seams"] < 1
    late = evaluate_pair(scene / "late.mp4", scene / "real.mp4", tmp_path / "b").rows["generated"]
    assert late["offset_frames"] == 3 and late["r_at_offset"] > late["opening_r"]


def test_pair_command_writes_a_report(scene, tmp_path, capsys):
    out = tmp_path / "report"
    command = ["evaluate", "--generated", str(scene / "late.mp4"), "--real", str(scene / "real.mp4"), "--out", str(out)]
    assert main(command) == 0
    assert "offset_frames" in capsys.readouterr().out
    assert {p.name for p in out.iterdir()} == {"report.html", "metrics.json", "frames_pair.csv"}


def test_videos_of_unlike_lengths_are_asked_about(scene, tmp_path):
    for count, unlike in ((75, False), (70, False), (60, True)):
        cut = tmp_path / f"{count}.mp4"
        with VideoWriter(cut, 25.0) as video:
            for frame in islice(read_frames(scene / "real.mp4", 25.0), count):
                video.write(frame)
        said = unlike_lengths(cut, scene / "real.mp4", 25.0)
        assert bool(said) == unlike
    assert f"{cut} has 60 frames" in said and "real.mp4 75:" in said and "is it the same speech?" in said


def test_videos_that_do_not_fit_are_refused(scene, tmp_path, capsys):
    small = tmp_path / "small.mp4"
    with VideoWriter(small, 25.0) as video:
        for frame in islice(read_frames(scene / "real.mp4", 25.0), 20):
            video.write(frame[:300, :300])
    command = ["evaluate", "--generated", str(small), "--real", str(scene / "real.mp4"), "--out", str(tmp_path / "r")]
    assert main(command) == 2 and "300x300 and 384x384" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()
    assert main(["evaluate", "--generated", str(small)]) == 2 and "--real" in capsys.readouterr().err
    assert main(["evaluate"]) == 2 and "--model" in capsys.readouterr().err


# ---------------------------------------------------------------- pieces


def _plain(side: int) -> View:
    image = np.full((side, side, 3), 90, np.uint8)
    return View(image, image)


def test_missing_faces_are_counted_not_hidden():
    recorder = Recorder()
    for _ in range(5):
        recorder.add(_plain(128))
    recording = recorder.finish()
    row = summarise(recording, recording, None, make_scene(np.zeros(3200), 25.0, 5))
    assert recording.found == 0 and row["face_found"] == 0 and row["frames"] == 5 and np.isnan(row["jitter"])


def test_cuts_belong_to_the_recording():
    recorder = Recorder()
    for number in range(6):
        recorder.add(_plain(96), cut=number == 4)
    assert recorder.finish().shots.tolist() == [0, 0, 0, 0, 1, 1]


def test_measures_without_a_region_are_undefined():
    image = np.random.default_rng(0).integers(0, 255, (96, 96, 3)).astype(np.uint8)
    found = picture_measures(image, None, image, None)
    assert np.isnan([found["psnr_lip"], found["ssim_lip"], found["seam"]]).all()
    assert found["psnr_face"] == 100 and found["ssim_face"] == pytest.approx(1)
    copied = picture_measures(image, None, image.copy(), None)
    assert {k: v for k, v in copied.items() if np.isfinite(v)} == pytest.approx(
        {k: v for k, v in found.items() if np.isfinite(v)}
    )


def test_region_from_landmarks_holds_the_lips():
    points = np.full((478, 2), 64.0)
    angle = np.linspace(0, 2 * np.pi, 478)
    points += np.stack([20 * np.cos(angle), 10 * np.sin(angle)], 1)
    mask = landmark_mask(points, (128, 128, 3))
    assert mask[64, 64] == 1 and mask[0, 0] == 0 and ((mask > 0) & (mask < 1)).any()
