import numpy as np
import pytest

from speech2lip.errors import UserError
from speech2lip.media.sound import SAMPLE_RATE
from speech2lip.voice import synthesis
from speech2lip.voice.synthesis import FASTEST, SLOWEST, USUAL_RATE, Utterance, speech_within

TEXT = "My mum made bread for us."


@pytest.fixture
def rates(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A speaker of 10 words, with silence at its ends, who notes how fast it was asked to speak."""
    asked: list[int] = []

    def speak(text: str, voice: str, words_per_minute: int) -> Utterance:
        asked.append(words_per_minute)
        wav = np.full(round(10 / words_per_minute * 60 * SAMPLE_RATE), 0.5, np.float32)
        return Utterance(np.pad(wav, 8000), ())

    monkeypatch.setattr(synthesis, "synthesize", speak)
    return asked


@pytest.mark.parametrize(
    ("seconds", "expected"), [(3.75, USUAL_RATE), (3.0, 205), (4.4, 140), (9.0, SLOWEST), (2.6, 238)]
)
def test_speech_is_as_fast_as_its_time_asks_for(rates, seconds, expected):
    wav = speech_within("ten words", seconds, "en-us", "t.srt, line 3")
    assert abs(rates[-1] - expected) <= 8 and 0.5 < len(wav) / SAMPLE_RATE <= seconds
    assert min(rates) >= SLOWEST and max(rates) <= FASTEST
    if SLOWEST < rates[-1] < FASTEST:
        assert len(wav) / SAMPLE_RATE > 0.9 * seconds


def test_text_that_is_too_long_is_refused_by_its_line(rates):
    with pytest.raises(
        UserError, match=r"^t.srt, line 3: 'ten words' takes 2\.5 s when it is spoken fast, and its span has 2\.0 s"
    ):
        speech_within("ten words", 2.0, "en-us", "t.srt, line 3")
    assert rates[-1] == FASTEST


def test_the_built_in_voice_fills_its_time_and_has_no_silence_at_its_ends():
    wav = speech_within(TEXT, 1.6, "en-us", "here")
    assert 1.35 < len(wav) / SAMPLE_RATE <= 1.6
    assert np.abs(wav[:800]).max() > 0.003 and np.abs(wav[-800:]).max() > 0.003


def test_what_cannot_be_spoken_is_refused():
    with pytest.raises(UserError, match=r"line 1: 'a' cannot be spoken by the built-in voice .*nobody.*render\.voice"):
        speech_within("a", 1.0, "nobody", "t, line 1")
    with pytest.raises(UserError, match=r"line 2: '\.\.\.' holds nothing that is spoken"):
        speech_within("...", 1.0, "en-us", "t, line 2")
