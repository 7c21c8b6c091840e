"""What is said about a clip: one finding per question, each with its severity, frames and remedy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..metrics.basic import runs

OK, NOTE, WARNING, FATAL = "ok", "note", "warning", "fatal"
SEVERITIES = (OK, NOTE, WARNING, FATAL)  # from best to worst
GOOD, USABLE, POOR = "good", "usable", "poor"

Spans = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Finding:
    """The answer to one question.

    name: stable, for scripts; severity: one of `SEVERITIES`; text: what was found, with its figure and unit;
    remedy: one short sentence, empty where nothing is to be done; spans: [start, end) frames that it is about (none:
    the whole clip).
    """

    name: str
    severity: str
    text: str
    remedy: str = ""
    spans: Spans = ()

    def __post_init__(self) -> None:
        assert self.severity in SEVERITIES, self.severity

    @property
    def rank(self) -> int:
        return SEVERITIES.index(self.severity)


def graded(value: float, note: float, warning: float) -> str:
    """Severity of a value that is worse the larger it is (the smaller it is, where `warning` lies below `note`)."""
    sign = 1.0 if warning >= note else -1.0
    if sign * value > sign * warning:
        return WARNING
    return NOTE if sign * value > sign * note else OK


def spans_of(flags: np.ndarray) -> Spans:
    """Runs of True in [T] bool."""
    return tuple((int(start), int(end)) for start, end in runs(flags))


def longest(spans: Spans, most: int) -> Spans:
    """The `most` longest spans, in order of time."""
    return tuple(sorted(sorted(spans, key=lambda s: s[0] - s[1])[:most]))
