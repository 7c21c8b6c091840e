"""Which source frames are walked, and how far each is painted."""

import numpy as np

from speech2lip.rendering.walk import clear_stretch, painted_share


def _clear(length: int, *gaps: tuple[int, int]) -> np.ndarray:
    out = np.ones(length, bool)
    for start, end in gaps:
        out[start:end] = False
    return out


def test_the_walk_stays_where_the_mouth_is_seen():
    clear = _clear(300, (100, 150))
    assert clear_stretch(clear, 0, 100, 50) == (0, 300), "it would meet clear frames only: nothing changes"
    assert clear_stretch(clear, 0, 101, 50) == (0, 100)
    assert clear_stretch(clear, 160, 1000, 50) == (150, 300)
    assert clear_stretch(clear, 120, 10, 50) == (150, 300), "nothing is seen at the start: the longest stretch"
    assert clear_stretch(clear, 0, 500, 200) == (0, 300), "no stretch is long enough: the frames in order"
    assert clear_stretch(_clear(300), 7, 5000, 50) == (0, 300)


def test_painting_fades_beside_hidden_frames_but_not_at_cuts_or_lost_faces():
    hidden = np.zeros(60, bool)
    hidden[20:30] = True
    clear = ~hidden
    clear[50:55] = False
    share = painted_share(clear, ((0, 30), (30, 60)), 3)
    assert not share[20:30].any() and not share[50:55].any()
    np.testing.assert_allclose(share[16:20], [1, 0.75, 0.5, 0.25])
    assert (share[30:47] == 1).all() and (share[:17] == 1).all()
    np.testing.assert_allclose(share[46:50], [1, 0.75, 0.5, 0.25])
    assert (painted_share(clear, ((0, 60),), 0)[[19, 30]] == 1).all()
