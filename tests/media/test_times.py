"""Rates and lengths that a file's time stamps tell."""

import pytest
from making import counted, ffmpeg, make_video

from speech2lip.errors import UserError
from speech2lip.media.decode import read_frames
from speech2lip.media.probe import check_video, describe, expected_frames, probe


def test_the_nominal_rate_is_that_of_the_even_part(tmp_path):
    def nominal(name: str, rate: int, times=None) -> float:
        return probe(make_video(tmp_path / name, counted(60), rate=rate, times=times)).video.nominal

    assert nominal("even.mp4", 25) == 0
    assert ", 25 frames per second, " in describe(probe(tmp_path / "even.mp4"))
    assert nominal("freeze.mp4", 25, lambda k: 4 * k + (200 if k >= 30 else 0)) == 25
    assert "frames per second on average, up to 25, " in describe(probe(tmp_path / "freeze.mp4"))
    assert nominal("slower.mp4", 60, lambda k: 4 * k if k < 30 else 120 + 16 * (k - 30)) == 60


@pytest.mark.parametrize("offset", [1, 3600])
def test_a_recording_may_begin_at_any_time(tmp_path, offset):
    whole, late = make_video(tmp_path / "whole.mkv", counted(50)), tmp_path / "late.mkv"
    ffmpeg("-i", whole, "-c", "copy", "-output_ts_offset", offset, late)
    assert check_video(late).duration == pytest.approx(2, abs=0.1)
    assert expected_frames(late, 25) == len(list(read_frames(late, 25.0))) == 50
    late.write_bytes(late.read_bytes()[: late.stat().st_size // 2])
    with pytest.raises(UserError, match="can be decoded for"):
        check_video(late)
