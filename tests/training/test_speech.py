"""Speech to shape: which frames it hears, and how its predictions are made up for."""

import pytest
import torch

from speech2lip.config import TrainConfig
from speech2lip.training.phases import Position
from speech2lip.training.speech import speech_rate
from speech2lip.training.trainer import Trainer


def test_test_frames_and_windows_that_reach_them_are_not_trained_on(quick):
    index = Trainer(quick).context.index
    reach = index.windows.shape[1] * index.subject.audio["step"] / 2 * index.subject.fps
    assert index.train.max() + reach <= index.test.min()
    assert len(index.test) == pytest.approx(0.2 * index.subject.frames, abs=1)


def test_mumbling_on_unheard_speech_is_made_up_for(quick, change):
    """Gains lie between 1 and the limit, and act in use only."""
    trainer = Trainer(change(quick, train={"articulate": 1.2, "speech_share": 0.4}))
    assert trainer.run()
    head = trainer.model.shape_head
    assert (head.gain >= 1).all() and (head.gain <= 1.2).all() and head.gain.max() > 1
    embedding = torch.randn(4, 64 * len(head.heads))
    used, learning = head.eval()(embedding), head.train()(embedding)
    torch.testing.assert_close(used, learning * head.gain)
    free = Trainer(change(quick, train={"articulate": 1.0, "output": quick.train.output + "/free"}))
    assert free.run() and (free.model.shape_head.gain == 1).all()


def test_the_rate_of_the_speech_phase_rises_and_falls_as_configured():
    middle, end = Position(50, 0.25, 0.0, 50), Position(5000, 1.0, 0.1, 5000)
    assert speech_rate(TrainConfig(), middle) == 2.0 * 1e-3 * 0.5 * 0.75
    assert speech_rate(TrainConfig(speech_warmup_steps=200, speech_phase_rate=4.0), middle) == pytest.approx(7.5e-4)
    assert speech_rate(TrainConfig(), end) == 0
