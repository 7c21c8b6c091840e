"""Rendering while the audio arrives."""

import importlib.util
import os
import re
import signal
import subprocess
import sys
import threading
import time
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speech2lip.audio.backend import Joined
from speech2lip.audio.live import LiveFeatures
from speech2lip.audio.log_mel import LogMel
from speech2lip.audio.moonshine import Moonshine
from speech2lip.audio.rows import FeatureWindows, Rows
from speech2lip.background import prefetch
from speech2lip.cli import main
from speech2lip.errors import UserError
from speech2lip.media import pcm
from speech2lip.media.decode import read_frames, read_pictures
from speech2lip.media.sound import SAMPLE_RATE, load_audio, save_wav
from speech2lip.model.device import Shares
from speech2lip.rendering import live, walk
from speech2lip.rendering.walk import Footage, endless_runs, forth_and_back, pictures_in_order, runs_of

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def sound(clip):
    return load_audio(clip / "speaker.wav")


def _pieces(wav, size=640):
    return (wav[k : k + size] for k in range(0, len(wav), size))


@pytest.mark.parametrize("backend", [LogMel(20, 0.02), Moonshine(20, 0.02)])
def test_live_features_become_those_of_the_file(sound, backend):
    """The subject's own voice, from the first second on; another level is evened out as it is heard."""
    sound = sound[: 8 * SAMPLE_RATE]
    whole = backend(sound, 25.0)
    for factor, start, least in ((1.0, 25, 0.95), (0.1, 150, 0.9)):
        features = LiveFeatures(backend, 25.0, [sound])
        windows = np.concatenate([*(features.push(p) for p in _pieces(factor * sound)), features.finish()])
        assert windows.shape == whole.shape
        assert np.corrcoef(windows[start:].ravel(), whole[start:].ravel())[0, 1] > least


def test_sound_that_comes_at_once_is_heard_whole(sound):
    """A pipe may bring seconds in one piece; its frames are those that short pieces give, nearly."""
    backend, sound = Joined([LogMel(20, 0.02), Moonshine(20, 0.02)]), sound[: 10 * SAMPLE_RATE]
    features = LiveFeatures(backend, 25.0, [sound])
    windows = np.concatenate([features.push(sound), features.finish()])
    whole = backend(sound, 25.0)
    assert windows.shape == whole.shape
    for channels in (slice(0, 80), slice(80, None)):
        assert np.corrcoef(windows[..., channels].ravel(), whole[..., channels].ravel())[0, 1] > 0.95


def test_frames_are_ready_as_soon_as_their_window_is_heard(sound):
    features = LiveFeatures(Joined([LogMel(20, 0.02), Moonshine(20, 0.02)]), 25.0, [sound])
    count = 0
    for number, piece in enumerate(_pieces(sound[: 4 * SAMPLE_RATE]), 1):
        count += len(features.push(piece))
        heard = number * 640 / SAMPLE_RATE
        assert count >= int((heard - features.lookahead) * 25)
    assert features.lookahead < 0.27


def test_frames_may_leave_before_the_end_of_their_window_is_heard(sound):
    """What is not heard yet is the last sound heard; what was heard is as it would have been; after the end comes silence."""
    sound, backend = sound[: 3 * SAMPLE_RATE], LogMel(20, 0.02)
    waiting, early = LiveFeatures(backend, 25.0, [sound]), LiveFeatures(backend, 25.0, [sound], early=0.1)
    assert early.lookahead == pytest.approx(waiting.lookahead - 0.1)
    whole, soon = [], []
    for piece in _pieces(sound):
        whole.append(waiting.push(piece))
        soon.append(early.push(piece))
        assert sum(map(len, soon)) >= sum(map(len, whole))
    ready, held = np.concatenate(whole), np.concatenate(soon)
    assert len(held) - len(ready) in (2, 3)
    for frame in range(10, len(ready)):
        known = 20 - int(np.argmin((held[frame, ::-1] == held[frame, -1]).all(1)))  # rows before those that repeat
        assert 14 <= known < 20
        np.testing.assert_allclose(held[frame, :known], ready[frame, :known], atol=0.2)
    assert len(held) + len(early.finish()) == len(ready) + len(waiting.finish()) == 75


def _in_real_time(wav):
    """The sound in pieces of one frame, each at the moment at which it would have been spoken."""
    begin = time.monotonic()
    for number, piece in enumerate(_pieces(wav), 1):
        time.sleep(max(0.0, begin + number * 640 / SAMPLE_RATE - time.monotonic()))
        yield piece


def test_live_render_makes_every_frame_and_carries_the_sound(model_path, subject_config, sound, tmp_path):
    wav, out = sound[: 2 * SAMPLE_RATE], tmp_path / "live.mkv"
    report = live.render_live(model_path, Path(subject_config.data.root), _pieces(wav), str(out), "cpu")
    assert report.frames == len(report.latency) == 50 and "50 frames" in str(report)
    assert len(list(read_frames(out, 25.0))) == 50
    assert abs(len(load_audio(out)) - len(wav)) < 0.1 * SAMPLE_RATE


@pytest.mark.slow
def test_live_render_keeps_up_with_real_time(model_path, subject_config, sound, tmp_path):
    """Its bound is 0.4 s on a machine that does nothing else."""
    wav, root = sound[: 2 * SAMPLE_RATE], Path(subject_config.data.root)
    report = live.render_live(model_path, root, _in_real_time(wav), str(tmp_path / "live.mkv"), "cpu")
    assert 0.1 < np.median(report.latency) < 0.6


def test_stream_command_reads_standard_input_and_writes_standard_output(model_path, sound, tmp_path):
    pcm = (sound[:SAMPLE_RATE] * 32767).astype("<i2").tobytes()
    words = "-m speech2lip render --stream --audio - --out - --model"
    command = [sys.executable, *words.split(), str(model_path)]
    run = subprocess.run(command, input=pcm, capture_output=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr.decode()
    assert b"25 frames, latency" in run.stderr
    out = tmp_path / "piped.mkv"
    out.write_bytes(run.stdout)
    assert len(list(read_frames(out, 25.0))) == 25


def test_formats_that_cannot_be_live_are_refused(model_path, tmp_path, sound, capsys):
    save_wav(tmp_path / "a.wav", sound[:8000])
    arguments = ["render", "--model", str(model_path), "--stream", "--audio", str(tmp_path / "a.wav"), "--out"]
    assert main([*arguments, str(tmp_path / "x.avi")]) == 2 and ".mkv" in capsys.readouterr().err
    save_wav(tmp_path / "b.wav", sound[:8000], 44100)
    arguments[5] = str(tmp_path / "b.wav")
    assert main([*arguments, str(tmp_path / "x.mkv")]) == 2 and "44100 Hz" in capsys.readouterr().err
    arguments[5] = str(tmp_path / "none.wav")
    assert main([*arguments, str(tmp_path / "x.mkv")]) == 2 and "none.wav" in capsys.readouterr().err


def test_growing_file_is_followed_until_it_rests(sound, tmp_path):
    whole, path = tmp_path / "whole.wav", tmp_path / "growing.wav"
    save_wav(whole, sound[: SAMPLE_RATE // 2])
    data = whole.read_bytes()
    path.write_bytes(data[:30])

    def grow():
        with open(path, "ab") as stream:
            for k in range(30, len(data), 3001):
                time.sleep(0.02)
                stream.write(data[k : min(k + 3001, len(data))])
                stream.flush()

    writer = threading.Thread(target=grow)
    writer.start()
    heard = np.concatenate(list(pcm.sound_of_growing_file(path, patience=0.5)))
    writer.join()
    np.testing.assert_allclose(heard, sound[: SAMPLE_RATE // 2], atol=2 / 32768)


def test_odd_bytes_of_a_stream_are_put_together():
    values = np.arange(-500, 500, dtype="<i2")
    reader, writer = os.pipe()

    def send():
        data = values.tobytes()
        with open(writer, "wb", buffering=0) as pipe:
            for k in range(0, len(data), 333):
                pipe.write(data[k : k + 333])

    threading.Thread(target=send).start()
    heard = np.concatenate(list(pcm.sound_of_stream(reader)))
    os.close(reader)
    np.testing.assert_array_equal((heard * 32768).astype(int), values)


# ---------------------------------------------------------------- without end


@given(st.integers(1, 12), st.integers(0, 11), st.integers(0, 60), st.integers(0, 40))
def test_walk_goes_on_where_it_was(length, first, done, count):
    first = min(first, length - 1)
    assert (
        forth_and_back(count, first, length, done).tolist()
        == forth_and_back(done + count, first, length)[done:].tolist()
    )


def test_frames_of_the_second_year_cost_what_the_first_cost():
    """An array of all frames so far would not fit into memory here."""
    start = 10**12
    assert forth_and_back(3, 2, 50, start).max() < 50
    rows = Rows(np.arange(400.0)[:, None], 80.0, -2.0, start / 25 - 2)
    windows = FeatureWindows((rows,), 25.0, start + 9, np.array([0.0]))[np.arange(start, start + 9)]
    np.testing.assert_allclose(windows[:, 0, 0], 160 + np.arange(9) * 3.2, atol=0.05)
    with pytest.raises(IndexError):
        FeatureWindows((rows,), 25.0, 4, np.array([0.0]))[np.array([4])]


class _Quiet:
    """Features and writer that keep nothing."""

    def __init__(self):
        self.samples = 0

    def push(self, wav):
        self.samples += len(wav)
        return np.zeros((1, 20, 80))

    finish = hear = write = hurry = lambda self, *_: np.zeros((0, 20, 80))


def test_what_live_rendering_remembers_does_not_grow(monkeypatch):
    monkeypatch.setattr(live, "REMEMBERED", 100)
    quiet = _Quiet()
    ears = live._SoundBuffer((np.zeros(640, np.float32) for _ in range(3000)), quiet, quiet)
    frame = SimpleNamespace(written=None)
    painter = SimpleNamespace(paint=lambda windows: [frame for _ in windows])
    painting = live._Painting(25.0, painter, Shares(1, torch.get_num_threads()), None)
    painting.run(quiet, ears)
    report = painting.report(ears, 0.0)
    assert report.frames == 3000 and len(report.latency) == 100 and len(ears._arrivals) <= 2
    assert (report.latency >= 0).all() and report.latency.max() < 1 and not report.interrupted


def test_interruption_is_reported_with_what_was_dropped():
    def until_interrupted():
        for _ in range(10):
            yield np.zeros(640, np.float32)
        raise KeyboardInterrupt

    quiet = _Quiet()
    ears = live._SoundBuffer(until_interrupted(), quiet, quiet)
    pieces = iter(range(10))
    frame = SimpleNamespace(written=None)
    painter = SimpleNamespace(paint=lambda windows: [frame for _ in windows if next(pieces) > 2])
    painting = live._Painting(25.0, painter, Shares(1, torch.get_num_threads()), None)
    painting.run(quiet, ears)
    report = painting.report(ears, 0.0)
    assert (report.frames, report.dropped, report.interrupted) == (7, 3, True) and "7 frames, 3 dropped" in str(report)
    assert str(live.LiveReport(0, 0.0, np.zeros(0), 4, True)) == "0 frames, 4 dropped"


@pytest.mark.parametrize("whole_group", [False, True])  # Ctrl-C reaches the encoder too
def test_ctrl_c_ends_the_video_and_prints_the_report(model_path, sound, tmp_path, whole_group):
    out = tmp_path / "live.mkv"
    command = [sys.executable, "-m", "speech2lip", "render", "--model", str(model_path), "--stream", "--audio", "-"]
    process = subprocess.Popen(
        [*command, "--out", str(out)], stdin=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, start_new_session=True
    )
    process.stdin.write((sound[: 2 * SAMPLE_RATE] * 32767).astype("<i2").tobytes())
    process.stdin.flush()
    until = time.monotonic() + 120
    while not (out.exists() and out.stat().st_size > 20_000) and time.monotonic() < until:
        time.sleep(0.2)
    (os.killpg if whole_group else os.kill)(process.pid, signal.SIGINT)
    said = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 130 and "Traceback" not in said, said
    frames, dropped = map(int, re.search(r"(\d+) frames, (\d+) dropped, latency", said).groups())
    assert frames > 3 and frames + dropped <= 50  # of two seconds, how many were heard by then
    shown = len(list(read_frames(out, 25.0)))
    assert shown == frames


@pytest.mark.slow
def test_three_minutes_cost_what_half_a_minute_costs(model_path, sound, capfd):
    """The benchmark over a day, small: memory within 8 MB, processor time per frame within a half."""
    spec = importlib.util.spec_from_file_location("soak", ROOT / "benchmarks" / "soak.py")
    soak = importlib.util.module_from_spec(spec)
    sys.modules["soak"] = soak
    spec.loader.exec_module(soak)
    report, samples = soak.soak(model_path, sound, 180.0, "none")
    assert report.frames >= 4490 and len(samples) > 90
    warm = next(k for k, sample in enumerate(samples) if sample.hours * 3600 >= 30)
    assert samples[-1].memory - samples[warm].memory < 8
    first, *_, last = soak.tenths(samples)[1:]
    assert last.per_frame < 1.5 * first.per_frame


# ---------------------------------------------------------------- frames ahead of their use


def test_an_error_while_painting_ends_the_rendering_with_its_sentence(
    model_path, subject_config, tmp_path, monkeypatch
):
    def broken(self, windows):
        raise UserError("colours that are no numbers")

    monkeypatch.setattr(live.LivePainter, "paint", broken)
    sound = np.random.default_rng(0).standard_normal(SAMPLE_RATE) * 0.1
    with pytest.raises(UserError, match="no numbers"):
        live.render_live(model_path, Path(subject_config.data.root), _pieces(sound), str(tmp_path / "a.mkv"), "cpu")


@settings(deadline=None)
@given(st.integers(1, 12), st.integers(0, 11), st.integers(1, 80))
def test_endless_walk_is_the_counted_one(length, first, count):
    first = min(first, length - 1)
    runs = endless_runs(100 + first, 100, 100 + length)
    endless = list(islice((int(i) for run in runs for i in run), count))
    assert endless == (forth_and_back(count, first, length) + 100).tolist()
    assert [int(i) for run in runs_of(np.array(endless)) for i in run] == endless


def test_walking_back_in_pieces_gives_every_frame(clip, monkeypatch):
    frames = list(islice(read_pictures(clip / "speaker.mp4", 25.0), 60))
    monkeypatch.setattr(walk, "_PIECE_BYTES", 30 * frames[0].planes.nbytes)
    back = list(pictures_in_order(Footage(clip / "speaker.mp4", 25.0), [np.arange(59, -1, -1)]))
    assert len(back) == 60
    for k in (0, 15, 16, 17, 36, 59):
        np.testing.assert_array_equal(back[k].rgb, frames[59 - k].rgb)
        np.testing.assert_array_equal(back[k].planes, frames[59 - k].planes)


def test_prefetch_keeps_order_passes_errors_on_and_stops_when_closed():
    assert list(prefetch(iter(range(50)), 3)) == list(range(50))

    def failing():
        yield 1
        raise UserError("broken")

    items = prefetch(failing(), 4)
    assert next(items) == 1
    with pytest.raises(UserError, match="broken"):
        next(items)
    made, closed = [], []

    def counted():
        try:
            for k in range(1000):
                made.append(k)
                yield k
        finally:
            closed.append(True)

    items = prefetch(counted(), 2)
    assert next(items) == 0
    items.close()
    assert closed and len(made) <= 5
