"""Sync experts: which windows they see, and when they judge."""

from dataclasses import replace

import numpy as np

from speech2lip.training.phases import Position
from speech2lip.training.sync import FrameWindows
from speech2lip.training.trainer import Trainer, make_context, make_sync


def test_no_window_of_frames_crosses_a_cut_or_a_gap(quick):
    index = make_context(quick).index
    index = replace(index, subject=replace(index.subject, shots=((0, 40), (40, index.subject.frames))))
    size = quick.sync.window
    starts = FrameWindows(index, size).starts(np.setdiff1d(np.arange(100), [70]))
    assert not any(s < 40 < s + size for s in starts)
    assert not any(s <= 70 < s + size for s in starts)
    assert {0, 35, 40, 65, 71} <= set(starts.tolist()) and not {36, 39, 66, 70, 96} & set(starts.tolist())


def test_sync_loss_acts_only_where_a_trained_expert_is(quick, change):
    for expert, trained, acts in (("none", True, False), ("own", False, False), ("own", True, True)):
        trainer = Trainer(change(quick, sync={"expert": expert, "start": 0.5}))
        if trained and trainer.sync is not None:
            trainer.sync.freeze()
        joint = trainer.phases[-1].trainee
        assert ("sync" in joint.step(Position(1, 0.0, 0.5, 10))) is acts
        assert "sync" not in joint.step(Position(1, 0.0, 0.49, 10))


def test_too_few_windows_train_no_expert_and_nothing_is_judged(quick):
    context = make_context(quick)
    few = replace(context, index=replace(context.index, train=context.index.train[:20]))
    expert = make_sync(few)
    assert expert.phases() == [] and not expert.ready()
