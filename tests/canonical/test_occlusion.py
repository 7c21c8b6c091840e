"""Something in front of the mouth: found by what no mouth of the clip explains, in any light and opening."""

import numpy as np
import pytest

from speech2lip.canonical.exposure import NEUTRAL
from speech2lip.canonical.occlusion import foreign_share, hidden_frames, lasting, seen_skin, shrunk
from speech2lip.facemesh import FACE_OVAL, LIPS_INNER

H, W, T = 22, 24, 160
MASK = np.ones((H, W), bool)
ROWS, COLUMNS = np.mgrid[:H, :W]


def _mouths(seed: int = 0, light: bool = False) -> np.ndarray:
    """T pictures of skin with a mouth that opens and closes: [T, H, W, 3] uint8."""
    random = np.random.default_rng(seed)
    skin = (
        np.array([180, 130, 110])
        + random.normal(0, 6, (H, W, 1))
        + np.array([0.0, 1.0, 2.0]) * (COLUMNS[..., None] - 12)
    )
    out = []
    for frame in range(T):
        opening = 4 * abs(np.sin(frame / 5)) * abs(np.sin(frame / 37)) + 0.5
        inside = np.clip(1.5 - np.hypot((COLUMNS - 11.5) / 6, (ROWS - 8) / opening), 0, 1)[..., None]
        picture = skin * (1 - inside) + inside * np.array([60, 25, 25])
        if light:
            picture = picture * (1 + 0.35 * np.sin(frame / 3) * (0.6 + (COLUMNS[..., None] - 12) / 24))
        out.append(picture + random.normal(0, 1.5, (H, W, 3)))
    return np.stack(out).clip(0, 255).astype(np.uint8)


def _covered(mouths: np.ndarray, start: int, end: int, colour: tuple[int, int, int]) -> np.ndarray:
    out = mouths.copy()
    for frame in range(start, end):
        out[frame, np.hypot(COLUMNS - 12, ROWS - 14 - np.sin(frame)) < 5.5] = colour
    return out


def _share(lips: np.ndarray, skin: np.ndarray | None = None) -> np.ndarray:
    """skin: [N, H, W] bool, all of it by default."""
    skin = np.ones(lips.shape[:3], bool) if skin is None else skin
    return foreign_share(lips, np.tile(NEUTRAL, (len(lips), 1, 1)), MASK, skin, 0.07)


@pytest.mark.parametrize("light", [False, True])
def test_open_mouths_and_changing_light_are_not_foreign(light):
    assert _share(_mouths(light=light)).max() < 0.07


@pytest.mark.parametrize("colour", [(40, 40, 60), (225, 225, 220), (140, 95, 80)], ids=["microphone", "cup", "hand"])
def test_what_covers_a_third_of_the_clip_is_found_and_nothing_else(colour):
    share = _share(_covered(_mouths(), 50, 104, colour))
    hidden = np.zeros(T, bool)
    hidden[50:104] = True
    np.testing.assert_array_equal(share > 0.07, hidden)


@pytest.mark.parametrize("colour", [(35, 30, 28), (235, 235, 230)], ids=["dark", "light"])
def test_a_thin_stick_that_comes_twice_is_found_and_nothing_else(colour):
    lips, hidden = _mouths(), np.zeros(T, bool)
    hidden[30:48] = hidden[120:134] = True  # at one place for a fifth of the clip: a principal component, if it may
    for frame in np.flatnonzero(hidden):
        lips[frame, np.abs(ROWS - 14 + 0.4 * (COLUMNS - 12) + np.sin(frame / 4)) < 1] = colour
    np.testing.assert_array_equal(_share(lips) > 0.07, hidden)


def test_what_shows_no_skin_is_not_foreign():
    lips, skin = _mouths(), np.ones((T, H, W), bool)
    lips[70:76, 12:, 17:] = (20, 160, 40)  # behind the jaw of a turned head
    assert (_share(lips)[70:76] > 0.07).all()
    skin[70:76, 12:, 17:] = False
    assert _share(lips, skin).max() < 0.07


def test_skin_lies_inside_the_outline_and_outside_the_open_mouth():
    landmarks = np.full((478, 2), 50.0)
    turn = np.linspace(0, 2 * np.pi, len(FACE_OVAL), endpoint=False)
    landmarks[FACE_OVAL] = 50 + 40 * np.stack([np.cos(turn), np.sin(turn)], 1)
    turn = np.linspace(0, 2 * np.pi, len(LIPS_INNER), endpoint=False)
    landmarks[LIPS_INNER] = [50, 65] + np.stack([12 * np.cos(turn), 6 * np.sin(turn)], 1)
    skin = seen_skin(landmarks, 100, 2)
    y, x = np.mgrid[:100, :100]
    away, mouth = np.hypot(y - 50, x - 50), np.hypot((y - 65) / 6, (x - 50) / 12)
    assert not skin[away > 40].any() and not skin[mouth < 1.1].any()
    assert skin[(away < 36) & (mouth > 1.6)].all()


def test_measured_exposure_is_evened_out():
    lips, exposure = _mouths(), np.tile(NEUTRAL, (T, 1, 1))
    exposure[80:, 0], exposure[80:, 1] = 0.6, 20
    lips[80:] = (lips[80:] * 0.6 + 20).astype(np.uint8)
    assert foreign_share(lips, exposure, MASK, np.ones(lips.shape[:3], bool), 0.07).max() < 0.07


def test_too_few_frames_say_nothing():
    assert not _share(_covered(_mouths(), 0, 10, (0, 0, 0))[:30]).any()


def test_only_what_lasts_counts_and_cuts_are_not_crossed():
    flags = np.zeros(40, bool)
    flags[[3, 10, 11, 12, 15, 16]] = True  # one frame alone; a stay with a short gap
    flags[25:29] = True  # ends at a cut
    found = lasting(flags, ((0, 29), (29, 40)))
    assert np.flatnonzero(found).tolist() == [*range(9, 18), *range(24, 29)]


def test_a_stay_reaches_as_far_as_half_the_threshold_and_no_further_than_its_shot():
    share = np.zeros(60)
    share[20:36], share[24:28] = 0.05, 0.1  # seen by four frames
    share[44:54] = 0.05  # never sure
    assert np.flatnonzero(hidden_frames(share, 0.07, ((0, 60),))).tolist() == list(range(19, 37))
    assert np.flatnonzero(hidden_frames(share, 0.07, ((0, 30), (30, 60)))).tolist() == list(range(19, 30))


def test_a_single_frame_counts_where_it_is_plain():
    share = np.zeros(30)
    share[10], share[20] = 0.4, 0.2
    assert np.flatnonzero(hidden_frames(share, 0.07, ((0, 30),))).tolist() == [9, 10, 11]


def test_small_images_keep_their_shape():
    assert shrunk(np.zeros((100, 120, 3), np.uint8)).shape == (20, 24, 3)
    assert shrunk(np.zeros((100, 120), np.uint8)).shape == (20, 24)
