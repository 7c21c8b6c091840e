import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from speech2lip.audio.backend import Stream
from speech2lip.config import config_from_dict, config_to_dict
from speech2lip.errors import UserError
from speech2lip.model.checkpoint import load_checkpoint
from speech2lip.subject.index import frames_alike
from speech2lip.training import losses
from speech2lip.training.augment import augment, mix
from speech2lip.training.trainer import Trainer


def _changed(config, **sections):
    raw = config_to_dict(config)
    for name, values in sections.items():
        raw[name] = raw[name] | values if isinstance(values, dict) else values
    return config_from_dict(raw, "test")


@pytest.fixture
def quick(subject_config, tmp_path):
    """Thirty deterministic steps into a folder of their own."""
    return _changed(subject_config, train={"steps": 30, "output": str(tmp_path), "amp": False, "speech_share": 0.2})


def test_training_learns_and_keeps_the_last_weights(model_path):
    checkpoint = load_checkpoint(model_path)
    assert checkpoint.metrics["psnr_lip"] > 15 and checkpoint.metrics["steps"] == 160
    assert checkpoint.config.name == "speaker"
    assert (model_path.parent / "last.pt").is_file()


def test_interrupted_and_continued_equals_uninterrupted(quick, tmp_path):
    straight = Trainer(_changed(quick, train={"output": str(tmp_path / "a")}))
    assert straight.run()

    class Interrupted(Trainer):
        def step(self):
            terms = super().step()
            if self.state.step == 17:
                self.stop = signal.SIGTERM
            return terms

    halves = _changed(quick, train={"output": str(tmp_path / "b")})
    assert not Interrupted(halves).run()
    second = Trainer(halves)
    assert second.state.step == 18
    assert second.run()
    for name, value in straight.model.state_dict().items():
        torch.testing.assert_close(second.model.state_dict()[name], value, msg=name)
    for name, value in straight.average.items():
        torch.testing.assert_close(second.average[name], value, msg=name)


def test_sigterm_saves_and_stops(quick):
    class Signalled(Trainer):
        def step(self):
            if self.state.step == 20:
                signal.raise_signal(signal.SIGTERM)
            return super().step()

    trainer = Signalled(quick)
    assert not trainer.run()
    assert (trainer.folder / "last.pt").is_file()
    assert 0 < Trainer(quick).progress < 1
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_finished_training_is_not_repeated(quick, capsys):
    assert Trainer(quick).run()
    assert Trainer(quick).run()
    assert "already trained" in capsys.readouterr().out


def test_continuing_with_other_networks_is_refused(quick):
    assert Trainer(quick).run()
    with pytest.raises(UserError, match="--fresh"):
        Trainer(_changed(quick, model={"lip": config_to_dict(quick)["model"]["lip"] | {"width": 32}}))


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


def test_no_window_of_frames_crosses_a_cut_or_a_gap(quick):
    trainer = Trainer(quick)
    index = trainer.index
    trainer.index = replace(index, subject=replace(index.subject, shots=((0, 40), (40, index.subject.frames))))
    frames = np.setdiff1d(np.arange(100), [70])
    starts = trainer._windows(frames)
    size = quick.sync.window
    assert not any(s < 40 < s + size for s in starts)
    assert not any(s <= 70 < s + size for s in starts)
    assert {0, 35, 40, 65, 71} <= set(starts.tolist()) and not {36, 39, 66, 70, 96} & set(starts.tolist())


def test_loss_weight_of_zero_switches_a_term_off(quick):
    off = {"perceptual_weight": 0.0, "depth": 0.0, "sync": 0.0, "shape": 0.0}
    trainer = Trainer(_changed(quick, loss=off))
    assert set(trainer.step()) == {"photometric", "fused", "total"}


def test_sync_loss_acts_only_where_a_trained_expert_is(quick):
    for expert, trained, acts in (("none", True, False), ("own", False, False), ("own", True, True)):
        trainer = Trainer(_changed(quick, sync={"expert": expert, "start": 0.0}))
        trainer.state.expert_done = trained
        assert ("sync" in trainer.step()) is acts
    trainer.index = replace(trainer.index, train=trainer.index.train[:20])  # too little to train one
    trainer.state.expert_done = False
    trainer._train_expert(writer=None)
    assert "sync" not in trainer.step()


def test_swapped_surroundings_come_from_another_moment_in_the_own_exposure(quick):
    trainer = Trainer(_changed(quick, loss={"swap": 1.0}))
    frames = trainer.index.train[[3, 40, 90]]
    gain, offset = torch.tensor([0.8, 1.25, 2.0])[:, None, None], torch.tensor([0.1, 0.0, -0.1])[:, None, None]
    batch = trainer.data.batch(frames)
    colour = torch.cat([gain, offset], 1).expand(-1, -1, 3)
    batch = replace(batch, region=replace(batch.region, exposure=colour))
    made, swapped = trainer._surroundings(batch, frames)
    assert swapped.all()
    even = (made - offset[..., None]) / gain[..., None]
    for k, frame in enumerate(frames):
        regions = [trainer.data.region(np.array([f])) for f in trainer._alike[trainer.index.train == frame].ravel()]
        candidates = [(r.image - r.exposure[:, 1, :, None, None]) / r.exposure[:, 0, :, None, None] for r in regions]
        assert min((c - even[k]).abs().max() for c in candidates) < 1e-4
    keep = Trainer(_changed(quick, loss={"swap": 0.0}))
    kept, swapped = keep._surroundings(batch, frames)
    assert kept is batch.region.image and not swapped.any()


def test_frames_alike_are_of_other_moments_and_nearer_than_most(quick):
    index = Trainer(quick).index
    partners = frames_alike(index, count=5)
    assert np.isin(partners, index.train).all()
    assert (np.abs(partners - index.train[:, None]) > index.subject.fps).all()
    apart = index.origins[index.train][:, None] - index.origins[partners]
    any_two = index.origins[index.train][:, None] - index.origins[index.train][None]
    assert np.linalg.norm(apart, axis=-1).mean() < 0.5 * np.linalg.norm(any_two, axis=-1).mean()
    alone = replace(index, train=index.train[:20])
    assert (frames_alike(alone) == alone.train[:, None]).all()


def test_swapped_surroundings_are_judged_by_the_own_lips_alone(quick):
    """Blend-Net changes nothing at first, so the error is that of the drawn lips on their own frame."""
    terms = []
    for share in (0.0, 1.0):
        trainer = Trainer(_changed(quick, loss={"swap": share}, train={"augment": 0.0, "code_noise": 0.0}))
        trainer.model.eval()
        frames = trainer.index.train[::7][:6]
        batch = trainer.data.batch(frames)
        terms.append(trainer._picture_terms(batch, frames))
    torch.testing.assert_close(terms[1]["photometric"], terms[0]["photometric"])
    model, depth = trainer.model, trainer.model.space.depth()
    embedding, _ = model.encode_audio(batch.windows, batch.frame)
    lip = model.decode_lips(embedding, model.measured_codes(batch.mouth, batch.frame), batch.region.transform)
    region, mask = model.composite(lip, batch.region, depth)
    lips = model.space.warp_plane(trainer._lip_area, batch.region, depth)
    assert 0.02 < (lips > 0.5).float().mean() < (mask > 0.5).float().mean()
    torch.testing.assert_close(terms[1]["fused"], losses.masked_mse(region, batch.region.image, mask * lips))
    torch.testing.assert_close(terms[0]["fused"], losses.masked_mse(region, batch.region.image, mask))


def test_test_frames_and_windows_that_reach_them_are_not_trained_on(quick):
    index = Trainer(quick).index
    reach = index.windows.shape[1] * index.subject.audio["step"] / 2 * index.subject.fps
    assert index.train.max() + reach <= index.test.min()
    assert len(index.test) == pytest.approx(0.2 * index.subject.frames, abs=1)


def test_mumbling_on_unheard_speech_is_made_up_for(quick):
    """Gains lie between 1 and the limit, and act in use only."""
    trainer = Trainer(_changed(quick, train={"articulate": 1.2, "speech_share": 0.4}))
    assert trainer.run()
    head = trainer.model.shape_head
    assert (head.gain >= 1).all() and (head.gain <= 1.2).all() and head.gain.max() > 1
    embedding = torch.randn(4, 64 * len(head.heads))
    used, learning = head.eval()(embedding), head.train()(embedding)
    torch.testing.assert_close(used, learning * head.gain)
    free = Trainer(_changed(quick, train={"articulate": 1.0, "output": quick.train.output + "/free"}))
    assert free.run() and (free.model.shape_head.gain == 1).all()


def test_mixed_samples_keep_their_mouths():
    """Windows and codes are blended in the same shares with the same partners."""
    windows, codes = torch.arange(8.0)[:, None, None].expand(8, 3, 2), torch.arange(8.0)[:, None] * 10
    blended, target = mix(windows, codes, np.random.default_rng(0), 0.4)
    torch.testing.assert_close(10 * blended[:, 0, :1], target)
    assert (blended[:, 0, 0] != windows[:, 0, 0]).any() and blended.min() >= 0 and blended.max() <= 7
    same = mix(windows, codes, np.random.default_rng(0), 0.0)
    assert same[0] is windows and same[1] is codes


def test_disturbances_can_be_switched_off():
    windows, streams = torch.randn(6, 20, 100), (Stream(80, True), Stream(20, False))
    assert augment(windows, torch.Generator(), streams, 0) is windows
    weak, strong = (augment(windows, torch.Generator().manual_seed(0), streams, s) - windows for s in (0.3, 1.0))
    for part in (slice(80), slice(80, None)):
        assert 0 < weak[..., part].square().mean() < strong[..., part].square().mean()
    assert strong[..., 80:].std() < 0.12  # what is no spectrum gets a little noise only
