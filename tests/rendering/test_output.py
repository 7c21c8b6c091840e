"""Where a video may be written, and what an interruption leaves."""

import os
import signal
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from speech2lip.cli import main
from speech2lip.errors import UserError
from speech2lip.media.decode import read_frames
from speech2lip.media.encode import VideoWriter
from speech2lip.media.sound import SAMPLE_RATE, save_wav
from speech2lip.rendering import output
from speech2lip.rendering.output import check_output
from speech2lip.rendering.predictor import Predictor

ROOT = Path(__file__).resolve().parents[2]


def test_good_places_are_taken_and_left_as_they_are(tmp_path):
    for name in ("a.mp4", "new/b.MOV", "talk #1.mkv", "12:30.m4v", "c.ts"):
        check_output(tmp_path / name, tmp_path / "speech.wav", None)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []
    (tmp_path / "old.mp4").write_bytes(b"kept until the new one is there")
    check_output(tmp_path / "old.mp4")
    assert (tmp_path / "old.mp4").read_bytes().startswith(b"kept")


@pytest.mark.parametrize(
    "name, said",
    [
        ("folder", "is a folder"), ("folder.mp4", "is a folder"), ("plain", r"what kind.*\.mp4, \.m4v, \.mov, \.mkv"),
        ("a.webm", r"\.webm.*\.mp4"), ("a.gif", r"\.gif.*\.mp4"), ("a.avi", r"\.avi.*\.mp4"), ("pipe.mp4", "a pipe or a device"),
        ("file/a.mp4", "is a file and no folder"), ("file/deep/a.mp4", "is a file and no folder"),
    ],
)  # fmt: skip
def test_bad_places_are_refused(tmp_path, name, said):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(UserError, match=said):
        check_output(tmp_path / name)


def test_read_only_and_full_places_are_refused(tmp_path, monkeypatch):
    if os.access("/proc/self", os.W_OK) or os.geteuid() == 0:
        place = Path("/proc/speech2lip/a.mp4")  # where not even root can make a folder
    else:
        place = tmp_path / "locked" / "a.mp4"
        place.parent.mkdir(mode=0o500)
    with pytest.raises(UserError, match=r"cannot write .*a\.mp4"):
        check_output(place)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(output.shutil, "disk_usage", lambda path: usage(10**9, 10**9, 2**20))
    with pytest.raises(UserError, match=r"1\.0 MB are free"):
        check_output(tmp_path / "a.mp4")


def test_no_source_is_written_over_by_whatever_name(tmp_path):
    source, other = tmp_path / "me.mp4", tmp_path / "sub"
    source.write_bytes(b"the only copy")
    other.symlink_to(tmp_path)
    (tmp_path / "link.mp4").symlink_to(source)
    os.link(source, tmp_path / "hard.mp4")
    for out in (
        source,
        tmp_path / "link.mp4",
        tmp_path / "hard.mp4",
        other / "me.mp4",
        tmp_path / "x" / ".." / "me.mp4",
    ):
        with pytest.raises(UserError, match="which is read"):
            check_output(out, None, source)
    with pytest.raises(UserError, match="which is read"):  # before it is there
        check_output(tmp_path / "later.mp4", other / "later.mp4")
    assert source.read_bytes() == b"the only copy"


def test_commands_refuse_before_anything_slow(tmp_path, capsys, model_path, subject_config):
    save_wav(tmp_path / "a.wav", 0.1 * np.sin(np.arange(SAMPLE_RATE)))
    (tmp_path / "me.mp4").write_bytes(b"never read")
    kept = next(Path(subject_config.data.root).glob("source.mp4"))
    run = ["run", "--video", tmp_path / "me.mp4", "--audio", tmp_path / "a.wav", "--out"]
    render = ["render", "--model", model_path, "--audio", tmp_path / "a.wav", "--out"]
    (tmp_path / "file").touch()
    for command, said in (
        ([*run, tmp_path / "me.mp4"], "which is read"), ([*run, tmp_path / "a.webm"], ".webm"), ([*render, tmp_path], "is a folder"),
        ([*render, kept], "which is read"), (["demo", "--out", tmp_path / "file"], "no folder"),
    ):  # fmt: skip
        before = kept.stat()
        assert main([str(a) for a in command]) == 2 and said in capsys.readouterr().err
        assert (kept.stat().st_size, kept.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def test_outside_the_mouth_the_result_is_the_source_to_a_level(model_path, tmp_path):
    """Decoded result against decoded source at crf 0."""
    predictor = Predictor.open(model_path, device="cpu")
    save_wav(tmp_path / "a.wav", 0.1 * np.random.default_rng(0).standard_normal(SAMPLE_RATE // 2))
    frames = list(predictor.render(predictor.features(tmp_path / "a.wav")))
    with VideoWriter(tmp_path / "a.mp4", predictor.subject.fps, crf=0, colour=predictor.colour) as video:
        for frame in frames:
            video.write(frame.image)
    for result, frame in zip(read_frames(tmp_path / "a.mp4", predictor.subject.fps), frames, strict=True):
        spread = np.pad(frame.full_mask > 0, 2)  # chroma is shared by 2x2 pixels
        near = sum(np.roll(spread, (y, x), (0, 1)) for y in (-1, 0, 1) for x in (-1, 0, 1))[2:-2, 2:-2] > 0
        error = np.abs(result[~near].astype(int) - frame.original[~near])
        assert (error <= 1).mean() > 0.999 and error.max() <= 3  # rounded twice, in 8 bits


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_render_leaves_nothing_and_says_so(model_path, tmp_path, number):
    place = tmp_path / "out"
    save_wav(tmp_path / "a.wav", 0.1 * np.random.default_rng(0).standard_normal(120 * SAMPLE_RATE))
    command = [
        sys.executable,
        *["-m", "speech2lip", "render", "--model"],
        model_path,
        "--audio",
        tmp_path / "a.wav",
        "--out",
    ]
    process = subprocess.Popen([*command, place / "me.mp4"], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not any(p.stat().st_size for p in place.glob(".*.mp4")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    said = process.communicate(timeout=60)[1].strip().splitlines()[-1]
    assert process.returncode == 130 and "me.mp4 was not written" in said
    assert list(place.iterdir()) == []
