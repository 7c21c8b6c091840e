"""The loop: it learns, it stops and goes on as if it had not stopped, it spends its budget, it loses nothing."""

import random
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from speech2lip.errors import UserError
from speech2lip.metrics.basic import psnr
from speech2lip.model.checkpoint import load_checkpoint
from speech2lip.training import trainer
from speech2lip.training.phases import NotFinite
from speech2lip.training.trainer import Trainer, fit
from speech2lip.training.validation import validate


class Interrupted(Trainer):
    """Is asked to stop in the middle of its n-th step."""

    def __init__(self, config, steps):
        super().__init__(config)
        self.left = steps

    def _step(self, phase, done):
        self.left -= 1
        if self.left == 0:
            signal.raise_signal(signal.SIGTERM)
        return super()._step(phase, done)


def _weights(trainer):
    return {**trainer.model.state_dict(), **{f"average.{k}": v for k, v in trainer.average.values.items()}}


@pytest.mark.slow
def test_pictures_are_learned_beyond_the_mean_lip(change, subject_config, tmp_path):
    """Drawn from the measured shape, unseen mouths are nearer to the real ones than the mean mouth is, by 1 dB at least."""
    train = {
        "steps": 300, "output": str(tmp_path), "amp": False, "speech_share": 0.1, "articulate": 1.0, "rate": 3e-3, "ema": 0.98,
        "code_noise": 0.02, "validate_every": 1.0,
    }  # fmt: skip
    trainer = Trainer(change(subject_config, train=train, loss={"swap": 0.0, "depth": 0.0}, sync={"expert": "none"}))
    index, data = trainer.context.index, trainer.context.data
    lips = data.lips(index.test)
    mask = torch.nn.functional.interpolate(trainer.model.space.lip_mask[None, None], lips.shape[2:], mode="area")
    mean = float(np.mean(psnr(trainer.model.lip.base.expand_as(lips), lips, mask)))
    assert trainer.run()
    with trainer.average.applied(trainer.model):
        metrics, _ = validate(trainer.model, data, index)
    assert metrics["psnr_drawn"] > mean + 1 and metrics["opening_r"] > 0.4


def test_a_finished_training_leaves_its_model_and_its_state(model_path):
    checkpoint = load_checkpoint(model_path)
    assert checkpoint.metrics["steps"] == 160 and checkpoint.config.name == "speaker"
    assert sorted(p.name for p in model_path.parent.glob("*.pt")) == ["last.pt", "model.pt"]


# 3 steps of the sync expert, 3 x 2 of the folds, 6 of speech, 15 of everything together
@pytest.mark.parametrize("stop", [1, 3, 4, 6, 9, 12, 15, 16, 24, 30])
def test_interrupted_anywhere_and_continued_equals_uninterrupted(quick, change, tmp_path, stop, straight):
    config = change(quick, train={"output": str(tmp_path / "b")})
    first = Interrupted(config, stop)
    assert not first.run()
    second = Trainer(config)
    assert second.progress == first.progress
    assert second.run()
    for name, value in straight.items():
        torch.testing.assert_close(_weights(second)[name], value, rtol=0, atol=0, msg=name)


def test_bars_begin_where_their_phases_do(quick, change, tmp_path, monkeypatch):
    """What earlier phases and runs have done says nothing of how fast this one goes; the time that is left would be too short."""
    begun, bar = [], trainer.bar
    monkeypatch.setattr(
        trainer, "bar", lambda title, *rest, done: begun.append((title, done)) or bar(title, *rest, done=done)
    )
    config = change(quick, train={"output": str(tmp_path)})
    assert not Interrupted(config, 24).run()
    assert Trainer(config).run()
    first, again = [done for title, done in begun if title == begun[-1][0]]
    assert 0 < first < again < 1000 and begun[0][1] == 0


@pytest.fixture(scope="module")
def straight(subject_config, change, few_steps, tmp_path_factory):
    """Weights of the same training without interruption."""
    train = few_steps | {"output": str(tmp_path_factory.mktemp("straight"))}
    trainer = Trainer(change(subject_config, train=train, sync={"share": 0.1}))
    assert trainer.run()
    assert [p.name for p in trainer.phases] == [
        "sync expert",
        *(f"articulation {k}/3" for k in (1, 2, 3)),
        "speech",
        "training",
    ]
    return _weights(trainer)


def test_interrupted_again_and_again_it_still_arrives(quick, change, tmp_path, straight):
    """No number of interruptions loses a step or counts one twice."""
    config, chance = change(quick, train={"output": str(tmp_path / "c")}), random.Random(0)
    for _ in range(60):
        if Interrupted(config, chance.randint(1, 5)).run():
            break
    assert (tmp_path / "c" / "speaker" / "model.pt").is_file()
    last = Trainer(config)
    for name, value in straight.items():
        torch.testing.assert_close(_weights(last)[name], value, rtol=0, atol=0, msg=name)


def test_sigterm_saves_stops_and_gives_the_signal_back(quick):
    trainer = Interrupted(quick, 20)
    assert not trainer.run()
    assert (trainer.folder / "last.pt").is_file() and not trainer.model_file.exists()
    assert 0 < Trainer(quick).spent < 1
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_the_function_ends_like_the_command(quick, monkeypatch):
    monkeypatch.setattr("speech2lip.training.trainer.Trainer", lambda config, fresh: Interrupted(config, 2))
    with pytest.raises(KeyboardInterrupt, match=r"signal 15.*run the same command"):
        fit(quick)


def test_finished_training_is_not_repeated(quick, capsys):
    assert Trainer(quick).run()
    assert Trainer(quick).run()
    assert "already trained" in capsys.readouterr().out


def test_a_budget_that_is_spent_without_a_model_still_gives_one(quick):
    trainer = Trainer(quick)
    assert trainer.run()
    trainer.model_file.unlink()
    assert Trainer(quick).run() and trainer.model_file.is_file()


def test_starting_over_keeps_the_finished_model_until_the_new_one_is_finished(quick):
    path = fit(quick)
    finished = path.read_bytes()
    Trainer(quick).state_file.unlink()
    fresh = Interrupted(quick, 25)
    assert not fresh.run()
    assert path.read_bytes() == finished
    assert Trainer(quick).run()
    assert (path.parent / "model.prev.pt").read_bytes() == finished and path.is_file()


def test_steps_without_a_usable_loss_change_nothing_are_counted_and_end_training_when_many(quick, change):
    config = change(quick, train={"max_skipped": 2}, sync={"expert": "none"})
    trainer = Trainer(config)
    phase, bad = trainer.phases[-1], {"left": 1}
    real = phase.trainee._terms

    def spoiled(*given):
        terms = real(*given)
        bad["left"] -= 1
        return terms | ({"photometric": terms["photometric"] * float("nan")} if bad["left"] >= 0 else {})

    phase.trainee._terms = spoiled
    trainer.progress.phase = len(trainer.phases) - 1
    before = {k: v.clone() for k, v in _weights(trainer).items() if "num_batches" not in k and "running" not in k}
    assert trainer._step(phase, 0.0) == {} and trainer.progress.skipped == 1
    assert all(torch.equal(v, _weights(trainer)[k]) for k, v in before.items())
    assert "total" in trainer._step(phase, 0.0)
    bad["left"] = 100
    with pytest.raises(UserError, match=r"gave up after 3 steps.*train\.rate"):
        for _ in range(5):
            trainer._step(phase, 0.0)


def test_a_loss_that_is_no_number_is_said_before_anything_moves(quick):
    from speech2lip.training.optimise import descend

    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    with pytest.raises(NotFinite):
        descend(optimizer, weight.sum() * float("inf"))
    with pytest.raises(NotFinite, match="gradient"):
        descend(optimizer, (weight - 1).abs().sqrt().sum())  # finite, but not its slope
    assert weight.item() == 1 and weight.grad is None


def test_a_signal_while_a_phase_ends_loses_no_part_of_the_calibration(quick, change, tmp_path, straight):
    config = change(quick, train={"output": str(tmp_path / "d")})
    trainer = Trainer(config)
    fold = trainer.phases[2].trainee
    real = fold.end
    fold.end = lambda: (signal.raise_signal(signal.SIGTERM), real())
    assert not trainer.run() and trainer.progress.phase == 3
    last = Trainer(config)
    assert len(last.calibration.frames) == 2 and last.run()
    for name, value in straight.items():
        torch.testing.assert_close(_weights(last)[name], value, rtol=0, atol=0, msg=name)


@pytest.mark.parametrize("damage", ["truncated", "text", "pickle"])
def test_damaged_checkpoints_are_refused_and_run_nothing(model_path, tmp_path, damage):
    import pickle

    path = tmp_path / "model.pt"
    marker = tmp_path / "executed"
    if damage == "truncated":
        path.write_bytes(model_path.read_bytes()[:5000])
    elif damage == "text":
        path.write_text("weights")
    else:

        class Evil:
            def __reduce__(self):
                return Path.touch, (marker,)

        path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(UserError, match="not a sound checkpoint"):
        load_checkpoint(path)
    assert not marker.exists()


def test_missing_checkpoint_names_the_command(tmp_path):
    with pytest.raises(UserError, match="speech2lip train"):
        load_checkpoint(tmp_path / "model.pt")
