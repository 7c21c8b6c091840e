"""Frame k is frame k, wherever reading begins, in every container."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from making import counted, ffmpeg, make_video, number, numbers

from speech2lip.media.decode import read_frames

COUNT = 250
_LONG = {"g": "250", "bf": "3", "preset": "ultrafast", "qp": "10", "sc_threshold": "0"}  # one key frame in 10 s


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    """10 s with B-frames and one key frame."""
    return make_video(tmp_path_factory.mktemp("seeking") / "plain.mp4", counted(COUNT), options=_LONG)


def _two(tmp_path: Path, plain: Path, suffix: str, *options: str) -> Path:
    """The clip twice in a row: two groups of pictures of 10 s."""
    (tmp_path / "list.txt").write_text(f"file '{plain}'\nfile '{plain}'\n")
    out = tmp_path / f"twice{suffix}"
    ffmpeg("-f", "concat", "-safe", "0", "-i", tmp_path / "list.txt", "-c", "copy", *options, out)
    return out


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".mov", ".m2ts", ".flv", ".avi"])
def test_every_start_gives_the_frame_of_that_number(tmp_path, plain, suffix):
    video = _two(tmp_path, plain, suffix)
    expected = list(range(COUNT)) + list(range(COUNT))
    assert numbers(read_frames(video, 25.0)) == expected
    for start in (60, 249, 250, 251, 253, 330, 499):
        got = numbers(islice(read_frames(video, 25.0, start=start), 3))
        assert got == expected[start : start + 3], start


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_open_groups_of_pictures_do_not_show_what_leans_on_unread_frames(tmp_path, suffix):
    options = {"g": "50", "bf": "3", "x264-params": "open-gop=1:scenecut=0:keyint=50:min-keyint=50", "qp": "10"}
    video = make_video(tmp_path / f"open{suffix}", counted(COUNT), options=options)
    whole = [frame.copy() for frame in read_frames(video, 25.0)]
    for start in (98, 99, 100, 101, 148, 149, 150, 199):
        frame = next(read_frames(video, 25.0, start=start))
        assert np.array_equal(frame, whole[start]), start


def test_mpeg2_program_stream(tmp_path):
    noise = np.random.default_rng(0).integers(-30, 30, (256, 384, 3))
    frames = [(frame + np.roll(noise, 5 * k, 1)).astype(np.uint8) for k, frame in enumerate(counted(200, (384, 256)))]
    video = make_video(tmp_path / "a.mpg", frames, "mpeg2video", options={"g": "12", "bf": "2", "b": "3M"})
    whole = numbers(read_frames(video, 25.0))
    assert whole == list(range(200))
    for start in (75, 100, 150):
        assert number(next(read_frames(video, 25.0, start=start))) == start


def test_raw_stream_without_time_stamps(tmp_path, plain):
    ffmpeg("-i", plain, "-c", "copy", tmp_path / "a.h264")
    assert numbers(read_frames(tmp_path / "a.h264", 25.0)) == list(range(COUNT))
    assert number(next(read_frames(tmp_path / "a.h264", 25.0, start=120))) == 120


def test_edit_list_that_begins_inside_a_group_of_pictures(tmp_path, plain):
    """Cut without encoding, as phones do: the frames before the cut are in the file, and not shown."""
    ffmpeg("-ss", "1", "-i", plain, "-c", "copy", tmp_path / "cut.mp4")
    got = numbers(read_frames(tmp_path / "cut.mp4", 25.0))
    assert got == list(range(25, COUNT))
    assert number(next(read_frames(tmp_path / "cut.mp4", 25.0, start=120))) == 145


@pytest.mark.parametrize("name, offset", [("a.mkv", "7"), ("a.mov", "0.04"), ("a.ts", "60000")])
def test_first_time_stamps_that_are_not_zero(tmp_path, plain, name, offset):
    video = tmp_path / name
    ffmpeg("-itsoffset", offset, "-i", plain, "-c", "copy", "-copyts", "-avoid_negative_ts", "disabled", video)
    assert numbers(read_frames(video, 25.0)) == list(range(COUNT))
    assert number(next(read_frames(video, 25.0, start=90))) == 90


def test_negative_time_stamps_of_decoding(tmp_path, plain):
    ffmpeg("-i", plain, "-c", "copy", "-movflags", "negative_cts_offsets", "-use_editlist", "0", tmp_path / "a.mp4")
    assert numbers(read_frames(tmp_path / "a.mp4", 25.0)) == list(range(COUNT))
    assert number(next(read_frames(tmp_path / "a.mp4", 25.0, start=90))) == 90


def test_variable_frame_rate_from_the_middle(tmp_path):
    video = make_video(tmp_path / "a.mkv", counted(200), times=lambda k: 4 * k if k < 100 else 400 + 8 * (k - 100))
    whole = numbers(read_frames(video, 25.0))
    assert whole[:100] == list(range(100)) and whole[100:110] == [100, 100, 101, 101, 102, 102, 103, 103, 104, 104]
    for start in (99, 120, 201):
        assert numbers(islice(read_frames(video, 25.0, start=start), 3)) == whole[start : start + 3]


def test_sound_that_begins_a_moment_sooner_does_not_move_the_picture(tmp_path, plain):
    """Encoders of AAC begin 23 ms early, which .ts cannot hide."""
    ffmpeg("-i", plain, "-f", "lavfi", "-i", "sine=duration=10", "-c:v", "copy", "-c:a", "aac", tmp_path / "a.ts")
    assert numbers(read_frames(tmp_path / "a.ts", 25.0)) == list(range(COUNT))


def test_interlaced_frames_are_the_same_from_the_middle(tmp_path):
    options = {"flags": "+ildct+ilme", "x264-params": "tff=1", "g": "50", "qp": "5"}
    noise = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)
    frames = [np.roll(noise, 3 * k, 1) for k in range(120)]
    video = make_video(tmp_path / "a.mkv", frames, options=options)
    whole = [frame.copy() for frame in read_frames(video, 25.0)]
    assert len(whole) == 120
    for start in (90, 100, 101):
        assert np.array_equal(next(read_frames(video, 25.0, start=start)), whole[start])
