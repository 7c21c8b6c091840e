import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech2lip.errors import UserError
from speech2lip.files import atomic_path
from speech2lip.geometry.camera import Intrinsics
from speech2lip.subject.layout import SubjectLayout
from speech2lip.subject.records import Box, Crop, Subject, extract

ROOT = Path(__file__).resolve().parents[1]
SUBJECT = Subject(
    "x", "source.mp4", 25.0, 100, (640, 480), Crop(-3, 4, 200, 100), ((0, 60), (60, 100)), Intrinsics(500.0, 50.0, 49.5),
    7, Box(10, 20, 30, 40), (32, 40), 64, {"backend": "mel", "window": 20, "step": 0.02, "channels": 80},
)  # fmt: skip


def test_subject_file_round_trip(tmp_path):
    layout = SubjectLayout(tmp_path)
    layout.save_subject(SUBJECT)
    assert layout.load_subject() == SUBJECT


@pytest.mark.parametrize("change", [{"version": 99}, {"surprise": 1}, {"crop": {"x": 1}}])
def test_foreign_subject_files_are_refused(tmp_path, change):
    layout = SubjectLayout(tmp_path)
    layout.save_subject(SUBJECT)
    layout.subject.write_text(json.dumps(json.loads(layout.subject.read_text()) | change))
    with pytest.raises(UserError, match=r"subject\.json"):
        layout.load_subject()


def test_missing_subject_names_the_command(tmp_path):
    with pytest.raises(UserError, match="speech2lip preprocess"):
        SubjectLayout(tmp_path).load_subject()


def test_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_path(target) as path:
        path.write_text("half")
        raise ZeroDivisionError
    assert target.read_text() == "old" and list(tmp_path.iterdir()) == [target]


def test_crop_coordinates_scale_areas_not_centres():
    crop = Crop(10, 20, 200, 100)
    np.testing.assert_allclose(crop.to_crop(np.array([10.5, 20.5])), [0, 0])
    np.testing.assert_allclose(replace(crop, size=200).to_crop(np.array([15.0, 26.0])), [5, 6])


@given(st.integers(-40, 120), st.integers(-40, 120), st.integers(20, 90))
def test_crops_keep_source_pixels_and_repeat_the_border(x, y, side):
    frame = np.random.default_rng(0).integers(0, 255, (100, 110, 3), dtype=np.uint8)
    if x + side <= 0 or y + side <= 0 or x >= 110 or y >= 100:
        return
    patch = extract(frame, Crop(x, y, side, side))
    rows, columns = np.clip(np.arange(y, y + side), 0, 99), np.clip(np.arange(x, x + side), 0, 109)
    np.testing.assert_array_equal(patch, frame[rows][:, columns])


def test_a_folder_of_an_older_version_keeps_its_mouths_in_its_crops(tmp_path):
    layout = SubjectLayout(tmp_path)
    layout.save_subject(replace(SUBJECT, fine_size=900, outline=0.1, coarse=3))
    raw = json.loads(layout.subject.read_text())
    for name in ("fine_size", "outline", "coarse"):
        del raw[name]
    layout.subject.write_text(json.dumps(raw))
    found = layout.load_subject()
    assert found.fine == found.crop and found.fine_scale == 1 and found.drawn_size == found.lip_size
    assert found.outline == 0
