"""All findings of one clip, and the forecast."""

import numpy as np
import pytest
from making_material import EYES, FPS, clip_of, landmarks_of, material_of, pixels_of

from speech2lip.config import LearnableConfig
from speech2lip.diagnosis.examine import examine, forecast
from speech2lip.diagnosis.finding import (
    FATAL,
    GOOD,
    NOTE,
    OK,
    POOR,
    USABLE,
    WARNING,
    Finding,
    graded,
    longest,
    spans_of,
)
from speech2lip.media.sound import SAMPLE_RATE

NEED = LearnableConfig()


def _speaking(seconds: int, **values):
    """A face whose mouth follows its voice."""
    rng, count = np.random.default_rng(0), round(seconds * FPS)
    kernel = np.hanning(7) / np.hanning(7).sum()
    mouth = np.convolve(rng.random(count + 6), kernel, "valid") ** 2
    at = np.arange(seconds * SAMPLE_RATE) / SAMPLE_RATE * FPS
    loud = np.interp(at, np.arange(count), np.clip(mouth - 0.15, 0.0005, None))
    wav = (0.8 * loud * rng.laplace(size=len(at))).astype(np.float32)
    openings = EYES * 0.3 * np.clip(mouth - 0.15, 0, None)
    return material_of(clip_of(landmarks_of(count, openings)), wav, **values)


def test_nothing_stands_in_the_way_of_a_good_clip():
    found = examine(_speaking(70), NEED)
    worse = [f for f in found.findings if f.severity != OK and f.name != "sounds"]  # noise alone is what is heard here
    assert worse == [] and found.offset.clear and abs(found.offset.frames) < 0.5
    assert "not looked at" in found.facts


def test_every_finding_has_a_name_of_its_own_and_the_worst_come_first():
    found = examine(_speaking(70, pixels=pixels_of(1750, face_luma=20.0), hidden=np.arange(1750) < 60), NEED)
    names, ranks = [f.name for f in found.findings], [f.rank for f in found.findings]
    assert len(set(names)) == len(names) == 29 and ranks == sorted(ranks, reverse=True)
    assert names[0] == "darkness" and "hidden_mouth" in names and "not looked at" not in found.facts
    assert all(f.remedy for f in found.findings if f.severity in (WARNING, FATAL))


def test_a_still_picture_cannot_work():
    material = _speaking(20)
    material.clip.landmarks[:] = material.clip.landmarks[0]
    found = examine(material, NEED)
    assert {f.name for f in found.hopeless} == {"still", "dubbed"} and found.forecast == POOR


@pytest.mark.parametrize(
    ("severities", "told", "seconds", "expected"),
    [
        ([OK, NOTE], 0.7, 100, GOOD),
        ([OK], 0.7, 40, USABLE),
        ([OK], 0.4, 100, USABLE),
        ([OK], float("nan"), 100, USABLE),
        ([WARNING], 0.7, 100, USABLE),
        ([WARNING] * 3, 0.7, 100, POOR),
        ([FATAL], 0.7, 100, POOR),
        ([OK], 0.2, 100, POOR),
    ],
)
def test_forecast(severities, told, seconds, expected):
    findings = tuple(Finding(f"n{k}", s, "") for k, s in enumerate(severities))
    assert forecast(findings, told, seconds)[0] == expected


def test_grades_go_both_ways():
    assert [graded(v, 1, 2) for v in (0.5, 1.5, 2.5)] == [OK, NOTE, WARNING]
    assert [graded(v, 2, 1) for v in (2.5, 1.5, 0.5)] == [OK, NOTE, WARNING]
    assert graded(float("nan"), 1, 2) == OK


def test_spans():
    flags = np.zeros(20, bool)
    flags[[0, 1, 5, 10, 11, 12, 19]] = True
    spans = spans_of(flags)
    assert spans == ((0, 2), (5, 6), (10, 13), (19, 20)) and longest(spans, 2) == ((0, 2), (10, 13))
