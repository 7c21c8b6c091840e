"""Speech to shape: which frames it hears, and how its predictions are made up for."""

import numpy as np
import pytest
import torch

from speech2lip.config import TrainConfig
from speech2lip.model.checkpoint import load_checkpoint
from speech2lip.training.phases import Position
from speech2lip.training.speech import Calibration, speech_rate
from speech2lip.training.trainer import Trainer


def test_test_frames_and_windows_that_reach_them_are_not_trained_on(quick):
    index = Trainer(quick).context.index
    reach = index.windows.shape[1] * index.subject.audio["step"] / 2 * index.subject.fps
    assert index.train.max() + reach <= index.test.min()
    assert len(index.test) == pytest.approx(0.2 * index.subject.frames, abs=1)


def test_mumbling_on_unheard_speech_is_made_up_for(quick, change):
    """Below the limit a gain lies between the least error's factor and that of full movement; it acts in use only."""
    trainer = Trainer(change(quick, train={"articulate": 1.2, "speech_share": 0.4}))
    assert trainer.run()
    model, index = trainer.model, trainer.context.index
    gain = model.shape_head.gain
    made, real = (codes.numpy() for codes in trainer.calibration.unheard())
    for k, (a, b) in enumerate(zip(made.T, real.T, strict=True)):
        least, full = np.cov(a, b, ddof=0)[0, 1] / a.var(), b.std() / a.std()
        assert gain[k].item() == pytest.approx(min(1.2, max(least, 0) ** 0.4 * full**0.6), abs=1e-3), k
    assert gain.max() > 1
    windows, at = torch.from_numpy(np.asarray(index.windows[index.test[:4]])).float(), torch.zeros(4)
    with torch.no_grad():
        used = model.eval().encode_audio(windows, at)[1]
        model.encoder.eval(), model.shape_head.eval()
        alone = model.shape_head(model.encoder(windows))
    torch.testing.assert_close(used, model.regression.mixed(windows, alone) * gain)
    free = Trainer(change(quick, train={"articulate": 1.0, "output": quick.train.output + "/free"}))
    assert free.run() and (free.model.shape_head.gain == 1).all()


def test_the_regression_is_believed_as_far_as_it_helps_on_unheard_speech(quick, monkeypatch):
    """Shares minimise the held-out error of each code; no part was fitted to, and the last fit is to all frames."""
    heard, fit = [], Calibration.fit
    monkeypatch.setattr(Calibration, "fit", lambda self, net, frames: heard.append(frames) or fit(self, net, frames))
    trainer = Trainer(quick)
    assert trainer.run()
    calibration, train = trainer.calibration, trainer.context.index.train
    assert [bool(set(h) & set(f.tolist())) for h, f in zip(heard, calibration.frames, strict=False)] == [False] * 3
    np.testing.assert_array_equal(heard[3], train)
    made, frames = calibration.codes()
    real = trainer.model.basis.encode(trainer.context.data.mouth[frames])
    beside, share = torch.cat(calibration.regressed), trainer.model.regression.share

    def error(at):
        return ((torch.lerp(made, beside, at) - real) ** 2).sum(0)

    assert ((share >= 0) & (share <= 1)).all() and share.max() > 0
    for other in (0.0, 0.5, 1.0):
        assert (error(share) <= error(torch.full_like(share, other)) + 1e-4).all()


def test_a_model_may_have_no_regression(quick, change, tmp_path):
    trainer = Trainer(change(quick, model={"lip": {"regression": 0.0}}, train={"output": str(tmp_path)}))
    assert trainer.run() and trainer.model.regression is None and not trainer.calibration.regressed
    assert load_checkpoint(trainer.model_file).model.regression is None


def test_the_rate_of_the_speech_phase_rises_and_falls_as_configured():
    middle, end = Position(50, 0.25, 0.0, 50), Position(5000, 1.0, 0.1, 5000)
    assert speech_rate(TrainConfig(), middle) == 2.0 * 1e-3 * 0.5 * 0.75
    assert speech_rate(TrainConfig(speech_warmup_steps=200, speech_phase_rate=4.0), middle) == pytest.approx(7.5e-4)
    assert speech_rate(TrainConfig(), end) == 0
