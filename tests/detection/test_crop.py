"""Which face is followed, and the square around its head."""

import numpy as np

from speech2lip.detection.crop import head_crop, shot_faces, usual_boxes


def test_the_larger_more_persistent_face_is_chosen():
    big = np.array([100.0, 100, 80, 80])
    small = np.array([400.0, 50, 30, 30])
    samples = [
        (i * 10, np.stack([small, big + [i, i, 0, 0]]) if i % 3 else np.stack([big + [i, i, 0, 0]])) for i in range(10)
    ]
    ((first, *_),) = shot_faces(samples, [(0, 100)])
    assert len(first.boxes) == 10 and (first.boxes[:, 2] == 80).all()


def test_shots_in_which_the_face_is_small_do_not_widen_the_square():
    large, small = np.tile([10.0, 10, 80, 80], (5, 1)), np.tile([300.0, 10, 30, 30], (2, 1))
    assert (usual_boxes([large, small])[:, 2] == 80).all() and len(usual_boxes([large, small * 2])) == 7


def test_head_crop_holds_the_head_and_shrinks_large_ones():
    crop = head_crop(np.array([[300.0, 500, 400, 400]]), 1080, 1920, 640)
    assert crop.size == 640 and crop.side > 640
    assert crop.x < 300 - 80 and crop.y < 500 - 200 and crop.x + crop.side > 700 + 80 and crop.y + crop.side > 1000
    small = head_crop(np.array([[200.0, 100, 100, 100]]), 640, 480, 640)
    assert small.size == small.side < 300
