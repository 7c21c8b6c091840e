"""Where somebody speaks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speech2lip.audio import voice_activity
from speech2lip.audio.voice_activity import (
    FRAME_SECONDS,
    LIVE,
    LiveAttention,
    SpeechPresence,
    VoiceDetector,
    is_speech,
    speech_probability,
)
from speech2lip.media.sound import SAMPLE_RATE, load_audio
from speech2lip.nets.pretrained.silero import CONTEXT, FRAME
from speech2lip.voice.synthesis import synthesize


@pytest.fixture(scope="module")
def sound(clip):
    return load_audio(clip / "speaker.wav")


def hum(seconds: float = 0.64) -> np.ndarray:
    """A formula's voice: a rough buzz whose pitch and formants wander."""
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    phase = 2 * np.pi * np.cumsum(130 + 20 * np.sin(9 * t)) / SAMPLE_RATE
    formants = (600 + 250 * np.sin(7 * t), 1500 + 500 * np.sin(5 * t + 1), 2600.0)
    parts = [sum(np.exp(-(((130 * k - f) / 180) ** 2)) for f in formants) * np.sin(k * phase) for k in range(1, 28)]
    return (0.06 * np.sum(parts, 0) * (0.6 + 0.4 * np.sin(25 * t))).astype(np.float32)


def music(seconds: float, level: float) -> np.ndarray:
    """Chords on a beat, at a root mean square of `level`."""
    rng, n = np.random.default_rng(0), round(seconds * SAMPLE_RATE)
    out = np.zeros(n)
    for at in range(0, n, SAMPLE_RATE // 4):
        t = np.arange(min(SAMPLE_RATE * 3 // 4, n - at))
        for pitch in rng.choice([220, 261.6, 329.6, 392, 440], 2):
            out[at : at + len(t)] += np.exp(-t / 5000) * np.sin(2 * np.pi * pitch * t / SAMPLE_RATE)
        out[at : at + len(t)] += rng.normal(size=len(t)) * np.exp(-t / 400)
    return (out * level / np.sqrt((out**2).mean())).astype(np.float32)


# What silero_vad.jit of silero-vad 6.2.3 says of `hum`, frame by frame, in torch 2.13.
_REFERENCE = [
    0.3046,
    0.5051,
    0.3921,
    0.5939,
    0.5999,
    0.6247,
    0.4355,
    0.3429,
    0.3398,
    0.3319,
    0.2548,
    0.2718,
    0.2929,
    0.3342,
    0.3960,
    0.4442,
    0.4355,
    0.4707,
    0.2787,
    0.4684,
]


def test_the_network_computes_what_its_own_runtime_computes():
    """Parameters here are rounded to 16 bit."""
    np.testing.assert_allclose(speech_probability([hum()]), _REFERENCE, atol=0.02)
    assert max(_REFERENCE) - min(_REFERENCE) > 0.3


def test_speech_is_heard_and_music_noise_and_silence_are_not(sound):
    """The synthesiser's voice too; music 20 dB below it, noise and digital silence are nobody."""
    said = is_speech(speech_probability([sound]))
    assert said.mean() > 0.75
    level = float(np.sqrt((sound**2).mean()))
    noise = np.random.default_rng(1).normal(0, level / 10, 3 * SAMPLE_RATE).astype(np.float32)
    for nobody in (np.zeros(3 * SAMPLE_RATE, np.float32), noise, music(3, level / 10)):
        whole = np.concatenate([sound[: 4 * SAMPLE_RATE], nobody, sound[: 2 * SAMPLE_RATE]])
        heard = is_speech(speech_probability([whole]))
        gap = slice(round(4.4 / FRAME_SECONDS), round(6.8 / FRAME_SECONDS))
        assert heard[gap].mean() < 0.05 and heard[: gap.start].mean() > 0.7 and heard[gap.stop + 10 :].any()


@pytest.mark.parametrize("word", ["uh", "mm"])
def test_hesitation_is_speech(word):
    """A quarter of a second of it, alone."""
    pause = np.zeros(SAMPLE_RATE, np.float32)
    heard = SpeechPresence()
    heard.push(speech_probability([pause, synthesize(word).wav.astype(np.float32), pause]))
    presence = heard.at(np.arange(0, 2.2, 0.04))
    assert presence[26:30].min() == 1 and presence[:13].max() == 0


def test_breath_is_not():
    """Noise between 500 and 4000 Hz that rises and falls within 0.75 s."""
    noise = np.fft.rfft(np.random.default_rng(0).normal(size=12_000))
    frequency = np.fft.rfftfreq(12_000, 1 / SAMPLE_RATE)
    breath = np.fft.irfft(noise * ((frequency > 500) & (frequency < 4000))) * np.hanning(12_000)
    breath *= 0.03 / np.sqrt((breath**2).mean())
    pause = np.zeros(SAMPLE_RATE, np.float32)
    assert not is_speech(speech_probability([pause, breath.astype(np.float32), pause])).any()


@pytest.mark.parametrize("gain", [0.02, 3.0])
def test_level_hardly_matters(sound, gain):
    wav = sound[: 8 * SAMPLE_RATE]
    same = is_speech(speech_probability([wav])) == is_speech(speech_probability([wav * np.float32(gain)]))
    assert same.mean() > 0.9


@settings(deadline=None, max_examples=8)
@given(st.lists(st.integers(0, 20_000), max_size=6))
def test_pieces_of_any_length_say_what_the_whole_says(cuts):
    wav = np.tile(hum(), 2)[:20_000]
    detector = VoiceDetector()
    parts = [*(detector.push(piece) for piece in np.split(wav, sorted(cuts))), detector.finish()]
    np.testing.assert_allclose(np.concatenate(parts), speech_probability([wav]), atol=1e-5)
    assert sum(map(len, parts)) == -(-len(wav) // FRAME)


def test_hours_of_sound_leave_nothing_behind_but_the_state():
    detector, heard = VoiceDetector(), SpeechPresence(memory=2.0)
    for k in range(40):
        heard.push(detector.push(hum()))
        heard.at(np.array([0.64 * k]))
    assert len(detector._sound) < CONTEXT + FRAME and len(heard._speech) <= round(2.0 / FRAME_SECONDS)


def test_speech_begins_surely_and_ends_late():
    probability = np.array([0.1, 0.2, 0.4, 0.2, 0.16, 0.1, 0.2, 0.31])
    assert is_speech(probability).tolist() == [0, 0, 1, 1, 1, 0, 0, 1]
    assert is_speech(np.array([0.2, 0.2, 0.1]), before=True).tolist() == [1, 1, 0]
    assert len(is_speech(np.zeros(0))) == 0


def heard_once(begin: float, end: float, total: float) -> np.ndarray:
    at = (np.arange(round(total / FRAME_SECONDS)) + 0.5) * FRAME_SECONDS
    return ((at > begin) & (at < end)).astype(np.float32)


def test_the_mouth_is_its_own_before_and_after_speech():
    """Speech from 1.024 to 2.048 s: whole frames of 32 ms."""
    presence = SpeechPresence()
    presence.push(heard_once(1.024, 2.048, 4))
    seconds = np.array([0.0, 0.6, 0.724, 0.83, 1.5, 2.19, 2.348, 2.51, 3.9])
    np.testing.assert_allclose(presence.at(seconds), [0, 0, 0.5, 1, 1, 1, 0.5, 0, 0], atol=0.01)


def test_pauses_within_a_sentence_do_not_close_the_mouth():
    presence = SpeechPresence()
    presence.push(np.maximum(heard_once(0.5, 1.5, 4), heard_once(1.8, 3.0, 4)))
    assert presence.at(np.arange(0.5, 3.0, 0.04)).min() > 0.8


def test_a_click_is_no_speech():
    presence = SpeechPresence()
    presence.push(np.maximum(heard_once(0.992, 1.056, 4), heard_once(2.5, 3.5, 4)))
    shown = presence.at(np.arange(0, 4, 0.04))
    assert shown[:45].max() == 0 and shown.max() == 1


@pytest.mark.parametrize("ahead", [0.0, 0.15])
def test_live_is_late_and_soon_all_is_as_offline(ahead):
    """Sound is known `ahead` of the frame: the mouth opens later than offline."""
    probability = np.maximum(heard_once(1.0, 2.0, 5), heard_once(3.2, 4.2, 5))
    whole, live = SpeechPresence(), SpeechPresence(**LIVE)
    whole.push(probability)
    seconds, known = np.arange(0, 4.5, 0.04), 0
    shown = []
    for moment in seconds:
        until = int((moment + ahead) / FRAME_SECONDS)
        live.push(probability[known:until])
        known = until
        shown.append(float(live.at(np.array([moment]))[0]))
    offline = whole.at(seconds)
    assert np.abs(np.diff(offline)).max() < 0.31
    late = np.argmax(np.array(shown) > 0.5) - np.argmax(offline > 0.5)
    assert 0 < late * 0.04 <= 0.5 - ahead
    settled = ((seconds > 1.6 - ahead) & (seconds < 2.7)) | (seconds > 3.8 - ahead)
    np.testing.assert_allclose(np.array(shown)[settled], offline[settled], atol=0.02)


def attended(wav: np.ndarray, ahead: float = 0.2) -> np.ndarray:
    """Presence [frames at 25 per second] of sound that comes in pieces of 40 ms, each frame `ahead` of which is known."""
    attention, out, done = LiveAttention(25.0), [], 0
    for at in range(0, len(wav), 640):
        attention.hear(wav[at : at + 640])
        ready = max(int(((at + 640) / SAMPLE_RATE - ahead) * 25) + 1, done)
        out.append(attention.next(ready - done))
        done = ready
    return np.concatenate(out)


def test_live_a_quiet_pause_is_the_models_and_music_in_it_is_not(sound):
    """In quiet nothing is held back, so no beginning is missed; under music 20 dB below the speech the mouth rests."""
    spoken, count = sound[: 4 * SAMPLE_RATE], 3 * SAMPLE_RATE
    whole = np.concatenate([spoken, np.zeros(count, np.float32), spoken])
    level = float(np.sqrt((spoken**2).mean()))
    hiss = np.random.default_rng(0).normal(0, level / 1000, len(whole)).astype(np.float32)
    quiet, loud = attended(whole + hiss), attended(whole + music(11, level / 10))
    assert quiet.min() > 0.95
    assert loud[130:165].max() < 0.4 and loud[30:95].mean() > 0.9 and loud[200:270].mean() > 0.9


def test_the_weights_are_there_once():
    assert voice_activity._network() is voice_activity._network()
