"""The speech encoder that features come from: its file, its arithmetic, its rows."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file
from safetensors.torch import save_file

from speech2lip.audio import moonshine
from speech2lip.audio.backend import Joined, Stream
from speech2lip.audio.features import backend_from_params, extract_windows, make_backend
from speech2lip.audio.log_mel import LogMel
from speech2lip.audio.moonshine import Moonshine
from speech2lip.config import AudioConfig, default_config
from speech2lip.errors import UserError
from speech2lip.media.sound import SAMPLE_RATE, load_audio
from speech2lip.nets.audio_encoder import ShapeHead, StreamEncoder
from speech2lip.nets.pretrained.moonshine import FIELD, FIRST, HOP
from speech2lip.weights import bundled

_CONVERTER = Path(__file__).parents[2] / "scripts" / "convert_moonshine.py"
_FIXTURE = Path(__file__).parents[1] / "data" / "moonshine.json"


@pytest.fixture(scope="module")
def sound(clip):
    return load_audio(clip / "speaker.wav")


def vowels(seconds: float = 2.0) -> np.ndarray:
    """A formula's speech: a buzz whose two formants wander."""
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    out = np.zeros_like(t)
    for harmonic in range(1, 30):
        f = 120 * harmonic
        strength = np.exp(-(((f - 500 - 250 * np.sin(5 * t)) / 150) ** 2)) + 0.5 * np.exp(
            -(((f - 1500 - 600 * np.sin(3 * t + 1)) / 250) ** 2)
        )
        out += strength * np.sin(2 * np.pi * f * t)
    return (0.05 * out * (1 + np.sin(20 * t)) / 2).astype(np.float32)


def test_encoder_computes_what_its_own_runtime_computes():
    """Last states of ONNX Runtime 1.23.2 on the same file, which rounds activations to bytes; ours does not."""
    expected = np.array(json.loads(_FIXTURE.read_text())["last_hidden_state"])
    with torch.no_grad():
        states = moonshine._encoder()(torch.from_numpy(vowels())[None], [5])[0][0]
    assert states.shape == ((2 * SAMPLE_RATE - FIELD) // HOP + 1, 288)
    ours = states[::8, ::6].numpy()
    assert np.corrcoef(ours.ravel(), expected.ravel())[0, 1] > 0.995
    assert np.sqrt(((ours - expected) ** 2).mean()) < 0.1 * expected.std()


def test_only_the_layers_that_are_asked_for_are_run():
    encoder, wav = moonshine._encoder(), torch.from_numpy(vowels(0.5))[None]
    with torch.no_grad():
        early, late = encoder(wav, [1, 4])
        assert torch.equal(encoder(wav, [1])[0], early) and not torch.allclose(early, late)


def test_rows_lie_where_their_sound_does(sound):
    """Sound that comes five rows later gives the same rows five places later."""
    wav = sound[: 4 * SAMPLE_RATE]
    (a,), (b,) = (Moonshine(20, 0.02).rows([w]) for w in (wav, np.concatenate([np.zeros(5 * HOP, np.float32), wav])))
    x, y = a.values[20:100].astype(float), b.values[25:105].astype(float)
    assert np.corrcoef(x.ravel(), y.ravel())[0, 1] > 0.99
    assert a.start == FIRST / SAMPLE_RATE and a.rate == SAMPLE_RATE / HOP


@settings(deadline=None, max_examples=5)
@given(cuts=st.lists(st.integers(0, 31 * SAMPLE_RATE), max_size=6))
def test_pieces_of_any_length_give_the_rows_of_the_whole(cuts):
    wav = np.tile(vowels(3.0), 11)[: 31 * SAMPLE_RATE]
    (whole,), (pieces,) = Moonshine(20, 0.02).rows([wav]), Moonshine(20, 0.02).rows(np.split(wav, sorted(cuts)))
    np.testing.assert_array_equal(pieces.values[:], whole.values[:])
    assert len(whole.values) == len(np.arange(FIRST, len(wav), HOP))


def test_long_sound_is_heard_in_chunks_without_seams(sound):
    """Where chunks meet, rows are nearly those of sound that is heard as one."""
    wav = np.tile(sound, 2)[: 26 * SAMPLE_RATE]
    (rows,) = Moonshine(20, 0.02).rows([wav])
    whole = moonshine.states_of(np.pad(wav, (0, FIELD)) * np.float32(_gain(wav)))[: len(rows.values)]
    distance = np.linalg.norm(rows.values[:].astype(float) - whole, axis=1) / np.linalg.norm(
        whole.astype(float), axis=1
    )
    assert np.median(distance) < 0.15 and np.percentile(distance, 99) < 0.5


def _gain(wav):
    from speech2lip.audio.level import LevelMeter

    meter = LevelMeter()
    meter.push(wav)
    return meter.gain


@pytest.mark.parametrize("gain", [0.03, 4.0])
def test_level_does_not_matter(sound, gain):
    wav = sound[: 5 * SAMPLE_RATE] / np.abs(sound).max() / 4
    (a,), (b,) = Moonshine(20, 0.02).rows([wav]), Moonshine(20, 0.02).rows([wav * np.float32(gain)])
    assert np.abs(a.values[:].astype(float) - b.values[:]).max() < 0.05


def test_silence_is_zero_and_speech_has_unit_size(sound):
    backend = Moonshine(20, 0.02)
    assert not backend(np.zeros(SAMPLE_RATE, np.float32), 25.0).any()
    assert 0.6 < backend(sound, 25.0).std() < 1.6
    rng = np.random.default_rng(0)
    assert not backend((1e-4 * rng.normal(size=SAMPLE_RATE)).astype(np.float32), 25.0).any()


def test_shortest_sound_has_windows():
    windows = extract_windows([vowels(0.05)], 25.0, Moonshine(20, 0.02), Path("short"))
    assert windows[:].shape == (1, 20, 576) and np.isfinite(windows[:]).all()


# ---------------------------------------------------------------- sound that goes on


def _recent(states: moonshine.RecentStates, wav: np.ndarray, longest: int = 80 * HOP):
    """Rows of the sound so far, as it comes in pieces of 40 ms, and the row that they begin with."""
    first = 0
    for end in range(FIELD + 640, len(wav), 640):
        rows = states.hear(wav[first * HOP : end])
        yield first, end, rows
        spare = (end - first * HOP - longest) // HOP
        if spare > 0:
            states.drop(spare)
            first += spare


def test_recent_rows_that_are_all_computed_again_are_those_of_the_sound(sound):
    wav = sound[: 3 * SAMPLE_RATE]
    for first, end, rows in _recent(moonshine.RecentStates(again=1000), wav):
        np.testing.assert_allclose(rows, moonshine.states_of(wav[first * HOP : end]), atol=0.02)


def test_recent_rows_that_hear_kept_ones_are_nearly_those_of_the_sound(sound):
    """Of those that windows still show, the last twenty; of all, as many as the sound has."""
    wav = sound[: 6 * SAMPLE_RATE]
    ours, whole = [], []
    for first, end, rows in _recent(moonshine.RecentStates(), wav):
        expected = moonshine.states_of(wav[first * HOP : end])
        assert rows.shape == expected.shape
        ours.append(rows[-20:].astype(float).ravel())
        whole.append(expected[-20:].astype(float).ravel())
    assert np.corrcoef(np.concatenate(ours), np.concatenate(whole))[0, 1] > 0.99


def test_recent_rows_are_computed_once_but_for_the_newest(sound, monkeypatch):
    """What is kept costs nothing: of two seconds, some twenty rows go through the layers."""
    computed, real = [], moonshine.MoonshineEncoder.forward

    def forward(self, wav, chosen, past=None):
        states = real(self, wav, chosen, past)
        computed.append(states[0].shape[1])
        return states

    moonshine.prepare()
    monkeypatch.setattr(moonshine.MoonshineEncoder, "forward", forward)
    for _ in _recent(moonshine.RecentStates(again=20), sound[: 3 * SAMPLE_RATE]):
        pass
    assert max(computed[30:]) <= 22


def test_recent_rows_of_silence_are_zero_and_forget_what_was_before(sound):
    states, silence = moonshine.RecentStates(), np.zeros(SAMPLE_RATE, np.float32)
    states.hear(sound[:SAMPLE_RATE])
    assert not states.hear(silence).any()
    wav = np.concatenate([silence, sound[: SAMPLE_RATE // 2]])
    np.testing.assert_allclose(states.hear(wav), moonshine.states_of(wav), atol=0.02)


# ---------------------------------------------------------------- the file


def test_a_damaged_installation_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(bundled, "FOLDER", tmp_path)
    for content in (None, b"", b"no weights"):
        if content is not None:
            (tmp_path / "moonshine_tiny_encoder.safetensors").write_bytes(content)
        with pytest.raises(UserError, match="install it again"):
            bundled.load_bundled("moonshine_tiny_encoder")


def test_matrices_are_unpacked_from_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(bundled, "FOLDER", tmp_path)
    content = {
        "a.bytes": torch.tensor([[0, 10], [200, 255]], dtype=torch.uint8), "a.zero_point": torch.tensor(100, dtype=torch.uint8),
        "a.scale": torch.tensor(0.5), "b": torch.tensor([1.0, 2.0], dtype=torch.float16),
    }  # fmt: skip
    save_file(content, tmp_path / "w.safetensors")
    loaded = bundled.load_bundled("w")
    assert set(loaded) == {"a", "b"} and loaded["b"].dtype == torch.float32
    torch.testing.assert_close(loaded["a"], torch.tensor([[-50.0, 50.0], [-45.0, 77.5]]))


def test_what_the_package_carries_is_what_its_source_holds():
    """Run where moonshine-voice 0.0.68 is installed, which nothing else needs."""
    pytest.importorskip("flatbuffers")
    if importlib.util.find_spec("moonshine_voice") is None:
        pytest.skip("moonshine-voice is not installed")
    spec = importlib.util.spec_from_file_location("convert_moonshine", _CONVERTER)
    convert = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(convert)
    stored = convert.stored_tensors(convert.OrtFile(convert.packaged_file().read_bytes()))
    carried = load_file(bundled.FOLDER / "moonshine_tiny_encoder.safetensors")
    assert set(stored) == set(carried)
    assert all(np.array_equal(stored[name], carried[name]) for name in stored)
    for broken, message in ((b"no model at all", "not an ONNX"), (b"", "not an ONNX"), (b"0000ORTM", "damaged")):
        with pytest.raises(ValueError, match=message):
            convert.OrtFile(broken)


# ---------------------------------------------------------------- joined


def test_joined_windows_are_those_of_the_parts_side_by_side(sound):
    wav = sound[: 3 * SAMPLE_RATE]
    backend = make_backend(AudioConfig(backend="mel+moonshine"))
    assert isinstance(backend, Joined) and backend.streams == (Stream(80, True, 0.25), Stream(576, False))
    windows = extract_windows(np.array_split(wav, 5), 25.0, backend, Path("speech"))
    parts = [LogMel(20, 0.02)(wav, 25.0), Moonshine(20, 0.02)(wav, 25.0)]
    np.testing.assert_allclose(windows[:], np.concatenate(parts, 2), atol=1e-4)
    np.testing.assert_array_equal(windows[np.array([3, 70])], windows[:][[3, 70]])
    assert (backend.silence[:80] == -2).all() and (backend.silence[80:] == 0).all()
    assert backend_from_params(json.loads(json.dumps(backend.params()))).params() == backend.params()


def test_features_of_another_version_are_refused():
    params = make_backend(AudioConfig(backend="mel+moonshine")).params() | {"moonshine": "tiny-en layers 2, 3"}
    with pytest.raises(UserError, match="not those of this version"):
        backend_from_params(params)


@pytest.mark.parametrize("name", ["mel+mel", "mel+deepspeech", "hubert+wav2vec2", "mel+", "mel+guess"])
def test_backends_that_cannot_be_joined_are_refused(name):
    with pytest.raises(UserError, match=r"audio\.backend"):
        default_config([f"audio.backend={name}"])


def test_each_stream_learns_alone_and_their_mean_counts():
    torch.manual_seed(0)
    encoder, head = StreamEncoder(20, (8, 12), ((16, 1), (16, 2)), 10, 0.0), ShapeHead(10, 5, (1.0, 3.0))
    window = torch.randn(3, 20, 20)
    predictions = head.stream_predictions(encoder(window))
    assert predictions.shape == (3, 2, 5)
    torch.testing.assert_close(head(encoder(window)), 0.25 * predictions[:, 0] + 0.75 * predictions[:, 1])
    other = window.clone()
    other[..., 8:] += 1
    changed = head.stream_predictions(encoder(other))
    torch.testing.assert_close(changed[:, 0], predictions[:, 0])
    assert not torch.allclose(changed[:, 1], predictions[:, 1])
    predictions[:, 0].sum().backward()
    assert all(p.grad is None or not p.grad.any() for p in encoder.encoders[1].parameters())
