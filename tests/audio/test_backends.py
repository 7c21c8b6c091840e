"""Audio backends beside log-mel: DeepSpeech, HuBERT and wav2vec 2.0, phones."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from speech2lip.audio import deepspeech, deepspeech_graph
from speech2lip.audio.backend import frame_count
from speech2lip.audio.features import (
    DeepSpeech,
    HiddenStates,
    Phones,
    backend_from_params,
    extract_windows,
    make_backend,
)
from speech2lip.audio.phones import PHONES, phone_segments
from speech2lip.audio.rows import FeatureWindows, Rows, chunks_at_silence, resample_rows, window_offsets
from speech2lip.config import AudioConfig
from speech2lip.errors import UserError
from speech2lip.media.sound import SAMPLE_RATE, load_audio, save_wav
from speech2lip.nets.pretrained.deepspeech import DeepSpeechNet, net_of_state, state_from_graph
from speech2lip.voice.synthesis import synthesize

SIZES = {"inputs": 494, "widths": (24, 20, 28), "cell": 12, "last": 16, "outputs": 29}


def _tensorflow() -> ModuleType:
    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip("TensorFlow is not there")
    return deepspeech_graph._tensorflow(Path("graph.pb"))


def test_tensorflow_comes_after_triton_which_would_end_the_process_behind_it(tmp_path):
    """Packages of those names, which say when they are loaded."""
    for name in ("tensorflow", "triton"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"print('{name}')\n")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from pathlib import Path\n"
        "from speech2lip.audio import deepspeech_graph; deepspeech_graph._tensorflow(Path('graph.pb'))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["triton", "tensorflow"]


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return synthesize("Maybe my mum prefers warm bread, but she says so to nobody.").wav


# ---------------------------------------------------------------- DeepSpeech


def _constants(seed: int = 0) -> dict[str, np.ndarray]:
    """Weights of a small network under the frozen graph's names."""
    rng = np.random.default_rng(seed)
    a, b, c = SIZES["widths"]
    cell = SIZES["cell"]
    shapes = {
        "h1": (494, a), "h2": (a, b), "h3": (b, c), "h5": (2 * cell, SIZES["last"]), "h6": (SIZES["last"], 29),
        "bidirectional_rnn/fw/basic_lstm_cell/kernel": (c + cell, 4 * cell),
        "bidirectional_rnn/bw/basic_lstm_cell/kernel": (c + cell, 4 * cell),
    }  # fmt: skip
    out = {name: rng.normal(0, 2 / np.sqrt(shape[0]), shape).astype(np.float32) for name, shape in shapes.items()}
    for name, shape in list(shapes.items()):
        bias = name.replace("kernel", "bias") if "/" in name else f"b{name[1]}"
        out[bias] = rng.normal(0, 0.5, shape[1]).astype(np.float32)
    return out


def _frozen_graph(constants: dict[str, np.ndarray], path: Path) -> None:
    """A TensorFlow graph of DeepSpeech's structure: dense layers, a fused LSTM in both directions, logits [T, B, 29]."""
    tf = _tensorflow()
    graph = tf.Graph()
    with graph.as_default():
        weights = {name: tf.constant(value, name=name) for name, value in constants.items()}
        rows = tf.compat.v1.placeholder(tf.float32, (1, None, 494), "input_node")
        tf.compat.v1.placeholder(tf.int32, (1,), "input_lengths")
        x = tf.reshape(tf.transpose(rows, (1, 0, 2)), (-1, 494))

        def dense(x, k):
            return tf.minimum(tf.nn.relu(tf.matmul(x, weights[f"h{k}"]) + weights[f"b{k}"]), 20.0)

        for k in (1, 2, 3):
            x = dense(x, k)

        def lstm(sequence, direction):
            cell = SIZES["cell"]
            length = tf.shape(sequence)[0]
            zero = tf.zeros((1, cell))
            none = tf.zeros((cell,))
            place = f"bidirectional_rnn/{direction}/basic_lstm_cell"
            out = tf.raw_ops.BlockLSTM(
                seq_len_max=tf.cast(length, tf.int64), x=sequence, cs_prev=zero, h_prev=zero, w=weights[f"{place}/kernel"],
                wci=none, wcf=none, wco=none, b=weights[f"{place}/bias"], forget_bias=1.0, cell_clip=-1.0, use_peephole=False,
            )  # fmt: skip
            return out.h

        sequence = tf.expand_dims(x, 1)
        ahead, behind = lstm(sequence, "fw"), tf.reverse(lstm(tf.reverse(sequence, [0]), "bw"), [0])
        both = tf.reshape(tf.concat([ahead, behind], 2), (-1, 2 * SIZES["cell"]))
        tf.reshape(tf.matmul(dense(both, 5), weights["h6"]) + weights["b6"], (-1, 1, 29), name="logits")
    path.write_bytes(graph.as_graph_def().SerializeToString())


@pytest.fixture(scope="module")
def graph(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("graph") / "deepspeech.pb"
    _frozen_graph(_constants(), path)
    return path


def _run_graph(path: Path, rows: np.ndarray) -> np.ndarray:
    tf = _tensorflow()
    definition = tf.compat.v1.GraphDef()
    definition.ParseFromString(path.read_bytes())
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(definition, name="")
        with tf.compat.v1.Session(graph=graph) as session:
            return session.run("logits:0", {"input_node:0": rows[None], "input_lengths:0": [len(rows)]})[:, 0]


def test_converted_network_equals_the_frozen_graph(graph, tmp_path):
    rows = np.random.default_rng(1).normal(size=(57, 494)).astype(np.float32)
    deepspeech_graph.convert_graph(graph, tmp_path / "net.safetensors", "get it again")
    ours = deepspeech.load_network(tmp_path / "net.safetensors")(torch.from_numpy(rows)).numpy()
    theirs = _run_graph(graph, rows)
    assert ours.shape == theirs.shape == (57, 29)
    np.testing.assert_allclose(ours, theirs, atol=1e-5 * np.abs(theirs).max())


def test_logits_do_not_depend_on_the_chunk():
    constants = _constants()
    chosen = {name: value for name, value in constants.items() if "/" not in name}
    chosen |= {"/".join([n.split("/")[1], n.split("/")[3]]): v for n, v in constants.items() if "/" in n}
    net = net_of_state(state_from_graph(chosen))
    rows = torch.randn(101, 494, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(net(rows, chunk=7), net(rows, chunk=1000), atol=1e-5, rtol=1e-5)


def test_full_size_network_has_the_published_shapes():
    with torch.device("meta"):
        net = DeepSpeechNet()
    assert net.before[2].weight.shape == (4096, 2048) and net.forwards.weight_ih_l0.shape == (8192, 4096)
    assert net.output.weight.shape == (29, 2048)


def test_windows_at_25_frames_are_the_published_ones():
    """Rows 2i - 8 to 2i + 7, zero beyond both ends, without interpolation."""
    rows = np.random.default_rng(0).normal(size=(80, 29)).astype(np.float32)
    theirs = deepspeech.stride_windows(rows)
    ours = FeatureWindows((Rows(rows, 50.0, 0.0),), 25.0, len(theirs), window_offsets(16, 0.02, centred=False))[:]
    np.testing.assert_array_equal(ours, theirs)


def test_deepspeech_backend_end_to_end(graph, tmp_path, speech):
    deepspeech_graph.convert_graph(graph, tmp_path / "net.safetensors", "get it again")
    backend = make_backend(AudioConfig(backend="deepspeech", window=16, model=str(tmp_path / "net.safetensors")))
    windows = extract_windows([speech], 25.0, backend, Path("speech"))[:]
    assert windows.shape == (frame_count(len(speech), 25.0), 16, 29) and np.isfinite(windows).all()
    assert isinstance(backend_from_params(backend.params()), DeepSpeech)


@pytest.mark.parametrize(
    ("content", "message"), [(b"no graph at all \xff\xff\xff", "TensorFlow graph"), (b"", "no constant")]
)
def test_bad_graphs_are_refused(tmp_path, content, message):
    _tensorflow()
    path = tmp_path / "x.pb"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        deepspeech_graph.convert_graph(path, tmp_path / "out.safetensors", "get it again")
    assert not (tmp_path / "out.safetensors").exists()


def test_missing_weights_name_file_licence_and_alternative(tmp_path, monkeypatch, speech):
    monkeypatch.setenv("SPEECH2LIP_HOME", str(tmp_path))
    backend = make_backend(AudioConfig(backend="deepspeech", window=16))
    with pytest.raises(UserError, match=r"deepspeech-0_1_0-b90017e8\.pb is missing.*MPL-2\.0.*audio\.backend=mel"):
        backend(speech, 25.0)


def test_damaged_converted_weights_are_refused(tmp_path):
    path = tmp_path / "net.safetensors"
    path.write_bytes(b"\x08\0\0\0\0\0\0\0{broken}")
    with pytest.raises(UserError, match="no converted DeepSpeech network"):
        deepspeech.load_network(path)


def test_published_script_extracts_deepspeech_features(graph, workspace, speech):
    """The recipe's shell script, with this backend, for a subject of any name."""
    weights = workspace / "net.safetensors"
    deepspeech_graph.convert_graph(graph, weights, "get it again")
    folder = workspace / "dataset" / "somebody_face_crop_lip" / "audio"
    folder.mkdir(parents=True)
    save_wav(folder / "audio.wav", speech)
    command = ["bash", "extract_ds_features_may.sh", "somebody", "audio.backend=deepspeech", "audio.window=16"]
    subprocess.run(
        [*command, f"audio.model={weights}"], cwd=workspace / "preprocess/deepspeech_features", check=True,
        env=os.environ | {"VIRTUAL_ENV": sys.prefix, "PYTHONPATH": str(workspace)}, capture_output=True,
    )  # fmt: skip
    assert np.load(folder / "audio.npy").shape == (frame_count(len(speech), 25.0), 16, 29)
    assert json.loads((folder / "audio.json").read_text())["backend"] == "deepspeech"


# ---------------------------------------------------------------- HuBERT and wav2vec 2.0


@pytest.fixture(scope="module", params=["hubert", "wav2vec2"])
def tiny(request, tmp_path_factory):
    """A random model of each kind, saved to disk: (kind, folder)."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp(request.param)
    classes = {
        "hubert": (transformers.HubertConfig, transformers.HubertModel),
        "wav2vec2": (transformers.Wav2Vec2Config, transformers.Wav2Vec2Model),
    }
    configuration, model = classes[request.param]
    torch.manual_seed(0)
    settings = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 48}
    settings |= {"conv_dim": (16,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4}
    model(configuration(**settings)).save_pretrained(folder)
    return request.param, folder


def test_hidden_states_follow_the_protocol(tiny, speech):
    kind, folder = tiny
    backend = make_backend(AudioConfig(backend=kind, model=str(folder), window=12))
    assert isinstance(backend, HiddenStates) and backend.channels == 32
    windows = extract_windows([speech], 25.0, backend, Path("speech"))[:]
    assert windows.shape == (frame_count(len(speech), 25.0), 12, 32) and np.isfinite(windows).all()
    assert 0.5 < windows.std() < 1.2
    again = backend_from_params(backend.params())
    assert again.params() == backend.params() and again.channels == 32


def test_layers_differ_and_wrong_ones_are_refused(tiny, speech):
    kind, folder = tiny
    first, last = (HiddenStates(kind, 8, 0.02, str(folder), layer)(speech, 25.0) for layer in (0, -1))
    assert np.abs(first - last).max() > 1e-2
    with pytest.raises(UserError, match="hidden states 0 to 3"):
        HiddenStates(kind, 8, 0.02, str(folder), 9)


def test_long_audio_is_heard_in_chunks_without_seams(tiny):
    """With convolutions alone (layer 0 less its positional part) chunks must join; attention may differ slightly."""
    kind, folder = tiny
    from speech2lip.audio import speech_models

    wav = np.random.default_rng(0).normal(0, 0.1, 50 * SAMPLE_RATE).astype(np.float32)
    model = speech_models.SpeechModel(kind, str(folder), 0)
    chunked = model(wav)
    assert len(chunked) == 50 * 50
    normal = ((wav - wav.mean()) / (wav.std() + 1e-7)).astype(np.float32)
    seam = chunks_at_silence(normal, 30 * SAMPLE_RATE, 320)[0][1] // 320
    around = slice(seam - 20, seam + 20)
    start = (seam - 200) * 320
    whole = model._states(normal[start : start + 400 * 320])[180:220]
    assert np.corrcoef(chunked[around].ravel(), whole.ravel())[0, 1] > 0.99


def test_models_of_the_wrong_kind_or_nowhere_are_refused(tiny, tmp_path):
    kind, folder = tiny
    other = {"hubert": "wav2vec2", "wav2vec2": "hubert"}[kind]
    with pytest.raises(UserError, match=f"is a {kind} model"):
        HiddenStates(other, 8, 0.02, str(folder), -1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="cannot be loaded"):
        HiddenStates(kind, 8, 0.02, str(tmp_path / "empty"), -1)


# ---------------------------------------------------------------- phones


def test_phones_are_heard_where_they_are_said(speech):
    pytest.importorskip("pocketsphinx")
    segments = phone_segments(speech)
    spoken = [name for name, _, _ in segments if name in PHONES]
    assert len(spoken) > 15 and "M" in spoken
    starts = [start for _, start, _ in segments]
    assert starts == sorted(starts) and segments[-1][2] <= len(speech) / SAMPLE_RATE + 0.05
    windows = Phones(16, 0.02)(speech, 25.0)
    assert windows.shape == (frame_count(len(speech), 25.0), 16, len(PHONES))
    assert windows.min() >= 0 and windows.max() <= 1 + 1e-6


def test_silence_has_no_phones():
    pytest.importorskip("pocketsphinx")
    assert Phones(16, 0.02)(np.zeros(SAMPLE_RATE, np.float32), 25.0).max() < 0.5


# ---------------------------------------------------------------- rows


def test_chunks_cover_everything_and_cut_at_pauses():
    wav = np.random.default_rng(0).normal(0, 1, 100_000)
    wav[37_000:38_600] = 0
    pieces = chunks_at_silence(wav, 40_000)
    assert [a for a, _ in pieces[1:]] == [b for _, b in pieces[:-1]] and pieces[0][0] == 0 and pieces[-1][1] == 100_000
    assert 37_000 <= pieces[0][1] <= 38_600


def test_resampling_interpolates_and_continues_the_last_row():
    rows = np.arange(5, dtype=np.float32)[:, None]
    np.testing.assert_allclose(resample_rows(rows, 50, 100, 12)[:, 0], np.minimum(np.arange(12) / 2, 4))


def test_real_speech_from_another_language(clips):
    """Phones and DeepSpeech's front end accept any recording."""
    pytest.importorskip("pocketsphinx")
    wav = load_audio(clips.parent / "audio" / "css10_zh_call_to_arms_0023.wav")
    assert Phones(16, 0.02)(wav, 25.0).shape[0] == frame_count(len(wav), 25.0)
    rows = deepspeech.network_input((wav * 32767).astype(np.int16))
    assert rows.shape[1] == 494 and abs(float(rows.mean())) < 1e-3
