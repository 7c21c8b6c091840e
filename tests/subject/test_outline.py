"""Where the face is in the compositor's regions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from speech2lip.facemesh import CHIN, FACE_OVAL, LIPS, MOUTH
from speech2lip.geometry.camera import Intrinsics, Poses
from speech2lip.subject.outline import FaceAreas, swept_corners, swept_width
from speech2lip.subject.records import Box, Crop, Subject, Track

SIZE, FRAMES, LIPS_WIDTH = 128, 200, 40.0


def _clip(chin_moves: float, fine: int = SIZE, outline: float = 0.1) -> tuple[Subject, Track]:
    """A round face of radius 40 around (64, 64) that does not move; its chin sweeps down to `chin_moves` below it."""
    turn = np.linspace(0, 2 * np.pi, len(FACE_OVAL), endpoint=False) - np.pi / 2  # from the forehead on
    landmarks = np.full((FRAMES, 478, 2), 64.0, np.float32)
    landmarks[:, FACE_OVAL] = 64 + 40 * np.stack([np.cos(turn), np.sin(turn)], 1)
    mouth = np.full((FRAMES, len(MOUTH), 2), 80.0, np.float32)
    mouth[:, : len(LIPS), 0] = np.linspace(64 - LIPS_WIDTH / 2, 64 + LIPS_WIDTH / 2, len(LIPS))
    mouth[:, len(LIPS) :, 0] = np.linspace(56, 72, len(CHIN))
    mouth[:, len(LIPS) :, 1] = 104 + chin_moves * np.linspace(0, 1, FRAMES)[:, None]
    still = Poses(np.zeros((FRAMES, 3)), np.tile([0.0, 0, 600], (FRAMES, 1)))
    exposure = np.tile(np.stack([np.ones(3), np.zeros(3)]), (FRAMES, 1, 1))
    seen = np.ones(FRAMES, bool)
    track = Track(landmarks, seen, still, np.zeros((468, 3)), exposure, mouth, ~seen)
    subject = Subject(
        "x", "x.mp4", 25.0, FRAMES, (SIZE, SIZE), Crop(0, 0, fine, SIZE), ((0, FRAMES),), Intrinsics(300.0, 63.5, 63.5), 0,
        Box(30, 60, 68, 60), (68, 60), fine, {}, fine_size=fine, outline=outline,
    )  # fmt: skip
    return subject, track


def _areas(chin_moves: float = 0.0, **kwargs: float) -> np.ndarray:
    subject, track = _clip(chin_moves, **kwargs)  # type: ignore[arg-type]
    depth = np.full((SIZE, SIZE), 600.0, np.float32)
    return FaceAreas(subject, track, depth, np.zeros((FRAMES, 2), np.int64))(np.array([0, 5])).numpy()


@pytest.mark.parametrize("fine", [128, 256])
def test_the_face_is_inside_its_outline_and_the_background_outside(fine):
    whole, alone = _areas(fine=fine)[0]
    y, x = np.mgrid[0 : len(whole), 0 : len(whole)]
    step = SIZE / len(whole)
    away = np.hypot((x + 0.5) * step - 64, (y + 0.5) * step - 64)
    assert whole[away < 39].min() > 0.95
    assert whole[away > 40 + 3 * 0.1 * LIPS_WIDTH].max() == 0
    assert alone[away < 40 - 3 * 0.1 * LIPS_WIDTH].min() > 0.99
    assert alone[away > 43].max() < 0.1


def test_where_the_chin_comes_to_belongs_to_the_region_and_not_to_the_face():
    below = (slice(int(112 / 4), int(116 / 4)), slice(int(60 / 4), int(68 / 4)))
    still, moving = _areas(0.0)[0], _areas(16.0)[0]
    assert still[0][below].max() < 0.5
    assert moving[0][below].min() > 0.9
    assert moving[1][below].max() < 0.1


def test_a_wider_outline_reaches_further():
    near, far = _areas(outline=0.05)[0, 0], _areas(outline=0.3)[0, 0]
    assert far.sum() > near.sum() + 20
    column = slice(60 // 4, 68 // 4)
    assert near[(64 - 46) // 4, column].max() < 0.3 < far[(64 - 46) // 4, column].min()


def _with_jaw(down: float) -> tuple[np.ndarray, np.ndarray]:
    """Masks of a frame as it is, and of one whose jaw is wanted lower by pixels."""
    subject, track = _clip(0.0)
    areas = FaceAreas(subject, track, np.full((SIZE, SIZE), 600.0, np.float32), np.zeros((FRAMES, 2), np.int64))
    moved = torch.zeros(1, len(MOUTH), 2)
    moved[:, len(LIPS) :, 1] = down
    return areas(np.array([3]))[0].numpy(), areas(np.array([3]), moved)[0].numpy()


def _below(y: float) -> tuple[slice, slice]:
    """Pixels of the masks around row y below the middle of the face."""
    return slice(int(y / 4), int(y / 4) + 1), slice(60 // 4, 68 // 4)


def test_a_jaw_that_stays_changes_nothing():
    for down in (0.0, 0.1, -0.1):
        still, moved = _with_jaw(down)
        np.testing.assert_array_equal(moved, still)


@pytest.mark.parametrize("down", [-14.0, 14.0])
def test_where_the_jaw_leaves_or_comes_to_the_frame_does_not_show(down):
    still, moved = _with_jaw(down)
    chin = 104
    between = _below(chin), _below(chin + down / 2)
    for spot in between:
        assert moved[:, spot[0], spot[1]].min() > 0.9
    assert still[1][_below(chin)].max() < 0.85
    assert (moved >= still).all()
    top = slice(0, int((64 - 20) / 4))  # forehead and cheeks
    np.testing.assert_array_equal(moved[:, top], still[:, top])


def test_what_is_swept_leaves_out_one_frame_in_a_hundred():
    mouth = np.zeros((1000, len(MOUTH), 2))
    mouth[:, : len(LIPS), 0] = np.linspace(0, 50, len(LIPS))
    mouth[0] = 500.0
    assert swept_corners(mouth).max() == 50
    assert swept_width(mouth) == 50
