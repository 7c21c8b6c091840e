"""The mouth is measured at the source's resolution, whatever size the head is stored at; only the mouth is kept of a frame."""

from itertools import islice

import cv2
import numpy as np
import pytest

from speech2lip.evaluation.mouth import Mouth, mouth_measures, see
from speech2lip.evaluation.recording import Recorder
from speech2lip.evaluation.summary import make_scene, summarise
from speech2lip.evaluation.view import view_of
from speech2lip.facemesh import EYE_OUTER, LIPS_INNER, LIPS_OUTER, interocular
from speech2lip.media.decode import read_frames
from speech2lip.metrics import texture as formulas
from speech2lip.subject.records import Crop

SIZE = 400
COUNT = 10  # frames


def _points(shift: float = 0.0) -> np.ndarray:
    """Landmarks of a mouth that is open, eyes 100 pixels apart."""
    points = np.full((478, 2), 200.0)
    points[EYE_OUTER] = np.array([[150, 150], [250, 150]])
    for indices, across, down in ((LIPS_OUTER, 30, 18), (LIPS_INNER, 20, 10)):
        angle = np.pi - np.linspace(0, 2 * np.pi, len(indices), endpoint=False)
        points[indices] = np.stack([200 + across * np.cos(angle), 240 + down * np.sin(angle)], 1)
    return points + shift


def _squares(count: int = 3) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 255, (count, SIZE, SIZE, 3)).astype(np.uint8))


def _measured(squares: list[np.ndarray], points: list[np.ndarray], mask: np.ndarray | None = None) -> dict[str, float]:
    sights = [see(squares[0], points[0], None)]
    for square, landmarks in zip(squares[1:], points[1:], strict=True):
        sights.append(see(square, landmarks, sights[-1]))
    part = None if mask is None else mask[sights[-1].window]
    return mouth_measures(Mouth(tuple(sights), part, squares[-1][:0, :0]))[0]


def test_figures_are_those_of_the_whole_picture():
    """What is cut out around the mouth is enough: the formulas give the same on all pixels."""
    squares, points, mask = _squares(), _points(), np.zeros((SIZE, SIZE), np.float32)
    mask[180:300, 150:250] = 1
    gray = [cv2.cvtColor(s, cv2.COLOR_RGB2GRAY) for s in squares]
    fine, scale = formulas.detail(gray[2], float(interocular(points))), (SIZE, SIZE)
    lips = formulas.inside(points[LIPS_OUTER], scale)
    skin = (mask > 0.5) & ~cv2.dilate(lips.astype(np.uint8), None).astype(bool)
    right = {
        "flicker": formulas.flicker(*gray, lips), "texture_lips": formulas.texture(fine, lips), "texture_skin": formulas.texture(fine, skin),
        "texture_inner": formulas.texture(fine, formulas.inside(points[LIPS_INNER], scale)),
    }  # fmt: skip
    found = _measured(squares, [points] * 3, mask)
    assert {name: found[name] for name in right} == pytest.approx(right, rel=1e-6)


def test_little_is_kept_of_a_frame():
    square = np.zeros((2000, 2000, 3), np.uint8)
    sight = see(square, _points(), None)
    assert sight.image.nbytes < square.nbytes / 50 and sight.image.base is None
    lost = see(square, np.full((478, 2), np.nan), sight)
    assert lost.window == sight.window and not lost.found


def test_flicker_needs_neighbours_at_the_same_place_but_no_faces_there():
    squares, points, nothing = _squares(), _points(), np.full((478, 2), np.nan)
    steady = _measured(squares, [points] * 3)["flicker"]
    assert _measured(squares, [points, points, nothing])["flicker"] == steady
    assert _measured(squares, [nothing, points, points])["flicker"] == steady
    assert np.isnan(_measured(squares, [points, nothing, points])["flicker"])
    assert np.isnan(_measured(squares, [_points(120), points, points])["flicker"])


def test_a_mouth_at_the_picture_s_edge_is_measured_where_it_is_seen():
    squares, points = _squares(), _points(150)
    assert all(np.isfinite(v) for k, v in _measured(squares, [points] * 3).items() if k in ("flicker", "texture_lips"))
    outside = _measured(squares, [_points(900)] * 3)
    assert np.isnan(outside["texture_lips"]) and np.isnan(outside["flicker"])


def test_points_of_the_stored_square_are_found_in_the_source():
    frame = np.zeros((300, 400, 3), np.uint8)
    crop = Crop(40, 20, 200, 50)
    view = view_of(frame, crop)
    assert view.image.shape == (50, 50, 3) and view.native.shape == (200, 200, 3)
    inside = view.to_native(crop.to_crop(np.array([[100.0, 90.0]])))
    assert inside == pytest.approx(np.array([[60.0, 70.0]]))  # less the square's corner
    same = view_of(frame, Crop(40, 20, 200, 200))
    assert same.image is same.native and same.with_native(frame[:200, :200]).image is not same.image


# ---------------------------------------------------------------- a square that is stored shrunk


@pytest.fixture(scope="module")
def frames(clip) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    grain = [rng.normal(0, 6, (384, 384, 3)) for _ in range(COUNT)]
    pictures = islice(read_frames(clip / "speaker.mp4", 25.0), 20, 20 + COUNT)
    return [(p + g).clip(0, 255).astype(np.uint8) for p, g in zip(pictures, grain, strict=True)]


def _row(frames: list[np.ndarray], made: list[np.ndarray], side: int) -> dict[str, float]:
    """Figures of pictures beside the frames, both stored as squares of `side` pixels."""
    crop, mask = Crop(0, 0, 384, side), np.zeros((384, 384), np.float32)
    mask[220:360, 100:290] = 1
    recordings = []
    for pictures in (frames, made):
        recorder = Recorder()
        for picture, real in zip(pictures, frames, strict=True):
            truth = view_of(real, crop)
            recorder.add(truth if picture is real else view_of(picture, crop), view_of(mask, crop), truth)
        recordings.append(recorder.finish())
    real, generated = recordings
    return summarise(generated, real, real, make_scene(np.zeros(COUNT * 640), 25.0, COUNT))


def _through(picture: np.ndarray, side: int) -> np.ndarray:
    small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, picture.shape[1::-1], interpolation=cv2.INTER_CUBIC)


@pytest.fixture(scope="module")
def rows(frames) -> dict[int, dict[str, float]]:
    """Figures of mouths drawn at half of the source's resolution, by the size that squares of 384 pixels are stored at."""
    made = [_through(f, 192) for f in frames]
    return {side: _row(frames, made, side) for side in (192, 384)}


def test_what_shrinking_takes_is_missed(rows):
    """They are soft, though the stored squares are alike."""
    row = rows[192]
    assert row["texture_lips"] < 0.85 and row["texture_skin"] < 0.8 and row["flicker"] < 0.9
    assert row["told_apart"] > 0.9 and row["cpbd_lip_ratio"] < 0.9
    assert row["psnr_face"] > 30  # the stored square lost little


def test_the_stored_size_does_not_change_what_the_mouth_is_measured_at(rows):
    for name in ("texture_lips", "texture_skin", "flicker", "cpbd_lip_ratio"):
        assert rows[192][name] == pytest.approx(rows[384][name], rel=0.1), name
