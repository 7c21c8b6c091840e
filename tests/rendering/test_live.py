"""Rendering while the audio arrives."""

import os
import subprocess
import sys
import threading
import time
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speech2lip.audio.backend import Joined
from speech2lip.audio.live import LiveFeatures
from speech2lip.audio.log_mel import LogMel
from speech2lip.audio.moonshine import Moonshine
from speech2lip.background import prefetch
from speech2lip.cli import main
from speech2lip.errors import UserError
from speech2lip.media import pcm
from speech2lip.media.decode import read_frames
from speech2lip.media.sound import SAMPLE_RATE, load_audio, save_wav
from speech2lip.rendering import live, walk
from speech2lip.rendering.walk import endless_runs, forth_and_back, frames_in_order, runs_of

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
    command = [
        sys.executable,
        "-m",
        "speech2lip",
        "render",
        "--model",
        str(model_path),
        "--stream",
        "--audio",
        "-",
        "--out",
        "-",
    ]
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


# ---------------------------------------------------------------- frames ahead of their use


@settings(deadline=None)
@given(st.integers(1, 12), st.integers(0, 11), st.integers(1, 80))
def test_endless_walk_is_the_counted_one(length, first, count):
    first = min(first, length - 1)
    runs = endless_runs(100 + first, 100, 100 + length)
    endless = list(islice((int(i) for run in runs for i in run), count))
    assert endless == (forth_and_back(count, first, length) + 100).tolist()
    assert [int(i) for run in runs_of(np.array(endless)) for i in run] == endless


def test_walking_back_in_pieces_gives_every_frame(clip, monkeypatch):
    frames = list(islice(read_frames(clip / "speaker.mp4", 25.0), 60))
    monkeypatch.setattr(walk, "_PIECE_BYTES", 20 * frames[0].nbytes)
    back = list(frames_in_order(clip / "speaker.mp4", 25.0, [np.arange(59, -1, -1)]))
    assert len(back) == 60
    for k in (0, 15, 16, 17, 36, 59):
        np.testing.assert_array_equal(back[k], frames[59 - k])


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
