"""Finished regions in full frames."""

from __future__ import annotations

import numpy as np
import pytest

from speech2lip.media.planes import Picture
from speech2lip.rendering.paste import paste_back
from speech2lip.subject.records import Crop

SIZE = 32


def _region() -> tuple[np.ndarray, np.ndarray]:
    pixels = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    mask = np.zeros((SIZE, SIZE), np.float32)
    mask[4:-4, 6:-6] = 0.5
    return pixels, mask


@pytest.mark.parametrize("origin", [(10, 20), (-12, 5), (90, -10), (85, 70)])
@pytest.mark.parametrize("corner", [(0, 0), (7, -9)])
def test_at_the_sources_scale_pixels_are_copied_where_the_mask_is_not_0(origin, corner):
    image = np.full((96, 112, 3), 77, np.uint8)
    pixels, mask = _region()
    done = paste_back(Picture(image), pixels, mask, np.array(origin), Crop(*corner, 100, 100), 3)
    wanted, painted = image.copy(), np.zeros(image.shape[:2], np.float32)
    for v in range(SIZE):
        for u in range(SIZE):
            x, y = u + origin[0] + corner[0], v + origin[1] + corner[1]
            if mask[v, u] > 0 and 0 <= x < 112 and 0 <= y < 96:
                wanted[y, x], painted[y, x] = pixels[v, u], mask[v, u]
    np.testing.assert_array_equal(done.image, wanted)
    np.testing.assert_array_equal(done.full_mask, painted)
    assert (image == 77).all() and done.source == 3


def test_a_region_outside_the_frame_changes_nothing():
    image = np.zeros((40, 40, 3), np.uint8)
    done = paste_back(Picture(image), *_region(), np.array([50, 0]), Crop(0, 0, 40, 40), 0)
    assert done.image is image and done.full_mask.max() == 0


@pytest.mark.parametrize("origin", [(41, 0), (0, 43), (-SIZE, 3), (41, 43)])
def test_a_region_beside_a_frame_of_odd_size_changes_nothing(origin):
    image = np.zeros((43, 41, 3), np.uint8)
    done = paste_back(Picture(image), *_region(), np.array(origin), Crop(0, 0, 60, 60), 0)
    assert done.image is image and done.full_mask.max() == 0


def test_a_shrunk_region_is_enlarged_and_mixed_by_its_mask():
    image = np.full((200, 200, 3), 100, np.uint8)
    pixels, mask = np.full((SIZE, SIZE, 3), 200, np.uint8), _region()[1]
    done = paste_back(Picture(image), pixels, mask, np.array([10, 10]), Crop(0, 0, 200, 100), 0)
    assert (done.image[2 * 20 : 2 * 30, 2 * 20 : 2 * 30] == 150).all()
    changed = (done.image != 100).any(2)
    assert changed.any() and not changed[done.full_mask == 0].any()
