"""What training reads of a subject."""

from dataclasses import replace

import numpy as np

from speech2lip.subject.dataset import lip_focus
from speech2lip.subject.index import parse_subject
from speech2lip.subject.layout import SubjectLayout
from speech2lip.subject.records import Box


def test_focus_lies_on_the_lips():
    """Lips in the middle of the upper half of the box; the chin is outside."""
    rng = np.random.default_rng(0)
    lips = np.stack([rng.uniform(110, 130, 40), rng.uniform(55, 65, 40)], 1)
    chin = np.stack([rng.uniform(110, 130, 17), rng.uniform(95, 98, 17)], 1)
    mouth = np.tile(np.concatenate([lips, chin]), (20, 1, 1)) + rng.normal(0, 0.5, (20, 57, 2))
    focus = lip_focus(mouth, Box(100, 40, 40, 60), (80, 120))
    assert focus.shape == (120, 80) and focus.dtype == np.float32
    assert (
        focus[40, 40] > 0.95
        and focus[112, 40] < 0.01
        and focus[40, 4] < 0.05
        and 0 <= focus.min() <= focus.max() < 1.001
    )


def test_frames_with_something_in_front_of_the_mouth_neither_train_nor_test(subject_config):
    layout = SubjectLayout(subject_config.data.root)
    before, track = parse_subject(layout, 0.2), layout.load_track()
    hidden = np.zeros_like(track.valid)
    hidden[40:60] = hidden[-5:] = True
    layout.save_track(replace(track, hidden=hidden))
    try:
        after = parse_subject(layout, 0.2)
    finally:
        layout.save_track(track)
    np.testing.assert_array_equal(after.train, before.train[~hidden[before.train]])
    np.testing.assert_array_equal(after.test, before.test[~hidden[before.test]])
    assert len(before.train) - len(after.train) == 20 and len(before.test) - len(after.test) == 5
