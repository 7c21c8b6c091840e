"""Findings about the face, on values whose answer is known."""

import cv2
import numpy as np
import pytest
from making_material import EYES, SIDE, landmarks_of, pixels_of
from scipy.spatial.transform import Rotation

from speech2lip.diagnosis import face
from speech2lip.diagnosis.finding import NOTE, OK, WARNING
from speech2lip.media.coding import Coding

SEEN = np.ones(50, bool)


def test_a_face_is_measured_in_pixels_of_the_source():
    landmarks = landmarks_of(50)
    crop = face.face_size(landmarks, SEEN, 1.0)
    source = face.face_size(landmarks, SEEN, 2.0)  # the crop is twice as large as the source
    assert crop.severity == OK and "200 pixels" in crop.text
    assert source.severity == OK and "100 pixels" in source.text
    assert face.face_size(landmarks, SEEN, 2.5).severity == NOTE
    assert face.face_size(landmarks, SEEN, 4.0).severity == WARNING


def test_only_frames_with_a_face_count():
    landmarks = landmarks_of(50)
    landmarks[:30] = 0
    assert "200 pixels" in face.face_size(landmarks, np.arange(50) >= 30, 1.0).text


@pytest.mark.parametrize(("yaw", "pitch", "roll"), [(0, 0, 0), (30, 0, 0), (-20, 0, 0), (0, 12, 0), (0, 0, 15)])
def test_angles_are_those_that_the_head_was_turned_by(yaw, pitch, roll):
    front = landmarks_of(11)
    turn = Rotation.from_euler("yxz", [yaw, pitch, roll], degrees=True).as_matrix()
    front[5] = front[5] @ turn.T.astype(np.float32)
    found = face.head_angles(front)[5]
    np.testing.assert_allclose(np.abs(found), np.abs([yaw, pitch, roll]), atol=0.1)
    np.testing.assert_allclose(face.head_angles(front)[[0, 10]], 0, atol=1e-3)


def test_a_head_that_is_always_turned_is_told_from_one_that_turns_once():
    turned, once = landmarks_of(50), landmarks_of(50)
    turn = Rotation.from_euler("y", 55, degrees=True).as_matrix().T.astype(np.float32)
    turned, once[7] = turned @ turn, once[7] @ turn
    assert face.pose_range(turned, SEEN).severity == WARNING
    found = face.pose_range(once, SEEN)
    assert found.severity == OK and found.spans == ((7, 8),)


def _texture(blurred: float) -> np.ndarray:
    """A picture with as much detail in every octave, then blurred."""
    rng, out = np.random.default_rng(0), np.zeros((256, 256), np.float32)
    for k in range(8):
        part = rng.normal(size=(256 >> k, 256 >> k)).astype(np.float32)
        out += cv2.resize(part, (256, 256), interpolation=cv2.INTER_CUBIC)
    return cv2.GaussianBlur(out, (0, 0), blurred) if blurred else out


@pytest.mark.parametrize(
    ("blurred", "severity", "detail"), [(0, OK, 200), (1.6, OK, 100), (3.0, WARNING, 50), (8.0, WARNING, 25)]
)
def test_detail_halves_with_blur(blurred, severity, detail):
    octaves = face.octave_detail(_texture(blurred))[None]
    found = face.blur(octaves, landmarks_of(50, widen=0.98), SEEN, 1.0)
    assert found.severity == severity
    assert abs(int(found.text.split(" pixels wide")[0].split()[-1]) - 0.98 * detail) <= 1


def test_grain_on_a_blurred_picture_is_no_detail():
    grain = _texture(4.0) + np.random.default_rng(1).normal(0, 0.05, (256, 256)).astype(np.float32)
    octaves = face.octave_detail(grain)
    assert octaves[0] > face._OCTAVE  # taken alone, it looks sharp
    assert face.blur(octaves[None], landmarks_of(50), SEEN, 1.0).severity == NOTE
    assert face.blur(np.zeros((0, 3)), landmarks_of(50), SEEN, 1.0).severity == OK


def test_frames_softer_than_those_around_are_named():
    sharpness = np.full(200, 90.0)
    sharpness[100:] = 300  # another shot, another sharpness
    sharpness[[20, 150, 151]] = 20
    found = face.motion_blur(sharpness, np.ones(200, bool), ((0, 100), (100, 200)))
    assert found.severity == OK and found.spans == ((20, 21), (150, 152))
    sharpness[40:60] = 10
    assert face.motion_blur(sharpness, np.ones(200, bool), ((0, 100), (100, 200))).severity == NOTE


@pytest.mark.parametrize(("luma", "severity"), [(120, OK), (60, NOTE), (30, WARNING)])
def test_a_dark_face(luma, severity):
    assert face.darkness(pixels_of(face_luma=luma)).severity == severity


@pytest.mark.parametrize(("levels", "severity"), [(100, OK), (50, NOTE), (20, WARNING)])
def test_a_flat_face(levels, severity):
    assert face.contrast(pixels_of(face_low=100, face_high=100 + levels)).severity == severity


@pytest.mark.parametrize(("share", "severity"), [(0.01, OK), (0.1, NOTE), (0.3, WARNING)])
def test_a_burnt_face(share, severity):
    assert face.burnt(pixels_of(face_burnt=share)).severity == severity


def test_light_that_flickers_is_no_cut():
    calm = np.where(np.arange(100) < 50, 100.0, 150.0)
    assert face.flicker(pixels_of(face_luma=calm), ((0, 50), (50, 100))).severity == OK
    wild = 120.0 * (1 + 0.1 * (-1.0) ** np.arange(100))
    assert face.flicker(pixels_of(face_luma=wild), ((0, 100),)).severity == WARNING


def test_frames_without_a_face_have_no_light():
    luma = np.where(np.arange(100) % 2, np.nan, 120.0)
    assert face.flicker(pixels_of(face_luma=luma), ((0, 100),)).severity == OK
    assert face.darkness(pixels_of(face_luma=luma)).severity == OK


@pytest.mark.parametrize(
    ("coding", "severity"),
    [
        (Coding("h264", 0.05, 23), OK),
        (Coding("h264", 0.001, 23), OK),
        (Coding("h264", 0.02, 33), NOTE),
        (Coding("h264", 0.01, 44), WARNING),
        (Coding("hevc", 0.01, float("nan")), OK),
        (Coding("hevc", 0.001, float("nan")), NOTE),
        (Coding("images", 0, float("nan")), OK),
    ],
)
def test_compression_by_the_quantiser_or_by_bits(coding, severity):
    assert face.compression(coding).severity == severity


def test_the_made_face_is_as_large_as_it_says():
    landmarks = landmarks_of(1)
    assert np.ptp(landmarks[0, :, 0]) == SIDE and EYES == 100
