"""What training reads of a subject."""

import numpy as np

from speech2lip.subject.dataset import lip_focus
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
