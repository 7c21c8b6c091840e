"""Which state may be continued, and which is refused."""

import pytest
import torch

from speech2lip.config import Config, config_to_dict, default_config
from speech2lip.errors import UserError
from speech2lip.model.checkpoint import load_tensors, save_tensors
from speech2lip.subject.layout import SubjectLayout
from speech2lip.training.phases import Phase, progress
from speech2lip.training.state import Progress, fingerprint, load_state, save_state
from speech2lip.training.trainer import Trainer


@pytest.fixture
def finished(quick):
    trainer = Trainer(quick)
    assert trainer.run()
    return trainer


def test_other_networks_features_or_experts_are_refused(finished, quick, change):
    lip = config_to_dict(quick)["model"]["lip"] | {"width": 32}
    for other in ({"model": {"lip": lip}}, {"sync": {"window": 7}}):
        with pytest.raises(UserError, match=r"other settings under .*--fresh"):
            Trainer(change(quick, **other))


def test_another_test_split_is_refused(finished, quick, change):
    """Or frames that were trained on would be tested on."""
    with pytest.raises(UserError, match=r"test split \(data\.test_fraction\)"):
        Trainer(change(quick, data={"test_fraction": 0.3}))


def test_another_preprocessing_is_refused(quick, tmp_path, subject_config):
    layout = SubjectLayout(subject_config.data.root)
    first = fingerprint(layout, 0.1)
    assert fingerprint(layout, 0.1) == first != fingerprint(layout, 0.2)
    track = layout.track.read_bytes()
    try:
        layout.track.write_bytes(track + b"x")
        assert fingerprint(layout, 0.1) != first
    finally:
        layout.track.write_bytes(track)


def test_a_longer_budget_and_other_rates_go_on(finished, quick, change):
    more = Trainer(change(quick, train={"steps": 34, "rate": 5e-4, "weight_decay": 0.5}))
    assert more.progress.step == 30 and more.run() and more.progress.step == 34
    groups = more.phases[-1].trainee.optimizer.param_groups
    assert [g["weight_decay"] for g in groups] == [0.5, 0.0] and [g["scale"] for g in groups] == [
        quick.train.speech_rate,
        1.0,
    ]


@pytest.mark.parametrize("damage", ["progress", "phase"])
def test_states_of_other_versions_are_refused(finished, quick, damage):
    content = load_tensors(finished.state_file, "")
    if damage == "progress":
        del content["progress"]["skipped"]
    else:
        content["progress"] |= {"phase": 99, "phase_step": 1}
        content["parts"]["phase"] = {}
    save_tensors(finished.state_file, content)
    with pytest.raises(UserError, match="--fresh"):
        Trainer(quick)


def test_the_precision_that_was_decided_on_stays(finished, quick, monkeypatch, change):
    content = load_tensors(finished.state_file, "")
    content["progress"]["use_bf16"] = True
    save_tensors(finished.state_file, content)
    monkeypatch.setattr("speech2lip.training.trainer.has_bfloat16", lambda device: False)
    assert Trainer(change(quick, train={"amp": True})).model.use_bf16


def test_budgets_in_steps_and_in_minutes(change, quick):
    steps, minutes = quick.train, change(quick, train={"minutes": 2.0}).train
    assert progress(steps, 15, 1e6) == 0.5 and progress(minutes, 10**6, 30.0) == 0.25 and progress(minutes, 0, 1e9) == 1
    phase = Phase("speech", None, 0.2, 100)
    assert phase.spent(steps, 3, 1e6) == 0.5 and phase.spent(steps, 60, 0.0) == 1
    assert phase.spent(minutes, 10, 12.0) == 0.5 and phase.spent(minutes, 50, 1.0) == 0.5  # whichever comes first
    assert Phase("speech", None, 0.01, 100).spent(steps, 0, 0.0) == 0  # a phase has one step at least


@pytest.mark.parametrize(
    "steps, most, minutes, said", [(3, 900, 2.0, True), (60, 900, 2.0, False), (3, 3, 2.0, False), (3, 900, 0.0, False)]
)
def test_a_phase_that_had_no_time_says_so(change, quick, capsys, steps, most, minutes, said):
    trainer = Trainer(change(quick, train={"minutes": minutes}))
    trainer.progress.phase_step = steps
    trainer._tell_if_short(Phase("speech", None, 0.1, most))
    err = capsys.readouterr().err
    assert (f"speech: only {steps} steps fitted into its share of 2 minutes" in err) == said


def test_a_state_comes_back_through_its_file(tmp_path):
    save_state(tmp_path / "last.pt", Config(), {"subject": "x"}, {"weights": torch.ones(2)}, Progress(7))
    content = load_state(tmp_path / "last.pt", Config(), {"subject": "x"})
    assert Progress(**content["progress"]) == Progress(7) and content["parts"]["weights"].sum() == 2


def test_a_file_of_other_networks_or_another_subject_is_refused(tmp_path):
    save_state(tmp_path / "last.pt", Config(), {"subject": "x"}, {}, Progress())
    with pytest.raises(UserError, match="other settings under `model`"):
        load_state(tmp_path / "last.pt", default_config(["model.lip.width=32"]), {"subject": "x"})
    with pytest.raises(UserError, match="another preprocessing"):
        load_state(tmp_path / "last.pt", Config(), {"subject": "y"})


def test_a_state_from_before_the_second_look_is_continued(tmp_path):
    """It says nothing of it; anything else that lacks is another version's."""
    path = tmp_path / "last.pt"
    save_state(path, Config(), {"subject": "x"}, {}, Progress(7, looked=True))
    content = load_tensors(path, "")
    del content["progress"]["looked"]
    save_tensors(path, content)
    assert Progress(**load_state(path, Config(), {"subject": "x"})["progress"]) == Progress(7)
    del content["progress"]["skipped"]
    save_tensors(path, content)
    with pytest.raises(UserError, match="another version"):
        load_state(path, Config(), {"subject": "x"})
