"""A speech encoder that is learned from several subjects, and where training starts."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from speech2lip.audio.features import backend_from_params
from speech2lip.cli import main
from speech2lip.config import Config, default_config
from speech2lip.errors import UserError
from speech2lip.model.builder import speech_networks
from speech2lip.subject.index import parse_subject
from speech2lip.subject.layout import SubjectLayout
from speech2lip.training.prior import learn_prior, load_prior, start_from_prior
from speech2lip.training.trainer import make_context, make_model
from tests.fuzz import seeds

SMALL = ("model.lip.audio_width=4", "model.lip.embedding=4", "model.lip.shape_codes=2", "data.test_fraction=0")


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    """Two of the smallest subjects."""
    folder = tmp_path_factory.mktemp("people")
    for name in ("ann", "bob"):
        seeds.make_subject(folder)
        (folder / "subject").rename(folder / name)
    return [folder / "ann", folder / "bob"]


@pytest.fixture(scope="module")
def prior(roots, tmp_path_factory):
    out = tmp_path_factory.mktemp("prior") / "p.safetensors"
    assert main(["prior", *map(str, roots), "--out", str(out), "--steps", "3", "train.speech_batch=8", *SMALL]) == 0
    return out


def _encoder(root):
    audio = SubjectLayout(root).load_subject().audio
    return speech_networks(default_config(["data.root=x", *SMALL]), backend_from_params(audio))[0], dict(audio)


def test_a_training_begins_with_it_and_says_so(prior, roots, change, capsys):
    _, facts = load_prior(prior)
    assert facts.people == ("ann", "bob") and facts.steps == 3
    config = change(seeds.config_for(roots[0].parent), data={"root": str(roots[0])}, model={"prior": str(prior)})
    model = make_model(make_context(config))
    assert f"begins with what ann, bob said in {facts.frames} frames" in capsys.readouterr().out
    for name, value in model.encoder.state_dict().items():
        torch.testing.assert_close(value, load_file(prior)[name])
    other = make_model(make_context(change(config, model={"prior": ""})))
    assert any((a != b).any() for a, b in zip(model.encoder.parameters(), other.encoder.parameters(), strict=True))
    assert torch.equal(model.shape_head.heads[0][1].weight, other.shape_head.heads[0][1].weight)  # chance is as without


def test_a_prior_of_other_features_or_widths_is_refused(prior, roots):
    encoder, audio = _encoder(roots[0])
    with pytest.raises(UserError, match="learned from the audio features"):
        start_from_prior(encoder, prior, {**audio, "window": 5})
    narrow = default_config(["data.root=x", "model.lip.audio_width=16"])
    encoder, _ = speech_networks(narrow, backend_from_params(audio))
    with pytest.raises(UserError, match=r"train without model\.prior"):
        start_from_prior(encoder, prior, audio)


def _cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


@pytest.mark.parametrize("damage", [_cut, lambda data: b"", lambda data: b"\xff" * 64])
def test_damaged_files_are_refused_in_one_sentence(prior, tmp_path, damage):
    path = tmp_path / "p.safetensors"
    path.write_bytes(damage(prior.read_bytes()))
    with pytest.raises(UserError, match=r"p\.safetensors is no prior"):
        load_prior(path)
    with pytest.raises(UserError, match="which is not there"):
        load_prior(tmp_path / "nowhere.safetensors")


def test_numbers_that_are_none_and_foreign_files_are_refused(prior, tmp_path):
    state = load_file(prior)
    save_file(state, tmp_path / "foreign.safetensors")
    with pytest.raises(UserError, match="is no prior of this version"):
        load_prior(tmp_path / "foreign.safetensors")
    name = next(iter(state))
    facts = {"kind": "speech2lip prior", "version": "1", "facts": "[]"}
    save_file(state, tmp_path / "facts.safetensors", facts)
    with pytest.raises(UserError, match="no prior that can be read"):
        load_prior(tmp_path / "facts.safetensors")
    facts["facts"] = '{"people": ["ann"], "frames": 1, "steps": 1, "audio": {}}'
    save_file({**state, name: torch.full_like(state[name], np.nan)}, tmp_path / "nan.safetensors", facts)
    with pytest.raises(UserError, match="no prior that can be read"):
        load_prior(tmp_path / "nan.safetensors")


def test_subjects_of_other_features_do_not_go_together(roots, tmp_path, monkeypatch):
    from speech2lip.training import prior as module

    real, seen = module.parse_subject, []

    def other(layout, fraction):
        index = real(layout, fraction)
        seen.append(index)
        index.subject.audio["step"] = 0.02 if len(seen) == 1 else 0.01
        return index

    monkeypatch.setattr(module, "parse_subject", other)
    with pytest.raises(UserError, match="preprocess them alike"):
        learn_prior(roots, tmp_path / "p.safetensors", default_config(["data.root=x", *SMALL]), 2)
    assert not (tmp_path / "p.safetensors").exists()


def test_what_sounds_do_to_a_mouth_is_learned(subject_config, tmp_path):
    """With a new linear head on the frozen encoder, unheard frames are told better than with one that heard nothing."""
    settings = ["data.root=x", "train.speech_batch=32", "data.test_fraction=0.3"]
    learn_prior([Path(subject_config.data.root)], tmp_path / "p.safetensors", default_config(settings), 800)
    index = parse_subject(SubjectLayout(subject_config.data.root), 0.3)
    windows, mouth = (
        torch.from_numpy(np.array(index.windows)).float(),
        torch.from_numpy(index.track.mouth).flatten(1).double(),
    )
    errors = []
    for learned in (False, True):
        torch.manual_seed(0)
        encoder, _ = speech_networks(Config(), backend_from_params(index.subject.audio))
        if learned:
            start_from_prior(encoder, tmp_path / "p.safetensors", dict(index.subject.audio))
        with torch.no_grad():
            heard = torch.cat([encoder.eval()(part) for part in windows.split(128)]).double()
        heard = torch.cat([heard - heard[index.train].mean(0), torch.ones(len(heard), 1)], 1)
        known, unheard = heard[index.train], heard[index.test]
        ridge = torch.linalg.solve(known.T @ known + 0.1 * torch.eye(heard.shape[1]), known.T @ mouth[index.train])
        errors.append(float((unheard @ ridge - mouth[index.test]).square().mean()))
    assert errors[1] < 0.8 * errors[0], errors
