"""Where a video may be written, and what an interruption leaves."""

import os
import signal
import subprocess
import sys
import time
from collections import namedtuple
from dataclasses import replace
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest

from speech2lip.audio.features import make_backend
from speech2lip.cli import main
from speech2lip.config import AudioConfig
from speech2lip.errors import UserError
from speech2lip.media.decode import read_frames, read_pictures
from speech2lip.media.encode import VideoWriter
from speech2lip.media.facts import Colour
from speech2lip.media.probe import probe
from speech2lip.media.sound import SAMPLE_RATE, save_wav
from speech2lip.media.yuv import places
from speech2lip.rendering import output
from speech2lip.rendering.output import check_output
from speech2lip.rendering.predictor import Predictor

ROOT = Path(__file__).resolve().parents[2]
HLG = Colour("bt2020nc", "bt2020", "arib-std-b67")


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
        with pytest.raises(UserError, match="is the input"):
            check_output(out, None, source)
    with pytest.raises(UserError, match="is the input"):  # before it is there
        check_output(tmp_path / "later.mp4", other / "later.mp4")
    assert source.read_bytes() == b"the only copy"


def test_a_link_to_a_video_is_asked_for_what_it_leads_to(tmp_path):
    (tmp_path / "result.mp4").symlink_to(tmp_path / "new" / "blob")
    check_output(tmp_path / "result.mp4")
    (tmp_path / "ring.mp4").symlink_to(tmp_path / "ring.mp4")
    with pytest.raises(UserError, match="cannot write"):
        check_output(tmp_path / "ring.mp4")


def test_run_refuses_to_write_over_its_voice(tmp_path, clip, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    voice = tmp_path / "voice.mkv"
    voice.write_bytes((clip / "speaker.mp4").read_bytes())
    files = {"video": clip / "speaker.mp4", "audio": clip / "speaker.wav", "voice": voice, "out": voice}
    assert main(["run", *(word for name, path in files.items() for word in (f"--{name}", str(path)))]) == 2
    assert "is the input itself" in capsys.readouterr().err
    assert voice.read_bytes() == (clip / "speaker.mp4").read_bytes()


def test_commands_refuse_before_anything_slow(tmp_path, capsys, model_path, subject_config):
    save_wav(tmp_path / "a.wav", 0.1 * np.sin(np.arange(SAMPLE_RATE)))
    (tmp_path / "me.mp4").write_bytes(b"never read")
    kept = next(Path(subject_config.data.root).glob("source.mp4"))
    run = ["run", "--video", tmp_path / "me.mp4", "--audio", tmp_path / "a.wav", "--out"]
    render = ["render", "--model", model_path, "--audio", tmp_path / "a.wav", "--out"]
    live = [*render[:-1], "--stream", "--out"]
    (tmp_path / "file").touch()
    (tmp_path / "wav.mkv").symlink_to(tmp_path / "a.wav")
    (tmp_path / "model.mkv").symlink_to(model_path)
    for command, said in (
        ([*run, tmp_path / "me.mp4"], "is the input"), ([*run, tmp_path / "a.webm"], ".webm"), ([*render, tmp_path], "is a folder"),
        ([*render, kept], "is the input"), ([*live, kept], "is the input"), ([*live, tmp_path / "wav.mkv"], "is the input"),
        ([*live, tmp_path / "model.mkv"], "is the input"), ([*live, tmp_path], "is a folder"), ([*live, tmp_path / "a.mov"], "written live"),
        ([*live, tmp_path / "file" / "a.mkv"], "no folder"),
        ([*render, tmp_path / "b.mp4", "train.batch=2"], "belongs to the trained model"),
        (["demo", "--out", tmp_path / "file"], "no folder"),
    ):  # fmt: skip
        before = kept.stat()
        assert main([str(a) for a in command]) == 2 and said in capsys.readouterr().err
        assert (kept.stat().st_size, kept.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def test_outside_the_mouth_the_result_is_the_source(model_path, tmp_path):
    """Decoded result against decoded source at crf 0, as RGB and as it is stored."""
    predictor = Predictor.open(model_path, device="cpu")
    save_wav(tmp_path / "a.wav", 0.1 * np.random.default_rng(0).standard_normal(SAMPLE_RATE // 2))
    frames = list(predictor.render(predictor.features(tmp_path / "a.wav")))
    with VideoWriter(tmp_path / "a.mp4", predictor.subject.fps, crf=0, colour=predictor.colour) as video:
        for frame in frames:
            video.write(frame.written)
    painted = 0
    for result, frame in zip(read_pictures(tmp_path / "a.mp4", predictor.subject.fps), frames, strict=True):
        blocks = (frame.full_mask > 0).reshape(192, 2, 192, 2).any((1, 3))  # chroma is shared by 2x2 pixels
        near = blocks.repeat(2, 0).repeat(2, 1)
        np.testing.assert_array_equal(result.rgb[~near], frame.original[~near])
        luma, *chroma = zip(places(result.planes), places(frame.picture.planes), strict=True)
        for (one, two), mask in zip((luma, *chroma), (near, blocks, blocks), strict=True):
            np.testing.assert_array_equal(one[~mask], two[~mask])
        painted += int((luma[0] != luma[1]).any())
    assert painted > len(frames) // 2


def test_hdr_is_tone_mapped_or_kept(model_path, tmp_path):
    """The subject's clip as HLG: SDR in 8 bit, or with render.hdr=keep 10 bit, whose values are the source's but for the mouth."""
    predictor = Predictor.open(model_path, device="cpu")
    clip = list(islice(read_frames(predictor.source, predictor.subject.fps), 8))
    with VideoWriter(tmp_path / "hlg.mov", predictor.subject.fps, crf=0, colour=HLG) as video:
        for image in clip:
            video.write(image)
    predictor.source = tmp_path / "hlg.mov"
    windows = np.random.default_rng(0).normal(size=(8, 20, make_backend(AudioConfig()).channels)).astype(np.float32)
    assert not predictor.footage.keep_hdr and predictor.colour == Colour()
    assert next(predictor.render(windows)).picture.planes is None
    predictor.config = replace(predictor.config, render=replace(predictor.config.render, hdr="keep"))
    assert predictor.colour == HLG
    frames = list(predictor.render(windows))
    with VideoWriter(tmp_path / "a.mp4", predictor.subject.fps, crf=0, colour=predictor.colour) as video:
        for frame in frames:
            video.write(frame.written)
    assert probe(tmp_path / "a.mp4").video.stored == HLG and probe(tmp_path / "a.mp4").video.bits == 10
    for result, frame in zip(read_pictures(tmp_path / "a.mp4", 25.0, keep_hdr=True), frames, strict=True):
        blocks = (frame.full_mask > 0).reshape(192, 2, 192, 2).any((1, 3))
        for one, two in list(zip(places(result.planes), places(frame.picture.planes), strict=True))[1:]:
            np.testing.assert_array_equal(one[~blocks], two[~blocks])
        changed = result.rgb.astype(int) - frame.image
        assert np.abs(changed).mean() < 1


def test_settings_of_a_render_change_its_own_section_alone(model_path):
    with Predictor.reading(model_path, None, "cpu", {"render.hdr": "keep", "render.crf": "12"}) as predictor:
        assert (predictor.config.render.hdr, predictor.config.render.crf) == ("keep", 12)
        plain = Predictor.open(model_path, device="cpu").config
        assert replace(predictor.config, render=plain.render) == plain and plain.render.hdr == "sdr"
    for given, said in (({"train.batch": 2}, "belongs to the trained model"), ({"render.crf": 99}, "render.crf")):
        with pytest.raises(UserError, match=said), Predictor.reading(model_path, None, "cpu", given):
            pass


def test_hdr_that_cannot_be_kept_is_refused(model_path, tmp_path):
    predictor = Predictor.open(model_path, device="cpu")
    with av.open(str(tmp_path / "a.mkv"), "w") as file:
        stream = file.add_stream("libx264rgb", 25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "rgb24"
        stream.codec_context.color_trc, stream.codec_context.color_primaries = 18, 9
        file.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((64, 64, 3), 90, np.uint8), "rgb24")))
        file.mux(stream.encode(None))
    predictor.source = tmp_path / "a.mkv"
    predictor.config = replace(predictor.config, render=replace(predictor.config.render, hdr="keep"))
    with pytest.raises(UserError, match=r"a\.mkv is HDR that cannot be kept \(RGB.*render\.hdr=sdr"):
        _ = predictor.colour


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
