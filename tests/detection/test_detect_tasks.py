"""MediaPipe's newer interface, with `face_landmarker.task`: same landmarks, same quality of tracking."""

import os
import shutil
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from speech2lip.config import default_config
from speech2lip.detection.detect import FaceDetector, FaceMesh, person_mask
from speech2lip.detection.detect_tasks import TasksFaceMesh, grab_person
from speech2lip.errors import UserError
from speech2lip.facemesh import FACE_OVAL, interocular, mouth_opening
from speech2lip.media.decode import read_frames
from speech2lip.preparation.pipeline import preprocess
from speech2lip.subject.layout import SubjectLayout


@pytest.fixture
def tasks(clips, tmp_path, monkeypatch) -> None:
    """The weights in place, and the newer interface chosen (the only one where the package is new)."""
    monkeypatch.setenv("SPEECH2LIP_HOME", str(tmp_path))
    monkeypatch.setenv("SPEECH2LIP_MEDIAPIPE", "tasks")
    (tmp_path / "models").mkdir()
    shutil.copy(clips.parent / "weights" / "face_landmarker.task", tmp_path / "models")


def _landmarks(clip: Path, count: int) -> np.ndarray:
    mesh = FaceMesh()
    found = [mesh(frame) for frame in islice(read_frames(clip / "speaker.mp4", 25.0), count)]
    mesh.close()
    assert all(f is not None for f in found)
    return np.stack(found)


def test_both_interfaces_give_the_same_landmarks(tasks, clip, monkeypatch):
    import mediapipe

    if not hasattr(mediapipe, "solutions"):
        pytest.skip("this MediaPipe has the newer interface only")
    new = _landmarks(clip, 40)
    monkeypatch.setenv("SPEECH2LIP_MEDIAPIPE", "")
    old = _landmarks(clip, 40)
    difference = np.linalg.norm(new[..., :2] - old[..., :2], axis=2) / interocular(old).mean()
    assert np.median(difference) < 0.02 and np.percentile(difference, 99) < 0.08
    assert np.corrcoef(mouth_opening(new), mouth_opening(old))[0, 1] > 0.95


def test_tracking_meets_the_same_bounds(tasks, clip, truth, tmp_path):
    """As tests/tracking/test_bundle.py asks of the older interface."""
    preprocess(default_config([f"data.root={tmp_path / 'subject'}"]), clip / "speaker.mp4")
    track = SubjectLayout(tmp_path / "subject").load_track()
    assert track.valid.all()
    gap = np.linalg.norm(truth["lips"][:, 0] - truth["lips"][:, 1], axis=1)
    assert np.corrcoef(mouth_opening(track.landmarks), gap)[0, 1] > 0.96
    a, b = Rotation.from_rotvec(track.poses.rotvec), Rotation.from_rotvec(truth["rotvec"])
    offset = (b.inv() * a).mean()
    assert np.degrees(np.median((b * offset * a.inv()).magnitude())) < 2.0


def test_small_faces_are_found_in_parts_of_the_picture(tasks, clip):
    frame = next(read_frames(clip / "speaker.mp4", 25.0))
    wide = np.full((720, 1280, 3), 90, np.uint8)
    wide[300:428, 900:1028] = cv2.resize(frame, (128, 128), interpolation=cv2.INTER_AREA)
    detector = FaceDetector()
    boxes = detector(wide)
    empty = detector(np.full((240, 320, 3), 90, np.uint8))
    detector.close()
    assert len(boxes) == 1 and 920 < boxes[0, 0] < 960 and 330 < boxes[0, 1] < 370
    assert empty.shape == (0, 4)


def test_of_two_faces_the_nearest_to_the_last_is_kept():
    mesh = TasksFaceMesh.__new__(TasksFaceMesh)
    mesh._static, mesh._last = False, np.full((478, 3), 100.0)
    far, near = np.full((478, 3), 300.0), np.full((478, 3), 110.0)
    assert mesh._dominant([far, near]) is near


def test_person_without_segmentation_weights(tasks, clip):
    frame = next(read_frames(clip / "speaker.mp4", 25.0))
    face = _landmarks(clip, 1)[0]
    mask = person_mask(frame, face)
    inside = face[FACE_OVAL, :2].mean(0).astype(int)
    assert mask.shape == frame.shape[:2] and mask[inside[1], inside[0]] == 1 and mask[5, 5] == 0
    assert 0.1 < mask.mean() < 0.7
    np.testing.assert_array_equal(mask, grab_person(frame, face))


def test_missing_file_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("SPEECH2LIP_HOME", str(tmp_path))
    monkeypatch.setenv("SPEECH2LIP_MEDIAPIPE", "tasks")
    with pytest.raises(
        UserError, match=r"face_landmarker\.task is missing.*weights fetch face-landmarker.*mediapipe==0\.10\.21"
    ):
        FaceMesh()
    assert os.environ["SPEECH2LIP_MEDIAPIPE"] == "tasks"
