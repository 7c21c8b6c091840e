import numpy as np

from speech2lip.rendering.backdrop import backdrop

SIDE, FRAMES = 96, 30


def _wall():
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    return np.stack([60 + x, 40 + y, 120 + 20 * ((x // 8) % 2)], -1).astype(np.uint8)


def _disc(frame, reach):
    """Of a head that wanders by `reach` pixels."""
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    centre = SIDE / 2 + reach * np.cos(2 * np.pi * frame / FRAMES)
    return np.clip(20 - np.hypot(x - centre, y - SIDE / 2), 0, 1)


def _read(frame, reach):
    picture = _wall().copy()
    picture[_disc(frame, reach) > 0] = (250, 0, 0)
    return picture


def test_what_some_frames_show_is_found_exactly():
    found = backdrop(np.arange(FRAMES), lambda f: _read(f, 30), lambda f: _disc(f, 30))
    np.testing.assert_array_equal(found, _wall())


def test_what_no_frame_shows_continues_from_around_it():
    found = backdrop(np.arange(FRAMES), lambda f: _read(f, 3), lambda f: _disc(f, 3)).astype(int)
    never = np.min([_disc(f, 3) for f in range(FRAMES)], 0) >= 1
    assert never.sum() > 500 and (np.abs(found - _wall())[~never] <= 12).mean() > 0.98
    inside = found[never]
    assert inside[:, 0].max() < 200  # nothing of the head is left
    assert np.abs(inside - _wall()[never].astype(int)).mean() < 15


def test_a_single_frame_is_enough():
    found = backdrop(np.array([4]), lambda f: _read(f, 3), lambda f: _disc(f, 3))
    beside = _disc(4, 3) == 0
    assert (np.abs(found.astype(int) - _wall())[beside].max(-1) <= 12).mean() > 0.95
    assert (found[..., 0] > 230).mean() < 0.005  # of the red disc
