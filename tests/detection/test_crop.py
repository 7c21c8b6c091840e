"""Which face is followed, and the square around its head."""

import numpy as np

from speech2lip.detection.crop import dominant_face, head_crop, shot_faces


def test_the_larger_more_persistent_face_is_chosen():
    big = np.array([100.0, 100, 80, 80])
    small = np.array([400.0, 50, 30, 30])
    samples = [
        (i * 10, np.stack([small, big + [i, i, 0, 0]]) if i % 3 else np.stack([big + [i, i, 0, 0]])) for i in range(10)
    ]
    boxes = dominant_face(shot_faces(samples, [(0, 100)]))
    assert len(boxes) == 10 and (boxes[:, 2] == 80).all()


def test_head_crop_holds_the_head_and_shrinks_large_ones():
    crop = head_crop(np.array([[300.0, 500, 400, 400]]), 1080, 1920, 640)
    assert crop.size == 640 and crop.side > 640
    assert crop.x < 300 - 80 and crop.y < 500 - 200 and crop.x + crop.side > 700 + 80 and crop.y + crop.side > 1000
    small = head_crop(np.array([[200.0, 100, 100, 100]]), 640, 480, 640)
    assert small.size == small.side < 300
