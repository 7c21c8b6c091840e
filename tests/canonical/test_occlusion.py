"""Something in front of the mouth: found by what no mouth of the clip explains, in any light and opening."""

import numpy as np
import pytest

from speech2lip.canonical.exposure import NEUTRAL
from speech2lip.canonical.occlusion import foreign_share, lasting, shrunk

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


def _share(lips: np.ndarray) -> np.ndarray:
    return foreign_share(lips, np.tile(NEUTRAL, (len(lips), 1, 1)), MASK, 0.07)


@pytest.mark.parametrize("light", [False, True])
def test_open_mouths_and_changing_light_are_not_foreign(light):
    assert _share(_mouths(light=light)).max() < 0.07


@pytest.mark.parametrize("colour", [(40, 40, 60), (225, 225, 220), (140, 95, 80)], ids=["microphone", "cup", "hand"])
def test_what_covers_a_third_of_the_clip_is_found_and_nothing_else(colour):
    share = _share(_covered(_mouths(), 50, 104, colour))
    hidden = np.zeros(T, bool)
    hidden[50:104] = True
    np.testing.assert_array_equal(share > 0.07, hidden)


def test_measured_exposure_is_evened_out():
    lips, exposure = _mouths(), np.tile(NEUTRAL, (T, 1, 1))
    exposure[80:, 0], exposure[80:, 1] = 0.6, 20
    lips[80:] = (lips[80:] * 0.6 + 20).astype(np.uint8)
    assert foreign_share(lips, exposure, MASK, 0.07).max() < 0.07


def test_too_few_frames_say_nothing():
    assert not _share(_covered(_mouths(), 0, 10, (0, 0, 0))[:30]).any()


def test_only_what_lasts_counts_and_cuts_are_not_crossed():
    flags = np.zeros(40, bool)
    flags[[3, 10, 11, 12, 15, 16]] = True  # one frame alone; a stay with a short gap
    flags[25:29] = True  # ends at a cut
    found = lasting(flags, ((0, 29), (29, 40)))
    assert np.flatnonzero(found).tolist() == [*range(9, 18), *range(24, 29)]


def test_small_images_keep_their_shape():
    assert shrunk(np.zeros((100, 120, 3), np.uint8)).shape == (20, 24, 3)
