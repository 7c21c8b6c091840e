"""A live session: sound in as it comes, frames and sound out in step. Stand-ins hear and paint."""

from __future__ import annotations

import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standin_face import AHEAD, standin_session

from speech2lip.audio.live import LiveFeatures
from speech2lip.audio.log_mel import LogMel
from speech2lip.errors import UserError
from speech2lip.live import performance, session
from speech2lip.live.performance import Performance
from speech2lip.live.session import LiveSession
from speech2lip.live.speech import BEHIND, LONGEST, SpeechQueue, as_samples
from speech2lip.media.sound import SAMPLE_RATE


def _tone(seconds: float, level: float = 0.5) -> np.ndarray:
    return (level * np.sin(np.arange(round(seconds * SAMPLE_RATE)) * 0.3)).astype(np.float32)


def _during(live: LiveSession, seconds: float, moment: float = session.MOMENT) -> list[session.Shown]:
    return [shown for _ in range(round(seconds / moment)) for shown in live.advance(moment)]


def _joined(shown: list[session.Shown]) -> np.ndarray:
    return np.concatenate([one.sound for one in shown])


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.integers(1, 3000), min_size=1, max_size=20), st.sampled_from([24.0, 25.0, 29.97, 50.0]), st.booleans()
)
def test_sound_in_any_pieces_comes_out_whole_and_in_step_with_the_frames(sizes, fps, whole_numbers):
    wav = np.random.default_rng(0).uniform(-0.9, 0.9, sum(sizes)).astype(np.float32)
    live, said = standin_session(fps), wav
    if whole_numbers:
        said = (wav * 32767).astype(np.int16)
        wav = said.astype(np.float32) / 32768
    for piece in np.split(said, np.cumsum(sizes)[:-1]):
        live.say(piece)
    shown = _during(live, len(wav) / SAMPLE_RATE + 1)
    heard = _joined(shown)
    np.testing.assert_allclose(heard[: len(wav)], wav, atol=1e-6)
    assert not heard[len(wav) :].any()
    assert [one.number for one in shown] == list(range(len(shown)))
    for one in shown:  # a frame's sound is that of its time
        start, stop = (round(number / fps * SAMPLE_RATE) for number in (one.number, one.number + 1))
        assert len(one.sound) == stop - start
        assert one.spoken == (start < len(wav))
    assert len(shown) == pytest.approx((live.seconds - AHEAD) * fps, abs=2)


def test_the_person_idles_with_the_mouth_at_rest_opens_before_sound_and_rests_after_it():
    live = standin_session()
    idle = _during(live, 2.0)
    assert len(idle) > 40 and all(not one.image.any() and not one.sound.any() for one in idle)
    live.say(_tone(1.0))
    shown = _during(live, 2.4)
    spoken = [k for k, one in enumerate(shown) if one.spoken]
    assert len(spoken) in (25, 26)
    share = np.array([one.image[0, 0, 0] for one in shown]) / 255
    assert share[spoken[0]] > 0 and share[spoken[0] + 1 : spoken[-1]].min() == 1
    held = spoken[-1] + round((session._HELD + 1 / session._FALLS) * 25) + 2
    assert (share[held:] == 0).all() and np.abs(np.diff(share)).max() <= session._RISES / 25 + 0.01


def test_interruption_drops_what_waits_and_closes_the_mouth_within_few_frames():
    live = standin_session()
    live.say(_tone(30.0))
    before = _during(live, 2.0)
    assert before[-1].spoken and before[-1].image.max() == 255
    assert live.interrupt() == pytest.approx(28.0, abs=0.05)
    after = _during(live, 1.0)
    assert not any(one.spoken for one in after)
    assert all(not one.image.any() for one in after[4:]), "the mouth is at rest after four frames"
    sound = _joined(after)
    assert not sound[session._FADE :].any() and np.abs(np.diff(sound)).max() < 0.3  # no click
    live.say(_tone(0.5))
    again = _during(live, 1.0)
    assert sum(one.spoken for one in again) in (12, 13, 14) and max(one.image.max() for one in again) == 255
    assert np.abs(_joined(again)).max() == pytest.approx(0.5, abs=0.01)


def test_what_is_said_right_after_an_interruption_is_said():
    live = standin_session()
    live.say(_tone(5.0))
    _during(live, 1.0)
    live.interrupt()
    live.say(_tone(0.4, 0.9))
    sound = _joined(_during(live, 1.2))
    assert np.count_nonzero(np.abs(sound) > 0.01) == pytest.approx(0.4 * SAMPLE_RATE, rel=0.05)
    assert np.abs(sound).max() > 0.85


def test_a_microphone_is_never_late_and_waits_for_what_is_said():
    queue = SpeechQueue()
    queue.hear(np.arange(SAMPLE_RATE, dtype=np.float32) / SAMPLE_RATE)
    taken, real = queue.take(100)
    assert real == 100 and taken[0] == pytest.approx(1 - BEHIND, abs=1e-4)
    queue.say(_tone(0.01))
    taken, real = queue.take(200)
    assert real == 160 and taken[160:].any() == 0
    assert queue.waiting == 0 and queue.take(1)[0][0] == pytest.approx(1 - BEHIND + 300 / SAMPLE_RATE, abs=1e-4)


def test_a_muted_microphone_leaves_the_mouth_at_rest():
    live = standin_session()
    for _ in range(100):
        live.hear(np.full(320, 1, np.int16))
        assert all(not one.image.any() and not one.spoken for one in live.advance())


@pytest.mark.parametrize("wrong", [np.zeros((2, 100), np.float32), np.zeros(3, np.int32), np.array([np.nan])])
def test_sound_of_another_kind_is_refused(wrong):
    with pytest.raises(UserError, match="live sound"):
        as_samples(wrong)


def test_more_than_may_wait_is_refused():
    queue = SpeechQueue()
    queue.say(np.zeros(round((LONGEST - 1) * SAMPLE_RATE), np.float32))
    with pytest.raises(UserError, match="interrupt first"):
        queue.say(np.zeros(2 * SAMPLE_RATE, np.float32))
    assert queue.clear() == pytest.approx(LONGEST - 1) and queue.waiting == 0


def test_what_a_session_remembers_does_not_grow():
    live = standin_session()
    for minute in range(20):
        live.say(_tone(1.0))
        _during(live, 60.0, 0.5)
        assert len(live._sound) < SAMPLE_RATE and len(live._spoken) < 3 and len(live._hearing.arrivals) < 3, minute
    assert live._number > 29_000


@pytest.mark.slow
def test_the_last_of_24_hours_costs_what_the_first_costs(capsys):
    """What a session itself does, with utterances, idle time and interruptions; hearing and painting are stand-ins."""
    live, word, marks = standin_session(), _tone(4.0), []
    for _ in range(24):
        spent = time.process_time()
        for _ in range(60):
            live.say(word)
            _count(live, 10.0)
            live.say(word)
            _count(live, 2.0)
            live.interrupt()
            _count(live, 48.0)
        marks.append(((time.process_time() - spent) / 90_000 * 1000, _megabytes()))
    with capsys.disabled():
        for hour in (0, 11, 23):
            print(
                f"\nhour {hour + 1}: {marks[hour][0]:.3f} ms of processor time per frame, {marks[hour][1]:.2f} MB",
                end="",
            )
    assert live._number == pytest.approx(24 * 90_000, abs=10)
    assert marks[-1][0] < 1.5 * marks[0][0] and marks[-1][1] < marks[0][1] + 8


def _megabytes() -> float:
    """Of memory that this process has."""
    status = Path("/proc/self/statm")
    return int(status.read_text().split()[1]) * 4096 / 2**20 if status.is_file() else 0.0


def _count(live: LiveSession, seconds: float) -> None:
    for _ in range(round(seconds)):
        for _ in live.advance(1.0):
            pass


def test_a_long_silence_does_not_push_the_voice_out_of_memory():
    """After a minute of digital silence the first word is heard as after a second of it."""
    rng = np.random.default_rng(0)
    voice = (0.3 * rng.standard_normal(SAMPLE_RATE) * np.hanning(SAMPLE_RATE)).astype(np.float32)

    def word_after(seconds: float) -> np.ndarray:
        features = LiveFeatures(LogMel(20, 0.02), 25.0, [voice])
        features.push(np.tile(voice, 4))
        for _ in range(round(seconds)):
            features.push(np.zeros(SAMPLE_RATE, np.float32))
        return np.concatenate([features.push(piece) for piece in np.split(voice, 25)])[5:20]

    np.testing.assert_allclose(word_after(60.0), word_after(1.0), atol=0.05)


@contextmanager
def _opened(live: LiveSession):
    with closing(live):
        yield live


def test_a_performance_keeps_the_pace_of_time_and_ends():
    live, shown, ended = standin_session(), [], []
    stage = Performance(_opened(live), shown.append, ended.append)
    assert stage.pace.frames == 0 and stage.pace.latency is None
    stage.begin()
    live.say(_tone(0.3))
    time.sleep(1.0)
    pace = stage.pace
    stage.end()
    assert pace.frames == pytest.approx((1.0 - AHEAD) * 25, abs=4) and AHEAD <= pace.latency < AHEAD + 0.15
    assert pace.latency95 >= pace.latency and pace.busy < 0.5 and pace.waiting == 0
    assert ended == [None] and live._painter.closed
    assert not any(thread.name == "speech2lip live" for thread in threading.enumerate())
    assert len(shown) >= pace.frames and sum(one.spoken for one in shown) in (7, 8, 9)


def test_a_machine_that_cannot_follow_lets_time_stand_still_and_says_every_word(monkeypatch):
    live, shown = standin_session(), []
    listen = live.listen

    def slow(*_):
        time.sleep(0.04)  # for 20 ms of sound
        return listen()

    monkeypatch.setattr(live, "listen", slow)
    monkeypatch.setattr(performance, "_LATE", 0.05)
    live.say(_tone(0.4))
    stage = Performance(_opened(live), shown.append)
    stage.begin()
    time.sleep(1.6)
    pace = stage.pace
    stage.end()
    assert pace.paused > 0.4 and pace.busy > 0.8
    assert np.count_nonzero(np.abs(_joined(shown)) > 0.01) == pytest.approx(0.4 * SAMPLE_RATE, rel=0.05)


def test_an_error_in_the_thread_is_handed_on_and_closes_thestandin_session():
    live, ended = standin_session(), []
    told = threading.Event()

    def broken(_):
        raise UserError("colours that are no numbers")

    stage = Performance(_opened(live), broken, lambda error: (ended.append(error), told.set()))
    stage.begin()
    assert told.wait(5) and "no numbers" in str(ended[0]) and live._painter.closed
    stage.end()
    assert len(ended) == 1
