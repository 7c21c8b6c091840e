"""The video service in a local pipeline of Pipecat; the face is a stand-in."""

from __future__ import annotations

import asyncio
from contextlib import closing, contextmanager

import numpy as np
import pytest
from standin_face import standin_session

pytest.importorskip("pipecat", reason="Pipecat is not installed: pip install pipecat-ai (docs/live.md)")

from pipecat.frames.frames import (
    InterruptionFrame,
    OutputImageRawFrame,
    SpeechOutputAudioRawFrame,
    TextFrame,
    TTSAudioRawFrame,
)
from pipecat.tests.utils import SleepFrame, run_test

from speech2lip.errors import UserError
from speech2lip.live import pipecat
from speech2lip.media.sound import SAMPLE_RATE

RATE = 24_000  # of the voice


@pytest.fixture
def opened(monkeypatch):
    sessions = []

    @contextmanager
    def open_standin(*_):
        with closing(standin_session(25.0, (6, 4))) as session:
            sessions.append(session)
            yield session

    monkeypatch.setattr(pipecat, "open_session", open_standin)
    return sessions


def _voice(seconds: float, channels: int = 1) -> list[TTSAudioRawFrame]:
    """A tone in pieces, all at once, as voices come."""
    wave = (16000 * np.sin(np.arange(round(seconds * RATE)) * 0.1)).astype(np.int16)
    pieces = np.split(np.repeat(wave[:, None], channels, 1), range(1000, len(wave), 1000))
    return [TTSAudioRawFrame(audio=piece.tobytes(), sample_rate=RATE, num_channels=channels) for piece in pieces]


def _through(frames) -> list:
    service = pipecat.Speech2LipVideoService(model="model.pt")
    down, _ = asyncio.run(run_test(service, frames_to_send=frames, start_timeout=30.0))
    return list(down)


def _sound(frames) -> np.ndarray:
    parts = [np.frombuffer(one.audio, np.int16) for one in frames if isinstance(one, SpeechOutputAudioRawFrame)]
    return np.concatenate(parts).astype(np.float32) / 32768


def _light(frames) -> np.ndarray:
    return np.array([one.image[0] for one in frames if isinstance(one, OutputImageRawFrame)])


@pytest.mark.parametrize("channels", [1, 2])
def test_speech_comes_out_with_pictures_in_step_before_the_pipeline_ends(opened, channels):
    frames = _through([SleepFrame(sleep=0.3), TextFrame("hello"), *_voice(1.0, channels)])
    pictures = [one for one in frames if isinstance(one, OutputImageRawFrame)]
    sounds = [one for one in frames if isinstance(one, SpeechOutputAudioRawFrame)]
    assert any(isinstance(one, TextFrame) for one in frames), "other frames pass"
    assert not any(isinstance(one, TTSAudioRawFrame) for one in frames), "the voice is not heard twice"
    assert len(pictures) - len(sounds) in (0, 1) and len(sounds) > 25
    assert all(
        one.size == (6, 4) and one.format == "RGB" and len(one.image) == 72 and one.sync_with_audio for one in pictures
    )
    assert all(one.sample_rate == SAMPLE_RATE and len(one.audio) == 1280 for one in sounds)
    loud = np.flatnonzero(np.abs(_sound(frames)) > 0.1)
    assert (loud[-1] - loud[0]) / SAMPLE_RATE == pytest.approx(1.0, abs=0.05), "all of it was said"
    bright = np.flatnonzero(_light(frames) > 128)
    assert abs(bright[0] - loud[0] / 640) < 3 and opened[0]._painter.closed


def test_an_interruption_drops_what_is_not_said_and_closes_the_mouth(opened):
    frames = _through([*_voice(20.0), SleepFrame(sleep=1.0), InterruptionFrame(), SleepFrame(sleep=0.8)])
    at = next(k for k, one in enumerate(frames) if isinstance(one, InterruptionFrame))
    before, after = frames[:at], frames[at:]
    assert np.abs(_sound(before)).max() > 0.1 and _light(before).max() == 255
    assert np.count_nonzero(np.abs(_sound(after)) > 0.1) < 0.1 * SAMPLE_RATE
    assert _light(after)[6:].max() == 0 and len(_light(after)) > 12


def test_models_that_cannot_be_used_are_refused_when_the_pipeline_starts(monkeypatch):
    @contextmanager
    def refused(*_):
        raise UserError("model.pt does not exist: give another")
        yield

    monkeypatch.setattr(pipecat, "open_session", refused)

    async def ready(*_):
        pass

    monkeypatch.setattr(pipecat.AIService, "setup", ready)
    service = pipecat.Speech2LipVideoService(model="model.pt")
    with pytest.raises(UserError, match="does not exist"):
        asyncio.run(service.setup(None))
