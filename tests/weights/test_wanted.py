"""Optional files that a configuration asks for: each is missed before anything slow, in one sentence that names the way out."""

import numpy as np
import pytest

from speech2lip.audio.features import make_backend
from speech2lip.cli import main
from speech2lip.config import default_config
from speech2lip.errors import UserError
from speech2lip.media.sound import SAMPLE_RATE, save_wav
from speech2lip.preparation import pipeline
from speech2lip.training import trainer
from speech2lip.weights.wanted import check_weights

# Settings; the step that reads the file; what the sentence names.
TABLE = [
    (("face.tracker=bfm",), "preprocess", "01_MorphableModel.mat"),
    (("face.tracker=gnm",), "preprocess", "speech2lip weights fetch gnm"),
    (("face.parsing=bisenet",), "preprocess", "79999_iter.pth"),
    (("audio.backend=deepspeech",), "preprocess", "speech2lip weights fetch deepspeech"),
    (("audio.backend=deepspeech", "audio.model=gone.safetensors"), "preprocess", "gone.safetensors"),
    (("model.prior=gone.safetensors",), "train", "gone.safetensors"),
    (("loss.perceptual=lpips",), "train", "alexnet-owt-7be5be79.pth"),
    (("sync.expert=wav2lip", "sync.window=5"), "train", "lipsync_expert.pth"),
]
NAMES = ["+".join(row[0]) for row in TABLE]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SPEECH2LIP_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def _sentence(error: str) -> str:
    assert ("\n" not in error.strip() and "use " in error) or "unset" in error
    return error


@pytest.mark.parametrize("settings, step, named", TABLE, ids=NAMES)
def test_the_step_that_needs_a_file_says_so_and_the_other_does_not(settings, step, named):
    config = default_config(list(settings))
    with pytest.raises(UserError) as caught:
        check_weights(config, (step,))
    assert named in _sentence(str(caught.value))
    check_weights(config, ({"train": "preprocess", "preprocess": "train"}[step],))


@pytest.mark.parametrize("settings, step, named", TABLE, ids=NAMES)
def test_run_finds_it_before_the_clip_is_opened(settings, step, named, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(pipeline, "open_clip", lambda *_: pytest.fail("the clip was opened"))
    (tmp_path / "clip.mp4").touch()
    save_wav(tmp_path / "speech.wav", np.random.default_rng(0).normal(0, 0.1, SAMPLE_RATE).astype(np.float32))
    given = ["--video", "clip.mp4", "--audio", "speech.wav", "--out", "out.mp4", *settings]
    assert main(["run", *given]) == 2
    assert named in _sentence(capsys.readouterr().err)


@pytest.mark.parametrize("settings, step, named", TABLE, ids=NAMES)
def test_the_command_of_its_step_finds_it_first(settings, step, named, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(pipeline, "open_clip", lambda *_: pytest.fail("the clip was opened"))
    monkeypatch.setattr(trainer, "Trainer", lambda *_: pytest.fail("training began"))
    words = {"preprocess": ["preprocess", "--video", "clip.mp4"], "train": ["train"]}[step]
    assert main([*words, *settings]) == 2
    assert named in _sentence(capsys.readouterr().err)


def test_a_converted_network_or_a_loss_without_weight_needs_no_file(tmp_path):
    check_weights(default_config(["loss.perceptual=lpips", "loss.perceptual_weight=0"]))
    (tmp_path / "home" / "models").mkdir(parents=True)
    (tmp_path / "home" / "models" / "deepspeech-0_1_0-b90017e8.safetensors").touch()
    check_weights(default_config(["audio.backend=deepspeech"]))


def test_the_defaults_need_nothing():
    check_weights(default_config([]))


@pytest.mark.parametrize("kind", ["hubert", "wav2vec2"])
def test_a_speech_model_without_weights_is_found_when_the_backend_is_made(kind, tmp_path):
    transformers = pytest.importorskip("transformers")
    {"hubert": transformers.HubertConfig, "wav2vec2": transformers.Wav2Vec2Config}[kind]().save_pretrained(
        tmp_path / "m"
    )
    with pytest.raises(UserError, match="no weights"):
        make_backend(default_config([f"audio.backend={kind}", f"audio.model={tmp_path / 'm'}"]).audio)
