"""Whose face: the network's own answers, one person in other light stays one, two stay two, in turn and side by side."""

import importlib.util
import json
import sys
from contextlib import closing
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from second_look import second_look

from speech2lip.config import Config, default_config
from speech2lip.detection.choice import check_choice, chosen_number
from speech2lip.detection.crop import shot_faces
from speech2lip.detection.detect import FaceMesh
from speech2lip.detection.identity import _POINTS, _network, aligned, changes, group_people, look_at, plain, unlike
from speech2lip.detection.sheet import write_sheet
from speech2lip.detection.survey import people_of, survey_clip
from speech2lip.errors import UserError
from speech2lip.media.decode import read_frames
from speech2lip.media.facts import Selection
from speech2lip.media.images import read_image, write_image
from speech2lip.preparation.landmarks import find_landmarks, find_people
from speech2lip.subject.layout import SubjectLayout
from speech2lip.weights.bundled import load_bundled

_ROOT = Path(__file__).parents[2]
SAME = Config().face.same_person


def _looks(*people: int) -> np.ndarray:
    """Embeddings of sightings of numbered people: 0.1 apart of one, 1.4 of two."""
    noise = np.random.default_rng(sum(people)).normal(0, 0.1 / 16, (len(people), 128))
    return (np.eye(128)[list(people)] + noise).astype(np.float32)


# ---------------------------------------------------------------- the network


def test_the_network_computes_what_another_runtime_computes():
    expected = json.loads((_ROOT / "tests" / "data" / "face_identity.json").read_text())["embedding"]
    y, x = np.mgrid[:150, :150][:, :, :, None].astype(float)
    c = np.arange(3)
    picture = np.floor(127.5 + 80 * np.sin(x * (c + 1) / 17 + y / 23) + 40 * np.cos((x - y * (c + 2)) / 11))
    with torch.no_grad():
        found = _network()(torch.from_numpy(picture).float().permute(2, 0, 1)[None])[0].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_what_the_package_carries_is_what_the_converter_makes(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location(
        "convert_face_identity", _ROOT / "scripts" / "convert_face_identity.py"
    )
    convert = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, convert)  # where dataclasses look for it
    spec.loader.exec_module(convert)
    layer = {"conv/filters": [3, 3, 2, 4], "conv/bias": [4], "scale/weights": [4], "scale/biases": [4]}
    entries = [
        {"name": f"a/{name}", "shape": shape, "dtype": "float32", "quantization": {"dtype": "uint8", "scale": 0.5, "min": -1.0}}
        for name, shape in layer.items()
    ] + [{"name": "fc", "shape": [2, 3], "dtype": "float32"}]  # fmt: skip
    data = bytes(range(72)) + bytes([2, 2, 2, 2, 6, 6, 6, 6, 4, 4, 4, 4]) + np.arange(6, dtype=np.float32).tobytes()
    (tmp_path / "face_recognition_model.bin").write_bytes(data)
    (tmp_path / "face_recognition_model-weights_manifest.json").write_text(json.dumps([{"weights": entries}]))
    made = convert.stored_tensors(convert.read_arrays(tmp_path))
    assert (
        made["a.weight.bytes"].shape == (18, 4) and made["a.weight.bytes"][9, 0] == 4
    )  # the second input's first weight
    assert float(made["a.weight.zero_point"]) == 2 and (made["a.gain"] == 2).all() and (made["a.offset"] == 1).all()
    assert made["final.weight"].tolist() == [[0, 3], [1, 4], [2, 5]]
    (tmp_path / "face_recognition_model.bin").write_bytes(data[:-1])
    with pytest.raises(ValueError, match="cut short"):
        convert.read_arrays(tmp_path)
    assert sum(v.numel() for v in load_bundled("face_identity").values()) == sum(
        p.numel() for p in _network().parameters()
    )


def test_turn_size_and_place_do_not_count(clip):
    """The face is cut out alike: its five points come to the same places."""
    image = next(read_frames(clip / "speaker.mp4", 25.0))
    points = np.random.default_rng(0).uniform(100, 200, (478, 3)).astype(np.float32)
    points[_POINTS, :2] = [[250, 150], [210, 152], [130, 150], [170, 152], [190, 210]]
    angle, scale = 0.3, 0.7
    matrix = np.array([[np.cos(angle), -np.sin(angle), 70], [np.sin(angle), np.cos(angle), -20]]) * [[scale], [scale]]
    turned = points.copy()
    turned[:, :2] = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    other = cv2.warpAffine(image, matrix, (384, 384), flags=cv2.INTER_AREA)
    a, b = aligned(image, points).astype(float), aligned(other, turned).astype(float)
    assert np.abs(a - b).mean() < 4 and np.abs(a - np.roll(b, 6, 1)).mean() > 6


# ---------------------------------------------------------------- grouping


def test_people_are_grouped_by_their_most_alike_sightings():
    groups = [_looks(1), _looks(2, 2), _looks(), _looks(1), _looks(2)]
    a, b, nobody, c, d = group_people(groups, SAME)
    assert a == c and b == d and a != b and nobody == -1
    assert len(set(group_people(groups, 100).tolist()) - {-1}) == 1
    assert group_people([_looks(), _looks()], SAME).tolist() == [-1, -1]
    np.testing.assert_allclose(unlike(_looks(1), _looks(2)), 2**0.5, atol=0.1)


def test_one_blurred_sighting_is_forgotten_and_a_change_of_person_is_not():
    assert plain(_looks(1, 1, 5, 1, 1)).tolist() == [True, True, False, True, True]
    assert plain(_looks(1, 1, 2, 2)).all() and changes(_looks(1, 1, 2, 2)).tolist() == [2]


LEFT, RIGHT = np.array([10.0, 10, 50, 50]), np.array([200.0, 10, 40, 40])


def _found(samples, who, shots):
    """People where box k of sample n is of person who[n][k]."""
    looks = {(n, k): _looks(p)[0] for n, row in enumerate(who) for k, p in enumerate(row)}
    return people_of(samples, looks, shots, SAME)[0]


def test_faces_side_by_side_are_two_people_and_the_larger_one_is_the_first():
    samples = [(k * 10, np.stack([RIGHT, LEFT])) for k in range(6)]
    first, second = _found(samples, [(7, 8)] * 6, [(0, 60)])
    assert (first.tracks[0].boxes == LEFT).all() and (second.tracks[0].boxes == RIGHT).all()
    assert first.frames(60).all() and unlike(first.looks, _looks(8)).max() < SAME


def test_of_people_in_turn_the_one_with_most_frames_is_the_first_and_who_comes_back_is_known():
    samples = [(k * 10, LEFT[None]) for k in range(9)]
    people = _found(samples, [(1,)] * 2 + [(2,)] * 5 + [(1,)] * 2, [(0, 20), (20, 70), (70, 90)])
    assert [[(t.start, t.end) for t in p.tracks] for p in people] == [[(20, 70)], [(0, 20), (70, 90)]]


def test_who_takes_somebody_s_place_without_a_cut_is_another():
    samples = [(k * 10, LEFT[None]) for k in range(6)]
    first, second = _found(samples, [(1,)] * 4 + [(2,)] * 2, [(0, 60)])
    assert [(first.tracks[0].start, first.tracks[0].end), (second.tracks[0].start, second.tracks[0].end)] == [
        (0, 35),
        (35, 60),
    ]


def _crossing():
    """Two people who walk past each other, in front of a camera that looks at every second frame."""
    samples = [(2 * k, np.stack([[10.0 + 8 * k, 10, 50, 50], [250.0 - 8 * k, 10, 40, 40]])) for k in range(31)]
    tracked = people_of(
        samples, {(n, k): _looks((1, 2)[k])[0] for n in (0, 5, 25, 30) for k in (0, 1)}, [(0, 62)], SAME
    )
    return samples, tracked


def test_where_two_people_cross_neither_is_taken_for_the_other():
    from speech2lip.subject.people import ClipPeople

    _, (people, strangers) = _crossing()
    found = ClipPeople(((0, 62),), (320, 200), 62, people, strangers)
    assert len(people) == 2
    seen, met = found.seen(1), found.met(1)
    assert (
        met.any() and (seen[met] == -1).all() and (seen[~met] == 0).all() and not met[:10].any() and not met[-10:].any()
    )
    own, others = found.boxes_at(61, 1)
    assert own[0] > 200 and others.shape == (1, 4) and others[0, 0] < 50


def test_shots_without_a_known_face_are_the_only_person_s_unless_there_are_several():
    samples = [(k * 10, LEFT[None]) for k in range(4)]
    known = {(0, 0): _looks(1)[0]}
    people, strangers = people_of(samples, known, [(0, 20), (20, 40)], SAME)
    assert len(people) == 1 and people[0].frames(40).all() and not strangers
    samples += [(40, LEFT[None])]
    people, strangers = people_of(samples, {**known, (4, 0): _looks(2)[0]}, [(0, 20), (20, 40), (40, 50)], SAME)
    assert len(people) == 2 and [(t.start, t.end) for t in strangers] == [(20, 40)]


def test_boxes_that_overlap_are_followed_each_by_its_own():
    big, small = np.array([10.0, 10, 50, 50]), np.array([90.0, 10, 20, 20])
    samples = [(0, np.stack([small, big])), (5, np.stack([big])), (10, np.zeros((0, 4))), (15, np.stack([small]))]
    (first, other), (second,) = shot_faces(samples, [(0, 12), (12, 20)])
    assert first.samples.tolist() == [0, 1] and first.places.tolist() == [1, 0] and (first.boxes[:, 2] == 50).all()
    assert other.samples.tolist() == [0] and second.samples.tolist() == [3]


# ---------------------------------------------------------------- pictures


@pytest.fixture(scope="module")
def looks(clip):
    """Frames of the speaker, and of somebody else."""
    frames = [f.copy() for f in islice(read_frames(clip / "speaker.mp4", 25.0), 70)]
    with closing(FaceMesh()) as mesh:
        return frames, [second_look(f, mesh) for f in frames[10:40]]


@pytest.fixture(scope="module")
def two_people(looks, tmp_path_factory):
    """Frames of the speaker, then of the other, then of the speaker again."""
    folder, (one, other) = tmp_path_factory.mktemp("two"), looks
    for number, image in enumerate([*one[:40], *other, *one[50:70]]):
        write_image(folder / f"{number:03d}.png", image)
    return folder


def _config(root, *settings):
    return default_config([f"data.root={root}", "data.fps=25", *settings])


@pytest.fixture(scope="module")
def surveyed(two_people, tmp_path_factory):
    layout = SubjectLayout(tmp_path_factory.mktemp("subject"))
    find_people(_config(layout.root), two_people, layout)
    return layout


def test_two_people_in_turn_are_told_apart_and_shown_on_a_sheet(surveyed):
    found = surveyed.load_people()
    assert found.shots == ((0, 40), (40, 70), (70, 90)) and found.frames == 90
    assert found.seen(1).tolist() == [0] * 40 + [1] * 30 + [0] * 20
    assert found.seen(2).tolist() == [1] * 40 + [0] * 30 + [1] * 20
    sheet = read_image(surveyed.sheet)
    assert sheet.shape[0] == 2 * (140 + 26 + 16) and (sheet[:140, :70] < 100).any()  # a number beside each strip


@pytest.mark.parametrize("number, frames", [(1, 60), (2, 30)])
def test_only_the_chosen_one_s_face_is_found(surveyed, two_people, tmp_path, number, frames, monkeypatch):
    monkeypatch.setattr("speech2lip.preparation.landmarks.MIN_FRAMES", 20)
    layout = SubjectLayout(tmp_path)
    layout.save_people(surveyed.load_people())
    find_landmarks(_config(tmp_path), two_people, layout, number)
    record = layout.load_landmarks()
    assert record.face == number and record.seen.sum() == frames
    np.testing.assert_array_equal(record.seen, record.person == 0)


def test_a_picture_chooses_the_person_that_it_shows(surveyed, looks, tmp_path):
    found = surveyed.load_people()
    for number, image in ((1, looks[0][68]), (2, looks[1][3])):
        path = tmp_path / f"{number}.png"
        write_image(path, image)
        assert chosen_number(found, str(path), check_choice(str(path)), surveyed.sheet) == number
    with pytest.raises(UserError, match=r"shows nobody of the clip: its face is 1\.\d\d away from the nearest of 2"):
        chosen_number(found, "x.png", _looks(9)[0], surveyed.sheet)
    middle = (found.people[0].looks[0] + found.people[1].looks[0]) / 2
    with pytest.raises(UserError, match=r"is like two people of the clip"):
        chosen_number(found, "x.png", middle, surveyed.sheet)


def test_choices_that_are_none_are_refused(surveyed, tmp_path, looks):
    found = surveyed.load_people()
    assert chosen_number(found, "", None, surveyed.sheet) == 1 and chosen_number(found, "2", None, surveyed.sheet) == 2
    with pytest.raises(UserError, match="no face 3: 2 people were found"):
        chosen_number(found, "3", None, surveyed.sheet)
    with pytest.raises(UserError, match="numbered from 1"):
        check_choice("0")
    with pytest.raises(UserError, match=r"nobody\.jpg"):
        check_choice(str(tmp_path / "nobody.jpg"))
    write_image(tmp_path / "wall.png", np.full((90, 90, 3), 120, np.uint8))
    with pytest.raises(UserError, match="shows no face"):
        check_choice(str(tmp_path / "wall.png"))
    write_image(tmp_path / "both.png", np.hstack([looks[0][0], looks[1][0]]))
    with pytest.raises(UserError, match="shows 2 faces"):
        check_choice(str(tmp_path / "both.png"))
    assert check_choice("") is None and check_choice("2") is None


def test_side_by_side_only_the_chosen_one_is_looked_at(looks, tmp_path):
    """Both faces are in every frame; a copy of the landmarks of one alone tells whose were found."""
    folder = tmp_path / "pair"
    folder.mkdir()
    for number in range(60):
        write_image(folder / f"{number:03d}.png", np.hstack([looks[0][number], looks[1][number // 2]]))
    for number in (1, 2):
        layout = SubjectLayout(tmp_path / str(number))
        layout.root.mkdir()
        if number == 1:
            find_people(_config(layout.root), folder, layout)
        else:
            layout.save_people(SubjectLayout(tmp_path / "1").load_people())
        people = layout.load_people()
        assert len(people.people) == 2
        find_landmarks(_config(layout.root), folder, layout, number)
        record = layout.load_landmarks()
        own = people.people[number - 1].tracks[0].boxes[0]
        middle = (np.median(record.landmarks[record.seen][:, :, 0]) + 0.5) / record.crop.scale + record.crop.x
        assert record.seen.mean() > 0.95 and abs(middle - own[0] - own[2] / 2) < 0.3 * own[2]


def test_a_sheet_of_one_person_is_none(surveyed, two_people, tmp_path):
    found = survey_clip(two_people, 25.0, same_person=100)
    assert len(found.people) == 1 and found.seen(1).tolist() == [0] * 90
    target = tmp_path / "people.jpg"
    target.touch()
    write_sheet(target, found, two_people, 25.0, Selection())
    assert not target.exists()


def test_light_and_size_do_not_make_another_person(looks):
    frame = looks[0][0]
    with closing(FaceMesh(static=True)) as mesh:
        own = look_at(frame, mesh(frame))
        for changed in (
            (frame * 0.6).astype(np.uint8),
            cv2.resize(frame, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
        ):
            assert np.linalg.norm(look_at(changed, mesh(changed)) - own) < SAME
        assert np.linalg.norm(look_at(looks[1][0], mesh(looks[1][0])) - own) > SAME
