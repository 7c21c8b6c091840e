"""The frame rate of a subject."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech2lip.config import default_config, load_config
from speech2lip.config_text import as_table
from speech2lip.errors import UserError
from speech2lip.preparation.source import frame_rate


@pytest.mark.parametrize(
    ("source", "made"),
    [
        (24, 24), (25, 25), (30, 30), (23.976, 24000 / 1001), (29.97, 30000 / 1001), (50, 25), (60, 30), (48, 24),
        (59.94, 30000 / 1001), (120, 30), (90, 30), (15, 30), (12.5, 25), (10, 20), (1, 20), (0, 25),
    ],
)  # fmt: skip
def test_the_sources_own_rate_or_a_part_or_a_multiple_of_it(source, made):
    assert frame_rate(0, source) == pytest.approx(made, rel=1e-6)


@given(st.floats(0.5, 1000))
def test_every_source_gets_a_rate_at_which_speech_can_be_seen(source):
    made = frame_rate(0, source)
    parts = source / made
    assert 20 <= made <= 31.001 or (made >= 15.5 and abs(parts - round(parts)) < 1e-3 * parts and round(parts) >= 1)


@pytest.mark.parametrize(
    ("average", "nominal", "made"),
    [
        (16.67, 25, 25),
        (19.04, 60, 30),
        (29.6, 30, 30),
        (29.0, 100, 29.0),
        (12.5, 25, 25),
        (25, 0, 25),
        (3, 60, 30),
        (0, 60, 25),
    ],
)
def test_a_freeze_does_not_lower_the_rate(average, nominal, made):
    assert frame_rate(0, average, nominal) == pytest.approx(made)


@given(st.floats(1, 240), st.floats(0, 240))
def test_a_wanted_rate_is_taken(wanted, source):
    assert frame_rate(wanted, source) == wanted


def test_auto_is_written_and_read_as_a_word():
    assert default_config().data.fps == 0
    assert default_config(["data.fps=auto"]).data.fps == 0
    assert "data.fps = auto" in as_table(default_config(), "data.fps")
    assert load_config("published").data.fps == 25
    with pytest.raises(UserError, match=r"data.fps is 0.5, allowed is 1 to 240"):
        default_config(["data.fps=0.5"])
    with pytest.raises(UserError, match="needed is a number"):
        default_config(["train.rate=auto"])
