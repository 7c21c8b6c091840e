"""What training reads of a subject."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech2lip.media.planes import Picture
from speech2lip.subject.dataset import cut_picture, cut_region, lip_focus
from speech2lip.subject.index import parse_subject
from speech2lip.subject.layout import SubjectLayout
from speech2lip.subject.records import Box, Crop, extract


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


FRAME = np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8)
CORNERS = st.tuples(st.integers(-90, 90), st.integers(-90, 90))


@given(CORNERS, st.integers(1, 80), st.sampled_from([0.5, 1.0, 1.6]))
def test_what_a_crop_is_made_of_gives_the_same_crop(corner, side, scale):
    """Also where it lies partly or wholly outside the frame, whose border is repeated."""
    crop = Crop(*corner, side, max(1, round(scale * side)))
    part = crop.seen((64, 48))
    rows, columns = part
    assert 0 <= rows.start < rows.stop <= 48 and 0 <= columns.start < columns.stop <= 64
    if -side < corner[0] < 64 and -side < corner[1] < 48:
        np.testing.assert_array_equal(extract(FRAME[part], crop.within(part)), extract(FRAME, crop))


@given(st.tuples(st.integers(-20, 40), st.integers(-20, 30)), CORNERS, st.sampled_from([0.5, 1.0]))
def test_a_region_is_cut_from_a_part_as_from_the_whole(corner, origin, scale):
    crop = Crop(*corner, 40, round(scale * 40))
    expected = cut_region(FRAME, crop, np.array(origin), 20)
    np.testing.assert_array_equal(cut_picture(Picture(FRAME), crop, np.array(origin), 20), expected)


@pytest.mark.parametrize("size", [37, 50, 64, 90, 100, 128, 200])
def test_a_crop_that_is_resized_stays_where_it_was(size):
    """Of a slope along each axis: the mean over the pixel's place in the source, to a grey level."""
    ramp = np.arange(128)[None, :, None] + np.zeros((128, 1, 3))
    image = np.dstack([ramp[..., 0], ramp[..., 0].T, ramp[..., 0]]).astype(np.uint8)
    got = extract(image, Crop(0, 0, 128, size)).astype(float)
    place = ((np.arange(size) + 0.5) * 128 / size - 0.5).clip(0, 127)
    assert got.shape == (size, size, 3)
    assert np.abs(got[..., 0] - place).max() <= 1 and np.abs(got[..., 1] - place[:, None]).max() <= 1


@pytest.mark.parametrize("size", [40, 64])
def test_a_crop_that_is_shrunk_keeps_its_mean_and_loses_what_it_cannot_show(size):
    """Stripes of one pixel become grey, and not other stripes."""
    stripes = np.zeros((128, 128, 3), np.uint8)
    stripes[:, ::2] = 255
    got = extract(stripes, Crop(0, 0, 128, size)).astype(float)
    assert abs(got.mean() - 127.5) < 1 and got.std() < 3
