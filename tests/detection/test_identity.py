"""Whose face a shot shows: one person in other poses and light stays one, two stay two."""

from itertools import islice

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from speech2lip.config import default_config
from speech2lip.detection.crop import shot_faces
from speech2lip.detection.identity import Look, group_people, look_at, unlike
from speech2lip.detection.survey import Survey, survey_clip
from speech2lip.media.decode import read_frames
from speech2lip.media.images import write_image
from speech2lip.preparation.landmarks import find_landmarks
from speech2lip.subject.layout import SubjectLayout


def _person(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Points [478, 3] of a face and a pattern."""
    points = np.random.default_rng(0).normal(0, 60, (478, 3)) + np.random.default_rng(seed).normal(0, 8, (478, 3))
    points[[33, 263]] = [[-50.0, 0, 0], [50.0, 0, 0]]
    pattern = np.random.default_rng(seed).normal(size=400)
    return points, pattern / np.linalg.norm(pattern)


def _seen(seed: int, turn: float, scale: float) -> Look:
    points, pattern = _person(seed)
    return Look(scale * Rotation.from_rotvec([0.1, turn, 0.05]).apply(points)[:468] + [200, 100, 0], pattern)


def test_turn_size_and_place_do_not_count():
    looks = [_seen(1, 0.0, 1.0), _seen(1, 0.5, 0.4), _seen(2, 0.0, 1.0)]
    found = unlike(looks)
    np.testing.assert_allclose(found[0, 1], 0, atol=1e-3)
    assert found[0, 2] > 2 and found[1, 2] > 2


def test_brightness_and_contrast_of_the_picture_do_not_count_much(clip):
    image = next(read_frames(clip / "speaker.mp4", 25.0)).copy()
    points = np.zeros((478, 3))
    points[:, :2] = np.random.default_rng(0).uniform(130, 250, (478, 2))
    dark = (image * 0.7).astype(np.uint8)
    assert unlike([look_at(image, points), look_at(dark, points)])[0, 1] < 0.2


def test_people_are_grouped_by_their_most_alike_sightings():
    groups = [[_seen(1, 0, 1)], [_seen(2, 0, 1), _seen(2, 0.3, 1)], [], [_seen(1, 0.4, 2)], [_seen(2, 0.1, 1)]]
    a, b, nobody, c, d = group_people(groups, 0.8)
    assert a == c and b == d and a != b and nobody == -1
    assert len(set(group_people(groups, 100).tolist()) - {-1}) == 1
    assert group_people([[], []], 0.8).tolist() == [-1, -1]


def test_faces_of_shots_name_their_samples():
    big, small = np.array([10.0, 10, 50, 50]), np.array([90.0, 10, 20, 20])
    samples = [(0, np.stack([small, big])), (5, np.stack([big])), (10, np.zeros((0, 4))), (15, np.stack([small]))]
    first, second = shot_faces(samples, [(0, 12), (12, 20)])
    assert first.samples.tolist() == [0, 1] and first.places.tolist() == [1, 0] and (first.boxes[:, 2] == 50).all()
    assert second.samples.tolist() == [3]


@pytest.fixture(scope="module")
def two_people(clip, tmp_path_factory):
    """Frames of the speaker, then of a broader one before another wall, then of the speaker again."""
    folder = tmp_path_factory.mktemp("two")
    frames = list(islice(read_frames(clip / "speaker.mp4", 25.0), 70))
    for number in range(90):
        image = frames[number if number < 40 else number - 20]
        if 40 <= number < 70:
            image = np.ascontiguousarray(cv2.resize(image, None, fx=1.3, fy=1.0)[:, 57 : 57 + image.shape[1]])
            image[:60] = [200, 40, 40]
        write_image(folder / f"{number:03d}.png", image)
    return folder


def test_the_person_with_most_frames_is_learned_and_others_are_named(two_people, tmp_path, capsys):
    found = survey_clip(two_people, 25.0)
    assert found.shots == [(0, 40), (40, 70), (70, 90)] and found.person.tolist() == [0, 1, 0]
    layout = SubjectLayout(tmp_path)
    find_landmarks(default_config([f"data.root={tmp_path}", "data.fps=25"]), two_people, layout)
    record = layout.load_landmarks()
    assert record.person.tolist() == [0] * 40 + [1] * 30 + [0] * 20
    np.testing.assert_array_equal(record.seen, record.person == 0)
    assert "2 people are seen; the one seen first at 0.0 s, in 2.4 of 3.6 s, is learned" in capsys.readouterr().out


def test_told_to_take_all_for_one_person_it_does(two_people):
    assert survey_clip(two_people, 25.0, same_person=100).person.tolist() == [0, 0, 0]


def test_shots_without_a_face_are_left_out_only_where_there_are_several_people():
    def left(person: list[int]) -> list[bool]:
        shots = [(k, k + 1) for k in range(len(person))]
        return Survey(shots, np.array(person), np.zeros((1, 4)), 9, 9, 9).left_out(len(person)).tolist()

    assert left([0, -1, 0]) == [False] * 3
    assert left([0, -1, 1]) == [False, True, True]
