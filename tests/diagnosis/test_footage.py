"""Findings about the footage, on values whose answer is known."""

import numpy as np
import pytest
from making_material import FPS, clip_of, landmarks_of, pixels_of

from speech2lip.config import LearnableConfig
from speech2lip.diagnosis import footage
from speech2lip.diagnosis.finding import FATAL, NOTE, OK, WARNING
from speech2lip.media.facts import VideoFacts

NEED = LearnableConfig()


@pytest.mark.parametrize(("seconds", "severity"), [(2, FATAL), (12, WARNING), (40, NOTE), (60, OK)])
def test_length_counts_clear_frames_and_says_what_is_missing(seconds, severity):
    clear = np.zeros(2000, bool)
    clear[: 25 * seconds] = True
    found = footage.length(clear, FPS, NEED)
    assert found.severity == severity
    assert (f"{60 - seconds} s more" in found.text) == (seconds < 60)


def test_frames_without_a_face_are_those_of_the_persons_own_shots():
    seen, person = np.ones(100, bool), np.zeros(100, int)
    seen[40:70], person[60:] = False, 1
    found = footage.face_seen(clip_of(landmarks_of(100), seen=seen, person=person))
    assert found.spans == ((40, 60),) and "33%" in found.text and found.severity == WARNING


def test_a_hidden_mouth_is_known_of_finished_subjects_alone():
    assert footage.hidden_mouth(None) is None
    hidden = np.zeros(100, bool)
    assert footage.hidden_mouth(hidden).severity == OK
    hidden[50:80] = True
    found = footage.hidden_mouth(hidden)
    assert found.severity == WARNING and found.spans == ((50, 80),)


def test_cuts():
    assert footage.cuts(((0, 500),), FPS).severity == OK
    few = footage.cuts(((0, 100), (100, 300), (300, 500)), FPS)
    assert few.severity == NOTE and few.remedy == "" and few.spans == ((100, 101), (300, 301))
    many = footage.cuts(tuple((k, k + 20) for k in range(0, 500, 20)), FPS)
    assert many.severity == WARNING and "24 cuts" in many.text


def test_people_in_turn():
    person = np.repeat([0, 1, 0, 2], 25)
    found = footage.people_in_turn(clip_of(landmarks_of(100), person=person))
    assert (
        found.severity == NOTE
        and found.text.startswith("3 people are seen")
        and "number 1" in found.text
        and found.spans == ((25, 50), (75, 100))
    )
    assert footage.people_in_turn(clip_of(landmarks_of(100), person=np.repeat([0, -1], 50))).severity == OK


def test_people_at_once():
    assert footage.people_at_once(np.array([[0, 1], [30, 1], [60, 0]])).severity == OK
    found = footage.people_at_once(np.array([[0, 1], [30, 2], [60, 2]]))
    assert found.severity == NOTE and found.spans == ((30, 31), (60, 61))
    assert footage.people_at_once(np.zeros((0, 2), int)).severity == OK


def test_a_photograph_is_refused_with_pixels():
    opening = np.tile([0.1, 0.1 + 1e-4], 50)
    found = footage.still(opening, 80.0, NEED)
    assert found.severity == FATAL and found.text.startswith("the lips move by 0.0 pixels")
    speech = np.tile([0.0, 0.03, 0.06, 0.1, 0.06, 0.03], 20)
    assert footage.still(speech, 80.0, NEED).severity == OK


def test_landmarks_that_tremble_do_not_speak():
    tremble = 0.004 * (-1.0) ** np.arange(100)
    found = footage.still(tremble, 80.0, NEED)
    assert np.std(tremble) > NEED.lips / 100 and found.severity == FATAL


def test_repeats_of_a_converted_rate_and_a_freeze():
    change = np.random.default_rng(0).uniform(1, 3, 300)
    assert footage.repeats(pixels_of(300, change=change), FPS).severity == OK
    pulldown = change.copy()
    pulldown[25::25] = 0.01
    found = footage.repeats(pixels_of(300, change=pulldown), FPS)
    assert found.severity == NOTE and len(found.spans) == 11 and "freeze" not in found.text
    frozen = change.copy()
    frozen[100:150] = 0.0
    found = footage.repeats(pixels_of(300, change=frozen), FPS)
    assert found.severity == WARNING and found.spans == ((100, 150),) and "freeze lasts 2.0 s" in found.text


def test_a_picture_that_never_changes_repeats_always():
    assert footage.repeats(pixels_of(100, change=0.0), FPS).text.startswith("100%")


def test_faded_frames():
    luma = np.full(500, 100.0)
    assert footage.faded(pixels_of(500, luma=luma)).severity == OK
    luma[:10] = np.linspace(0, 100, 10)
    found = footage.faded(pixels_of(500, luma=luma))
    assert found.severity == NOTE and found.spans == ((0, 6),)


@pytest.mark.parametrize(
    ("source", "nominal", "severity"),
    [(25, 0, OK), (0, 0, OK), (12.5, 0, WARNING), (60, 0, OK), (23.1, 25, NOTE), (24.9, 25, OK)],
)
def test_frame_rates(source, nominal, severity):
    assert footage.rate(VideoFacts(0, "h264", 64, 64, source, nominal=nominal), FPS).severity == severity
